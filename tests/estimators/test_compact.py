"""The physically smaller network: the same outputs, and nothing left that does not matter."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunelab.estimators.inference import Evaluator, compacted
from prunelab.estimators.network import MLPNetwork
from prunelab.estimators.pruning.compact import compact
from prunelab.estimators.pruning.pruner import Choices, Pruner

ACTIVATIONS = {
    "relu": lambda values: np.maximum(values, 0),
    "tanh": np.tanh,
    "logistic": lambda values: 1 / (1 + np.exp(-values)),
    "identity": lambda values: values,
}
every_activation = pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
QUICK = settings(max_examples=150, deadline=None)


def forward(coefs, intercepts, activation, inputs) -> np.ndarray:
    """Logits in float64."""
    values = inputs.astype(np.float64)
    for layer, (coef, bias) in enumerate(zip(coefs, intercepts, strict=True)):
        values = values @ coef.astype(np.float64) + bias.astype(np.float64)
        values = ACTIVATIONS[activation](values) if layer < len(coefs) - 1 else values
    return values


def random_network(rng, sizes, dtype=np.float32):
    coefs = [rng.normal(size=shape).astype(dtype) for shape in pairwise(sizes)]
    return coefs, [rng.normal(size=width).astype(dtype) for width in sizes[1:]]


@st.composite
def pruned_networks(draw, dtypes=(np.float32, np.float64)):
    """Coefs, intercepts and an activation; with layers from full to empty, and units cut off at random."""
    sizes = draw(st.lists(st.integers(1, 8), min_size=2, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coefs, intercepts = random_network(rng, sizes, draw(st.sampled_from(dtypes)))
    for coef in coefs:
        density = draw(st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0]))
        coef *= rng.random(coef.shape) < density
        coef *= rng.random(coef.shape[1]) < draw(st.sampled_from([0.3, 1.0]))
    biases = draw(st.sampled_from(["all", "some", "none"]))
    for bias in intercepts:
        bias *= rng.random(bias.shape) < {"all": 1.0, "some": 0.5, "none": 0.0}[biases]
    return coefs, intercepts, draw(st.sampled_from(sorted(ACTIVATIONS)))


@given(case=pruned_networks())
@QUICK
def test_the_outputs_are_the_same(case):
    coefs, intercepts, activation = case
    inputs = np.random.default_rng(0).normal(size=(6, len(coefs[0])))
    small = compact(coefs, intercepts, activation)
    expected = forward(coefs, intercepts, activation, inputs)
    # float32: the constants of dead units are summed in float32
    tolerance = 1e-5 if coefs[0].dtype == np.float32 else 1e-12
    scale = max(1.0, np.abs(expected).max())
    actual = forward(small.coefs, small.intercepts, activation, inputs)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)
    assert small.coefs[0].dtype == coefs[0].dtype


@given(case=pruned_networks())
@QUICK
def test_no_unit_is_left_that_does_not_matter(case):
    coefs, intercepts, activation = case
    small = compact(coefs, intercepts, activation)
    for incoming, outgoing in pairwise(small.coefs):
        assert incoming.any(axis=0).all()
        assert outgoing.any(axis=1).all()
    for layer, kept in enumerate(small.kept_units):
        assert kept.shape == intercepts[layer].shape
        assert np.count_nonzero(kept) == small.coefs[layer].shape[1] == len(small.intercepts[layer])
    assert small.coefs[0].shape[0] == coefs[0].shape[0]
    assert small.coefs[-1].shape[1] == coefs[-1].shape[1]


@given(case=pruned_networks())
@QUICK
def test_nothing_passed_in_is_changed_and_twice_is_once(case):
    coefs, intercepts, activation = case
    before = [array.copy() for array in (*coefs, *intercepts)]
    once = compact(coefs, intercepts, activation)
    for array, copy in zip((*coefs, *intercepts), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    twice = compact(once.coefs, once.intercepts, activation)
    for one, two in zip((*once.coefs, *once.intercepts), (*twice.coefs, *twice.intercepts), strict=True):
        np.testing.assert_array_equal(one, two)


@every_activation
def test_where_nothing_can_go_the_arrays_are_passed_through(activation):
    coefs, intercepts = random_network(np.random.default_rng(0), (5, 6, 4, 3))
    coefs[1][0, 0] = 0  # a weight alone frees no unit
    small = compact(coefs, intercepts, activation)
    for passed, got in zip((*coefs, *intercepts), (*small.coefs, *small.intercepts), strict=True):
        assert got is passed
    assert all(kept.all() for kept in small.kept_units)


def test_a_constant_unit_moves_into_the_next_bias():
    coefs = [np.array([[1.0, 0.0]]), np.array([[2.0], [3.0]])]
    small = compact(coefs, [np.array([0.0, 0.0]), np.array([10.0])], "logistic")
    np.testing.assert_array_equal(small.kept_units[0], [True, False])
    np.testing.assert_array_equal(small.coefs[1], [[2.0]])
    np.testing.assert_array_equal(small.intercepts[1], [10 + 0.5 * 3])


def test_constants_travel_through_several_layers():
    """A dead first layer makes the second one constant, and so on to the output."""
    coefs, intercepts = random_network(np.random.default_rng(0), (4, 5, 6, 3), np.float64)
    coefs[0][:] = 0
    small = compact(coefs, intercepts, "tanh")
    assert [coef.shape for coef in small.coefs] == [(4, 0), (0, 0), (0, 3)]
    np.testing.assert_allclose(small.intercepts[2], forward(coefs, intercepts, "tanh", np.ones((1, 4)))[0])


def test_units_that_only_unused_units_use_go_too():
    coefs = [np.ones((2, 3)), np.ones((3, 2)), np.ones((2, 2))]
    coefs[2][0] = 0  # unit 0 of the second layer is used by nobody ...
    coefs[1][1] = [1, 0]  # ... and unit 1 of the first by that one alone
    small = compact(coefs, [np.zeros(3), np.zeros(2), np.zeros(2)], "relu")
    np.testing.assert_array_equal(small.kept_units[0], [True, False, True])
    np.testing.assert_array_equal(small.kept_units[1], [False, True])


@every_activation
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9])
def test_sizes_shrink_by_the_units_pruned(activation, sparsity):
    sizes = (10, 20, 16, 4)
    coefs, intercepts = random_network(np.random.default_rng(0), sizes)
    masks, bias_masks, _ = Pruner(Choices(granularity="unit"), coefs).prune(sparsity)
    pruned = [np.where(mask, coef, 0) for mask, coef in zip(masks, coefs, strict=True)]
    biases = [np.where(mask, bias, 0) for mask, bias in zip(bias_masks, intercepts, strict=True)]
    small = compact(pruned, biases, activation)
    left = [10, *(width - round(sparsity * width) for width in (20, 16)), 4]
    assert [coef.shape for coef in small.coefs] == list(pairwise(left))
    for kept, mask in zip(small.kept_units, bias_masks, strict=False):
        np.testing.assert_array_equal(kept, mask)


# -- as predictions use it -------------------------------------------------------------------------------


@given(case=pruned_networks(dtypes=(np.float32,)), without_biases=st.booleans())
@QUICK
def test_predictions_use_the_small_network(case, without_biases):
    coefs, intercepts, activation = case
    sizes = (len(coefs[0]), *(coef.shape[1] for coef in coefs))
    if without_biases:
        intercepts = [np.zeros_like(bias) for bias in intercepts]
    parameters = coefs if without_biases else [*coefs, *intercepts]
    network = MLPNetwork(sizes, activation, fit_intercept=not without_biases)
    inputs = np.random.default_rng(0).normal(size=(6, sizes[0])).astype(np.float32)
    logits = Evaluator(inputs, torch.device("cpu"), "float32").logits(network, parameters)
    expected = forward(coefs, intercepts, activation, inputs)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_a_network_without_biases_gets_some_where_constants_need_them():
    coefs = [np.array([[1.0, 0.0]], dtype=np.float32), np.array([[2.0], [3.0]], dtype=np.float32)]
    network, parameters = compacted(MLPNetwork((1, 2, 1), "logistic", False), coefs)
    assert network.sizes == (1, 1, 1)
    assert network.fit_intercept
    np.testing.assert_array_equal(parameters[-1], [1.5])
    network, parameters = compacted(MLPNetwork((1, 2, 1), "relu", False), coefs)
    assert not network.fit_intercept
    assert len(parameters) == 2
