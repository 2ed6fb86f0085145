"""Files of the user's own on the command line and in runs: options, assumptions, identity, models for raw rows."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prunelab.estimators import PrunedMLPClassifier
from prunelab.estimators.data.source import DataOptions
from prunelab.tui.cli import main
from prunelab.tui.runs import supervisor
from prunelab.tui.runs.spec import RunSpec, preset_of
from prunelab.tui.runs.store import RunError, RunStore
from prunelab.tui.runs.worker import Worker
from prunelab.tui.service.explorer import OPERATIONS
from prunelab.tui.service.server import Request
from sklearn.datasets import load_digits, load_iris

TINY = ["--layers", "8", "--epochs", "2", "--device", "cpu", "--quiet"]
SPEC = {"parameters": {"hidden_layer_sizes": (8,), "max_iter": 2, "device": "cpu"}, "sparsities": (0.0, 0.5)}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path / "home"))


def iris(path: Path, **changes) -> pd.DataFrame:
    X, y = load_iris(return_X_y=True, as_frame=True)
    frame = X.assign(species=np.array(["setosa", "versicolor", "NA"])[y])
    frame.to_csv(path, **{"index": False, **changes})
    return frame


def numbers(path: Path, shift: int = 0) -> Path:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    frame = pd.DataFrame(X, columns=list("abcd")).assign(label=(X[:, 0] + shift * X[:, 1] > 0).astype(int) + 3)
    frame.to_csv(path, index=False)
    return path


def rows_of(out: str) -> list[dict]:
    return json.loads(out)


# -- options and assumptions -----------------------------------------------------------------------------------


def test_options_reach_the_file_and_assumptions_are_printed_and_kept(tmp_path, capsys):
    path = tmp_path / "iris.csv"
    iris(path, sep=";", decimal=",", index=True)
    arguments = ["sweep", "--dataset", str(path), "--sparsities", "0,0.5", "--granularity", "weight", *TINY]
    assert main(arguments) == 0
    printed = capsys.readouterr().err
    (run,) = RunStore().runs()
    for option in ("delimiter=';'", "decimal=','", "index=True", "label='species'", "test=0.2", "pixels='auto'"):
        assert f"note: assumed {option}" in printed
        assert any(line.startswith(option) for line in run.data["assumptions"])
    given = ["--delimiter", ";", "--decimal", ",", "--index", "yes", "--label", "species", "--header", "yes"]
    assert main([*arguments, *given, "--test", "0.3"]) == 0
    printed = capsys.readouterr().err
    assert [line for line in printed.splitlines() if "assumed" in line] == [
        "note: assumed pixels='auto': the values are features, each is standardised"
    ]
    assert main(["runs", "show", run.id]) == 0
    assert "assumed decimal=','" in capsys.readouterr().out
    options = RunStore().runs()[0].spec.options
    assert options == DataOptions("species", ";", ",", True, True, 0.3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--label", "spezies"], "did you mean 'species'"),
        (["--delimiter", "ab"], "delimiter must be one character"),
        (["--decimal", ";"], "decimal must be '.' or ','"),
        (["--header", "maybe"], "not yes, no or auto"),
        (["--test", "1.5"], "test must be more than 0 and less than 1"),
        (["--test", "nowhere.csv"], "there is no file nowhere.csv"),
        (["--pixels", "unit"], "leave pixels out"),
        (["--index", "name"], "no column 'name' for index"),
    ],
)
@pytest.mark.parametrize("command", [["fit", *TINY, "--dataset"], ["data"]])
def test_options_that_do_not_fit_are_one_sentence(tmp_path, capsys, command, given, words):
    iris(tmp_path / "iris.csv")
    try:
        status = main([*command, str(tmp_path / "iris.csv"), *given])
    except SystemExit as error:
        status = error.code
    assert status == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1


def test_specs_of_earlier_versions_load():
    old = {**RunSpec(**SPEC, dataset="d.csv").to_json(), "pixels": "signed"}
    del old["options"]
    spec = RunSpec.from_json(old)
    assert (spec.pixels, spec.options) == ("auto", DataOptions())
    assert spec.is_like(RunSpec(**SPEC, dataset="d.csv"))
    new = RunSpec(**SPEC, dataset="d.csv", pixels="signed", options=DataOptions(label="a", header=False, test=0.5))
    assert RunSpec.from_json(json.loads(json.dumps(new.to_json()))) == RunSpec.from_json(new.to_json())
    assert RunSpec.from_json(new.to_json()).options == new.options
    assert preset_of(RunSpec.from_preset("digits", pixels="signed")) == "digits"
    assert RunSpec(options=DataOptions(decimal="x")).problems().keys() == {"decimal"}


# -- identity --------------------------------------------------------------------------------------------------


def stopped_run(path: Path):
    run = RunStore().create(RunSpec(**SPEC, dataset=str(path)))
    worker = Worker(run, on_point=lambda _: worker.stop())
    assert worker.work() == "stopped"
    worker.close()
    return run


def test_a_run_does_not_go_on_with_another_file(tmp_path):
    path = numbers(tmp_path / "d.csv")
    original = path.read_bytes()
    run = stopped_run(path)
    assert len(run.data["content"]) == 64
    numbers(path, shift=1)
    with pytest.raises(RunError, match=r"d\.csv has changed since .* began: restore the file"):
        supervisor.resume(run)
    worker = Worker(run)
    assert worker.work() == "failed"
    worker.close()
    assert "has changed since" in worker.reason
    assert len(run.points()) == 1
    path.unlink()
    with pytest.raises(RunError, match="there is no file"):
        supervisor.resume(run)
    path.write_bytes(original)
    worker = Worker(run)
    assert worker.work() == "finished"
    worker.close()
    assert len(run.points()) == 4


def test_a_run_of_an_earlier_version_goes_on_with_a_note(tmp_path):
    run = stopped_run(numbers(tmp_path / "d.csv"))
    record = json.loads((run.path / "run.json").read_text())
    del record["data"], record["crc32"]
    (run.path / "run.json").write_text(json.dumps({**record, "format": 1}))
    run = RunStore().find(run.id)
    worker = Worker(run)
    assert worker.work() == "finished"
    worker.close()
    assert any("was not recorded before" in event.get("text", "") for event in run.events())
    assert run.data["content"]


def test_explore_does_not_show_the_old_network_on_another_file(tmp_path):
    path = numbers(tmp_path / "d.csv")
    run = RunStore().create(RunSpec(**SPEC, dataset=str(path)))
    worker = Worker(run)
    assert worker.work() == "finished"
    worker.close()

    def ask():
        fields = {"model": str(run.model_path(0)), "source": run.spec.source.to_json(), "content": run.data["content"]}
        request = Request({"id": 1, "sparsity": 0.5, "ways": {}, "first": 0, "count": 0, **fields}, {})
        return list(OPERATIONS["prune"](request))[-1]

    assert 0 <= ask()["figures"]["accuracy"] <= 1
    from prunelab.tui.service import explorer

    explorer._explorer._kept.clear()
    numbers(path, shift=1)
    with pytest.raises(ValueError, match="has changed since the network was trained"):
        ask()


def test_a_study_of_another_file_is_computed_again(tmp_path, capsys):
    path = numbers(tmp_path / "d.csv")
    arguments = [
        "study",
        "largest",
        "--quick",
        "--seeds",
        "2",
        "--dataset",
        str(path),
        "--json",
        "-",
        "--device",
        "cpu",
    ]
    assert main(arguments) == 0
    first, n_runs = rows_of(capsys.readouterr().out), len(RunStore().runs())
    assert main(arguments) == 0
    assert rows_of(capsys.readouterr().out) == first
    assert len(RunStore().runs()) == n_runs
    numbers(path, shift=1)
    assert main(arguments) == 0
    assert rows_of(capsys.readouterr().out) != first
    assert len(RunStore().runs()) == 2 * n_runs


# -- models that take raw rows ---------------------------------------------------------------------------------


def fit(tmp_path: Path, capsys, *arguments: str) -> tuple[PrunedMLPClassifier, float]:
    """The model that `prunelab fit` saves, and the accuracy that it reports."""
    model = tmp_path / "m.safetensors"
    warnings.simplefilter("error")
    given = ["--sparsity", "0.3", "--layers", "32", "--epochs", "40", "--device", "cpu", "--quiet", "--json", "-"]
    assert main(["fit", *given, "--save", str(model), *arguments]) == 0
    return PrunedMLPClassifier.load(model), rows_of(capsys.readouterr().out)[-1]["accuracy"]


def test_a_model_scores_the_rows_of_its_own_table_as_reported(tmp_path, capsys):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    frame = iris(train)
    frame[::3].sample(frac=1, random_state=0)[frame.columns[::-1]].to_csv(test, index=False)
    classifier, accuracy = fit(tmp_path, capsys, "--dataset", str(train), "--test", str(test))
    raw = pd.read_csv(test, keep_default_na=False)
    rows = classifier.preprocessing_.transform(raw)  # the labels are among the columns, and in another order
    assert classifier.score(rows, raw["species"]) == accuracy > 0.8
    assert classifier.preprocessing_.class_names_ == ["NA", "setosa", "versicolor"] == list(classifier.classes_)
    arrays = raw[list(frame.columns[:4])].to_numpy()
    np.testing.assert_array_equal(classifier.preprocessing_.transform(arrays), rows)
    with pytest.raises(ValueError, match="no column 'petal width"):
        classifier.preprocessing_.transform(raw.drop(columns="petal width (cm)"))
    with pytest.raises(ValueError, match="missing"):
        classifier.preprocessing_.transform(raw.assign(**{"petal width (cm)": np.nan}))


def test_whole_numbers_as_class_names(tmp_path, capsys):
    path = numbers(tmp_path / "d.csv")
    classifier, accuracy = fit(tmp_path, capsys, "--dataset", str(path), "--test", str(path))
    raw = pd.read_csv(path)
    assert classifier.score(classifier.preprocessing_.transform(raw), raw["label"]) == accuracy
    assert classifier.preprocessing_.class_names_ == ["3", "4"]


@pytest.mark.parametrize("pixels", ["auto", "unit", "standard"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images(tmp_path, capsys, pixels, dtype):
    X, y = load_digits(return_X_y=True)
    X = (X.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    X = X if dtype == np.uint8 else (X / 255).astype(dtype)
    np.savez(tmp_path / "d.npz", X_train=X[:900], y_train=y[:900], X_test=X[900:], y_test=y[900:])
    classifier, accuracy = fit(tmp_path, capsys, "--dataset", str(tmp_path / "d.npz"), "--pixels", pixels)
    preprocessing = classifier.preprocessing_
    for raw in (X[900:], X[900:].reshape(-1, 64)):
        assert classifier.score(preprocessing.transform(raw), y[900:]) == accuracy > 0.5
    assert preprocessing.sample_shape_ == (8, 8)
    wrong = X[900:] * 2.0 - 1 if dtype != np.uint8 else X[900:] / 255
    with pytest.raises(ValueError, match="not scaled"):
        preprocessing.transform(wrong)
    with pytest.raises(ValueError, match="samples of shape"):
        preprocessing.transform(X[:, :4])


def test_the_digits_and_every_file_of_a_sweep_and_a_run(tmp_path, capsys):
    X, _ = load_digits(return_X_y=True)
    assert main(["sweep", *TINY, "--sparsities", "0,0.5", "--save", str(tmp_path / "models"), "--json", "-"]) == 0
    capsys.readouterr()
    (run,) = RunStore().runs()
    files = [*(tmp_path / "models").iterdir(), run.model_path(0)]
    assert len(files) == 5
    for path in files:
        preprocessing = PrunedMLPClassifier.load(path).preprocessing_
        scaled = preprocessing.transform(X)
        assert (scaled.min(), scaled.max()) == (-1, 1)
        assert preprocessing.class_names_ == list("0123456789")


def test_another_fit_forgets_the_preprocessing_of_the_first(tmp_path, capsys):
    path = numbers(tmp_path / "d.csv")
    classifier, _ = fit(tmp_path, capsys, "--dataset", str(path))
    raw = pd.read_csv(path)
    classifier.fit(raw[list("abcd")], raw["label"])
    assert not hasattr(classifier, "preprocessing_")
    classifier.save(tmp_path / "m.safetensors")
    assert not hasattr(PrunedMLPClassifier.load(tmp_path / "m.safetensors"), "preprocessing_")
