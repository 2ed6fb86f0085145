"""The user's own module as a classifier."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from prunelab.estimators import (
    ModelFileError,
    PrunedClassifierCV,
    PrunedMLPClassifier,
    PrunedModuleClassifier,
    iter_sparsity_path,
    load_model,
    sparsity_path,
)
from prunelab.estimators.checkpoints import load_checkpoint, save_checkpoint
from prunelab.estimators.engine import prepare
from prunelab.estimators.training import loop
from prunelab.estimators.training.events import BatchEnded
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from .test_sklearn_conventions import EXPECTED_FAILURES

OF_A_MODULE = {
    **EXPECTED_FAILURES,
    "check_do_not_raise_errors_in_init_or_set_params": (
        "the arguments of the module are keyword arguments of the constructor, which the check takes for a parameter"
    ),
}

DIGITS = load_digits()
X, Y = (DIGITS.data / 16).astype(np.float32)[:400], DIGITS.target[:400]
SETTINGS = {"max_iter": 3, "random_state": 0, "device": "cpu", "learning_rate_init": 0.01}


class Perceptron(nn.Module):
    def __init__(self, n_features, n_classes, width=16, dropout=0.0):
        super().__init__()
        self.hidden = nn.Linear(n_features, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_classes)

    def forward(self, inputs):
        return self.head(self.dropout(torch.relu(self.hidden(inputs))))


def make(module=Perceptron, **parameters) -> PrunedModuleClassifier:
    return PrunedModuleClassifier(module, **{**SETTINGS, **parameters})


def test_it_learns_and_pruned_weights_are_zero():
    classifier = make(sparsity=0.5, max_iter=10).fit(X, Y)
    assert classifier.score(X, Y) > 0.9
    mask = classifier.masks_["hidden.weight"]
    assert (~mask).sum() == mask.size // 2
    assert not classifier.tensors_["hidden.weight"][~mask].any()
    assert classifier.masks_["head.weight"].all()


def test_the_same_weights_give_the_masks_of_the_perceptron():
    """Those of PrunedMLPClassifier are transposed."""
    mlp = PrunedMLPClassifier((16,), fit_intercept=True, **SETTINGS).fit(X, Y)
    module = Perceptron(64, 10)
    with torch.no_grad():
        for layer, name in ((module.hidden, "hidden1"), (module.head, "output")):
            layer.weight.copy_(torch.from_numpy(mlp.tensors_[f"{name}.weight"].T))
            layer.bias.copy_(torch.from_numpy(mlp.tensors_[f"{name}.bias"]))
    settings = {"criterion": "taylor", "scope": "global", "sparsity": 0.7, "prune_output": True, "warm_start": True}
    mlp.set_params(max_iter=1, learning_rate_init=1e-30, **settings).fit(X, Y)
    found = make(module).set_params(max_iter=1, learning_rate_init=1e-30, **settings).fit(X, Y)
    for layer, name in (("hidden", "hidden1"), ("head", "output")):
        np.testing.assert_array_equal(found.masks_[f"{layer}.weight"], mlp.masks_[f"{name}.weight"].T)


def test_fit_and_path_agree_bit_for_bit_also_with_dropout():
    path = sparsity_path(make(module__dropout=0.3), X, Y, sparsities=[0.3, 0.6])
    for sparsity, tensors in zip((0.3, 0.6), path.tensors, strict=True):
        np.testing.assert_equal(make(module__dropout=0.3, sparsity=sparsity).fit(X, Y).tensors_, tensors)


def test_training_leaves_the_generator_of_torch_alone():
    before = torch.get_rng_state()
    make(module__dropout=0.3).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), before)


def test_arguments_of_the_module_are_searched_as_other_parameters():
    search = GridSearchCV(make(), {"module__width": [2, 24]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"module__width": 24}
    assert search.best_estimator_.tensors_["hidden.weight"].shape == (24, 64)


def test_a_module_that_exists_begins_with_its_numbers_and_is_not_changed():
    module = Perceptron(64, 10)
    before = copy.deepcopy(module.state_dict())
    first, second = (make(module, max_iter=1, learning_rate_init=1e-30, random_state=s).fit(X, Y) for s in (0, 1))
    for name, tensor in before.items():
        np.testing.assert_array_equal(first.tensors_[name], tensor)
        np.testing.assert_array_equal(second.tensors_[name], tensor)
        assert torch.equal(module.state_dict()[name], tensor)
    make(module).fit(X, Y)
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())


def test_copies_and_pickles_predict_the_same():
    classifier = make(sparsity=0.5).fit(X, Y)
    expected = classifier.predict_proba(X)
    for other in (copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        assert other.network_ == classifier.network_


def test_files_hold_no_code_and_are_loaded_with_the_module(tmp_path):
    classifier = make(module__width=12, sparsity=0.5, granularity="unit").fit(X, Y)
    expected, path = classifier.predict_proba(X), tmp_path / "model.safetensors"
    classifier.save(path)
    assert b"Perceptron" not in path.read_bytes()
    loaded = PrunedModuleClassifier.load(path, module=Perceptron, module__width=12)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert loaded.network_ == classifier.network_
    classifier.compact().save(path)
    smaller = PrunedModuleClassifier.load(path, Perceptron, module__width=12)
    assert smaller.tensors_["hidden.weight"].shape == (6, 64)
    np.testing.assert_allclose(smaller.predict_proba(X), expected, atol=1e-6)
    for wrong, message in (
        ({}, r"load needs the module, because a file holds no code: load\(path, module=...\)"),
        ({"module": Perceptron, "module__width": 3}, "it has been made smaller, and the module has other units"),
        ({"module": nn.Linear(63, 10)}, "cannot be loaded with this network: module Linear cannot compute"),
    ):
        with pytest.raises(ModelFileError, match=message):
            PrunedModuleClassifier.load(path, **wrong)
    with pytest.raises(ModelFileError, match=r"use PrunedModuleClassifier.load\(path, module=...\)"):
        load_model(path)
    make().fit(X, Y).save(path)
    with pytest.raises(ModelFileError, match=r"hidden.weight of shape \(16, 64\), and the module \(3, 64\)|of shape"):
        PrunedModuleClassifier.load(path, Perceptron, module__width=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module": None}, "module must be a torch.nn.Module or something callable that makes one, got None"),
        ({"module": 3}, "module must be a torch.nn.Module"),
        ({"module": dict}, "dict made {}"),
        ({"module__widht": 3}, "cannot be made with .*widht=3.*unexpected keyword argument"),
        ({"module": nn.Linear(64, 9)}, "returns 9 logits, and y has 10 classes"),
        ({"module": nn.Linear(63, 10)}, r"cannot compute samples of shape \(64,\): RuntimeError: mat1 and mat2"),
        ({"module": nn.Unflatten(1, (8, 8))}, r"must return logits of shape \(n, classes\)"),
        ({"module": nn.Sequential(nn.Linear(64, 10), nn.Softmax(1))}, "output layer .* is not clear.*one of 0"),
        ({"output_layer": "hiden"}, "output_layer='hiden' is no layer with weights of Perceptron: it has head, hidden"),
        ({"module": nn.Linear(64, 10), "module__bias": False}, "module__bias sets an argument of a callable"),
        ({"criterion": "synflow", "sparsity": 0.5}, "criterion='synflow'"),
        ({"criterion": "wanda", "sparsity": 0.5}, "are not recorded in a module, which criterion=.*'wanda'"),
        ({"criterion": "fisher", "sparsity": 0.5}, "are not recorded in a module, which criterion='fisher'"),
        ({"schedule": "synaptic", "sparsity": 0.5}, "are not recorded in a module"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message) as raised:
        make().set_params(**changes).fit(X, Y)
    assert "\n" not in str(raised.value)


def test_parameters_that_are_not_of_the_module_are_refused():
    with pytest.raises(TypeError, match="has no parameter 'width': those of the module begin with module__"):
        PrunedModuleClassifier(Perceptron, width=3)
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        make().set_params(width=3)


def test_trainings_of_different_modules_have_different_names():
    """Names of networks are part of the keys of cached trainings."""

    class Other(Perceptron):
        def forward(self, inputs):
            return self.head(self.dropout(torch.tanh(self.hidden(inputs))))

    classifiers = [make(), make(module__width=8), make(module__dropout=0.5), make(Other), make(Perceptron(64, 10))]
    names = [repr(prepare(classifier, X, Y).task) for classifier in classifiers]
    assert len(set(names)) == len(names)
    assert names[0] == repr(prepare(make(), X, Y).task)


def test_a_training_from_the_cache_is_the_training(tmp_path):
    whole = make(module__dropout=0.3, sparsity=0.5).fit(X, Y)
    for _ in range(2):
        cached = make(module__dropout=0.3, sparsity=0.5, memory=tmp_path).fit(X, Y)
        np.testing.assert_equal(cached.tensors_, whole.tensors_)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_points_of_a_path_become_classifiers():
    (point,) = iter_sparsity_path(make(), X, Y, sparsities=[0.5])
    np.testing.assert_equal(point.to_classifier().tensors_, make(sparsity=0.5).fit(X, Y).tensors_)


@pytest.mark.parametrize("criterion", ["magnitude", "random", "lamp", "taylor", "snip", "movement", "grasp", "obd"])
@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_criteria_remove_exactly_what_they_are_asked_to(criterion, granularity):
    classifier = make(criterion=criterion, granularity=granularity, sparsity=0.5, module__width=6, max_iter=1)
    mask = classifier.fit(X, Y).masks_["hidden.weight"]
    assert (~mask).sum() == mask.size // 2


@parametrize_with_checks(
    [PrunedModuleClassifier(Perceptron, max_iter=200, learning_rate_init=0.01, device="cpu")],
    expected_failed_checks=lambda estimator: OF_A_MODULE,
    xfail_strict=False,  # within the check's tolerance on some machines
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


def test_going_on_from_a_checkpoint_gives_the_very_same_network(tmp_path, monkeypatch):
    """Also with dropout, whose random numbers follow from the seed and the step."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_EVENTS", 0.0)
    kept = []

    def keep(event):
        if isinstance(event, BatchEnded) and (event.epoch, event.batch) == (2, 3):
            kept.append(event.checkpoint())

    estimator = make(module__dropout=0.5)
    (whole,) = iter_sparsity_path(estimator, X, Y, sparsities=[0.5], on_event=keep)
    save_checkpoint(kept[0], tmp_path / "checkpoint")
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    (resumed,) = iter_sparsity_path(estimator, X, Y, sparsities=[0.5], checkpoint=checkpoint)
    for name, array in whole.model.tensors.items():
        assert resumed.model.tensors[name].tobytes() == array.tobytes()


def test_it_works_in_a_pipeline_and_in_cross_validation():
    pipeline = make_pipeline(StandardScaler(), make(sparsity=0.5)).fit(X, Y)
    assert pipeline.score(X, Y) > 0.6
    search = PrunedClassifierCV(make(), sparsities=[0, 0.9], cv=2).fit(X, Y)
    assert search.sparsity_ == 0
