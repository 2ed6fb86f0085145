"""How units are scored: norms and sums of their weights' scores, and what makes layers comparable."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from prunelab.estimators import PrunedMLPClassifier, iter_sparsity_path
from prunelab.estimators.networks.mlp import MLPNetwork, name_tensors
from prunelab.estimators.parameters import conflicts
from prunelab.estimators.pruning.allocation import Choices
from prunelab.estimators.pruning.criteria import Model, criterion_names, normalized, unit_scores, weight_scores
from prunelab.estimators.pruning.evidence import Evidence
from prunelab.estimators.pruning.pruner import Pruner

from .lists import weight_masks

SIZES = (6, 7, 5, 3)


@pytest.fixture(params=itertools.product(["relu", "tanh"], [False, True]), ids=str)
def scored(request):
    """A network with its data, as evidence, and for autograd."""
    activation, fit_intercept = request.param
    rng = np.random.default_rng(0)
    pairs = list(itertools.pairwise(SIZES))
    parameters = [rng.normal(size=pair) for pair in pairs]
    parameters += [rng.normal(size=pair[1]) for pair in pairs] if fit_intercept else []
    inputs, targets = rng.normal(size=(30, SIZES[0])), rng.integers(0, SIZES[-1], 30)
    network = MLPNetwork(SIZES, activation, fit_intercept)
    tensors = name_tensors(parameters[:3], parameters[3:])
    evidence = Evidence(network, tensors, inputs, targets, dtype=torch.float64)
    model = Model(network, tensors, output=False, make_evidence=lambda: evidence)
    return model, parameters, inputs, targets, activation


def gate_gradients(parameters, inputs, targets, activation):
    """For each sample, the loss' derivative with respect to factors of the hidden units' weights and biases.

    That is the sum of ``w * dL/dw`` over what a unit owns, by autograd.
    """
    activate = {"relu": torch.relu, "tanh": torch.tanh}[activation]
    weights, biases = map(list, (parameters[:3], parameters[3:]))
    rows = []
    for sample, target in zip(inputs, targets, strict=True):
        gates = [torch.ones(width, dtype=torch.float64, requires_grad=True) for width in SIZES[1:3]]
        values = torch.from_numpy(sample)
        for layer, weight in enumerate(weights):
            values = values @ torch.from_numpy(weight) + (torch.from_numpy(biases[layer]) if biases else 0)
            if layer < 2:
                values = activate(values * gates[layer])
        loss = torch.nn.functional.cross_entropy(values[None], torch.tensor([target]))
        rows.append([gradient.numpy() for gradient in torch.autograd.grad(loss, gates)])
    return [np.array([row[layer] for row in rows]) for layer in range(2)]


@pytest.mark.parametrize("name", ["taylor", "snip"])
def test_the_group_form_of_first_order_is_the_gradient_of_a_gate(scored, name):
    model, *network = scored
    for reduce in ("auto", "sum"):
        for got, gates in zip(unit_scores(name, model, reduce=reduce).values(), gate_gradients(*network), strict=True):
            assert_allclose(got, np.abs(gates.mean(axis=0)), rtol=1e-5)  # biases in float32


def test_the_group_form_of_fisher_is_the_mean_square_of_the_gradient_of_a_gate(scored):
    model, *network = scored
    scores = unit_scores("fisher", model, reduce="sum").values()
    for got, gates in zip(scores, gate_gradients(*network), strict=True):
        assert_allclose(got, (gates**2).mean(axis=0) / 2, rtol=1e-9)


@pytest.mark.parametrize("name", ["taylor", "snip", "fisher", "magnitude", "wanda"])
@pytest.mark.parametrize("norm", [1, 2, np.inf])
def test_the_norm_is_that_of_the_weights_scores(scored, name, norm):
    model = scored[0]
    scores = unit_scores(name, model, norm, "norm").values()
    for got, weights in zip(scores, weight_scores(name, model).values(), strict=True):
        assert_allclose(got, np.linalg.norm(weights.astype(np.float64), ord=norm, axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", ["magnitude", "wanda"])
def test_without_a_group_form_the_scores_are_added(scored, name):
    model = scored[0]
    scores = unit_scores(name, model, reduce="sum").values()
    for got, weights in zip(scores, weight_scores(name, model).values(), strict=True):
        assert_allclose(got, weights.sum(axis=0))


@pytest.mark.parametrize("reduce", ["auto", "norm", "sum"])
def test_snip_is_taylor(scored, reduce):
    model = scored[0]
    np.testing.assert_equal(weight_scores("snip", model), weight_scores("taylor", model))
    np.testing.assert_equal(unit_scores("snip", model, 2, reduce), unit_scores("taylor", model, 2, reduce))


# -- normalisation -----------------------------------------------------------------------------------------------


UNEVEN = MLPNetwork((400, 30, 20, 4))


def layers(seed=0):
    """Tensors of `UNEVEN`, whose units have very different norms from layer to layer."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=record.shape).astype(np.float32) for name, record in UNEVEN.records.items()}


@pytest.mark.parametrize("how", ["none", "mean", "max"])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8])
def test_units_are_ranked_across_the_network_by_their_share_of_the_layer(how, sparsity):
    tensors = layers()
    norms = [np.linalg.norm(weight.astype(np.float64), axis=0) for weight in list(tensors.values())[:-1]]
    scale = {"none": lambda _: 1.0, "mean": np.mean, "max": np.max}[how]
    together = np.concatenate([norm / scale(norm) for norm in norms])
    kept = np.ones(len(together), dtype=bool)
    kept[np.argsort(together, kind="stable")[: round(sparsity * len(together))]] = False
    pruned = Pruner(Choices(granularity="unit", scope="global", normalize=how), UNEVEN, tensors).prune(sparsity)
    np.testing.assert_array_equal(np.concatenate(list(pruned.units.values())), kept)


def test_by_default_it_is_the_mean_across_the_network_and_nothing_within_layers():
    tensors = layers()
    for scope, how in (("global", "mean"), ("layer", "none")):
        chosen, default = (
            Pruner(Choices(granularity="unit", scope=scope, **rest), UNEVEN, tensors).prune(0.5)
            for rest in ({"normalize": how}, {})
        )
        np.testing.assert_equal(chosen.masks, default.masks)
    raw = Pruner(Choices(granularity="unit", scope="global", normalize="none"), UNEVEN, tensors).prune(0.5)
    assert raw.units["hidden2"].sum() == 0  # the layer with few inputs is gone
    assert 0.3 < chosen.units["hidden2"].mean() < 0.7


def test_scores_with_signs_are_divided_by_their_mean_size():
    scores = {"a": np.array([-3.0, 1.0, 2.0]), "b": np.zeros(2)}
    assert_allclose(normalized(scores, "mean")["a"], scores["a"] / 2)
    assert_allclose(normalized(scores, "max")["a"], scores["a"] / 3)
    assert_allclose(normalized(scores, "mean")["b"], 0)  # nothing to divide by


def test_units_that_are_gone_do_not_count():
    kept = {"a": np.array([True, False, True, True])}
    got = normalized({"a": np.array([2.0, 0.0, 4.0, 6.0])}, "mean", kept)
    assert_allclose(got["a"], [0.5, 0, 1, 1.5])


@pytest.mark.parametrize("name", ["random", "synflow"])
def test_scores_that_compare_as_they_are_are_left_alone(name, blobs):
    settings = {"criterion": name, "granularity": "unit", "scope": "global", "sparsity": 0.5, "random_state": 0}
    chosen, default = (
        PrunedMLPClassifier((20, 10), max_iter=1, device="cpu", **settings, **rest).fit(*blobs)
        for rest in ({"normalize": "none"}, {})
    )
    np.testing.assert_equal(chosen.masks_, default.masks_)


# -- what cannot rank --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("activation", ["tanh", "logistic", "identity"])
@pytest.mark.parametrize("criterion", criterion_names())
def test_counting_zeros_is_refused_where_there_are_none_and_only_that(criterion, activation, granularity, blobs):
    classifier = PrunedMLPClassifier(
        (8,), activation=activation, criterion=criterion, granularity=granularity, sparsity=0.5, max_iter=1,
        random_state=0, device="cpu",
    )  # fmt: skip
    if criterion != "apoz":
        assert classifier.fit(*blobs).sparsity_ == pytest.approx(0.5)
        return
    with pytest.raises(ValueError, match=f"criterion='apoz'.*activation='{activation}'"):
        classifier.fit(*blobs)
    with pytest.raises(ValueError, match="criterion='apoz'"):
        next(iter_sparsity_path(classifier, *blobs))
    with pytest.raises(ValueError, match="criterion='apoz'"):
        classifier.partial_fit(*blobs)


def test_zeros_of_the_output_layer_are_not_counted_either():
    apoz = {"criterion": "apoz", "granularity": "unit"}
    assert list(conflicts({**apoz, "prune_output": True})) == ["prune_output"]
    assert list(conflicts({**apoz, "granularity": "weight", "prune_output": True})) == []
    assert list(conflicts({**apoz, "schedule": "l0", "activation": "tanh"})) == []  # it does not use the criterion
    assert list(conflicts({"criterion": "apoz", "activation": "tanh", "hidden_layer_sizes": ()})) == []


@pytest.mark.parametrize("criterion", ["grasp", "movement", "obd", "synflow"])
def test_a_norm_of_what_adds_up_is_refused(criterion):
    assert list(conflicts({"criterion": criterion, "granularity": "unit", "reduce": "norm"})) == ["reduce"]
    assert list(conflicts({"criterion": criterion, "granularity": "weight", "reduce": "norm"})) == []


def test_the_flow_of_layers_is_not_normalised():
    flow = {"criterion": "synflow", "granularity": "unit", "scope": "global"}
    assert list(conflicts({**flow, "normalize": "mean"})) == ["normalize"]
    assert list(conflicts({**flow, "normalize": "none"})) == []


@pytest.mark.parametrize(
    "other",
    [{"granularity": "unit"}, {"scope": "global"}, {"criterion": "synflow"}, {"schedule": "set"}, {"schedule": "l0"}],
)
def test_ranking_by_output_is_refused_where_it_means_nothing(other):
    assert list(conflicts({"per_output": True, **other})) == ["per_output"]


def test_wanda_per_output_is_the_product_of_its_paper(blobs):
    """Each unit loses its smallest |w| times the norm of the input, in equal numbers."""
    classifier = PrunedMLPClassifier(
        (8, 6), criterion="wanda", per_output=True, sparsity=0.5, max_iter=2, random_state=0, device="cpu"
    )
    dense = PrunedMLPClassifier((8, 6), max_iter=2, random_state=0, device="cpu").fit(*blobs)
    classifier.fit(*blobs)
    values = blobs[0].astype(np.float64)
    for coef, mask in zip(dense.coefs_[:-1], weight_masks(classifier)[:-1], strict=True):
        metric = np.abs(coef) * np.linalg.norm(values, axis=0)[:, None]
        for scores, kept in zip(metric.T, mask.T, strict=True):
            gone = np.argsort(scores, kind="stable")[: round(0.5 * len(scores))]
            assert set(np.flatnonzero(~kept)) == set(gone)
        values = np.maximum(values @ coef, 0)
