"""The lab screen: the form, and a run as it goes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from prunelab.estimators.studies.catalogue import EXPERIMENTS
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs import supervisor
from prunelab.tui.runs.events import EventLog
from prunelab.tui.runs.records import write_record
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import Run, RunStore
from prunelab.tui.screens.lab import LabScreen
from prunelab.tui.widgets.entries import is_used, pruning_entries, spec_of, training_entries, values_of
from prunelab.tui.widgets.field import Cycle, Field
from prunelab.tui.widgets.form import RunForm
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

SIZES = [(80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in [(120, 40), (200, 60)])]
TINY = RunSpec(parameters={"hidden_layer_sizes": (32,), "max_iter": 2}, sparsities=(0.0, 0.5))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home without runs and data."""
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    monkeypatch.delenv("PRUNELAB_DATA", raising=False)
    return tmp_path


def play(
    test: Callable[[PrunelabApp, Pilot], Coroutine[Any, Any, None]], size: tuple[int, int] = (80, 24), **options: Any
) -> None:
    """Run a test inside an app."""

    async def run() -> None:
        app = PrunelabApp(**options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await test(app, pilot)

    asyncio.run(run())


async def until(pilot: Pilot, condition: Callable[[], Any], seconds: float = 30) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain; the screen shows:\n{text_of(pilot.app)}"
        await pilot.pause(0.05)


def text_of(app: Any) -> str:
    """What the terminal shows, line by line; `export_screenshot` gives the same, but slowly."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def shows(app: PrunelabApp, *words: str) -> bool:
    """Whether all of these can be read."""
    text = text_of(app)
    return all(word in text for word in words)


def lab(app: PrunelabApp) -> LabScreen:
    """The lab, which must be seen."""
    assert isinstance(app.screen, LabScreen)
    return app.screen


def form(app: PrunelabApp) -> RunForm:
    """Its form."""
    return lab(app).query_one(RunForm)


def field(app: PrunelabApp, name: str) -> Field:
    """A field of the form."""
    return next(field for field in form(app).query(Field) if field.name == name)


def values(app: PrunelabApp, name: str) -> Any:
    """What a field holds from which one chooses."""
    control = field(app, name).control
    assert isinstance(control, Cycle)
    return control.value


class FakeWorker:
    """Appends the events that a worker would append, when a test calls for them."""

    def __init__(self, run: Run):
        self.run = run
        self.lock = run.lock()
        self.log = EventLog(run.events_path)
        write_record(run.path / "status.json", {"state": "running"})
        self.append("started", device="auto", precision="auto", pid=1, host="here", resumed=False)
        self.append("data", source="some digits", n_train=1437, n_test=360, n_features=64, classes=list("0123456789"))
        self.append("seed", seed=run.spec.seeds[0])

    def append(self, kind: str, **fields: Any) -> None:
        """Write an event."""
        self.log.append({"type": kind, "t": time.time(), **fields})

    def train(self, epoch: int, epochs: int = 2) -> None:
        """Finish an epoch."""
        figures = {
            "phase": "training",
            "epoch": epoch,
            "epochs": epochs,
            "samples": 1437 * epoch,
            "seconds": 1.0 * epoch,
        }
        self.append("batch", **figures, batch=7, batches=15, loss=2.0 / epoch)
        self.append("epoch", **figures, loss=1.5 / epoch, validation_score=None, monitored=0.5 + 0.1 * epoch)

    def finish_training(self) -> None:
        """End the training."""
        self.run.model_path(self.run.spec.seeds[0]).touch()
        self.append("dense", seed=0, device="cpu", precision="float32", sizes=[64, 32, 10], epochs=2)

    def point(self, number: int, granularity: str, sparsity: float, accuracy: float | None) -> None:
        """Finish a point."""
        ways = {"criterion": "magnitude", "granularity": granularity, "scope": "layer", "norm": 2, "order": "smallest"}
        figures = {
            "achieved_sparsity": sparsity,
            "loss": 1.0,
            "nonzero": 1,
            "compression": 1.0,
            "macs": 1,
            "speedup": 1.0,
        }
        row = {"seed": 0, "sparsity": sparsity, "accuracy": accuracy, **ways, **figures}
        kept = round(2048 * (1 - sparsity))
        layers = [[kept, 2048], [320, 320]]
        self.append("point", row=row, point=number, points=4, layers=layers, units=[[32, 32], [10, 10]])

    def end(self, state: str, **fields: Any) -> None:
        """End with this state."""
        self.append(state, **fields)
        write_record(self.run.path / "status.json", {"state": state, **fields})
        self.die()

    def die(self) -> None:
        """Let go of the lock."""
        self.log.close()
        os.close(self.lock)

    def work(self) -> None:
        """Everything."""
        self.train(1)
        self.train(2)
        self.finish_training()
        accuracies = [("weight", 0.0, 0.9), ("weight", 0.5, 0.8), ("unit", 0.0, 0.9), ("unit", 0.5, 0.4)]
        for i, point in enumerate(accuracies):
            self.point(i + 1, *point)
        self.end("finished")


@pytest.fixture
def workers(monkeypatch):
    """Workers that the app starts; none of them is a process."""
    started: list[FakeWorker] = []
    monkeypatch.setattr(supervisor, "spawn", lambda run, **_: started.append(FakeWorker(run)))
    return started


# The form -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_the_fields_hold_every_preset(name):
    spec = RunSpec.from_preset(name, seeds=(3, 4))
    entries = {entry.name: entry for entry in (*training_entries(), *pruning_entries())}
    values = values_of(spec)
    for key in ("hidden_layer_sizes", "sparsities", "learning_rate_init", "max_iter"):
        assert entries[key].parse(entries[key].show(values[key])) == values[key]
    again = spec_of(values, spec)
    assert again.preset == name
    assert again.seeds == (3, 4)
    assert again.n_points == spec.n_points
    assert not again.problems()


def test_sparsities_are_read_as_fractions_and_as_percents():
    parse = next(entry for entry in pruning_entries() if entry.name == "sparsities").parse
    assert parse("0, .5 0.97") == parse("0 50 97 %") == parse("0% 50% 97%") == (0.0, 0.5, 0.97)
    for wrong in ("", "50", "half", "101 %", "-1 %", "nan"):
        with pytest.raises(ValueError, match="must be"):
            parse(wrong)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("seed", "4294967295", "must be from 0 to 4,294,966,295"),
        ("seed", "-1", "must be from 0 to"),
        ("n_seeds", "1001", "must be from 1 to 1000"),
        ("n_rounds", "all", "must be a whole number"),
        ("learning_rate_init", "1e400", "must be a number"),
        ("hidden_layer_sizes", "日本", "must be the widths"),
    ],
)
def test_an_error_names_what_is_accepted(name, text, message):
    parse = next(entry for entry in (*training_entries(), *pruning_entries()) if entry.name == name).parse
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("name", "without", "with_it"),
    [
        ("n_rounds", {"schedule": ("gradual",)}, {"schedule": ("one-shot", "iterative")}),
        (
            "normalize",
            {"granularity": ("unit",), "scope": ("layer",)},
            {"granularity": ("unit",), "scope": ("global",)},
        ),
        ("reduce", {"granularity": ("weight",), "criterion": ("taylor",)}, {"criterion": ("taylor",)}),
        ("per_output", {}, {"granularity": ("weight",)}),
        ("fine_tune_schedule", {"fine_tune_iter": 0}, {"fine_tune_iter": 2}),
        ("fine_tune_learning_rate", {"fine_tune_iter": 0}, {"fine_tune_iter": 2}),
    ],
)
def test_a_field_is_there_while_it_makes_a_difference(name, without, with_it):
    values = values_of(RunSpec())
    assert not is_used(name, {**values, **without})
    assert is_used(name, {**values, **with_it})


def test_the_fields_of_retraining_and_controls_describe_an_experiment():
    spec = RunSpec(
        parameters={"fine_tune_iter": 2, "fine_tune_learning_rate": 1e-4, "per_output": True},
        ways={"granularity": ("weight",), "control": ("none", "shuffle"), "fine_tune_schedule": ("constant", "cosine")},
    )
    entries = {entry.name: entry for entry in pruning_entries()}
    shown = entries["fine_tune_learning_rate"]
    assert [shown.parse(shown.show(value)) for value in (1e-4, None)] == [1e-4, None]
    assert spec_of(values_of(spec), spec).to_json() == spec.to_json()


def test_what_has_no_field_is_kept():
    spec = RunSpec(parameters={"activation": "tanh", "max_iter": 3}, ways={"norm": ("inf",)})
    again = spec_of(values_of(spec), spec)
    assert again.parameters["activation"] == "tanh"
    assert again.preset == ""
    assert again.ways["norm"] == (float("inf"),)
    assert not again.problems()


def test_a_preset_fills_the_form_and_an_edit_makes_it_custom():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("n")
        assert app.focused is field(app, "preset").control
        await pilot.press("right", "right")
        quick = form(app).spec
        assert quick is not None
        assert quick.preset == "quick"
        assert quick.parameters["hidden_layer_sizes"] == (300, 100)
        await pilot.press(*["down"] * 4, *"20")
        edited = form(app).spec
        assert edited is not None
        assert edited.preset == ""
        assert edited.parameters["hidden_layer_sizes"] == (20,)
        assert shows(app, "custom")
        await pilot.press(*(["backspace"] * 2), *"300 100")
        assert form(app).spec == quick

    play(test)


def test_many_values_are_chosen_from_a_list_that_explains_them():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("n")
        seen, preset = form(app), field(app, "preset").control
        await pilot.press("space")
        await until(pilot, lambda: shows(app, "Study criteria", "The original network and pruning on the small"))
        await pilot.press("q")  # no preset begins with it, and it does not quit
        await pilot.press(*"sssss")  # three small networks, light pruning, norms
        await until(pilot, lambda: shows(app, "by which norm of its weights a unit is"))
        await pilot.press("enter")
        await until(pilot, lambda: seen.spec is None or seen.spec.preset == "study norms")
        assert app.focused is preset
        await pilot.press("space", "down", "escape")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        assert isinstance(preset, Cycle)
        assert preset.value == "study norms"
        app.screen.set_focus(field(app, "criterion").control)
        await pilot.press("space")
        await until(pilot, lambda: shows(app, "all of them", "the norm of their weights"))
        await pilot.press("w", "enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen))
        await until(pilot, lambda: values(app, "criterion") == ("wanda",))

    play(test)


def test_few_values_need_no_list():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("n")
        app.screen.set_focus(field(app, "fit_intercept").control)
        await pilot.press("space")
        assert values(app, "fit_intercept") is True
        await pilot.press("space")
        assert values(app, "fit_intercept") is False

    play(test)


def test_the_mouse_goes_through_values_by_the_arrows_and_to_the_list_between_them():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("n")
        preset = field(app, "preset").control
        assert isinstance(preset, Cycle)
        end = len("< Original, on digits >") - 1
        await pilot.click(preset, offset=(end, 0))
        assert values(app, "preset") == "original"
        await pilot.click(preset, offset=(0, 0))
        assert values(app, "preset") == "digits"
        await pilot.click(preset, offset=(5, 0))
        await until(pilot, lambda: shows(app, "Study criteria"))
        await pilot.click(OptionList, offset=(5, 2))
        await until(pilot, lambda: preset.value == "quick")

    play(test)


@pytest.mark.parametrize("size", SIZES)
def test_a_wrong_field_says_so_and_refuses_the_start(size, workers):
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("n", *["down"] * 6, "x")
        await until(pilot, lambda: shows(app, "must be a whole number"))
        await pilot.press("up", "f7")
        assert app.focused is field(app, "max_iter").control
        assert not workers
        await pilot.press("0")
        await until(pilot, lambda: "at least 1" in field(app, "max_iter").error)
        await pilot.press("backspace", "2")
        await until(pilot, lambda: not field(app, "max_iter").error)
        await pilot.press("f7")
        await until(pilot, lambda: len(workers) == 1)
        assert workers[0].run.spec.parameters["max_iter"] == 2

    play(test, size)


def test_the_form_has_the_fields_that_the_schedule_uses_and_says_what_does_not_go_together():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        def seen() -> set[str]:
            return {name for name in ("n_rounds", "rewind_step", "distribution") if field(app, name).display}

        await pilot.press("n")
        schedule = field(app, "schedule").control
        assert isinstance(schedule, Cycle)

        async def choose(name: str) -> None:
            app.screen.set_focus(schedule)
            while schedule.value != (name,):
                await pilot.press("right")
            await pilot.pause()

        assert not seen()
        await choose("iterative")
        assert seen() == {"n_rounds"}
        assert field(app, "fine_tune_iter").error.startswith("must be at least 1")
        for name, text in (("fine_tune_iter", "2"), ("n_rounds", "none")):
            control = field(app, name).control
            assert isinstance(control, Input)
            control.value = text
        await until(pilot, lambda: not field(app, "fine_tune_iter").error and field(app, "n_rounds").error)
        await choose("rewind")
        assert seen() == {"n_rounds", "rewind_step"}
        rounds = field(app, "n_rounds").control
        assert isinstance(rounds, Input)
        rounds.value = "auto"
        await until(pilot, lambda: form(app).spec is not None)
        assert form(app).spec.parameters["n_rounds"] == "auto"
        rounds.value = "none"
        await choose("set")
        assert seen() == {"distribution"}
        assert not field(app, "n_rounds").error
        assert field(app, "granularity").error.startswith("must be 'weight'")
        assert form(app).spec is None
        await choose("one-shot")
        assert not seen()
        assert "n_rounds" not in form(app).spec.parameters

    play(test)


def test_data_that_are_not_there_are_said_and_refused(workers, home):
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("n", "down", "right")
        assert "F6" in field(app, "dataset").error
        await pilot.press("f7")
        assert app.focused is field(app, "dataset").control
        data = field(app, "dataset").control
        assert isinstance(data, Cycle)
        while data.value != "file":
            await pilot.press("right")
        assert not field(app, "dataset").error
        await pilot.press("down", *"none.csv")
        await until(pilot, lambda: field(app, "path").error == "there is no such file")
        (home / "mine.csv").touch()
        path = field(app, "path").control
        assert isinstance(path, Input)
        path.value = str(home / "mine.csv")
        await until(pilot, lambda: form(app).spec is not None)
        assert form(app).spec.dataset == path.value
        assert not workers

    play(test)


@pytest.mark.parametrize("size", SIZES[:2])
def test_a_run_can_be_run_again_with_changes(size, workers):
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        spec = dataclasses.replace(TINY, ways={"criterion": ("magnitude", "random")}, seeds=(5, 6))
        await app.switch_mode("runs")
        await app.edit_spec(spec)
        await pilot.pause()
        assert app.focused is field(app, "preset").control
        await pilot.press("f7")
        await until(pilot, lambda: len(workers) == 1)
        again = workers[0].run.spec
        assert (again.seeds, again.sparsities, again.parameters) == (spec.seeds, spec.sparsities, spec.parameters)
        assert again.variants == [{"criterion": name, "granularity": "weight"} for name in ("magnitude", "random")]

    play(test, size)


# The run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", ["r", "enter"])
def test_on_the_first_start_one_key_runs_the_experiment(size, key, workers):
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "How much of a neural network can be deleted?"))
        await pilot.press(key)
        await until(pilot, lambda: shows(app, "Original, on digits", "running"))
        assert [worker.run.spec.preset for worker in workers] == ["digits"]

    play(test, size)


@pytest.mark.parametrize("size", SIZES)
def test_a_run_is_shown_as_it_goes(size):
    run = RunStore().create(TINY)
    worker = FakeWorker(run)

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "running", "1,437 + 360 samples", "0/4"))
        worker.train(1)
        await until(pilot, lambda: shows(app, "1/2", "loss", "epoch"))
        assert shows(app, "1,437 images/s")
        worker.train(2)
        worker.finish_training()
        worker.point(1, "weight", 0.0, 0.9)
        await until(pilot, lambda: shows(app, "1/4", "90.00", "sparsity (% removed)", "64-32-10"))
        worker.point(2, "weight", 0.5, 0.7)
        await until(pilot, lambda: shows(app, "2/4", "70.00", "weight 5 %"))  # the knee
        worker.point(3, "unit", 0.0, None)
        await until(pilot, lambda: shows(app, "3/4", "none"))
        worker.point(4, "unit", 0.123, 0.5)  # not a point of this run
        worker.point(4, "unit", 0.5, 0.6)
        worker.end("finished")
        await until(pilot, lambda: shows(app, "finished", "4 points in", "dense 90.00 %"))

    play(test, size)


def test_a_small_terminal_shows_one_part_at_a_time():
    run = RunStore().create(TINY)
    FakeWorker(run).work()

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "finished", "40.00", "sparsity (% removed)"))
        await pilot.press("p")
        await until(pilot, lambda: shows(app, "unit, 50 % removed", "weights kept", "50.0 %"))
        await pilot.press("p")
        await until(pilot, lambda: shows(app, "some digits") or shows(app, "point 4/4"))
        await pilot.press("p", "t")
        await until(pilot, lambda: shows(app, "loss", "test", "40.00"))
        await pilot.press("n")
        assert shows(app, "learning rate")
        assert not shows(app, "40.00")
        await pilot.press("escape", "t")
        await until(pilot, lambda: shows(app, "40.00", "sparsity (% removed)"))

    play(test)


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_large_terminal_shows_everything(size):
    FakeWorker(RunStore().create(TINY)).work()

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "learning rate", "finished", "40.00", "weights kept", "point 4/4"))
        if size[0] == 200:
            assert shows(app, "sparsity (% removed)", "loss", "units kept")

    play(test, size)


def test_the_layers_follow_the_newest_point_while_the_table_is_not_seen():
    worker = FakeWorker(RunStore().create(TINY))
    worker.finish_training()
    worker.point(1, "weight", 0.0, 0.9)

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "90.00"))
        await pilot.press("p")
        await until(pilot, lambda: shows(app, "weight, 0 % removed"))
        worker.point(2, "weight", 0.5, 0.8)
        await until(pilot, lambda: shows(app, "weight, 50 % removed"))
        worker.die()

    play(test)


def test_the_layers_are_those_of_the_point_at_the_cursor():
    FakeWorker(RunStore().create(TINY)).work()

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "unit, 50 % removed"))
        lab(app).query_one("ResultsTable").focus()
        await pilot.press("up", "left")
        await until(pilot, lambda: shows(app, "weight, 0 % removed"))

    play(test, (120, 40))


def test_the_screen_follows_the_size_of_the_terminal():
    FakeWorker(RunStore().create(TINY)).work()

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "finished", "40.00"))
        await pilot.press("n", *["down"] * 4, *"77")
        for width, height in [(200, 60), (60, 16), (130, 24), (80, 24)]:
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda: shows(app, "77"))
            assert app.focused is field(app, "hidden_layer_sizes").control
        await pilot.press("escape")
        await until(pilot, lambda: shows(app, "finished", "40.00") and not shows(app, "learning rate"))

    play(test)


@pytest.mark.parametrize("size", SIZES)
def test_only_ascii_characters_if_there_are_to_be_no_others(size):
    worker = FakeWorker(RunStore().create(TINY))
    worker.train(1)

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "running", "loss"))
        assert text_of(app).isascii()
        worker.train(2)
        worker.finish_training()
        worker.point(1, "weight", 0.5, 0.9)
        await until(pilot, lambda: shows(app, "1/4", "90.00"))
        assert text_of(app).isascii()
        await pilot.press("n")
        assert text_of(app).isascii()
        worker.end("stopped")

    play(test, size, ascii_only=True)


def test_the_table_of_a_run_holds_nothing_of_an_earlier_one_that_was_the_same(workers):
    FakeWorker(RunStore().create(TINY)).work()

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: shows(app, "finished", "40.00"))
        await app.edit_spec(TINY)
        await pilot.press("f7")
        await until(pilot, lambda: workers and shows(app, "running") and not shows(app, "40.00"))
        workers[0].point(1, "weight", 0.5, 0.3)
        await until(pilot, lambda: shows(app, "30.00") and not shows(app, "40.00"))

    play(test)


def test_a_failed_run_says_why_and_an_interrupted_one_how_to_go_on():
    store = RunStore()
    worker = FakeWorker(store.create(TINY))
    failed = worker.run
    worker.end("failed", reason="the disk is full: free space, then resume the run")
    worker = FakeWorker(store.create(TINY))
    worker.train(1)
    worker.die()

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await app.show_run(worker.run)
        await until(pilot, lambda: shows(app, "interrupted", "press u to resume", "u Resume"))
        await app.show_run(failed)
        await until(pilot, lambda: shows(app, "failed", "the disk is full", "press u to resume"))

    play(test)


def test_a_run_that_is_deleted_or_cannot_be_read():
    store = RunStore()
    broken = store.create(TINY)
    (broken.path / "run.json").write_text("{")
    FakeWorker(run := store.create(TINY)).work()

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await app.show_run(Run(broken.path))
        await until(pilot, lambda: shows(app, "is not a readable run"))
        await app.show_run(run)
        await until(pilot, lambda: shows(app, "finished"))
        shutil.rmtree(run.path)
        await until(pilot, lambda: shows(app, "its folder was deleted"))
        shutil.rmtree(broken.path)
        await pilot.press("f4", "f2")
        await until(pilot, lambda: shows(app, "How much of a neural network can be deleted?"))

    play(test)


def test_another_run_beside_one_that_runs_is_asked_about(workers):
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("r")
        await until(pilot, lambda: shows(app, "running"))
        await pilot.press("r")
        await until(pilot, lambda: shows(app, "is running."))
        await pilot.press("b")
        assert len(workers) == 1
        await pilot.press("r")
        await until(pilot, lambda: shows(app, "is running."))
        await pilot.press("y")
        await until(pilot, lambda: len(workers) == 2)

    play(test)


def test_a_run_is_stopped_resumed_and_ended(workers, monkeypatch):
    killed: list[str] = []
    monkeypatch.setattr(supervisor, "kill", lambda run: killed.append(run.id))

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("r")
        await until(pilot, lambda: shows(app, "running", "s Stop") and not shows(app, "Resume"))
        run = workers[0].run
        await pilot.press("s")
        await until(pilot, run.stop_path.exists)
        run.stop_path.unlink()
        workers[0].end("stopped")
        await until(pilot, lambda: shows(app, "stopped", "0 of 20 points are finished", "u Resume"))
        await pilot.press("u")
        await until(pilot, lambda: shows(app, "running", "s Stop"))
        assert [worker.run.id for worker in workers] == [run.id, run.id]
        await pilot.press("f8", "f8")
        assert killed == [run.id]
        workers[1].die()
        await until(pilot, lambda: shows(app, "interrupted", "press u to resume"))

    play(test)


def test_a_real_run_gets_to_its_end():
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await app.edit_spec(TINY)
        await pilot.press("f7")
        await until(pilot, lambda: shows(app, "finished", "4 points in", "e Explore"), seconds=90)
        assert app.run_shown is not None
        assert app.run_shown.models() == [0]

    play(test)


def test_the_mouse_works_too(workers):
    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await pilot.press("n")
        remove = field(app, "granularity").control
        await pilot.click(remove, offset=(6, 0))
        assert remove.value == ("weight",)
        await pilot.click(remove, offset=(0, 0))
        assert remove.value == ("weight", "unit")
        await pilot.click("#run")
        await until(pilot, lambda: len(workers) == 1)
        workers[0].work()
        await until(pilot, lambda: shows(app, "finished"))
        await pilot.click("#tabs", offset=(13, 0))
        await until(pilot, lambda: shows(app, "weights kept"))

    play(test)


def key_of_run(app: PrunelabApp) -> str:
    """The label of the key that starts a run."""
    return lab(app).active_bindings["r"].binding.description


def test_the_key_names_what_it_runs_and_opening_a_run_fills_the_form(workers):
    other = RunSpec(dataset="digits", parameters={"hidden_layer_sizes": (7, 5), "max_iter": 3}, sparsities=(0.0, 0.3))
    run = RunStore().create(other)
    write_record(run.path / "status.json", {"state": "stopped"})

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: key_of_run(app) == "Run: 7-5 on digits")
        assert shows(app, "r Run: 7-5 on digits")
        spec = form(app).spec
        assert spec is not None
        assert spec.is_like(other)
        await pilot.press("r")
        await until(pilot, lambda: len(workers) == 1)
        assert workers[0].run.spec.is_like(other)

    play(test)


def test_a_form_that_is_not_seen_is_shown_instead_of_run(workers):
    run = RunStore().create(TINY)
    write_record(run.path / "status.json", {"state": "stopped"})

    async def test(app: PrunelabApp, pilot: Pilot) -> None:
        await until(pilot, lambda: key_of_run(app) == "Run: 32 on digits")
        await pilot.press("n", "right", "right")
        await until(pilot, lambda: key_of_run(app) == "Run: quick on digits")
        await pilot.press("escape", "r")
        await until(pilot, lambda: form(app).display)
        assert not workers
        await until(pilot, lambda: any("differ from those of the run" in note.message for note in app._notifications))
        await pilot.press("f7")
        await until(pilot, lambda: len(workers) == 1)
        assert workers[0].run.spec.preset == "quick"

    play(test)
