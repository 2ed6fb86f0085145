"""Weights of classes are weights of their samples: in training, in what criteria see, in files."""

from __future__ import annotations

import numpy as np
import pytest
from prunelab.estimators import PrunedClassifierCV, PrunedCNNClassifier, PrunedMLPClassifier, sparsity_path
from prunelab.estimators.files import pack_arrays, unpack_arrays
from prunelab.estimators.interactive import InteractivePruning
from prunelab.estimators.persistence import FORMAT, VERSION
from sklearn.model_selection import KFold
from sklearn.utils.class_weight import compute_class_weight

WEIGHTS = {0: 0.3, 1: 7.0, 2: 1.5}
LABELS = {
    "integers": np.array([3, 1, 2]),
    "strings": np.array(["left", "right", "up"]),
    "objects": np.array(["left", "right", "up"], dtype=object),
    "floats": np.array([-1.0, 0.0, 3.0]),
}


def assert_same_network(one, other):
    np.testing.assert_equal(one.tensors_, other.tensors_)
    np.testing.assert_equal(one.masks_, other.masks_)
    assert one.loss_curve_ == other.loss_curve_


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"criterion": "taylor", "granularity": "unit", "scope": "global"},
        {"criterion": "wanda", "fine_tune_iter": 1},
        {"schedule": "iterative", "fine_tune_iter": 1, "criterion": "fisher"},
        {"schedule": "synaptic"},
        {"early_stopping": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("has_sample_weight", [False, True])
def test_a_dict_is_the_sample_weights_that_it_stands_for(blobs, make, parameters, has_sample_weight):
    X, y = blobs
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y)) if has_sample_weight else np.ones(len(y))
    total = weights * [WEIGHTS[label] for label in y]
    expected = make(sparsity=0.5, **parameters).fit(X, y, total)
    weighed = make(sparsity=0.5, class_weight=WEIGHTS, **parameters)
    assert_same_network(weighed.fit(X, y, weights if has_sample_weight else None), expected)
    unweighted = make(sparsity=0.5, **parameters).fit(X, y)
    assert any((weighed.tensors_[name] != array).any() for name, array in unweighted.tensors_.items())


def test_partial_fit_and_warm_start_weigh_the_classes(blobs, make):
    X, y = blobs
    total = np.array([WEIGHTS[label] for label in y])
    weighed, expected = (make(sparsity=0.3, warm_start=True, class_weight=weight) for weight in (WEIGHTS, None))
    for _ in range(2):
        assert_same_network(weighed.partial_fit(X, y), expected.partial_fit(X, y, sample_weight=total))
    assert_same_network(weighed.fit(X, y), expected.fit(X, y, total))


def test_convolutional_networks_weigh_the_classes(digits):
    X, y = digits.X_train[:150].reshape(-1, 8, 8), digits.y_train[:150]
    weights = {label: 1.0 + label for label in range(10)}
    parameters = {"kernel_size": 3, "hidden_layer_sizes": (), "max_iter": 2, "random_state": 0, "device": "cpu"}
    weighed = PrunedCNNClassifier((4,), class_weight=weights, sparsity=0.5, criterion="obd", **parameters).fit(X, y)
    expected = PrunedCNNClassifier((4,), sparsity=0.5, criterion="obd", **parameters).fit(X, y, 1.0 + y)
    assert_same_network(weighed, expected)


def test_balanced_weights_are_those_of_scikit_learn(blobs, make):
    X, y = blobs[0][10:], blobs[1][10:]
    y = np.where(np.arange(len(y)) < 40, 0, y)
    classifier = make(class_weight="balanced", sparsity=0.5, criterion="snip").fit(X, y)
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y)
    np.testing.assert_array_equal(classifier.class_weight_, expected)
    assert_same_network(classifier, make(sparsity=0.5, criterion="snip").fit(X, y, expected[y]))
    assert make().fit(X, y).class_weight_ is None


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_labels_of_any_kind_have_weights_also_from_a_file(blobs, make, tmp_path, labels):
    X, y = blobs
    weights = dict(zip(labels, (0.5, 4, 2), strict=True))
    classifier = make(class_weight=weights, random_state=1).fit(X, labels[y])
    assert_same_network(classifier, make(random_state=1).fit(X, labels[y], [weights[label] for label in labels[y]]))
    classifier.save(tmp_path / "model")
    loaded = PrunedMLPClassifier.load(tmp_path / "model")
    assert loaded.class_weight == weights
    np.testing.assert_array_equal(loaded.class_weight_, classifier.class_weight_)
    assert_same_network(loaded.fit(X, labels[y]), classifier)


def test_a_path_and_pruning_by_hand_weigh_as_the_fit(blobs, make, tmp_path):
    X, y = blobs
    dense = make(class_weight=WEIGHTS, criterion="taylor", granularity="unit", fit_intercept=True)
    path = sparsity_path(dense, X, y, sparsities=[0.5])
    fitted = make(**{**dense.get_params(), "sparsity": 0.5}).fit(X, y)
    np.testing.assert_equal(path.tensors[0], fitted.tensors_)
    dense.fit(X, y).save(tmp_path / "model")
    loaded = PrunedMLPClassifier.load(tmp_path / "model").set_params(class_weight=None)  # it was fitted with weights
    interactive = InteractivePruning(loaded, X, y, X, y)
    np.testing.assert_equal(interactive.prune(0.5).model.tensors, fitted.tensors_)


def test_classes_that_the_dict_leaves_out_count_one(blobs, make):
    assert_same_network(make(class_weight={1: 7.0}).fit(*blobs), make(class_weight={0: 1, 1: 7, 2: 1}).fit(*blobs))


def test_a_fold_may_lack_a_class_that_has_a_weight(blobs, make):
    X, y = blobs
    y = np.where(np.arange(90) == 4, 3, y)
    folds = KFold(3)
    chosen = PrunedClassifierCV(make(class_weight={0: 1, 1: 1, 2: 2, 3: 9}), sparsities=[0.5], cv=folds).fit(X, y)
    assert chosen.scores_.shape == (1, 3)


@pytest.mark.parametrize(
    ("class_weight", "match"),
    [
        ({0: 1.0, 7: 2.0}, r"class_weight has a weight for 7, which is not among the classes \[0, 1, 2\]"),
        ({"0": 1.0}, "class_weight has a weight for '0'"),
        ({0: 0, 1: 0, 2: 0}, "at least one of the classes a weight above 0"),
        ({0: -1.0}, "class_weight must be"),
        ({0: float("nan")}, "class_weight must be"),
        ({0: float("inf")}, "class_weight must be"),
        ({0: "1"}, "class_weight must be"),
        ({0: True}, "class_weight must be"),
        ({(0, 1): 1.0}, "class_weight must be"),
        ("balance", "class_weight must be"),
        ([1, 2, 3], "class_weight must be"),
        ({}, "class_weight must be"),
    ],
    ids=str,
)
def test_other_weights_are_refused(blobs, make, class_weight, match):
    with pytest.raises(ValueError, match=match) as caught:
        make(class_weight=class_weight).fit(*blobs)
    assert "\n" not in str(caught.value)


def test_partial_fit_refuses_balanced(blobs, make):
    with pytest.raises(ValueError, match="partial_fit does not go with class_weight='balanced'"):
        make(class_weight="balanced").partial_fit(*blobs)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["parameters"]["class_weight"]["pairs"].append([3, -1]),
        lambda header: header["parameters"].update(class_weight={"pairs": [[[1], 2]]}),
        lambda header: header["parameters"].update(class_weight={"pairs": 5}),
        lambda header: header["parameters"].update(class_weight="balance"),
        lambda header: header.update(class_weights=[1, 2]),
        lambda header: header.update(class_weights=[1, 2, -3]),
        lambda header: header.update(class_weights=[1, 2, None]),
    ],
)
def test_damaged_weights_in_a_file_are_refused(blobs, make, tmp_path, change):
    make(class_weight=WEIGHTS).fit(*blobs).save(tmp_path / "model")
    file = unpack_arrays((tmp_path / "model").read_bytes(), FORMAT, VERSION)
    header = {name: value for name, value in file.header.items() if name not in ("sha256", "format", "version")}
    change(header)
    (tmp_path / "model").write_bytes(pack_arrays(file.arrays, header, FORMAT, VERSION))
    with pytest.raises(ValueError, match="damaged model file"):
        PrunedMLPClassifier.load(tmp_path / "model")
