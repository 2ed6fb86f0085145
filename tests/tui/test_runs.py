"""Runs: directories that stay intact when their worker process ends."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prunelab.estimators import PrunedMLPClassifier, load_dataset, sparsity_path
from prunelab.estimators.data.datasets import load_source
from prunelab.estimators.data.source import DataOptions
from prunelab.estimators.studies.catalogue import EXPERIMENTS
from prunelab.estimators.training.events import BatchEnded, EpochEnded
from prunelab.tui.cli import main
from prunelab.tui.runs import descriptions, supervisor
from prunelab.tui.runs.events import EventReader
from prunelab.tui.runs.export import export
from prunelab.tui.runs.spec import RunSpec, SpecError
from prunelab.tui.runs.store import Run, RunError, RunStore
from prunelab.tui.runs.view import watch
from prunelab.tui.runs.worker import Worker

from .working import work

PARAMETERS = {"hidden_layer_sizes": (32,), "max_iter": 4, "device": "cpu"}
SPEC = RunSpec(parameters=PARAMETERS, sparsities=(0.0, 0.5, 0.9))
LONG = RunSpec(parameters={**PARAMETERS, "max_iter": 100_000, "n_iter_no_change": 100_000}, sparsities=(0.0, 0.5))


def until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# -- what to run -----------------------------------------------------------------------------------------------


def test_a_spec_survives_json():
    spec = RunSpec.from_preset("global", seeds=(3, 4), name="mine", data_root="/data")
    parameters = {**spec.parameters, "class_weight": "balanced"}
    spec = RunSpec(**{**vars(spec), "ways": {**spec.ways, "norm": (1, 2, "inf")}, "parameters": parameters})
    assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.n_points == 2 * 2 * 2 * 3 * 10


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": {"max_iter": 0}}, "max_iter"),
        ({"parameters": {"hidden_layer_sizes": (0,)}}, "hidden_layer_sizes"),
        ({"parameters": {"nonsense": 1}}, "nonsense"),
        ({"parameters": {"sparsity": 0.5}}, "sparsity"),
        ({"parameters": {"class_weight": {0: 2.0}}}, "class_weight"),
        ({"parameters": {"class_weight": "balance"}}, "class_weight"),
        ({"ways": {"criterion": ("magic",)}}, "criterion"),
        ({"ways": {"granularity": ()}}, "granularity"),
        ({"ways": {"alpha": (1,)}}, "alpha"),
        ({"sparsities": (0, 1.5)}, "sparsities"),
        ({"sparsities": ()}, "sparsities"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"seeds": (-1,)}, "seeds"),
        ({"dataset": " "}, "dataset"),
        ({"sparsities": (0.5,) * 30_000, "seeds": tuple(range(10))}, "sparsities"),
    ],
)
def test_what_cannot_run_is_said_beside_its_field(changes, field):
    spec = RunSpec(**changes)
    assert list(spec.problems()) == [field]
    with pytest.raises(SpecError) as caught:
        spec.check()
    assert caught.value.field == field


@pytest.mark.parametrize("data", [None, [], {}, {"dataset": 1}, {**SPEC.to_json(), "seeds": ["a"]}])
def test_json_that_describes_no_run_is_refused(data):
    with pytest.raises(SpecError):
        RunSpec.from_json(data)


# -- the store -------------------------------------------------------------------------------------------------


def test_ways_that_do_not_go_together_are_said_but_can_be_read():
    spec = RunSpec(ways={"schedule": ("one-shot", "set"), "granularity": ("weight", "unit")})
    assert list(spec.problems()) == ["granularity"]
    with pytest.raises(SpecError, match="granularity must be 'weight'"):
        spec.check()
    assert RunSpec.from_json(spec.to_json()).ways == spec.ways


def test_a_run_is_called_by_its_name_or_by_what_finds_it(store):
    run = store.create(RunSpec(preset="digits", parameters={"max_iter": 1}))
    assert descriptions.title(run) == run.id.split("-", 2)[2]
    assert store.find(descriptions.title(run)).id == run.id
    assert descriptions.preset(run.spec) == ""
    run.rename("mine")
    assert descriptions.title(run) == "mine"


def test_a_preset_is_told_whatever_the_seeds_and_the_machine():
    spec = RunSpec.from_preset("global", seeds=(3, 4))
    spec = dataclasses.replace(spec, preset="", parameters={**spec.parameters, "device": "cpu"})
    assert descriptions.preset(spec) == descriptions.what(spec) == "Global against layer"


def test_run_directories_are_private_and_found_by_id_name_and_last(store):
    first, second = store.create(SPEC), store.create(SPEC)
    for path in (store.folder, first.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {run.id for run in store.runs()} == {first.id, second.id}
    first.rename("my  run\n")
    assert Run(first.path).name == "my run"
    assert store.find("my run").id == store.find(first.id).id == first.id
    assert store.find("last").id == store.runs()[0].id
    for text in ("nothing", ""):
        with pytest.raises(RunError, match="there is no run"):
            store.find(text)
    with pytest.raises(RunError, match="matches 2 runs"):
        store.find("2")
    first.delete()
    assert [run.id for run in store.runs()] == [second.id]


def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="PRUNELAB_HOME"):
        RunStore(tmp_path / "file" / "runs").create(SPEC)
    assert RunStore(tmp_path / "none").runs() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": "odd", "spec": {"dataset": 1}}'])
def test_a_damaged_run_can_be_listed_and_deleted(store, content, capsys):
    run = store.create(SPEC)
    (run.path / "run.json").write_bytes(content)
    (run.path / "status.json").write_bytes(content)
    (listed,) = store.runs()
    assert listed.state == "unreadable"
    with pytest.raises(RunError, match="not a readable run"):
        _ = listed.spec
    assert main(["runs"]) == 0
    assert run.id in capsys.readouterr().out
    listed.delete()
    assert store.runs() == []


def test_a_run_without_a_process_is_interrupted(store):
    run = store.create(SPEC)
    assert run.state == "interrupted"
    lock = run.lock()
    assert Run(run.path).state == "running"
    with pytest.raises(RunError, match="running"):
        run.delete()
    with pytest.raises(RunError, match="already running"):
        Run(run.path).lock()
    os.close(lock)
    assert run.state == "interrupted"


def test_a_line_that_is_not_finished_waits(tmp_path):
    file = tmp_path / "events.jsonl"
    reader = EventReader(file)
    assert reader.read() == []
    file.write_bytes(b'{"type": "a"}\n{"type": ')
    assert [event["type"] for event in reader.read()] == ["a"]
    with open(file, "ab") as end:
        end.write(b'"b"}\nnonsense\n[1]\n{"type": "c"}\n')
    assert [event["type"] for event in reader.read()] == ["b", "c"]
    assert reader.read() == []


# -- the worker ------------------------------------------------------------------------------------------------


def test_a_run_gives_the_rows_that_a_script_gets(store):
    run = store.create(SPEC)
    assert work(run) == run.state == "finished"
    data = load_dataset("digits")
    classifier = PrunedMLPClassifier(**PARAMETERS, random_state=0)
    for i, granularity in enumerate(("weight", "unit")):
        path = sparsity_path(
            classifier.set_params(granularity=granularity),
            data.X_train,
            data.y_train,
            sparsities=SPEC.sparsities,
            X_test=data.X_test,
            y_test=data.y_test,
        )
        rows = [{k: row[k] for k in path.frame} for row in run.points()[3 * i : 3 * i + 3]]
        assert rows == path.frame.to_dict("records")
    dense = PrunedMLPClassifier.load(run.model_path(0))
    assert dense.score(data.X_test, data.y_test) == run.points()[0]["accuracy"]
    assert not list(run.path.glob("checkpoint*"))


def test_a_watcher_sees_the_whole_run(store):
    run = store.create(RunSpec(parameters={**PARAMETERS, "fine_tune_iter": 1}, sparsities=(0.0, 0.9), seeds=(5, 6)))
    watcher = watch(run)
    assert watcher.state == "interrupted"
    work(run)
    assert watcher.poll()
    assert not watcher.poll()
    view = watcher.view
    assert (watcher.state, view.ended, len(view.rows), view.n_points) == ("finished", "finished", 8, 8)
    assert [len(curve.accuracy) for curve in view.curves if curve.phase == "training"] == [4, 4]
    assert {curve.seed for curve in view.curves} == {5, 6}
    assert view.layers[0] == [[64 * 32, 64 * 32], [320, 320]]
    assert view.layers[1][0][0] == 64 * 32 - round(0.9 * 64 * 32)
    assert view.sizes == [64, 32, 10]
    assert watcher.status["dense_accuracy"] == pytest.approx(
        sum(row["accuracy"] for row in view.rows if row["sparsity"] == 0) / 4
    )
    assert set(view.knees()) <= {"weight", "unit"}
    shutil.rmtree(run.path)
    assert watcher.poll()
    assert watcher.state == "gone"
    assert not watcher.poll()


@pytest.mark.parametrize("moment", ["training", "pruning", "seed"])
def test_a_stopped_run_resumes_to_the_same_end(store, moment):
    spec = RunSpec(parameters={**PARAMETERS, "max_iter": 40}, sparsities=(0.0, 0.5, 0.9), seeds=(0, 1))
    reference = store.create(spec)
    work(reference)
    run = store.create(spec)

    def stop_training(event):
        if moment == "training" and isinstance(event, (BatchEnded, EpochEnded)) and event.epoch == 7:
            run.stop_path.touch()

    def stop_pruning(point):
        if moment == "pruning" and point.row["sparsity"] == 0.5:
            run.stop_path.touch()

    def stop_seed(seed):
        if moment == "seed" and seed == 1:
            run.stop_path.touch()

    assert work(run, on_event=stop_training, on_point=stop_pruning, on_seed=stop_seed) == "stopped"
    assert run.state == "stopped"
    assert not run.stop_path.exists()
    assert len(run.points()) == {"training": 0, "pruning": 2, "seed": 6}[moment]
    assert work(run) == run.state == "finished"
    assert run.points() == reference.points()
    for seed in spec.seeds:
        assert run.model_path(seed).read_bytes() == reference.model_path(seed).read_bytes()


def test_what_an_earlier_worker_left_half_written_is_mended(store):
    run, reference = store.create(SPEC), store.create(SPEC)
    work(reference)
    work(run)
    lines = run.events_path.read_bytes().splitlines(keepends=True)
    points = [i for i, line in enumerate(lines) if b'"point"' in line]
    run.events_path.write_bytes(b"".join(lines[: points[2]]) + lines[points[2]][:50])  # torn within a point
    assert work(run) == "finished"
    assert run.points() == reference.points()
    whole = lines[points[3]].rstrip()
    run.events_path.write_bytes(b"".join(lines[: points[3]]) + whole)  # all of it but the end of the line
    assert work(run) == "finished"
    assert run.points() == reference.points()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (RunSpec(parameters={**PARAMETERS, "learning_rate_init": 1e30}), "diverged"),
        (RunSpec(parameters={**PARAMETERS, "device": "cuda:77"}), "GPU"),
        (RunSpec(dataset="/no/such/file.npz"), "/no/such/file.npz"),
        (RunSpec(dataset="mnist", data_root="/no/such/folder"), "mnist"),
    ],
)
def test_what_goes_wrong_is_the_reason(store, spec, message):
    run = store.create(spec)
    one = Worker(run)
    assert one.work() == "failed"
    one.close()
    assert run.state == "failed"
    assert message in run.status()["reason"]
    assert "\n" not in run.status()["reason"]
    assert watch(run).view.reason == run.status()["reason"]


def test_a_full_disk_is_the_reason_and_making_room_lets_it_go_on(store, monkeypatch):
    run = store.create(SPEC)
    one = Worker(run)
    append = one._log.append

    def full(event, *, sync=False):
        if event["type"] == "point" and event["point"] == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(event, sync=sync)

    monkeypatch.setattr(one._log, "append", full)
    assert one.work() == "failed"
    one.close()
    assert "disk is full" in run.status()["reason"]
    assert len(run.points()) == 2
    assert work(run) == "finished"
    assert len(run.points()) == 6


def test_running_out_of_memory_is_the_reason(store, monkeypatch):
    def no_memory(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("prunelab.estimators.studies.run.iter_sparsity_path", no_memory)
    run = store.create(SPEC)
    assert work(run) == "failed"
    assert "out of memory" in run.status()["reason"]


def test_a_deleted_folder_ends_the_worker(store):
    run = store.create(LONG)
    received = []

    def delete(event):
        received.append(event)
        if len(received) == 3:
            shutil.rmtree(run.path)

    assert work(run, on_event=delete) == "failed"
    assert not run.path.exists()


# -- processes -------------------------------------------------------------------------------------------------


def test_a_detached_worker_is_stopped_and_resumed(store):
    run = supervisor.start(store, LONG)
    assert run.state == "running"  # from the first moment on
    with pytest.raises(RunError, match="already running"):
        supervisor.resume(run)
    watcher = watch(run)
    until(lambda: watcher.poll() and watcher.view.batch is not None)
    _host, number = run.holder()
    assert os.getsid(number) == number != os.getsid(0)
    assert supervisor.stop(run)
    assert not supervisor.stop(run)
    until(lambda: not run.is_alive())
    assert run.state == "stopped"
    assert run.checkpoint_path(0).is_file()
    epochs = watch(run).view.curves[0].epoch_loss[-1][0]
    supervisor.resume(run)
    watcher = watch(run)
    until(lambda: watcher.poll() and watcher.view.epochs_done > epochs)
    supervisor.kill(run)
    until(lambda: not run.is_alive())
    assert run.state == "interrupted"
    until(lambda: supervisor.reap() or not supervisor._children)  # its lock goes a moment before the process


def test_a_terminated_worker_keeps_a_checkpoint(store):
    run = supervisor.start(store, LONG)
    watcher = watch(run)
    until(lambda: watcher.poll() and watcher.view.batch is not None)
    os.kill(run.holder()[1], signal.SIGTERM)
    until(lambda: not run.is_alive())
    assert run.state == "stopped"
    assert run.checkpoint_path(0).is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "n_kills"),
    [
        ("mlp", 25),
        *(
            pytest.param(*case, marks=pytest.mark.exhaustive)
            for case in (("mlp", 50), ("cnn", 4), ("rnn", 4), ("resnet", 4))
        ),
    ],
)
def test_kills_lose_no_point_and_change_no_number(tmp_path, estimator, n_kills):
    script = Path(__file__).with_name("killing.py")
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "runs"), str(n_kills), estimator],
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert int(result.stdout.split()[0]) >= n_kills


# -- the command line ------------------------------------------------------------------------------------------


def test_runs_are_listed_shown_exported_and_deleted(store, tmp_path, capsys):
    assert main(["runs"]) == 0
    assert "no runs yet" in capsys.readouterr().err
    run = store.create(SPEC)
    work(run)
    assert main(["runs", "rename", run.id, "first try"]) == 0
    assert main(["runs", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["id"], listed["name"], listed["state"], listed["points"]) == (run.id, "first try", "finished", 6)
    assert main(["runs", "show", "first try"]) == 0
    assert "sparsity" in capsys.readouterr().out
    assert main(["runs", "show", "last", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == run.points()
    for ending, start in (("csv", b"seed,"), ("json", b"["), ("svg", b"<svg"), ("safetensors", b"")):
        file = tmp_path / f"out.{ending}"
        assert main(["runs", "export", "last", "-o", str(file)]) == 0
        assert file.read_bytes().startswith(start)
    assert PrunedMLPClassifier.load(tmp_path / "out.safetensors").n_features_in_ == 64
    capsys.readouterr()
    assert main(["runs", "export", "last", "-o", "-"]) == 0
    assert capsys.readouterr().out == (tmp_path / "out.csv").read_text()
    assert main(["runs", "delete", "last"]) == 2  # no confirmation is possible
    assert main(["runs", "delete", "last", "--yes"]) == 0
    assert store.runs() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs", "show", "nothing"],
        ["runs", "resume", "nothing"],
        ["runs", "export", "nothing"],
        ["runs", "stop", "last"],
        ["sweep", "--detach", "--epochs", "0"],
        ["sweep", "--detach", "--csv", "x.csv"],
        ["sweep", "--detach", "--dataset", "/no/such.npz"],
    ],
)
def test_bad_requests_are_one_sentence(store, arguments, capsys):
    assert main(arguments) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    assert store.runs() == []


def test_what_is_lost_is_lost_from_the_network_before_its_pruning(store):
    """Also where it is no point of the curve itself."""
    spec = dataclasses.replace(SPEC, ways={"granularity": ("weight", "unit")}, seeds=(0,))
    runs = [store.create(dataclasses.replace(spec, sparsities=values)) for values in ((0.0, 0.6, 0.99), (0.6, 0.99))]
    for run in runs:
        work(run)
    whole, part = (watch(run).view for run in runs)
    assert part.dense_accuracy == whole.dense_accuracy
    assert part.knees() == whole.knees()
    assert part.knees()


def test_export_refuses_what_is_not_there(store, tmp_path):
    run = store.create(SPEC)
    for kind in ("csv", "svg", "model"):
        with pytest.raises(RunError, match="to export"):
            export(run, kind, tmp_path)
    work(run)
    with pytest.raises(RunError, match="seed 9"):
        export(run, "model", tmp_path, seed=9)
    with pytest.raises(RunError, match="cannot write"):
        export(run, "csv", tmp_path / "no" / "folder.csv")
    assert export(run, "csv", tmp_path).name == f"{run.id}.csv"


def test_a_sweep_in_the_foreground_is_a_run_too(store, capsys):
    arguments = [
        "sweep",
        "--layers",
        "16",
        "--epochs",
        "1",
        "--sparsities",
        "0,0.5",
        "--device",
        "cpu",
        "--name",
        "mine",
    ]
    assert main(arguments) == 0
    (run,) = store.runs()
    assert (run.name, run.state, len(run.points())) == ("mine", "finished", 4)
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_sweep_runs_where_nothing_can_be_kept(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path / "file"))
    assert main(["sweep", "--layers", "16", "--epochs", "1", "--sparsities", "0.5", "--device", "cpu"]) == 0
    output, errors = capsys.readouterr()
    assert len(output.splitlines()) == 3
    assert "will not be listed" in errors


def test_the_label_noise_of_a_preset_is_kept():
    name = next(name for name in EXPERIMENTS if EXPERIMENTS[name].label_noise == 0.4)
    spec = RunSpec.from_preset(name, dataset="digits", seeds=(0,), sparsities=(0.0,))
    assert spec.options.label_noise == 0.4
    assert RunSpec.from_json(spec.to_json()).options.label_noise == 0.4
    assert "40 % of the training labels are wrong" in load_source(spec.source).source
    clean = dataclasses.replace(spec, options=DataOptions())
    assert not spec.is_like(clean)
