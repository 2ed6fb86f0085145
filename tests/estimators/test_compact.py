"""The physically smaller network: the same outputs, and nothing left that does not matter."""

from __future__ import annotations

from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prunelab.estimators.inference import Evaluator
from prunelab.estimators.networks.base import Group, Slice, TensorRecord
from prunelab.estimators.networks.mlp import MLPNetwork, name_tensors
from prunelab.estimators.pruning.allocation import Choices
from prunelab.estimators.pruning.compact import compact
from prunelab.estimators.pruning.groups import (
    along_inputs,
    along_units,
    clear_units,
    entries_of_units,
    has_entries,
    masks_of_units,
    owners,
    without_units,
)
from prunelab.estimators.pruning.pruner import Pruner

from .lists import listed
from .small_networks import FEED_FORWARD, NETWORKS, random_samples, random_tensors

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


class Small(NamedTuple):
    """A compact network with biases as lists, a layer each."""

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    kept_units: list[np.ndarray]


def as_network(coefs, intercepts, activation) -> MLPNetwork:
    sizes = (len(coefs[0]), *(coef.shape[1] for coef in coefs))
    return MLPNetwork(sizes, activation, fit_intercept=bool(intercepts))


def compacted(coefs, intercepts, activation) -> Small:
    network, tensors, kept = compact(as_network(coefs, intercepts, activation), name_tensors(coefs, intercepts))
    assert network == as_network(listed(tensors)[: len(coefs)], intercepts, activation)
    return Small(listed(tensors)[: len(coefs)], listed(tensors)[len(coefs) :], list(kept.values()))


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
    small = compacted(coefs, intercepts, activation)
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
    small = compacted(coefs, intercepts, activation)
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
    once = compacted(coefs, intercepts, activation)
    for array, copy in zip((*coefs, *intercepts), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    twice = compacted(once.coefs, once.intercepts, activation)
    for one, two in zip((*once.coefs, *once.intercepts), (*twice.coefs, *twice.intercepts), strict=True):
        np.testing.assert_array_equal(one, two)


@every_activation
def test_where_nothing_can_go_the_arrays_are_passed_through(activation):
    coefs, intercepts = random_network(np.random.default_rng(0), (5, 6, 4, 3))
    coefs[1][0, 0] = 0  # a weight alone frees no unit
    small = compacted(coefs, intercepts, activation)
    for passed, got in zip((*coefs, *intercepts), (*small.coefs, *small.intercepts), strict=True):
        assert got is passed
    assert all(kept.all() for kept in small.kept_units)


def test_a_constant_unit_moves_into_the_next_bias():
    coefs = [np.array([[1.0, 0.0]]), np.array([[2.0], [3.0]])]
    small = compacted(coefs, [np.array([0.0, 0.0]), np.array([10.0])], "logistic")
    np.testing.assert_array_equal(small.kept_units[0], [True, False])
    np.testing.assert_array_equal(small.coefs[1], [[2.0]])
    np.testing.assert_array_equal(small.intercepts[1], [10 + 0.5 * 3])


def test_constants_travel_through_several_layers():
    """A dead first layer makes the second one constant, and so on to the output."""
    coefs, intercepts = random_network(np.random.default_rng(0), (4, 5, 6, 3), np.float64)
    coefs[0][:] = 0
    small = compacted(coefs, intercepts, "tanh")
    assert [coef.shape for coef in small.coefs] == [(4, 0), (0, 0), (0, 3)]
    np.testing.assert_allclose(small.intercepts[2], forward(coefs, intercepts, "tanh", np.ones((1, 4)))[0])


def test_units_that_only_unused_units_use_go_too():
    coefs = [np.ones((2, 3)), np.ones((3, 2)), np.ones((2, 2))]
    coefs[2][0] = 0  # unit 0 of the second layer is not used ...
    coefs[1][1] = [1, 0]  # ... and unit 1 of the first by that one alone
    small = compacted(coefs, [np.zeros(3), np.zeros(2), np.zeros(2)], "relu")
    np.testing.assert_array_equal(small.kept_units[0], [True, False, True])
    np.testing.assert_array_equal(small.kept_units[1], [False, True])


@every_activation
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9])
def test_sizes_shrink_by_the_units_pruned(activation, sparsity):
    sizes = (10, 20, 16, 4)
    coefs, intercepts = random_network(np.random.default_rng(0), sizes)
    network = as_network(coefs, intercepts, activation)
    masks = Pruner(Choices(granularity="unit"), network, name_tensors(coefs, intercepts)).prune(sparsity).masks
    bias_masks = listed(masks)[3:]
    pruned = [np.where(mask, coef, 0) for mask, coef in zip(listed(masks)[:3], coefs, strict=True)]
    biases = [np.where(mask, bias, 0) for mask, bias in zip(bias_masks, intercepts, strict=True)]
    small = compacted(pruned, biases, activation)
    left = [10, *(width - round(sparsity * width) for width in (20, 16)), 4]
    assert [coef.shape for coef in small.coefs] == list(pairwise(left))
    for kept, mask in zip(small.kept_units, bias_masks, strict=False):
        np.testing.assert_array_equal(kept, mask)


# -- as predictions use it -------------------------------------------------------------------------------


@given(case=pruned_networks(dtypes=(np.float32,)), without_biases=st.booleans())
@QUICK
def test_predictions_use_the_small_network(case, without_biases):
    coefs, intercepts, activation = case
    if without_biases:
        intercepts = [np.zeros_like(bias) for bias in intercepts]
    biases = [] if without_biases else intercepts
    network, tensors = as_network(coefs, biases, activation), name_tensors(coefs, biases)
    inputs = np.random.default_rng(0).normal(size=(6, len(coefs[0]))).astype(np.float32)
    logits = Evaluator(inputs, torch.device("cpu"), "float32").logits(network, tensors)
    expected = forward(coefs, intercepts, activation, inputs)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))


def test_a_network_without_biases_gets_some_where_constants_need_them():
    """A logistic unit without inputs puts out a half; a relu nothing."""
    coefs = [np.array([[1.0, 0.0]], dtype=np.float32), np.array([[2.0], [3.0]], dtype=np.float32)]
    for activation, biases in (("logistic", {"hidden1.bias": [0], "output.bias": [1.5]}), ("relu", {})):
        network, tensors, kept = compact(MLPNetwork((1, 2, 1), activation, False), name_tensors(coefs))
        assert network == MLPNetwork((1, 1, 1), activation, bool(biases))
        np.testing.assert_array_equal(kept["hidden1"], [True, False])
        np.testing.assert_equal(tensors, {"hidden1.weight": [[1]], "output.weight": [[2]], **biases})
        assert all(array.dtype == np.float32 for array in tensors.values())


# -- every kind of network -------------------------------------------------------------------------------

every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
every_feed_forward = pytest.mark.parametrize("network", FEED_FORWARD.values(), ids=FEED_FORWARD)


def logits_of(network, tensors, inputs) -> np.ndarray:
    as_torch = {name: torch.from_numpy(array) for name, array in tensors.items()}
    return network.forward(as_torch, torch.from_numpy(inputs)).numpy()


def randomly_pruned(network, granularity, sparsity, seed):
    """Tensors with zeros, and which units of each hidden group were kept; weights of the output stay."""
    rng = np.random.default_rng(seed)
    tensors, hidden = random_tensors(network, seed), network.hidden_groups
    kept = {group.name: np.ones(group.size, dtype=bool) for group in hidden}
    if granularity == "unit":
        for units in kept.values():
            units[rng.permutation(len(units))[: round(sparsity * len(units))]] = False
        masks = masks_of_units(hidden, kept, network.records)
    else:
        masks = {name: np.ones(record.shape, dtype=bool) for name, record in network.records.items()}
        for record in network.weights:
            if not record.is_output:
                masks[record.name] = rng.random(record.shape) >= sparsity
    return {name: np.where(masks[name], tensor, 0) for name, tensor in tensors.items()}, kept


@every_network
@pytest.mark.parametrize("sparsity", [0, 0.33, 0.5, 0.9, 1])
@pytest.mark.parametrize("granularity", ["unit", "weight"])
def test_every_compact_network_has_the_same_logits(network, sparsity, granularity):
    for seed in range(5):
        tensors, kept = randomly_pruned(network, granularity, sparsity, seed)
        copies = {name: tensor.copy() for name, tensor in tensors.items()}
        inputs, _ = random_samples(network, 6, seed)
        small = compact(network, tensors)
        expected = logits_of(network, tensors, inputs)
        np.testing.assert_allclose(logits_of(small.network, small.tensors, inputs), expected, atol=1e-11)
        assert {name: tensor.shape for name, tensor in small.tensors.items()} == {
            name: record.shape for name, record in small.network.records.items()
        }
        assert {name: int(units.sum()) for name, units in small.kept.items()} == {
            group.name: group.size for group in small.network.hidden_groups
        }
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(tensor, copies[name])
        if granularity == "unit":  # the biases of removed units are gone: what stays is what the activation adds
            is_read = {g.name: [part.tensor for part in g.of_role("consumer")] for g in network.hidden_groups}
            through_zeros = [name for name, readers in is_read.items() if None in map(network.fold_target, readers)]
            may_stay = through_zeros if getattr(network, "activation", "relu") == "logistic" else []
            for name, units in kept.items():
                if name not in may_stay:
                    assert not (small.kept[name] & ~units).any()


def test_a_constant_channel_moves_into_the_next_running_mean():
    """What its filters add is measured by the normalisation that follows: with valid convolutions only."""
    network = NETWORKS["batch norm"]
    tensors = random_tensors(network, 0)
    tensors["conv1.weight"][1] = 0
    constant = tensors["conv1.shift"] - tensors["conv1.mean"] * tensors["conv1.scale"] / np.sqrt(
        tensors["conv1.variance"] + 1e-5
    )
    tensors["conv1.shift"][1] += 1 - constant[1]  # the channel is one everywhere
    small = compact(network, tensors)
    assert small.network.channels == (3, 6, 5)
    added = tensors["conv2.weight"][:, 1].sum(axis=(1, 2))
    np.testing.assert_allclose(small.tensors["conv2.mean"], tensors["conv2.mean"] - added)


def test_a_constant_channel_stays_where_zeros_around_the_maps_tell_it_from_a_bias():
    network = NETWORKS["same"]
    tensors = random_tensors(network, 0)
    tensors["conv1.weight"][1] = 0  # followed by a convolution
    tensors["conv2.weight"][2] = 0  # followed by a linear layer
    small = compact(network, tensors)
    assert small.network.channels == (4, 5)
    assert small.tensors["conv1.weight"] is tensors["conv1.weight"]
    assert (small.tensors["output.bias"] != tensors["output.bias"]).all()


# -- the entries of units ---------------------------------------------------------------------------------


class Slices(NamedTuple):
    """Two groups of units whose slices have blocks, neighbours and starts; two of them share a tensor."""

    groups: list[Group]
    records: dict[str, TensorRecord]
    arrays: dict[str, np.ndarray]


@st.composite
def groups_of_units(draw) -> Slices:
    """Tensors in which two groups own some of the positions along one or two axes."""
    counts = st.integers(0, 3)
    sizes = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    lengths: dict[tuple[str, int], int] = {}
    slices: list[list[Slice]] = [[], []]

    def add(group, tensor, axis, role):
        """Put a slice after those of the axis, and leave some positions without a group."""
        start = lengths.get((tensor, axis), 0) + draw(counts)
        part = Slice(tensor, axis, role, draw(st.integers(1, 3)), draw(st.integers(1, 3)), start)
        slices[group].append(part)
        lengths[tensor, axis] = start + part.blocks * sizes[group] * part.inner + draw(counts)

    n_dims = {"a": draw(st.integers(1, 4)), "b": draw(st.integers(2, 4)), "c": 1}
    a, first, second = draw(st.integers(0, n_dims["a"] - 1)), *draw(st.permutations(range(n_dims["b"])))[:2]
    add(0, "a", a, "producer")
    add(0, "b", first, "producer")  # a cell has several tensors of weights
    add(0, "c", 0, "rider")
    add(0, "b", second, "consumer")  # and its outputs are among its inputs
    add(1, "b", second, "consumer")  # concatenated with the first group
    add(1, "a", a, "producer")
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shapes = {
        name: tuple(lengths.get((name, axis), draw(st.integers(1, 3))) for axis in range(n))
        for name, n in n_dims.items()
    }
    records = {name: TensorRecord(name, shape) for name, shape in shapes.items()}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    groups = [Group(f"group{i}", sizes[i], tuple(slices[i])) for i in range(2)]
    return Slices(groups, records, arrays)


def positions_of(part: Slice, size: int, unit: int) -> list[int]:
    """As in the docstring of `Slice`."""
    return [
        part.start + block * size * part.inner + unit * part.inner + neighbour
        for block, neighbour in product(range(part.blocks), range(part.inner))
    ]


def entries_of(part: Slice, size: int, unit: int, array: np.ndarray) -> np.ndarray:
    """What a unit owns of a tensor, in any order of the other axes."""
    return np.take(array, positions_of(part, size, unit), axis=part.axis).ravel()


def random_kept(groups, seed) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {group.name: rng.random(group.size) < 0.6 for group in groups}


@given(case=groups_of_units())
@QUICK
def test_every_position_has_the_owner_that_the_slice_says(case):
    for group in case.groups:
        for part in group.slices:
            expected = np.full(case.records[part.tensor].shape[part.axis], -1)
            for unit in range(group.size):
                expected[positions_of(part, group.size, unit)] = unit
            np.testing.assert_array_equal(owners(part, group.size, len(expected)), expected)


@given(case=groups_of_units(), role=st.sampled_from(["producer", "consumer"]), in_torch=st.booleans())
@QUICK
def test_each_unit_has_its_own_entries(case, role, in_torch):
    group = case.groups[0]
    arrays = {name: torch.from_numpy(array) if in_torch else array for name, array in case.arrays.items()}
    found = entries_of_units(group, arrays, role)
    assert isinstance(found, torch.Tensor if in_torch else np.ndarray)
    parts = [part for part in group.slices if part.role == role]
    for unit in range(group.size):
        expected = [entries_of(part, group.size, unit, case.arrays[part.tensor]) for part in parts]
        np.testing.assert_array_equal(np.sort(found[:, unit]), np.sort(np.concatenate(expected)))
    assert found.shape[1] == group.size


@given(case=groups_of_units(), seed=st.integers(0, 99))
@QUICK
def test_only_removed_units_lose_their_entries_and_they_lose_all(case, seed):
    kept = random_kept(case.groups, seed)
    expected = {name: np.ones(record.shape, dtype=bool) for name, record in case.records.items()}
    smaller = dict(case.arrays)
    gone: dict[tuple[str, int], list[int]] = {}
    for group in case.groups:
        for part, unit in product(group.slices, np.flatnonzero(~kept[group.name])):
            positions = positions_of(part, group.size, unit)
            expected[part.tensor][(slice(None),) * part.axis + (positions,)] = False
            gone.setdefault((part.tensor, part.axis), []).extend(positions)
    for (name, axis), positions in gone.items():
        smaller[name] = np.delete(smaller[name], positions, axis=axis)
    masks = masks_of_units(case.groups, kept, case.records)
    found = without_units(case.groups, kept, case.records, case.arrays)
    assert masks.keys() == found.keys() == case.arrays.keys()
    for name, array in case.arrays.items():
        np.testing.assert_array_equal(masks[name], expected[name])
        np.testing.assert_array_equal(found[name], smaller[name])
        assert array.shape == case.records[name].shape


@given(case=groups_of_units(), seed=st.integers(0, 99), role=st.sampled_from(["producer", "rider", "consumer"]))
@QUICK
def test_marking_entries_of_units_and_finding_units_with_entries(case, seed, role):
    group = case.groups[0]
    units = ~random_kept(case.groups, seed)[group.name]
    rng = np.random.default_rng(seed)
    there = {name: rng.random(record.shape) < 0.2 for name, record in case.records.items()}
    expected = {name: mask.copy() for name, mask in there.items()}
    for part, unit in product(group.of_role(role), np.flatnonzero(units)):
        positions = positions_of(part, group.size, unit)
        expected[part.tensor][(slice(None),) * part.axis + (positions,)] = False
    clear_units(group, there, units, role)
    for name, mask in there.items():
        np.testing.assert_array_equal(mask, expected[name])
    has = [
        any(entries_of(part, group.size, unit, there[part.tensor]).any() for part in group.of_role(role))
        for unit in range(group.size)
    ]
    np.testing.assert_array_equal(has_entries(group, there, role), has)
    assert not has_entries(group, there, role)[units].any()


@given(case=groups_of_units(), default=st.sampled_from([1.0, 7.0]), in_torch=st.booleans())
@QUICK
def test_a_figure_of_each_unit_reaches_all_its_entries(case, default, in_torch):
    for group in case.groups:
        figures = np.arange(group.size) + 10.0
        for part in group.slices:
            array = case.arrays[part.tensor]
            expected = np.full(array.shape, default)
            for unit, figure in enumerate(figures):
                expected[(slice(None),) * part.axis + (positions_of(part, group.size, unit),)] = figure
            spread = along_units(group, part, torch.from_numpy(figures) if in_torch else figures, array.shape, default)
            assert spread.ndim == array.ndim
            np.testing.assert_array_equal(np.broadcast_to(np.asarray(spread), array.shape), expected)
        np.testing.assert_array_equal(figures, np.arange(group.size) + 10.0)


@every_network
def test_a_figure_of_each_input_meets_the_weights_that_read_it(network):
    """The inputs of a layer are in the order of the entries of its units."""
    for record in network.weights:
        weights, figures = np.random.default_rng(0).normal(size=record.shape), np.arange(record.fan_in) + 1.0
        found = weights * along_inputs(figures, record)
        for unit in range(record.shape[record.output_axis]):
            own = np.take(weights, unit, axis=record.output_axis).ravel() * figures
            np.testing.assert_array_equal(np.take(found, unit, axis=record.output_axis).ravel(), own)


@every_feed_forward
def test_groups_own_the_axes_of_their_layers(network):
    """Every weight belongs to one unit as an input, and those behind the first layer to one as an output."""
    for record in network.records.values():
        is_weight, is_first = record.kind == "weight", record is network.weights[0]
        axes = {"producer": record.output_axis, "consumer": record.input_axis} if is_weight else {"rider": 0}
        for role, axis in axes.items():
            parts = [(g, p) for g in network.groups.values() for p in g.of_role(role) if p.tensor == record.name]
            assert all(part.axis == axis for _, part in parts)
            found = [owners(part, group.size, record.shape[axis]) for group, part in parts]
            n_owners = sum((owner >= 0).astype(int) for owner in found)
            assert np.all(n_owners == (0 if role == "consumer" and is_first else 1))
            for (group, _), owner in zip(parts, found, strict=True):
                assert sorted(set(owner[owner >= 0])) == list(range(group.size))
