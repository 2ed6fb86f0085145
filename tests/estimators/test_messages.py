"""Error messages show any value on one line; warnings name the line of the caller."""

from __future__ import annotations

import numpy as np
import pytest
from prunelab.estimators import PrunedMLPClassifier, PrunedMLPClassifierCV, PruningWarning, load_dataset, sparsity_path
from prunelab.estimators.backend import DeviceError, resolve_device
from prunelab.estimators.messages import as_text
from prunelab.estimators.parameters import DEFAULTS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(0.0), "0.0"),
        (np.int64(3), "3"),
        (np.bool_(True), "True"),
        (np.str_("a"), "'a'"),
        (np.array(2.5), "2.5"),
        (np.array([1, 2]), "[1, 2]"),
        (np.array(["a", "b"]), "['a', 'b']"),
        ((np.float64(1), np.str_("x")), "(1.0, 'x')"),
        ((np.int8(1),), "(1,)"),
        ([[np.int64(1)], []], "[[1], []]"),
        (np.array([np.int64(1), "x"], dtype=object), "[1, 'x']"),
        (np.arange(30), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...]"),
        (np.longdouble(2), "2.0"),
        (None, "None"),
        ("several\nlines", "'several\\nlines'"),
    ],
    ids=repr,
)
def test_values_as_text(value, text):
    assert as_text(value) == text


def test_long_values_are_cut():
    assert len(as_text("x" * 10_000)) == 120
    assert "\n" not in as_text(np.zeros((50, 50)))
    assert len(as_text(np.zeros((50, 50)))) <= 120


#: None of these can be the value of a parameter.
WRONG = [np.float64(-7.5), np.int64(-7), np.str_("nonsense"), np.array([-1.0]), [np.float64(-1.5)], (np.int64(0),)]


def assert_plain(message: str):
    for word in ("np.", "numpy", "array(", "dtype", "\n"):
        assert word not in message


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("name", [name for name in DEFAULTS if name not in ("memory", "tol", "verbose")])
def test_refused_parameters(blobs, make, name, value):
    with pytest.raises(ValueError, match=name) as caught:
        make(**{name: value}).fit(*blobs)
    assert_plain(str(caught.value))


@pytest.mark.parametrize("labels", [np.array([0.0, 1.0, 2.0]), np.array(["a", "b", "c"]), np.arange(3)], ids=str)
def test_refused_labels(blobs, make, labels):
    X, y = blobs
    y = labels[y]
    other = np.where(y == labels[2], labels[1], y)
    fitted = make(warm_start=True).fit(X, y)
    folds = [(np.flatnonzero(y == labels[0]), np.flatnonzero(y == labels[1]))]
    for refused in (
        lambda: make().fit(X, np.full(90, labels[1])),
        lambda: fitted.fit(X, other),
        lambda: fitted.partial_fit(X, other, classes=labels[:2]),
        lambda: make().partial_fit(X, y, classes=labels[:2]),
        lambda: sparsity_path(make(), X, other, X_test=X, y_test=y),
        lambda: PrunedMLPClassifierCV(make(), cv=folds).fit(X, y),
    ):
        with pytest.raises(ValueError) as caught:
            refused()
        assert_plain(str(caught.value))
        assert any(as_text(label) in str(caught.value) for label in labels)


def test_refused_values_elsewhere(blobs, make):
    for refused in (
        lambda: sparsity_path(make(), *blobs, sparsities=[np.float64(0.5), np.float64(2)]),
        lambda: sparsity_path(make(), *blobs, sparsities=[np.str_("x")]),
        lambda: PrunedMLPClassifierCV(make(), rule=np.str_("worst")).fit(*blobs),
        lambda: load_dataset("digits", pixels=np.str_("large")),
        lambda: make(early_stopping=True, validation_fraction=np.float64(0.001)).fit(*blobs),
        lambda: make(warm_start=True).fit(*blobs).set_params(hidden_layer_sizes=(np.int64(3),)).fit(*blobs),
        lambda: PrunedMLPClassifier((9,), device=np.str_("tpu")).fit(*blobs),
    ):
        with pytest.raises(ValueError) as caught:
            refused()
        assert_plain(str(caught.value))
    with pytest.raises(DeviceError, match="got 'tpu'"):
        resolve_device(np.str_("tpu"))


def test_warnings_name_the_line_of_the_caller(blobs, make):
    for calls in (
        lambda: make(sparsity=1.0).fit(*blobs),
        lambda: make(sparsity=1.0).partial_fit(*blobs),
        lambda: sparsity_path(make(), *blobs, sparsities=[1.0]),
    ):
        with pytest.warns(PruningWarning, match="removed every weight") as caught:
            calls()
        assert {warning.filename for warning in caught} == {__file__}
