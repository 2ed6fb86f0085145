"""LAMP, against its formula written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from prunelab.estimators.networks.mlp import MLPNetwork
from prunelab.estimators.pruning.allocation import Choices
from prunelab.estimators.pruning.criteria import Model, unit_scores, weight_scores
from prunelab.estimators.pruning.pruner import Pruner

from .small_networks import FEED_FORWARD, random_tensors

QUICK = settings(max_examples=60, deadline=None)
MLP = MLPNetwork((12, 9, 7, 5, 3), fit_intercept=True)


def lamp_by_loops(weights):
    """Equation 4: the square of each weight over the sum of the squares of it and of all that come after it."""
    flat = np.asarray(weights, dtype=np.float64).ravel()
    ranked = sorted(range(len(flat)), key=lambda i: (abs(flat[i]), i))
    scores = np.zeros(len(flat))
    for place, i in enumerate(ranked):
        rest = sum(flat[j] ** 2 for j in ranked[place:])
        scores[i] = flat[i] ** 2 / rest if rest > 0 else 0.0
    return scores.reshape(np.shape(weights))


@pytest.mark.parametrize("network", FEED_FORWARD.values(), ids=FEED_FORWARD)
def test_scores_of_weights_and_units_are_those_of_the_formula(network):
    model = Model(network, random_tensors(network, 0))
    for name, scores in weight_scores("lamp", model).items():
        np.testing.assert_allclose(scores, lamp_by_loops(model.tensors[name]), rtol=1e-12)
        assert scores.max() == 1
    for group, scores in zip(model.groups, unit_scores("lamp", model).values(), strict=True):
        weight = model.tensors[f"{group.name}.weight"]
        norms = np.linalg.norm(weight.reshape(len(weight), -1) if weight.ndim == 4 else weight.T, axis=1)
        np.testing.assert_allclose(scores, lamp_by_loops(norms), rtol=1e-12)


@given(
    weight=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 6)),
        elements=st.sampled_from([0.0, 1e-30, -1e-5, 0.5, -0.5, 1.0, 3.0]) | st.floats(-2, 2, width=32),
    ),
    sparsity=st.floats(0, 1),
)
@QUICK
def test_within_a_layer_the_masks_are_those_of_magnitude(weight, sparsity):
    network = MLPNetwork(weight.shape)
    masks = [
        Pruner(Choices(name, prune_output=True), network, {"output.weight": weight}).prune(sparsity).masks
        for name in ("lamp", "magnitude")
    ]
    np.testing.assert_array_equal(masks[0]["output.weight"], masks[1]["output.weight"])


def test_across_the_network_no_layer_is_emptied_while_another_has_two_weights():
    tensors = random_tensors(MLP, 0)
    tensors["hidden2.weight"] = tensors["hidden2.weight"] * 1e-6
    n = sum(record.size for record in MLP.weights)
    for criterion, is_emptied in (("lamp", False), ("magnitude", True)):
        choices = Choices(criterion, scope="global", prune_output=True)
        pruned = Pruner(choices, MLP, tensors).prune(1 - 4 / n)
        assert bool(pruned.emptied_layers(MLP)) is is_emptied
        assert sum(pruned.masks[record.name].sum() for record in MLP.weights) == 4


def test_scores_do_not_depend_on_the_scale_of_a_layer():
    tensors = random_tensors(MLP, 0)
    scaled = {name: array * 4.0 if name.startswith("hidden2") else array for name, array in tensors.items()}
    for granularity in ("weight", "unit"):
        choices = Choices("lamp", granularity, "global")
        masks, same = (Pruner(choices, MLP, arrays).prune(0.6).masks for arrays in (tensors, scaled))
        assert all((masks[name] == same[name]).all() for name in masks)
