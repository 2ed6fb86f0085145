"""How much each layer loses: sparsities by layer, shares by Erdos-Renyi, layers left alone, and least widths."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prunelab.estimators.networks.cnn import CNNNetwork
from prunelab.estimators.networks.mlp import MLPNetwork
from prunelab.estimators.pruning.allocation import Allocation, Choices, erdos_renyi_shares, kept_per_layer
from prunelab.estimators.pruning.pruner import Pruner

from .small_networks import random_tensors

QUICK = settings(max_examples=60, deadline=None)
MLP = MLPNetwork((12, 9, 7, 5, 3), fit_intercept=True)
CNN = CNNNetwork((1, 10, 9), (4, 6), 3, 2, "same", (8,), 3, "relu", True)
NETWORKS = {"mlp": MLP, "cnn": CNN}
LAYERS = {"mlp": ("hidden1", "hidden2", "hidden3", "output"), "cnn": ("conv1", "conv2", "hidden1", "output")}
GRANULARITIES = ("weight", "unit")


def prune(kind, sparsity, before=None, seed=0, tensors_seed=0, **choices):
    """What a pruning of random tensors leaves; with `before`, of what that left."""
    network = NETWORKS[kind]
    masks = None if before is None else before.masks
    tensors = random_tensors(network, tensors_seed)
    if masks is not None:
        tensors = {name: np.where(masks[name], array, 0) for name, array in tensors.items()}
    return Pruner(Choices(**{"prune_output": True, **choices}), network, tensors, masks, seed).prune(sparsity)


def kept_in(kind, pruned, granularity, layer):
    """How many weights, or units, a layer has left, and of how many."""
    mask = pruned.units[layer] if granularity == "unit" else pruned.masks[f"{layer}.weight"]
    return int(mask.sum()), mask.size


def assert_nested(sparser, denser):
    assert not any((mask & ~denser.masks[name]).any() for name, mask in sparser.masks.items())


# -- a sparsity for each layer ---------------------------------------------------------------------------


@given(kind=st.sampled_from(list(LAYERS)), granularity=st.sampled_from(GRANULARITIES), data=st.data())
@QUICK
def test_each_layer_loses_exactly_its_own_part(kind, granularity, data):
    named = data.draw(st.lists(st.sampled_from(LAYERS[kind]), unique=True))
    sparsity = {layer: data.draw(st.floats(0, 1)) for layer in named}
    pruned = prune(kind, sparsity, granularity=granularity)
    n_kept = n_all = 0
    for layer in LAYERS[kind]:
        kept, n = kept_in(kind, pruned, granularity, layer)
        assert n - kept == round(sparsity.get(layer, 0.0) * n)
        n_kept, n_all = n_kept + kept, n_all + n
    assert pruned.achieved_sparsity == pytest.approx(1 - n_kept / n_all)
    lower = {layer: value * data.draw(st.floats(0, 1)) for layer, value in sparsity.items()}
    assert_nested(pruned, prune(kind, lower, granularity=granularity))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("criterion", ["magnitude", "random", "lamp"])
def test_one_sparsity_for_every_layer_is_the_number(kind, granularity, criterion):
    choices = {"granularity": granularity, "criterion": criterion}
    by_layer = prune(kind, dict.fromkeys(LAYERS[kind], 0.4), **choices)
    by_tensor = prune(kind, {f"{layer}.weight": 0.4 for layer in LAYERS[kind]}, **choices)
    number = prune(kind, 0.4, **choices)
    for name, mask in number.masks.items():
        np.testing.assert_array_equal(by_layer.masks[name], mask)
        np.testing.assert_array_equal(by_tensor.masks[name], mask)


def test_a_sparsity_by_layer_holds_for_the_weights_into_each_unit():
    masks = prune("mlp", {"hidden2": 0.5}, per_output=True).masks
    assert (~masks["hidden2.weight"]).sum(axis=0).tolist() == [round(0.5 * 9)] * 7
    assert masks["hidden1.weight"].all()
    assert masks["hidden3.weight"].all()


@pytest.mark.parametrize(
    ("sparsity", "choices", "words"),
    [
        ({"hidden9": 0.5}, {}, ["sparsity", "'hidden9'", "hidden1, hidden2, hidden3, output"]),
        ({"hidden1.bias": 0.5}, {}, ["'hidden1.bias'", "hidden1"]),
        ({"output": 0.5}, {"prune_output": False}, ["'output'", "prune_output=True"]),
        ({"hidden1": 0.5}, {"exclude_layers": ("hidden1",)}, ["'hidden1'", "exclude_layers"]),
        ({"hidden1": 0.5, "hidden1.weight": 0.5}, {}, ["twice", "'hidden1.weight'"]),
        (0.5, {"exclude_layers": ("hidden9",)}, ["exclude_layers", "'hidden9'", "hidden1"]),
        (0.5, {"exclude_layers": ("output",)}, ["exclude_layers", "prune_output"]),
        (0.5, {"exclude_layers": ("hidden1", "hidden2", "hidden3"), "prune_output": False}, ["exclude_layers"]),
    ],
)
def test_layers_that_cannot_be_pruned_are_refused_in_a_sentence(sparsity, choices, words):
    allocation = Allocation(MLP, Choices(**{"prune_output": True, **choices}))
    with pytest.raises(ValueError, match="layer") as caught:
        allocation.check(sparsity)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sparsity", [{"output": 0.0, "hidden1": 0.5}, {}, 0.0, 1.0, {"hidden2.weight": 1}])
def test_layers_left_alone_may_be_named_with_nothing_to_remove(sparsity):
    Allocation(MLP, Choices()).check(sparsity)


# -- Erdos-Renyi -----------------------------------------------------------------------------------------


@st.composite
def shapes(draw):
    """Weights of layers, linear and convolutional."""
    sizes = st.integers(1, 40)
    some = st.tuples(sizes, sizes) | st.tuples(sizes, sizes, st.integers(1, 5), st.integers(1, 5))
    return draw(st.lists(some, min_size=1, max_size=6))


def erdos_renyi_by_bisection(shapes, total):
    """The densities min(1, c * sum(shape) / size) that add up to a number of weights."""
    sizes, sums = [math.prod(shape) for shape in shapes], [sum(shape) for shape in shapes]
    low, high = 0.0, float(max(sizes))
    for _ in range(200):
        factor = (low + high) / 2
        left = sum(min(size, factor * wanted) for size, wanted in zip(sizes, sums, strict=True))
        low, high = (factor, high) if left < total else (low, factor)
    return [min(size, high * wanted) for size, wanted in zip(sizes, sums, strict=True)]


@given(shapes=shapes(), sparsity=st.floats(0, 1))
@QUICK
def test_erdos_renyi_shares_are_the_published_ones(shapes, sparsity):
    sizes = [math.prod(shape) for shape in shapes]
    total = sum(sizes) - round(sparsity * sum(sizes))
    np.testing.assert_allclose(erdos_renyi_shares(shapes, sparsity), erdos_renyi_by_bisection(shapes, total), atol=1e-6)
    assert sum(kept_per_layer(shapes, sparsity, "erk")) == total


@given(shapes=shapes(), sparsities=st.lists(st.floats(0, 1), min_size=2, max_size=5).map(sorted))
@QUICK
def test_no_layer_keeps_fewer_weights_at_a_lower_sparsity(shapes, sparsities):
    shares = [erdos_renyi_shares(shapes, sparsity) for sparsity in sparsities]
    assert all((sparser <= denser).all() for denser, sparser in pairwise(shares))


@given(
    kind=st.sampled_from(list(LAYERS)),
    sparsities=st.lists(st.floats(0, 1), min_size=2, max_size=4).map(sorted),
    output=st.sampled_from([False, True, "half"]),
)
@QUICK
def test_pruning_by_erdos_renyi_is_exact_in_each_layer_and_nested(kind, sparsities, output):
    path = [prune(kind, s, distribution="erk", prune_output=output) for s in sparsities]
    records = [r for r in NETWORKS[kind].weights if output is True or not r.is_output]
    for sparsity, pruned in zip(sparsities, path, strict=True):
        for record, share in zip(records, erdos_renyi_shares([r.shape for r in records], sparsity), strict=True):
            assert abs(pruned.masks[record.name].sum() - share) <= 0.5 + 1e-9
    for denser, sparser in pairwise(path):
        assert_nested(sparser, denser)


# -- layers left alone -----------------------------------------------------------------------------------


@given(
    kind=st.sampled_from(list(LAYERS)),
    sparsity=st.floats(0, 1),
    scope=st.sampled_from(["layer", "global"]),
    criterion=st.sampled_from(["magnitude", "lamp", "random"]),
    data=st.data(),
)
@QUICK
def test_excluded_layers_are_untouched_and_do_not_count(kind, sparsity, scope, criterion, data):
    hidden = LAYERS[kind][:-1]
    excluded = tuple(data.draw(st.lists(st.sampled_from(hidden), unique=True, max_size=2)))
    pruned = prune(kind, sparsity, scope=scope, criterion=criterion, exclude_layers=excluded)
    assert all(mask.all() for name, mask in pruned.masks.items() if name.split(".")[0] in excluded)
    counts = {layer: kept_in(kind, pruned, "weight", layer) for layer in LAYERS[kind] if layer not in excluded}
    removed = sum(n - kept for kept, n in counts.values())
    total = sum(n for _, n in counts.values())
    assert pruned.achieved_sparsity == pytest.approx(removed / total)
    if scope == "global":
        assert removed == round(sparsity * total)


@pytest.mark.parametrize("kind", LAYERS)
def test_all_units_of_an_excluded_layer_stay(kind):
    first, second, *_ = LAYERS[kind]
    pruned = prune(kind, 1.0, granularity="unit", exclude_layers=(second,), prune_output=False)
    assert second not in pruned.units
    assert not pruned.units[first].any()
    assert pruned.masks[f"{second}.{'shift' if kind == 'cnn' else 'bias'}"].all()


# -- at least so many ------------------------------------------------------------------------------------


def least(min_kept, n):
    return min(min_kept, n) if isinstance(min_kept, int) else math.ceil(min_kept * n)


@given(
    kind=st.sampled_from(list(LAYERS)),
    granularity=st.sampled_from(GRANULARITIES),
    scope=st.sampled_from(["layer", "global"]),
    order=st.sampled_from(["smallest", "largest"]),
    output=st.sampled_from([False, True, "half"]),
    min_kept=st.integers(0, 30) | st.floats(0.01, 0.99),
    sparsities=st.lists(st.floats(0, 1), min_size=2, max_size=3).map(sorted),
)
@QUICK
def test_every_layer_keeps_its_least_and_masks_are_nested(
    kind, granularity, scope, order, output, min_kept, sparsities
):
    choices = {"granularity": granularity, "scope": scope, "order": order, "prune_output": output}
    path = [prune(kind, s, **choices, min_kept=min_kept) for s in sparsities]
    layers = LAYERS[kind] if output else LAYERS[kind][:-1]
    for sparsity, pruned in zip(sparsities, path, strict=True):
        counts = [kept_in(kind, pruned, granularity, layer) for layer in layers]
        assert all(kept >= least(min_kept, n) for kept, n in counts)
        if output == "half":
            continue
        if scope == "layer":
            assert [kept for kept, _ in counts] == [max(n - round(sparsity * n), least(min_kept, n)) for _, n in counts]
        else:
            total = sum(n for _, n in counts)
            expected = max(total - round(sparsity * total), sum(least(min_kept, n) for _, n in counts))
            assert sum(kept for kept, _ in counts) == expected
    for denser, sparser in pairwise(path):
        assert_nested(sparser, denser)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_a_least_that_no_layer_reaches_changes_nothing(granularity):
    choices = {"granularity": granularity, "scope": "global"}
    plain, guarded = prune("mlp", 0.3, **choices), prune("mlp", 0.3, **choices, min_kept=1)
    assert plain.achieved_sparsity == guarded.achieved_sparsity
    for name, mask in plain.masks.items():
        np.testing.assert_array_equal(mask, guarded.masks[name])


@given(scope=st.sampled_from(["layer", "global"]), min_kept=st.integers(1, 20), data=st.data())
@QUICK
def test_the_least_holds_in_rounds_with_other_scores_and_nothing_comes_back(scope, min_kept, data):
    pruned, removed = None, 0
    for i, sparsity in enumerate(sorted(data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=4)))):
        before = pruned
        pruned = prune("mlp", sparsity, before, scope=scope, min_kept=min_kept, tensors_seed=i)
        counts = [kept_in("mlp", pruned, "weight", layer) for layer in LAYERS["mlp"]]
        assert all(kept >= least(min_kept, n) for kept, n in counts)
        total = sum(n for _, n in counts)
        if scope == "global":
            removed = total - max(total - round(sparsity * total), sum(least(min_kept, n) for _, n in counts))
            assert total - sum(kept for kept, _ in counts) == removed
        if before is not None:
            assert_nested(pruned, before)


def test_the_weights_kept_at_least_are_those_ranked_highest():
    tensors = random_tensors(MLP, 0)
    tensors["hidden2.weight"] = tensors["hidden2.weight"] / 1000  # this layer would be emptied first
    pruned = Pruner(Choices(scope="global", min_kept=4), MLP, tensors).prune(0.9)
    size = np.abs(tensors["hidden2.weight"])
    np.testing.assert_array_equal(pruned.masks["hidden2.weight"], size >= np.sort(size, axis=None)[-4])
    assert pruned.achieved_sparsity == pytest.approx(round(0.9 * 206) / 206)
