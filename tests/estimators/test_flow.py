"""SynFlow, for weights and units: against autograd, against the paper's rounds written out, and what it is for."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from prunelab.estimators import PrunedMLPClassifier, PruningWarning, sparsity_path
from prunelab.estimators.networks.mlp import MLPNetwork, name_tensors
from prunelab.estimators.pruning.allocation import Choices
from prunelab.estimators.pruning.evidence import Evidence
from prunelab.estimators.pruning.flow import removal_order, synaptic_flow
from prunelab.estimators.pruning.masks import output_sparsity
from prunelab.estimators.pruning.pruner import Pruner

SIZES = (12, 9, 7, 4)


def weights_of(sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in itertools.pairwise(sizes)]


def pruner(weights, masks=None, **choices):
    """Prunes a network without looking at data."""
    network = network_of(weights)
    inputs, targets = np.zeros((2, network.sizes[0]), dtype=np.float32), np.array([0, 1])
    tensors = name_tensors(weights)
    evidence = Evidence(network, tensors, inputs, targets, masks=masks)
    return Pruner(Choices("synflow", **choices), network, tensors, masks, make_evidence=lambda: evidence)


def network_of(weights):
    return MLPNetwork((weights[0].shape[0], *(w.shape[1] for w in weights)))


def flows_in_float64(weights):
    """|w| times the derivative of the sum of the outputs of the linear network of absolute weights."""
    weights = [np.abs(w).astype(np.float64) for w in weights]
    before, behind = [np.ones(len(weights[0]))], [np.ones(weights[-1].shape[1])]
    for w in weights[:-1]:
        before.append(before[-1] @ w)
    for w in weights[:0:-1]:
        behind.insert(0, w @ behind[0])
    return [np.outer(a, b) * w for a, b, w in zip(before, behind, weights, strict=True)]


def rounds_written_out(weights, sparsity, n_pruned, is_global, by_unit):
    """Which weights, or units, of each layer are left: algorithm 1 of the paper, as a loop over single entries."""
    weights = [w.astype(np.float64) for w in weights]
    sizes = [w.shape[1] if by_unit else w.size for w in weights[:n_pruned]]
    groups = [list(range(n_pruned))] if is_global else [[layer] for layer in range(n_pruned)]
    gone: list[set[tuple[int, int]]] = [set() for _ in groups]
    for step in range(1, 101):
        flows = [flow.sum(axis=0) if by_unit else flow.ravel() for flow in flows_in_float64(weights)]
        for out, layers in zip(gone, groups, strict=True):
            n = sum(sizes[layer] for layer in layers)
            n_kept = n - round(sparsity * n)
            left = [(layer, i) for layer in layers for i in range(sizes[layer]) if (layer, i) not in out]
            left.sort(key=lambda place: flows[place[0]][place[1]])
            out |= set(left[: max(len(left) - max(n_kept, round(n * (n_kept / n) ** (step / 100))), 0)])
            for layer, i in out:
                if by_unit:
                    weights[layer][:, i] = 0
                    weights[layer + 1][i] = 0
                else:
                    weights[layer].flat[i] = 0
    all_gone = set().union(*gone)
    return [[(layer, i) not in all_gone for i in range(sizes[layer])] for layer in range(n_pruned)]


def test_the_flow_is_a_gradient_and_is_conserved():
    tensors = [torch.from_numpy(np.abs(w)).double().requires_grad_() for w in weights_of(SIZES)]
    total = torch.ones(1, SIZES[0], dtype=torch.float64)
    for weight in tensors:
        total = total @ weight
    expected = torch.autograd.grad(total.sum(), tensors)
    flows = list(synaptic_flow(network_of(tensors), name_tensors(tensors)).values())
    for flow, weight, gradient in zip(flows, tensors, expected, strict=True):
        assert_allclose(flow.detach().numpy(), (weight * gradient).detach().numpy())
    # The flow through every layer is the same, and so is what enters and leaves each hidden unit.
    assert_allclose([float(flow.sum()) for flow in flows], float(total.sum().detach()))
    for before, after in itertools.pairwise(flows):
        assert_allclose(before.sum(0).detach().numpy(), after.sum(1).detach().numpy())


@pytest.mark.parametrize("by_unit", [False, True])
@pytest.mark.parametrize("is_global", [True, False])
@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.9, 1.0])
def test_what_is_left_is_what_the_rounds_of_the_paper_leave(by_unit, is_global, sparsity):
    weights = weights_of((20, 15, 10, 5))
    weights[0][:4] = weights[0][0, 0]  # weights that are worth the same
    scope = "global" if is_global else "layer"
    pruned = pruner(weights, scope=scope, granularity="unit" if by_unit else "weight").prune(sparsity)
    expected = rounds_written_out(weights, sparsity, 2, is_global, by_unit)
    for got, wanted in zip((pruned.units if by_unit else pruned.masks).values(), expected, strict=False):
        np.testing.assert_array_equal(got.ravel(), wanted)


def test_every_weight_has_a_place_in_the_order():
    weights = [torch.from_numpy(w) for w in weights_of((30, 40, 20, 5))]
    for layers, by_unit in itertools.product(([[0, 1]], [[0], [1]]), (False, True)):
        ranked_together = [[f"hidden{i + 1}" + ("" if by_unit else ".weight") for i in some] for some in layers]
        shares = [0.6] * len(ranked_together)
        order = removal_order(network_of(weights), name_tensors(weights), ranked_together, shares, by_unit)
        for names in ranked_together:
            ranked = np.concatenate([order[name].numpy().ravel() for name in names])
            assert_allclose(np.sort(ranked), np.arange(len(ranked)))


@given(
    sizes=st.lists(st.integers(2, 12), min_size=3, max_size=5),
    share=st.floats(0, 1),
    by_unit=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_counts_are_exact_and_no_layer_is_emptied_while_one_has_plenty(sizes, share, by_unit, seed):
    weights = weights_of(sizes, seed)
    n_entries = sum(w.shape[1] if by_unit else w.size for w in weights[:-1])
    # As far as a path through the network may be left in every layer.
    spare = n_entries - 4 * len(weights)
    if spare <= 0:
        return
    sparsity = share * spare / n_entries
    pruned = pruner(weights, scope="global", granularity="unit" if by_unit else "weight").prune(sparsity)
    kept = list((pruned.units if by_unit else pruned.masks).values())[: len(weights) - 1]
    assert sum(int((~mask).sum()) for mask in kept) == round(sparsity * n_entries)
    assert all(mask.any() for mask in pruned.masks.values())


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.95])
def test_half_of_the_units_of_lenet_leave_both_layers_with_some(sparsity):
    """Ranks of weights made of norms grow with the inputs of a unit, and left 200 and 0 units."""
    weights = weights_of((784, 300, 100, 10))
    pruned = pruner(weights, scope="global", granularity="unit").prune(sparsity)
    kept = [int(mask.sum()) for mask in pruned.units.values()]
    assert sum(kept) == 400 - round(400 * sparsity)
    assert min(kept) > 0.25 * sum(kept)


def test_units_of_two_sparsities_are_exact_and_need_not_be_nested():
    """Each sparsity has rounds of its own, as in the paper: few units come back at a higher one."""
    ranked = pruner(weights_of((200, 100, 50, 5), seed=4), scope="global", granularity="unit")
    sparsities = np.linspace(0.05, 0.95, 12)
    path = [np.concatenate(list(ranked.prune(float(sparsity)).units.values())) for sparsity in sparsities]
    assert [int((~kept).sum()) for kept in path] == [round(float(sparsity) * 150) for sparsity in sparsities]
    back = sum(int((after & ~before).sum()) for before, after in itertools.pairwise(path))
    assert 0 < back < 0.05 * 150 * len(path)


@pytest.mark.parametrize("by_unit", [False, True])
def test_what_an_earlier_pruning_removed_goes_first(by_unit):
    weights = weights_of((20, 15, 10, 5))
    choices = {"scope": "global", "granularity": "unit" if by_unit else "weight"}
    first = pruner(weights, **choices).prune(0.4)
    left = [w * mask for w, mask in zip(weights, first.masks.values(), strict=True)]
    second = pruner(left, first.masks, **choices).prune(0.7)
    n = 25 if by_unit else 20 * 15 + 15 * 10
    assert second.achieved_sparsity == pytest.approx(round(0.7 * n) / n)
    assert not any(
        (after & ~before).any() for before, after in zip(first.masks.values(), second.masks.values(), strict=True)
    )


def test_the_output_layer_at_half_the_rate_has_rounds_of_its_own():
    weights = weights_of((20, 15, 10, 5))
    pruned = pruner(weights, scope="global", prune_output="half").prune(0.8)
    *hidden, output = pruned.masks.values()
    assert sum(int((~mask).sum()) for mask in hidden) == round(0.8 * 450)
    assert int((~output).sum()) == round(output_sparsity(0.8) * 50)


def test_a_path_is_made_of_the_networks_that_fit_makes(blobs):
    classifier = PrunedMLPClassifier(
        (20, 10), criterion="synflow", schedule="before-training", scope="global", granularity="unit", max_iter=2,
        random_state=0, device="cpu",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error", PruningWarning)
        path = sparsity_path(classifier, *blobs, sparsities=(0.5, 0.9))
        for sparsity, tensors in zip((0.5, 0.9), path.tensors, strict=True):
            np.testing.assert_equal(classifier.set_params(sparsity=sparsity).fit(*blobs).tensors_, tensors)
