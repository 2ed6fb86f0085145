"""What is removed: against plain reference rankings, and against torch's own pruning functions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from prunelab.estimators.networks.mlp import MLPNetwork, name_tensors
from prunelab.estimators.pruning.allocation import Choices
from prunelab.estimators.pruning.criteria import Model, unit_scores, weight_scores
from prunelab.estimators.pruning.groups import masks_of_units
from prunelab.estimators.pruning.masks import RemovalOrder, output_sparsity
from prunelab.estimators.pruning.pruner import Pruner
from torch.nn.utils import prune as torch_prune

from .lists import listed
from .small_networks import CNNS, random_tensors

QUICK = settings(max_examples=80, deadline=None)
SPARSITIES = (0.0, 0.1, 0.25, 0.5, 0.77, 0.9, 1.0)


def random_coefs(sizes=(7, 9, 6, 4), seed=0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in pairwise(sizes)]


def with_biases(coefs) -> tuple[MLPNetwork, dict[str, np.ndarray]]:
    """A network of these weights with biases, and its tensors."""
    sizes = (len(coefs[0]), *(coef.shape[1] for coef in coefs))
    biases = [np.ones(width, dtype=np.float32) for width in sizes[1:]]
    return MLPNetwork(sizes, fit_intercept=True), name_tensors(coefs, biases)


def model_of(coefs) -> Model:
    return Model(*with_biases(coefs))


class Masks(NamedTuple):
    """What a pruning left, as lists with an array for each layer, and by the names of the tensors."""

    masks: list[np.ndarray]
    bias_masks: list[np.ndarray]
    achieved_sparsity: float
    by_name: dict[str, np.ndarray]


class ListPruner:
    """Prunes weights in lists; `before` are masks by name."""

    def __init__(self, choices, coefs, before=None, seed=0):
        self._pruner = Pruner(choices, *with_biases(coefs), before, seed=seed)

    def prune(self, sparsity) -> Masks:
        masks, achieved, _ = self._pruner.prune(sparsity)
        arrays = listed(masks)
        return Masks(arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :], achieved, masks)


def reference_masks(scores, sparsity, scope="layer", order="smallest", kept=None) -> list[np.ndarray]:
    """Remove the first round(sparsity * n) of a stable sort, in float64."""
    keys = [np.asarray(array, dtype=np.float64).ravel() * (-1 if order == "largest" else 1) for array in scores]
    if kept is not None:
        keys = [np.where(mask.ravel(), key, -np.inf) for mask, key in zip(kept, keys, strict=True)]
    groups = [np.concatenate(keys)] if scope == "global" else keys
    removed = [np.argsort(group, kind="stable")[: round(sparsity * len(group))] for group in groups]
    flat = [np.isin(np.arange(len(group)), gone, invert=True) for group, gone in zip(groups, removed, strict=True)]
    flat = np.split(np.concatenate(flat), np.cumsum([key.size for key in keys])[:-1])
    return [mask.reshape(array.shape) for mask, array in zip(flat, scores, strict=True)]


def reference_weight_masks(coefs, kept_units) -> list[np.ndarray]:
    """Entry by entry: a weight stays if the units on both its ends do."""
    masks = [np.ones(coef.shape, dtype=bool) for coef in coefs]
    for layer, kept in enumerate(kept_units):
        for unit in np.flatnonzero(~kept):
            masks[layer][:, unit] = False
            if layer + 1 < len(coefs):
                masks[layer + 1][unit, :] = False
    return masks


def assert_same_masks(actual, expected):
    assert len(actual) == len(expected)
    for mask, wanted in zip(actual, expected, strict=True):
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(mask, wanted)


@st.composite
def tied_scores(draw) -> list[np.ndarray]:
    """Some layers, most of them full of ties; all-zero, constant and single-element layers among them."""
    levels = st.sampled_from([0.0, 0.5, 0.5, 1.0, 2.0])
    shapes = draw(st.lists(hnp.array_shapes(min_dims=1, max_dims=2, max_side=6), min_size=1, max_size=4))
    return [draw(hnp.arrays(np.float32, shape, elements=levels)) for shape in shapes]


# -- ranking ---------------------------------------------------------------------------------------------


@given(
    scores=tied_scores(),
    sparsity=st.floats(0, 1) | st.sampled_from(SPARSITIES),
    scope=st.sampled_from(["layer", "global"]),
    order=st.sampled_from(["smallest", "largest"]),
    data=st.data(),
)
@QUICK
def test_masks_are_those_of_a_stable_sort(scores, sparsity, scope, order, data):
    kept = None
    if data.draw(st.booleans()):
        kept = [data.draw(hnp.arrays(np.bool_, array.shape)) for array in scores]
    ranked = RemovalOrder(scores, scope, order, kept)
    for _ in range(3):  # the first masks come from a partition, the others from a sort
        assert_same_masks(ranked.masks(sparsity), reference_masks(scores, sparsity, scope, order, kept))
    assert ranked.n_total == sum(array.size for array in scores)


@given(scores=tied_scores(), sparsity=st.floats(0, 1), scope=st.sampled_from(["layer", "global"]))
@QUICK
def test_the_count_is_exact_however_many_scores_are_equal(scores, sparsity, scope):
    masks = RemovalOrder(scores, scope).masks(sparsity)
    groups = [np.concatenate([mask.ravel() for mask in masks])] if scope == "global" else masks
    for group in groups:
        assert np.count_nonzero(~group) == round(sparsity * group.size)


@given(
    scores=tied_scores(),
    sparsities=st.lists(st.floats(0, 1), min_size=2, max_size=5).map(sorted),
    scope=st.sampled_from(["layer", "global"]),
    order=st.sampled_from(["smallest", "largest"]),
)
@QUICK
def test_what_is_removed_stays_removed_at_higher_sparsities(scores, sparsities, scope, order):
    ranked = RemovalOrder(scores, scope, order)
    path = [ranked.masks(sparsity) for sparsity in sparsities]
    for lower, higher in pairwise(path):
        for before, after in zip(lower, higher, strict=True):
            assert not (after & ~before).any()


@pytest.mark.parametrize("value", [0.0, 3.5])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("order", ["smallest", "largest"])
def test_constant_layers_lose_their_first_entries(value, scope, order):
    masks = RemovalOrder([np.full((4, 5), value, dtype=np.float32)], scope, order).masks(0.35)
    np.testing.assert_array_equal(masks[0].ravel(), np.arange(20) >= 7)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("order", ["smallest", "largest"])
def test_nothing_and_everything(scope, order):
    ranked = RemovalOrder(random_coefs(), scope, order)
    assert all(mask.all() for mask in ranked.masks(0.0))
    assert not any(mask.any() for mask in ranked.masks(1.0))


@pytest.mark.parametrize(("sparsity", "kept"), [(0.0, True), (0.49, True), (0.51, False), (1.0, False)])
def test_a_layer_of_a_single_element(sparsity, kept):
    assert RemovalOrder([np.ones((1, 1), dtype=np.float32)]).masks(sparsity)[0].item() is kept


def test_the_largest_first_is_the_mirror_of_the_smallest_first():
    scores = [np.abs(coef) for coef in random_coefs()]
    mirrored = [10 - array for array in scores]
    for sparsity in SPARSITIES:
        largest = RemovalOrder(scores, "layer", "largest").masks(sparsity)
        assert_same_masks(largest, RemovalOrder(mirrored, "layer", "smallest").masks(sparsity))
    smallest_removed = ~RemovalOrder(scores).masks(0.5)[0]
    largest_removed = ~RemovalOrder(scores, order="largest").masks(0.5)[0]
    assert scores[0][smallest_removed].max() < scores[0][largest_removed].max()
    assert scores[0][largest_removed].min() > scores[0][smallest_removed].min()


def test_global_scope_counts_across_the_layers_and_may_empty_one():
    small, large = np.full((3, 4), 0.1, dtype=np.float32), np.full((5, 4), 7.0, dtype=np.float32)
    masks = RemovalOrder([large, small], "global").masks(0.5)
    assert [np.count_nonzero(~mask) for mask in masks] == [4, 12]


@given(scores=tied_scores(), sparsity=st.floats(0, 1), data=st.data())
@QUICK
def test_what_was_removed_before_goes_first(scores, sparsity, data):
    kept = [data.draw(hnp.arrays(np.bool_, array.shape)) for array in scores]
    masks = RemovalOrder(scores, kept=kept).masks(sparsity)
    for mask, before in zip(masks, kept, strict=True):
        n_gone, n_before = np.count_nonzero(~mask), np.count_nonzero(~before)
        assert np.count_nonzero(~mask & ~before) == min(n_gone, n_before)


def test_the_order_does_not_change_the_scores_and_repeats_itself():
    scores = random_coefs()
    copies = [array.copy() for array in scores]
    ranked = RemovalOrder(scores, "global", "largest")
    first = ranked.masks(0.4)
    ranked.masks(0.9)
    assert_same_masks(ranked.masks(0.4), first)
    assert_same_masks(RemovalOrder(scores, "global", "largest").masks(0.4), first)
    for array, copy in zip(scores, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_weights_that_are_not_numbers_are_refused(granularity, scope):
    coefs = random_coefs()
    coefs[1][0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        ListPruner(Choices(granularity=granularity, scope=scope), coefs)


# -- against torch ---------------------------------------------------------------------------------------


def linear_layers(coefs) -> list[torch.nn.Linear]:
    layers = [torch.nn.Linear(*coef.shape, bias=False) for coef in coefs]
    for layer, coef in zip(layers, coefs, strict=True):
        layer.weight.data = torch.tensor(coef.T.copy())
    return layers


def torch_masks(layers) -> list[np.ndarray]:
    return [layer.weight_mask.numpy().astype(bool).T for layer in layers]


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_weights_as_torch_l1_unstructured(sparsity):
    coefs = random_coefs()
    layers = linear_layers(coefs)
    for layer in layers:
        torch_prune.l1_unstructured(layer, "weight", amount=sparsity)
    pruned = ListPruner(Choices(prune_output=True), coefs).prune(sparsity)
    assert_same_masks(pruned.masks, torch_masks(layers))


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_weights_as_torch_global_unstructured(sparsity):
    coefs = random_coefs()
    layers = linear_layers(coefs)
    parameters = [(layer, "weight") for layer in layers]
    torch_prune.global_unstructured(parameters, torch_prune.L1Unstructured, amount=sparsity)
    pruned = ListPruner(Choices(scope="global", prune_output=True), coefs).prune(sparsity)
    assert_same_masks(pruned.masks, torch_masks(layers))


@pytest.mark.parametrize("norm", [1, 2, np.inf])
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_units_as_torch_ln_structured(norm, sparsity):
    coefs = random_coefs()
    layers = linear_layers(coefs)
    for layer in layers:
        torch_prune.ln_structured(layer, "weight", amount=sparsity, n=norm, dim=0)
    kept_units = [mask.any(axis=0) for mask in torch_masks(layers)]
    pruned = ListPruner(Choices(granularity="unit", norm=norm, prune_output=True), coefs).prune(sparsity)
    assert_same_masks(pruned.bias_masks, kept_units)
    assert_same_masks(pruned.masks, reference_weight_masks(coefs, kept_units))


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_weights_into_each_unit_ranked_by_themselves_as_torch_prunes_each_row(sparsity):
    coefs = random_coefs()
    pruned = ListPruner(Choices(per_output=True, prune_output=True), coefs).prune(sparsity)
    for coef, mask in zip(coefs, pruned.masks, strict=True):
        for weights, kept in zip(coef.T, mask.T, strict=True):
            row = torch.nn.Linear(len(weights), 1, bias=False)
            row.weight.data = torch.tensor(weights[None].copy())
            torch_prune.l1_unstructured(row, "weight", amount=sparsity)
            np.testing.assert_array_equal(kept, row.weight_mask.numpy().astype(bool)[0])


@st.composite
def scores_of_units(draw) -> tuple[list[np.ndarray], list[int]]:
    """Scores of the weights of some layers, linear and convolutional, and the axis of the units of each."""
    levels = st.sampled_from([0.0, 0.5, 1.0])
    scores, axes = [], []
    for _ in range(draw(st.integers(1, 3))):
        kernel = (2, 3) if draw(st.booleans()) else ()
        shape = draw(st.integers(1, 6)), draw(st.integers(1, 5)), *kernel
        scores.append(draw(hnp.arrays(np.float32, shape, elements=levels)))
        axes.append(draw(st.integers(0, 1)))
    return scores, axes


@given(
    scores_and_axes=scores_of_units(),
    sparsities=st.lists(st.floats(0, 1), min_size=2, max_size=4).map(sorted),
    output=st.sampled_from([True, "half"]),
    order=st.sampled_from(["smallest", "largest"]),
)
@QUICK
def test_each_unit_loses_exactly_its_part_and_masks_are_nested(scores_and_axes, sparsities, output, order):
    scores, axes = scores_and_axes
    ranked = RemovalOrder(scores, order=order, output=output, output_axes=axes)
    path = [ranked.masks(sparsity) for sparsity in sparsities]
    for sparsity, masks in zip(sparsities, path, strict=True):
        for layer, (mask, axis) in enumerate(zip(masks, axes, strict=True)):
            is_half = output == "half" and layer == len(masks) - 1
            share = output_sparsity(sparsity) if is_half else sparsity
            assert mask.shape == scores[layer].shape
            for unit in np.moveaxis(mask, axis, 0):
                assert (~unit).sum() == round(share * unit.size)
    for lower, higher in pairwise(path):
        assert not any((after & ~before).any() for before, after in zip(lower, higher, strict=True))


@given(scores_and_axes=scores_of_units(), sparsity=st.floats(0, 1), order=st.sampled_from(["smallest", "largest"]))
@QUICK
def test_the_weights_of_each_unit_are_ranked_as_a_layer_of_their_own(scores_and_axes, sparsity, order):
    scores, axes = scores_and_axes
    masks = RemovalOrder(scores, order=order, output_axes=axes).masks(sparsity)
    for array, mask, axis in zip(scores, masks, axes, strict=True):
        units = list(np.moveaxis(array, axis, 0))
        assert_same_masks(list(np.moveaxis(mask, axis, 0)), reference_masks(units, sparsity, order=order))


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("network", CNNS.values(), ids=CNNS)
def test_weights_and_filters_of_convolutional_networks_as_torch(network, sparsity):
    tensors = random_tensors(network, 0)
    hidden = [record for record in network.weights if not record.is_output]

    def layers_of(records):
        layers = {}
        for record in records:
            weight = torch.from_numpy(tensors[record.name])
            layers[record.name] = torch.nn.Module()
            layers[record.name].weight = torch.nn.Parameter(weight.movedim(record.output_axis, 0).contiguous())
        return layers

    def masks_of(layers):
        axes = {record.name: record.output_axis for record in network.weights}
        return {name: layer.weight_mask.movedim(0, axes[name]).numpy() for name, layer in layers.items()}

    by_layer, by_filter = layers_of(hidden), layers_of(hidden)
    for layer, filters in zip(by_layer.values(), by_filter.values(), strict=True):
        torch_prune.l1_unstructured(layer, "weight", amount=sparsity)
        torch_prune.ln_structured(filters, "weight", amount=sparsity, n=2, dim=0)
    overall = layers_of(hidden)
    pairs = [(layer, "weight") for layer in overall.values()]
    torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=sparsity)
    for choices, layers in ((Choices(), by_layer), (Choices(scope="global"), overall)):
        masks = Pruner(choices, network, tensors).prune(sparsity).masks
        for name, expected in masks_of(layers).items():
            np.testing.assert_array_equal(masks[name], expected)
        assert all(mask.all() for name, mask in masks.items() if name not in layers)
    units = Pruner(Choices(granularity="unit"), network, tensors).prune(sparsity).units
    for record, group, mask in zip(hidden, network.hidden_groups, masks_of(by_filter).values(), strict=True):
        other = tuple(axis for axis in range(mask.ndim) if axis != record.output_axis)
        np.testing.assert_array_equal(units[group.name], mask.any(axis=other))


# -- criteria --------------------------------------------------------------------------------------------


def test_the_magnitude_of_a_weight_is_its_absolute_value():
    coefs = random_coefs()
    for scores, coef in zip(weight_scores("magnitude", model_of(coefs)).values(), coefs, strict=True):
        np.testing.assert_array_equal(scores, np.abs(coef))


@pytest.mark.parametrize("norm", [1, 2, np.inf])
def test_the_magnitude_of_a_unit_is_the_norm_of_its_incoming_weights(norm):
    coefs = random_coefs()
    by_hand = {
        1: lambda column: sum(abs(w) for w in column),
        2: lambda column: sum(w * w for w in column) ** 0.5,
        np.inf: lambda column: max(abs(w) for w in column),
    }[norm]
    for scores, coef in zip(unit_scores("magnitude", model_of(coefs), norm).values(), coefs, strict=True):
        np.testing.assert_allclose(scores, [by_hand(column.tolist()) for column in coef.T], rtol=1e-5)


def test_the_norms_rank_differently():
    coefs = [np.array([[3.0, 2.0, 2.5], [0.0, 2.0, 1.0]]), np.ones((3, 2))]
    first_gone = {}
    for norm in (1, 2, np.inf):
        pruned = ListPruner(Choices(granularity="unit", norm=norm), coefs).prune(1 / 3)
        first_gone[norm] = np.flatnonzero(~pruned.bias_masks[0])[0]
    assert first_gone == {1: 0, 2: 2, np.inf: 1}  # sums 3, 4, 3.5; squares 9, 8, 7.25; largest 3, 2, 2.5


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_random_pruning_is_a_function_of_the_seed_alone(granularity):
    choices = Choices("random", granularity)

    def masks(seed, coefs):
        return ListPruner(choices, coefs, seed=seed).prune(0.5).masks

    assert_same_masks(masks(3, random_coefs(seed=0)), masks(3, random_coefs(seed=1)))
    different = zip(masks(3, random_coefs()), masks(4, random_coefs()), strict=True)
    assert any((one != other).any() for one, other in different)


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_random_pruning_takes_as_much_of_a_layer_with_many_inputs(granularity):
    coefs = random_coefs((300, 10, 300, 2))
    choices = Choices("random", granularity, scope="global")
    removed = np.zeros(2)
    for seed in range(200):
        pruned = ListPruner(choices, coefs, seed=seed).prune(0.5)
        kept = pruned.bias_masks if granularity == "unit" else pruned.masks
        removed += [1 - kept[layer].mean() for layer in range(2)]
    np.testing.assert_allclose(removed / 200, 0.5, atol=0.06)  # five standard errors of the narrow layer


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_random_pruning_spares_no_place(granularity):
    coefs = random_coefs((4, 5, 3))
    choices = Choices("random", granularity)
    kept = np.mean([ListPruner(choices, coefs, seed=seed).prune(0.4).masks[0] for seed in range(300)], axis=0)
    np.testing.assert_allclose(kept, 0.6, atol=0.15)


# -- whole networks --------------------------------------------------------------------------------------

COMBINATIONS = list(
    product(
        ["magnitude", "random"],
        ["weight", "unit"],
        ["layer", "global"],
        [1, 2, np.inf],
        ["smallest", "largest"],
        [False, True],
    )
)


@pytest.mark.parametrize(("criterion", "granularity", "scope", "norm", "order", "prune_output"), COMBINATIONS)
def test_every_combination_removes_exactly_what_it_should(criterion, granularity, scope, norm, order, prune_output):
    coefs = random_coefs()
    pruner = ListPruner(Choices(criterion, granularity, scope, norm, order, prune_output), coefs, seed=5)
    n_prunable = len(coefs) if prune_output else len(coefs) - 1
    for sparsity in SPARSITIES:
        masks, bias_masks, achieved, _ = pruner.prune(sparsity)
        entries = bias_masks if granularity == "unit" else masks
        groups = [entry.ravel() for entry in entries[:n_prunable]]
        groups = [np.concatenate(groups)] if scope == "global" else groups
        wanted = [round(sparsity * group.size) for group in groups]
        assert [np.count_nonzero(~group) for group in groups] == wanted
        assert achieved == pytest.approx(sum(wanted) / sum(group.size for group in groups), abs=1e-12)
        assert all(entry.all() for entry in entries[n_prunable:])
        if granularity == "unit":
            assert_same_masks(masks, reference_weight_masks(coefs, bias_masks))
        else:
            assert all(mask.all() for mask in bias_masks)
        if criterion == "magnitude":
            weights = [np.abs(coef.astype(np.float64)) for coef in coefs[:n_prunable]]
            units = [np.linalg.norm(scores, ord=norm, axis=0) for scores in weights]
            if scope == "global":
                units = [scores / scores.mean() for scores in units]
            scores = units if granularity == "unit" else weights
            assert_same_masks(entries[:n_prunable], reference_masks(scores, sparsity, scope, order))


def test_a_removed_unit_loses_what_comes_in_and_what_goes_out():
    kept = [np.array([True, False, True]), np.array([False, True])]
    network = MLPNetwork((2, 3, 2, 2), fit_intercept=True)
    by_group = dict(zip(("hidden1", "hidden2"), kept, strict=True))
    masks = listed(masks_of_units(network.groups.values(), by_group, network.records))
    np.testing.assert_array_equal(masks[0], [[1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(masks[1], [[0, 1], [0, 0], [0, 1]])
    np.testing.assert_array_equal(masks[2], [[0, 0], [1, 1]])
    assert_same_masks(masks[3:], [*kept, np.array([True, True])])


@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("prune_output", [False, True, "half"])
def test_networks_without_biases_lose_the_same_weights(granularity, prune_output):
    choices = Choices(granularity=granularity, prune_output=prune_output)
    network, tensors = MLPNetwork((7, 9, 6, 4)), name_tensors(random_coefs())
    for sparsity in SPARSITIES:
        expected = ListPruner(choices, random_coefs()).prune(sparsity)
        pruned = Pruner(choices, network, tensors).prune(sparsity)
        assert pruned.masks.keys() == tensors.keys()
        assert_same_masks(listed(pruned.masks), expected.masks)
        assert pruned.achieved_sparsity == expected.achieved_sparsity
        n_groups = 3 if prune_output else 2
        assert len(pruned.units) == (n_groups if granularity == "unit" else 0)
        for units, bias_mask in zip(pruned.units.values(), expected.bias_masks, strict=False):
            np.testing.assert_array_equal(units, bias_mask)


def test_units_are_scored_by_the_trained_weights_of_all_their_inputs():
    """The units of a layer are ranked before the layer below loses anything."""
    coefs = [np.array([[1.0, 9.0]]), np.array([[9.0, 1.0], [1.0, 2.0]]), np.ones((2, 2))]
    pruned = ListPruner(Choices(granularity="unit"), coefs).prune(0.5)
    np.testing.assert_array_equal(pruned.bias_masks[0], [False, True])
    np.testing.assert_array_equal(pruned.bias_masks[1], [True, False])


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_a_network_without_hidden_layers_has_nothing_to_prune_but_its_output(granularity, scope, sparsity):
    coefs = random_coefs((5, 4))
    choices = Choices(granularity=granularity, scope=scope)
    masks, _, achieved, _ = ListPruner(choices, coefs).prune(sparsity)
    assert masks[0].all()
    assert achieved == 0.0
    masks, _, achieved, _ = ListPruner(replace(choices, prune_output=True), coefs).prune(sparsity)
    assert achieved == sparsity == 1 - masks[0].mean()


# -- pruning what has been pruned ------------------------------------------------------------------------


@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("order", ["smallest", "largest"])
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_pruning_further_keeps_what_was_removed(criterion, granularity, scope, order):
    choices = Choices(criterion, granularity, scope, order=order)
    before = ListPruner(choices, random_coefs(seed=0), seed=1).prune(0.4)
    retrained = random_coefs(seed=9)  # what was removed would now score differently
    after = ListPruner(choices, retrained, before.by_name, seed=2).prune(0.7)
    for earlier, later in zip(before.masks, after.masks, strict=True):
        assert not (later & ~earlier).any()
    entries = (after.bias_masks if granularity == "unit" else after.masks)[:-1]
    gone = [np.count_nonzero(~entry) for entry in entries]
    assert after.achieved_sparsity == pytest.approx(sum(gone) / sum(entry.size for entry in entries))
    if scope == "layer":
        assert gone == [round(0.7 * entry.size) for entry in entries]
    else:
        assert sum(gone) == round(0.7 * sum(entry.size for entry in entries))


@pytest.mark.parametrize("granularities", [("weight", "unit"), ("unit", "weight")], ids=str)
def test_what_was_removed_in_another_way_stays_removed(granularities):
    first, second = (Choices(granularity=granularity) for granularity in granularities)
    before = ListPruner(first, random_coefs()).prune(0.5)
    after = ListPruner(second, random_coefs(seed=1), before.by_name).prune(0.5)
    for earlier, later in zip(before.masks, after.masks, strict=True):
        assert not (later & ~earlier).any()


def test_a_lower_sparsity_brings_nothing_back_and_says_what_is_gone():
    before = ListPruner(Choices(), random_coefs()).prune(0.5)
    after = ListPruner(Choices(), random_coefs(seed=1), before.by_name).prune(0.2)
    assert_same_masks(after.masks, before.masks)
    assert after.achieved_sparsity == pytest.approx(before.achieved_sparsity)


@pytest.mark.parametrize("is_known", [False, True], ids=["masks of weights alone", "all masks"])
def test_the_biases_of_units_removed_before_stay_removed(is_known):
    before = ListPruner(Choices(granularity="unit"), random_coefs()).prune(0.5)
    biases = before.bias_masks if is_known else [np.ones_like(mask) for mask in before.bias_masks]
    masks = name_tensors(before.masks, biases)
    after = ListPruner(Choices(granularity="unit"), random_coefs(seed=1), masks).prune(0.2)
    assert_same_masks(after.bias_masks, before.bias_masks)


def test_the_achieved_sparsity_of_a_tenth_is_a_tenth():
    assert ListPruner(Choices(), random_coefs((10, 10, 2))).prune(0.1).achieved_sparsity == 0.1


# -- the output layer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rounds", [3, 7, 9, 12, 15, 18])
def test_the_output_layer_at_half_the_rate_gives_the_densities_of_the_tickets(n_rounds):
    """(265200 * 0.8^n + 1000 * 0.9^n) / 266200 of LeNet-300-100 is left after n rounds (Frankle and Carbin 2019)."""
    coefs = random_coefs((784, 300, 100, 10))
    pruned = ListPruner(Choices(prune_output="half"), coefs).prune(1 - 0.8**n_rounds)
    left = [int(mask.sum()) for mask in pruned.masks]
    assert left == [round(235200 * 0.8**n_rounds), round(30000 * 0.8**n_rounds), round(1000 * 0.9**n_rounds)]
    assert sum(left) / 266200 == pytest.approx((265200 * 0.8**n_rounds + 1000 * 0.9**n_rounds) / 266200, abs=1e-5)
    assert pruned.achieved_sparsity == (266200 - sum(left)) / 266200


@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("order", ["smallest", "largest"])
def test_the_output_layer_is_ranked_apart_at_half_the_rate_also_globally(granularity, order):
    coefs = random_coefs()
    for sparsity in SPARSITIES:
        choices = Choices(granularity=granularity, scope="global", order=order, prune_output="half")
        masks = ListPruner(choices, coefs).prune(sparsity)
        of_hidden = ListPruner(Choices(granularity=granularity, scope="global", order=order), coefs).prune(sparsity)
        of_output = ListPruner(Choices(granularity=granularity, order=order, prune_output=True), coefs).prune(
            [0.0, 0.0, output_sparsity(sparsity)]
        )
        expected = [a & b for a, b in zip(of_hidden.masks, of_output.masks, strict=True)]
        assert_same_masks(masks.masks, expected)


def test_half_the_rate_ends_where_the_whole_rate_does():
    assert output_sparsity(0.0) == 0.0
    assert output_sparsity(1.0) == 1.0
    assert output_sparsity(0.2) == pytest.approx(0.1)
    assert ListPruner(Choices(prune_output="half"), random_coefs()).prune(1.0).achieved_sparsity == 1.0
