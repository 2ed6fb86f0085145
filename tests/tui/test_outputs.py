"""Files that the commands write: links, pipes, permissions and standard output, the same for every kind."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import stat
import sys
import threading

import pandas as pd
import pytest
from prunelab.estimators import PrunedMLPClassifier
from prunelab.estimators.files import unpack_arrays
from prunelab.estimators.persistence import FORMAT, VERSION
from prunelab.tui.cli import main
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import Run, RunStore
from prunelab.tui.runs.worker import Worker
from prunelab.tui.service.explorer import OPERATIONS
from prunelab.tui.service.server import Request

SMALL = ["--hidden-layer-sizes", "6", "--epochs", "1", "--device", "cpu", "--quiet"]
SWEEP = ["sweep", "--sparsities", "0,0.5,1", "--granularity", "weight", *SMALL]
FIT = ["fit", "--sparsity", "0.5", *SMALL]
STUDY = ["study", "norms", "--quick", "--seeds", "1", "--device", "cpu", "--quiet"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store with a finished run and a finished study, which the commands of the tests use again."""
    folder = tmp_path_factory.mktemp("home")
    before = os.environ["PRUNELAB_HOME"]
    os.environ["PRUNELAB_HOME"] = str(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(STUDY) == 0
    parameters = {"hidden_layer_sizes": (6,), "max_iter": 1, "device": "cpu"}
    worker = Worker(RunStore().create(RunSpec(parameters=parameters, sparsities=(0.0, 0.5, 1.0), name="one")))
    assert worker.work() == "finished"
    worker.close()
    yield folder
    os.environ["PRUNELAB_HOME"] = before


def explore_save(path):
    run = RunStore().find("one")
    fields = {
        "model": str(run.model_path(0)),
        "source": run.spec.source.to_json(),
        "content": None,
        "sparsity": 0.5,
        "ways": {"granularity": "weight"},
    }
    list(OPERATIONS["save"](Request({"id": 0, "op": "explore.save", "group": None, "path": path, **fields}, {})))
    return 0


def export(kind):
    return lambda path: main(["runs", "export", "one", "--format", kind, "--output", path])


def is_csv(data):
    return "accuracy" in pd.read_csv(io.BytesIO(data))


def is_json(data):
    document = json.loads(data)
    rows = document["rows"] if isinstance(document, dict) else document  # a study has more than its rows
    return "accuracy" in rows[0]


def is_svg(data):
    return data.startswith(b"<svg") and data.rstrip().endswith(b"</svg>")


def is_model(data):
    return unpack_arrays(data, FORMAT, VERSION).is_verified


WRITERS = {
    "fit --save": (lambda path: main([*FIT, "--save", path]), is_model),
    "sweep --csv": (lambda path: main([*SWEEP, "--csv", path]), is_csv),
    "sweep --json": (lambda path: main([*SWEEP, "--json", path]), is_json),
    "study --csv": (lambda path: main([*STUDY, "--csv", path]), is_csv),
    "study --json": (lambda path: main([*STUDY, "--json", path]), is_json),
    "runs export csv": (export("csv"), is_csv),
    "runs export json": (export("json"), is_json),
    "runs export svg": (export("svg"), is_svg),
    "runs export model": (export("model"), is_model),
    "Explore": (explore_save, is_model),
}


@pytest.fixture(params=WRITERS.values(), ids=WRITERS.keys())
def writer(request, home, capsys):
    return request.param


def test_a_link_stays_a_link_and_its_target_keeps_its_permissions(writer, tmp_path):
    write, is_right = writer
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert write(str(link)) == 0
    assert link.is_symlink()
    assert is_right(target.read_bytes())
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_a_pipe_is_written_to(writer, tmp_path):
    write, is_right = writer
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert write(str(pipe)) == 0
    reader.join(30)
    assert len(read) == 1
    assert is_right(read[0])
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_standard_output_carries_the_result_and_nothing_else(home, capfdbinary):
    for name, (write, is_right) in WRITERS.items():
        if name != "Explore":  # which has no standard output of its own
            assert write("/dev/stdout") == 0
            sys.stdout.flush()
            assert is_right(capfdbinary.readouterr().out), name


def test_a_model_and_a_table_cannot_share_standard_output(home, capsys):
    assert main([*FIT, "--save", "/dev/stdout", "--csv", "-"]) == 2
    assert "cannot both go to standard output" in capsys.readouterr().err


def test_a_file_in_a_folder_that_does_not_exist_is_refused_before_the_training(home, tmp_path, capsys):
    (tmp_path / "link").symlink_to(tmp_path / "none" / "file")
    for path in (tmp_path / "none" / "file", tmp_path / "link"):
        assert main([*SWEEP, "--csv", str(path)]) == 2
        assert f"the directory {tmp_path / 'none'} does not exist" in capsys.readouterr().err


def test_a_sweep_and_the_export_of_its_run_agree(home, tmp_path, capsys):
    """Also in what is not finite: without a weight left, the compression is infinite."""
    sweep = [*SWEEP, "--prune-output", "--name", "agree"]
    assert main([*sweep, "--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv")]) == 0
    for kind in ("json", "csv"):
        assert main(["runs", "export", "agree", "-o", str(tmp_path / f"b.{kind}")]) == 0
    swept, exported = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert swept[-1]["compression"] == "inf"
    assert len(swept) == 3
    for one, other in zip(swept, exported, strict=True):
        assert one.items() <= other.items()  # exports have the ways of pruning too
    swept, exported = (pd.read_csv(tmp_path / f"{name}.csv") for name in "ab")
    assert math.isinf(swept["compression"].iloc[-1])
    pd.testing.assert_frame_equal(swept, exported[list(swept)])


def test_exported_text_cannot_be_a_formula(home, tmp_path, capsys, monkeypatch):
    """A run from another person may have any text in it."""
    (row, *_) = RunStore().find("one").points()
    monkeypatch.setattr(Run, "points", lambda _: [{**row, "criterion": "=1+1", "@evil": "+2"}, row])
    assert main(["runs", "export", "one", "-o", str(tmp_path / "out.csv")]) == 0
    frame = pd.read_csv(tmp_path / "out.csv")
    assert list(frame["criterion"]) == ["'=1+1", "magnitude"]
    assert list(frame)[-1] == "'@evil"


def test_explore_and_fit_write_models_that_load(home, tmp_path, capsys):
    assert explore_save(str(tmp_path / "a")) == 0
    assert main([*FIT, "--save", str(tmp_path / "b")]) == 0
    for name in "ab":
        assert PrunedMLPClassifier.load(tmp_path / name).sparsity_ > 0.4
