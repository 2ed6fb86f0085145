"""Runs and commands with an estimator of choice."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from prunelab.estimators import ModelFileError, PrunedCNNClassifier, PrunedMLPClassifier, load_model
from prunelab.estimators.presets import PRESETS
from prunelab.estimators.registry import ESTIMATORS, REGISTRY, estimator_class
from prunelab.tui.cli import main
from prunelab.tui.runs import descriptions
from prunelab.tui.runs.spec import RunSpec, SpecError, preset_of
from prunelab.tui.runs.worker import Worker

from .working import work

TINY: dict[str, Any] = {
    "channels": (3,),
    "kernel_size": 3,
    "hidden_layer_sizes": (6,),
    "max_iter": 1,
    "device": "cpu",
    "precision": "float32",
}
CNN = RunSpec(parameters=TINY, estimator="cnn", sparsities=(0.0, 0.5))
OPTIONS = ["--estimator", "cnn", "--channels", "3", "--kernel-size", "3", "--layers", "6", "--epochs", "1"]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_registry_names_classes_and_their_files(name, tmp_path):
    cls = estimator_class(name)
    assert cls.__name__ == REGISTRY[name].class_name
    X, y = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32), np.arange(30) % 3
    small = {
        "mlp": {"hidden_layer_sizes": (5,)},
        "cnn": {"channels": (2,), "kernel_size": 3, "hidden_layer_sizes": (5,)},
        "rnn": {"hidden_size": 5},
        "resnet": {"width": 2},
    }
    fitted = cls(max_iter=1, random_state=0, **small[name])
    fitted.fit(X, y).save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert type(loaded) is cls
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_a_model_of_another_class_is_refused(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32), np.arange(30) % 3
    path = tmp_path / "model.safetensors"
    PrunedMLPClassifier((5,), max_iter=1).fit(X, y).save(path)
    with pytest.raises(ModelFileError, match="holds a PrunedMLPClassifier, not a PrunedCNNClassifier"):
        PrunedCNNClassifier.load(path)

    class Other(PrunedMLPClassifier):
        pass

    Other((5,), max_iter=1).fit(X, y).save(path)
    with pytest.raises(ModelFileError, match="holds a Other, which this version of prunelab does not have"):
        load_model(path)


# -- specs ---------------------------------------------------------------------------------------------------


def test_a_spec_without_an_estimator_is_of_a_perceptron():
    written = RunSpec().to_json()
    del written["estimator"]
    assert RunSpec.from_json(written) == RunSpec.from_json(RunSpec().to_json())
    assert RunSpec.from_json(written).estimator == "mlp"
    assert RunSpec.from_json(json.loads(json.dumps(CNN.to_json()))).is_like(CNN)
    assert not CNN.is_like(RunSpec(parameters={}, estimator="mlp", sparsities=(0.0, 0.5)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"estimator": "tree"}, "estimator must be one of 'mlp', 'cnn', .*, got 'tree'"),
        ({"estimator": "mlp"}, "channels is a parameter of estimator 'cnn', and this one is 'mlp'"),
        ({"parameters": {"fit_intercept": True}}, "fit_intercept is a parameter of estimator 'mlp'"),
        ({"parameters": {"kernel_size": 0}}, "kernel_size must be"),
    ],
    ids=str,
)
def test_a_spec_is_checked_against_its_estimator(changes, says):
    with pytest.raises(SpecError, match=says):
        RunSpec.from_json({**CNN.to_json(), **changes})


def test_another_estimator_keeps_the_training_and_not_the_network():
    spec = RunSpec(parameters={"hidden_layer_sizes": (9,), "fit_intercept": True, "max_iter": 3, "fine_tune_iter": 1})
    assert spec.with_estimator("mlp") is spec
    changed = spec.with_estimator("cnn")
    assert (changed.estimator, changed.parameters) == ("cnn", {"max_iter": 3, "fine_tune_iter": 1})
    assert changed.parameter("hidden_layer_sizes") == (500,)
    changed.check()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_recognised(name):
    spec = RunSpec.from_preset(name)
    spec.check()
    assert preset_of(spec) == name
    assert preset_of(spec.with_estimator("cnn" if spec.estimator == "mlp" else "mlp")) != name


def test_words_for_a_network():
    assert descriptions.widths(CNN) == "CNN 3-6"
    assert descriptions.short(CNN) == "CNN 3-6 on digits"
    assert "CNN 3-6 (relu, with biases)" in descriptions.training(CNN)
    assert descriptions.widths(RunSpec()) == "1000-1000-500-200"


# -- runs ----------------------------------------------------------------------------------------------------


def test_a_run_stopped_half_way_resumes_to_the_same_numbers(store):
    whole, halved = store.create(CNN), store.create(CNN)
    assert work(whole) == "finished"
    workers: list[Worker] = []

    def stop(point: object) -> None:
        workers[0].stop()

    workers.append(Worker(halved, on_point=stop))
    assert workers[0].work() == "stopped"
    workers[0].close()
    assert 0 < len(halved.points()) < CNN.n_points
    assert work(halved) == "finished"
    assert halved.points() == whole.points()
    assert type(load_model(whole.model_path(0))) is PrunedCNNClassifier


def test_images_keep_their_shape(store, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 6, 12), dtype=np.uint8)
    np.savez(
        tmp_path / "images.npz", x_train=images, y_train=np.arange(40) % 2, x_test=images, y_test=np.arange(40) % 2
    )
    run = store.create(
        RunSpec(dataset=str(tmp_path / "images.npz"), parameters=TINY, estimator="cnn", sparsities=(0.5,))
    )
    assert work(run) == "finished"
    assert load_model(run.model_path(0)).network_.sample_shape == (1, 6, 12)


def test_colour_images_with_their_channels_last_are_refused(store, tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(20) % 2
    np.savez(tmp_path / "images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert main(["sweep", *OPTIONS, "--dataset", str(tmp_path / "images.npz")]) == 2
    error = capsys.readouterr().err
    assert "channels last: save them with the channels first" in error.splitlines()[-1]


# -- commands ------------------------------------------------------------------------------------------------


def test_a_sweep_is_listed_shown_and_exported_with_its_estimator(store, capsys):
    assert main(["sweep", *OPTIONS, "--sparsities", "0,0.5", "--granularity", "unit"]) == 0
    assert main(["sweep", "--layers", "4", "--epochs", "1", "--sparsities", "0"]) == 0
    capsys.readouterr()
    cnn = next(run for run in store.runs() if run.spec.estimator == "cnn")
    assert main(["runs"]) == 0
    listed = capsys.readouterr().out
    assert "network" in listed
    assert "cnn" in next(line for line in listed.splitlines() if line.startswith(cnn.id))
    assert main(["runs", "--json"]) == 0
    assert {run["estimator"] for run in json.loads(capsys.readouterr().out)} == {"mlp", "cnn"}
    assert main(["runs", "show", cnn.id]) == 0
    assert "estimator cnn: network CNN 3-6" in capsys.readouterr().out
    assert main(["runs", "export", cnn.id, "-o", "-"]) == 0
    assert {row["estimator"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))} == {"cnn"}


def test_lists_of_perceptrons_alone_have_no_column_for_the_network(store, capsys):
    assert main(["sweep", "--layers", "4", "--epochs", "1", "--sparsities", "0"]) == 0
    capsys.readouterr()
    assert main(["runs"]) == 0
    assert "network" not in capsys.readouterr().out
    assert main(["runs", "export", "last", "-o", "-"]) == 0
    assert "estimator" not in capsys.readouterr().out


def test_fit_saves_a_convolutional_network(store, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    assert main(["fit", *OPTIONS, "--sparsity", "0.5", "--save", str(path)]) == 0
    fitted = load_model(path)
    assert isinstance(fitted, PrunedCNNClassifier)
    assert fitted.network_.channels == (3,)
    assert fitted.sparsity_ == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--channels", "3"], "--channels is an option of --estimator cnn, and this is --estimator mlp"),
        (["--estimator", "cnn", "--fit-intercept"], "--fit-intercept is an option of --estimator mlp"),
        (["--preset", "small-cnn", "--fit-intercept"], "and this is --estimator cnn"),
        (["--estimator", "tree"], "invalid choice: 'tree'"),
        (["--estimator", "rnn", "--hidden-size", "3,4"], "units of all layers, of each of the n_layers=1 layers"),
        (["--estimator", "rnn", "--criterion", "synflow"], "no meaning through the gates and steps"),
        (["--estimator", "cnn"], "no outputs left for images of 8x8"),
        (["--estimator", "cnn", "--channels", "x"], "must be the widths"),
    ],
    ids=str,
)
def test_what_an_estimator_cannot_do_is_one_sentence(options, says, store, capsys):
    try:
        status = main(["sweep", *options])
    except SystemExit as end:
        status = end.code
    error = capsys.readouterr().err
    assert status == 2
    assert says in error
    assert len(error.strip().splitlines()) == 1
    assert store.runs() == []
