"""The explore screen, key path by key path; the service answers from a thread, and in some tests from its process."""

import asyncio
import contextlib
import itertools
import json
import time

import numpy as np
import pytest
from prunelab.estimators.data.source import DataSource
from prunelab.estimators.pruning.criteria import criterion_names
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import RunStore
from prunelab.tui.runs.worker import Worker
from prunelab.tui.service.client import Overtaken, ServiceError
from prunelab.tui.service.explorer import OPERATIONS
from prunelab.tui.service.server import Request
from prunelab.tui.widgets.slider import Slider

SIZES = [(80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in [(120, 40), (200, 60)])]
TINY = {"hidden_layer_sizes": (32, 16), "max_iter": 2, "device": "cpu"}


def make_run(**changes):
    spec = RunSpec(**{"parameters": TINY, "sparsities": (0.0, 0.5, 0.9), "seeds": (0, 1), "name": "tiny", **changes})
    run = RunStore().create(spec)
    worker = Worker(run)
    assert worker.work() == "finished", worker.reason
    worker.close()
    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data home with one finished run; only read."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUNELAB_HOME", str(home))
        make_run()
    return home


class ThreadService:
    """The service without its process, which takes seconds to start."""

    def __init__(self):
        self._newest, self._ids, self._turn = {}, itertools.count(1), asyncio.Lock()

    async def stream(self, op, *, group=None, **fields):
        request = Request({"id": next(self._ids), "group": group, **json.loads(json.dumps(fields))}, self._newest)
        if group is not None:
            self._newest[group] = request["id"]
        async with self._turn:
            parts = OPERATIONS[op.removeprefix("explore.")](request)
            while (part := await asyncio.to_thread(self._next, parts)) is not None:
                if request.is_overtaken:
                    raise Overtaken
                if part:
                    yield json.loads(json.dumps(part))

    async def ask(self, op, **fields):
        return [part async for part in self.stream(op, **fields)][-1]

    async def close(self):
        pass

    @staticmethod
    def _next(parts):
        try:
            return next(parts, None)
        except (ValueError, OSError) as error:
            raise ServiceError(str(error)) from error


async def until(pilot, condition, what="the condition"):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true:\n{screen_of(pilot.app)}"
        await pilot.pause(0.02)


def screen_of(app):
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def text_of(pilot, selector):
    """What a widget shows, as plain text."""
    widget = pilot.app.screen.query_one(selector)
    lines = widget.render_lines(widget.region.reset_offset)
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def percent(pilot):
    return pilot.app.screen.query_one(Slider).percent


async def settled(pilot):
    """Wait for the exact figures of the position at hand, and return them."""
    screen = pilot.app.screen
    await pilot.pause()
    await until(
        pilot,
        lambda: screen.figures is not None and not screen.figures.is_estimate and not screen.is_waiting,
        "exact figures",
    )
    await pilot.pause()
    return screen.figures


@contextlib.asynccontextmanager
async def exploring(size, process=False, **options):
    app = PrunelabApp(**options)
    if not process:
        app.service = ThreadService()
    async with app.run_test(size=size) as pilot:
        await pilot.press("f3")
        await settled(pilot)
        yield pilot


def run_at(home, monkeypatch, test, size=(120, 40), **options):
    monkeypatch.setenv("PRUNELAB_HOME", str(home))

    async def main():
        async with exploring(size, **options) as pilot:
            await test(pilot)

    asyncio.run(main())


def following(criterion):
    names = criterion_names()
    return names[(names.index(criterion) + 1) % len(names)]


def points_of(home):
    return {
        (row["seed"], row["granularity"], row["sparsity"]): row for row in RunStore(home / "runs").runs()[0].points()
    }


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_key_at_every_size(home, monkeypatch, size):
    rows = points_of(home)

    async def test(pilot):
        await pilot.press("home")
        assert (await settled(pilot)).accuracy == rows[0, "weight", 0.0]["accuracy"]
        await pilot.press("right", "right", "left")
        assert percent(pilot) == 1
        await pilot.press("shift+right", "up", "pageup", "shift+left")
        assert percent(pilot) == 11
        await pilot.press("down", "pagedown")
        assert percent(pilot) == 1
        await pilot.press("end", "right")
        assert percent(pilot) == 100
        assert (await settled(pilot)).emptied_layers == [0, 1]
        assert "Layers 1 and 2 are empty" in text_of(pilot, "#figures")
        await pilot.press("9", "0", "enter")
        figures = await settled(pilot)
        assert (percent(pilot), figures.sparsity) == (90, 0.9)
        for name in ("accuracy", "loss", "nonzero", "speedup"):
            assert getattr(figures, name) == rows[0, "weight", 0.9][name]
        assert f"{100 * figures.accuracy:.2f} %" in text_of(pilot, "#figures")
        assert "Exact, on all 360" in str(pilot.app.screen.query_one("#figures").border_title)
        await pilot.press("g")
        assert (await settled(pilot)).accuracy == rows[0, "unit", 0.9]["accuracy"]
        assert "unit" in text_of(pilot, "#switch-granularity")
        await pilot.press("e")
        assert (await settled(pilot)).accuracy == rows[1, "unit", 0.9]["accuracy"]
        assert "1" in text_of(pilot, "#switch-seed")
        for key, name, value in [
            ("s", "scope", "global"),
            ("c", "criterion", following("magnitude")),
            ("C", "criterion", "magnitude"),
            ("n", "norm", "inf"),
            ("o", "order", "largest"),
        ]:
            await pilot.press(key)
            await settled(pilot)
            assert value in text_of(pilot, f"#switch-{name}")
        for _ in range(4):
            await pilot.press("v")
            await pilot.pause()
            shown = [w.id for w in pilot.app.screen.query("#panels > *") if w.display and w.size.height > 3]
            assert shown
            assert all(w.region.right <= size[0] for w in pilot.app.screen.query("#panels > *"))

    run_at(home, monkeypatch, test, size)


def test_numbers_are_typed_mended_and_refused(home, monkeypatch):
    async def test(pilot):
        await pilot.press("home")
        await pilot.press(*"87.25", "enter")
        assert percent(pilot) == 87.25
        assert (await settled(pilot)).sparsity == 0.8725
        await pilot.press(*"129")
        assert "129_" in text_of(pilot, Slider)
        assert percent(pilot) == 87.25
        await pilot.press("enter")
        assert "from 0 to 100" in text_of(pilot, Slider)
        await pilot.press("backspace", "enter")
        assert percent(pilot) == 12
        await pilot.press("5", "escape", "enter")
        assert percent(pilot) == 12

    run_at(home, monkeypatch, test)


def test_the_mouse_moves_the_slider_and_the_switches(home, monkeypatch):
    async def test(pilot):
        slider = pilot.app.screen.query_one(Slider)
        await pilot.click(Slider, offset=(slider.size.width, 0))
        assert percent(pilot) == 100
        await pilot.mouse_down(Slider, offset=(60, 0))
        first = percent(pilot)
        await pilot.hover(Slider, offset=(40, 0))
        await pilot.mouse_up(Slider, offset=(40, 0))
        assert 0 < percent(pilot) < first < 100
        assert (await settled(pilot)).sparsity == percent(pilot) / 100
        await pilot.click("#switch-granularity")
        await settled(pilot)
        assert "unit" in text_of(pilot, "#switch-granularity")

    run_at(home, monkeypatch, test)


def test_what_the_pruning_breaks_is_shown_first(home, monkeypatch):
    async def test(pilot):
        screen = pilot.app.screen
        await pilot.press(*"80", "enter")
        figures, gallery = await settled(pilot), screen.gallery
        assert gallery.n_broken > 0
        gained = gallery.n_corrected - gallery.n_broken
        assert figures.accuracy == pytest.approx(screen.network.accuracy + gained / 360)
        first = gallery.pictures[0]
        assert first.before == first.truth != first.after
        assert first.image.shape == (8, 8)
        assert first.image.max() > 200
        shown = text_of(pilot, "#images")
        assert f"{gallery.n_broken} of {gallery.n_broken + gallery.n_right} correct predictions become wrong" in shown
        assert f"{first.truth} → {first.after}" in shown
        await pilot.press("m")
        await until(pilot, lambda: screen.gallery.first > 0)
        assert figures == await settled(pilot)
        for _ in range(200):  # to the end of them all, and round
            before = screen.gallery
            await pilot.press("m")
            await until(pilot, lambda before=before: screen.gallery is not before)
            if screen.gallery.first == 0:
                break
        assert screen.gallery.pictures[0] == first

    run_at(home, monkeypatch, test, (200, 60))


def test_small_screens_show_one_thing_at_a_time(home, monkeypatch):
    def shown(pilot):
        return [panel.id for panel in pilot.app.screen.query("#panels > *") if panel.display]

    async def test(pilot):
        assert shown(pilot) == ["figures", "classes"]
        await pilot.press("v")
        assert shown(pilot) == ["images"]
        await pilot.press("v")
        assert shown(pilot) == ["curve"]
        await pilot.press("v", "m")
        assert shown(pilot) == ["images"]
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert shown(pilot) == ["figures", "classes", "curve", "images"]
        assert "weight" in text_of(pilot, "#curve")

    run_at(home, monkeypatch, test, (80, 24))


def test_the_network_as_shown_is_written_to_a_file(home, monkeypatch, tmp_path):
    from prunelab.estimators import PrunedMLPClassifier, load_dataset

    monkeypatch.chdir(tmp_path)

    async def test(pilot):
        await pilot.press("g", *"70", "enter")
        figures = await settled(pilot)
        await pilot.press("w", "enter")
        path = tmp_path / "tiny-unit-70.safetensors"
        await until(pilot, path.is_file)
        data, loaded = load_dataset("digits"), PrunedMLPClassifier.load(path)
        assert np.mean(loaded.predict(data.X_test) == data.y_test) == figures.accuracy
        assert (loaded.granularity, loaded.sparsity) == ("unit", 0.7)
        written = path.stat().st_mtime_ns
        await pilot.press("w", "enter")
        await pilot.pause()
        await pilot.press("b")  # it is there: asks first
        await settled(pilot)
        assert path.stat().st_mtime_ns == written
        await pilot.press("w", "enter")
        await pilot.pause()
        await pilot.press("r")
        await until(pilot, lambda: path.stat().st_mtime_ns != written)

    run_at(home, monkeypatch, test)


def test_ascii_only_without_colours(home, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    async def test(pilot):
        for size in [(80, 24), (120, 40), (200, 60)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            for selector in ("#subject", Slider, "#figures", "#classes", "#images"):
                assert text_of(pilot, selector).isascii(), selector

    run_at(home, monkeypatch, test, ascii_only=True)


def test_without_runs_the_screen_says_what_to_do_and_then_shows_the_newest(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))

    async def main():
        app = PrunelabApp()
        app.service = ThreadService()
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("f3")
            await until(pilot, lambda: "no trained network" in text_of(pilot, "#message"))
            assert not app.screen.query_one("#controls").display
            await pilot.press("right", "g", "m", "w", "5", "enter")
            await asyncio.to_thread(make_run, seeds=(0,))
            await settled(pilot)
            assert app.screen.query_one("#panels").display
            await asyncio.to_thread(make_run, seeds=(0,), name="second")
            await pilot.press("question_mark", "escape")
            await pilot.pause()
            assert "tiny" in text_of(pilot, "#subject")  # what one works with stays
            await pilot.press("f2", "f3")
            await until(pilot, lambda: "second" in text_of(pilot, "#subject"))

    asyncio.run(main())


def test_a_model_that_is_gone_is_one_sentence_and_another_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    broken, whole = make_run(seeds=(0,), name="broken"), make_run(seeds=(0,), name="whole")
    broken.model_path(0).write_bytes(b"nonsense")

    async def main():
        app = PrunelabApp()
        app.service = ThreadService()
        async with app.run_test(size=(120, 40)) as pilot:
            await app.explore_run(broken)
            await until(pilot, lambda: "cannot be explored" in text_of(pilot, "#message"))
            assert "not a model that can be read" in " ".join(text_of(pilot, "#message").split())
            assert app.screen.query_one("#controls").display
            await app.switch_mode("lab")
            await app.explore_run(whole)
            await settled(pilot)
            assert "whole" in text_of(pilot, "#subject")

    asyncio.run(main())


def test_data_that_are_no_images_are_said_to_be_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    labels = np.repeat(["cat", "dog"], 60)
    features = rng.normal(size=(120, 5)) + (labels == "dog")[:, None]
    np.savez(tmp_path / "pets.npz", X=features, y=labels)
    make_run(dataset=str(tmp_path / "pets.npz"), seeds=(0,))

    async def test(pilot):
        assert "not images" in text_of(pilot, "#images")
        assert "cat" in text_of(pilot, "#classes")
        await pilot.press("m")

    run_at(tmp_path, monkeypatch, test)


def test_the_service_that_dies_is_started_again_and_a_held_key_ends_where_it_ends(home, monkeypatch):
    async def test(pilot):
        service = pilot.app.service
        with pytest.raises(ServiceError, match="there is no model file"):
            await service.ask(
                "explore.prune",
                model="nowhere",
                source=DataSource().to_json(),
                content=None,
                sparsity=0.5,
                ways={},
                first=0,
                count=1,
            )
        service._process.kill()
        await service._process.wait()
        await pilot.press("home", *["right"] * 20, *["left"] * 3, "g", *["right"] * 10)
        figures = await settled(pilot)
        assert (percent(pilot), figures.sparsity, figures.granularity) == (27, 0.27, "unit")

    run_at(home, monkeypatch, test, process=True)


def test_an_idle_screen_draws_nothing(home, monkeypatch):
    async def test(pilot):
        drawn = []
        screen = pilot.app.screen
        original = screen._compositor.render_update
        monkeypatch.setattr(screen._compositor, "render_update", lambda *a, **k: drawn.append(1) or original(*a, **k))
        await pilot.pause(0.6)  # let the last answer be drawn
        drawn.clear()
        for _ in range(8):
            screen.tick()
            await pilot.pause()
        assert not drawn

    run_at(home, monkeypatch, test)
