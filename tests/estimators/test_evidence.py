"""What data say about weights, held against autograd, finite differences and sums by hand, all in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from prunelab.estimators import PrunedMLPClassifier, sparsity_path
from prunelab.estimators.network import MLPNetwork
from prunelab.estimators.pruning import evidence as evidence_module
from prunelab.estimators.pruning.criteria import FOR_EACH_SPARSITY, Model, criterion_names, unit_scores, weight_scores
from prunelab.estimators.pruning.evidence import Evidence
from sklearn.datasets import make_classification

SIZES = (6, 5, 4, 3)
N = 37


def make(activation="relu", fit_intercept=False, seed=0, sizes=SIZES, **settings):
    rng = np.random.default_rng(seed)
    network = MLPNetwork(sizes, activation, fit_intercept)
    shapes = list(itertools.pairwise(sizes))
    parameters = [rng.normal(size=shape) for shape in shapes]
    parameters += [rng.normal(size=shape[1]) for shape in shapes] if fit_intercept else []
    inputs, targets = rng.normal(size=(N, sizes[0])), rng.integers(0, sizes[-1], N)
    return Evidence(network, parameters, inputs, targets, dtype=torch.float64, **settings), parameters, inputs, targets


def reference_logits(network, parameters, inputs):
    """The network, written anew with plain operations that differentiate twice."""
    functions = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid, "identity": lambda x: x}
    values = inputs
    for layer in range(network.n_layers):
        values = values @ parameters[layer]
        if network.fit_intercept:
            values = values + parameters[network.n_layers + layer]
        if layer < network.n_layers - 1:
            values = functions[network.activation](values)
    return values


def reference_loss(network, inputs, targets, temperature=1.0):
    inputs, targets = torch.from_numpy(inputs), torch.from_numpy(targets)

    def loss(*parameters):
        logits = reference_logits(network, parameters, inputs) / temperature
        return torch.nn.functional.cross_entropy(logits, targets)

    return loss


ACTIVATIONS = ["relu", "tanh", "logistic", "identity"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_gradients_are_those_of_autograd(activation, fit_intercept):
    evidence, parameters, inputs, targets = make(activation, fit_intercept)
    tensors = [torch.from_numpy(p).requires_grad_() for p in parameters]
    expected = torch.autograd.grad(reference_loss(evidence.network, inputs, targets)(*tensors), tensors)
    for got, wanted in zip([*evidence.gradients, *evidence.bias_gradients], expected, strict=True):
        assert_allclose(got, wanted.numpy(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fisher_is_the_mean_square_of_the_gradients_sample_by_sample(activation):
    evidence, parameters, inputs, targets = make(activation, fit_intercept=True)
    squares = [np.zeros_like(p) for p in parameters[:3]]
    for i in range(N):
        tensors = [torch.from_numpy(p).requires_grad_() for p in parameters]
        loss = reference_loss(evidence.network, inputs[i : i + 1], targets[i : i + 1])(*tensors)
        for total, gradient in zip(squares, torch.autograd.grad(loss, tensors[:3]), strict=True):
            total += gradient.numpy() ** 2 / N
    for got, wanted in zip(evidence.fisher, squares, strict=True):
        assert_allclose(got, wanted, rtol=1e-9)


def full_hessian(evidence, parameters, inputs, targets):
    """Blocks of the Hessian of each layer's weights, by torch.func."""
    tensors = [torch.from_numpy(p) for p in parameters]
    loss = reference_loss(evidence.network, inputs, targets)
    hessian = torch.func.hessian(loss, argnums=tuple(range(len(tensors))))(*tensors)
    return [[block.reshape(tensors[i].numel(), -1) for block in row] for i, row in enumerate(hessian)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_hessian_s_diagonal_is_exact_for_small_networks(activation, fit_intercept):
    evidence, parameters, inputs, targets = make(activation, fit_intercept)
    hessian = full_hessian(evidence, parameters, inputs, targets)
    for layer, got in enumerate(evidence.hessian_diagonal):
        assert_allclose(got.ravel(), hessian[layer][layer].diagonal().numpy(), rtol=1e-6, atol=1e-9)


def test_the_gauss_newton_term_is_not_all_there_is_for_tanh():
    evidence, *_ = make("tanh")
    gaps = [np.abs(a - b).max() for a, b in zip(evidence.hessian_diagonal, evidence.gauss_newton_diagonal, strict=True)]
    assert max(gaps[:-1]) > 1e-3
    assert gaps[-1] < 1e-9  # behind the last layer there is no activation


def test_hutchinson_s_estimate_comes_near(monkeypatch):
    monkeypatch.setattr(evidence_module, "EXACT_HESSIAN_WEIGHTS", 0)
    monkeypatch.setattr(evidence_module, "N_PROBES", 3000)
    estimated, parameters, inputs, targets = make("tanh")
    hessian = full_hessian(estimated, parameters, inputs, targets)
    for layer, got in enumerate(estimated.hessian_diagonal):
        exact = hessian[layer][layer].diagonal().numpy()
        # A single probe scatters as the rest of the row: sum of squares off the diagonal.
        rows = torch.cat(list(hessian[layer][:3]), dim=1).numpy()
        deviation = np.sqrt(((rows**2).sum(1) - exact**2) / 3000)
        assert (np.abs(got.ravel() - exact) < 5 * deviation + 1e-9).all()


def test_hessian_products_are_finite_differences_of_gradients():
    evidence, parameters, inputs, targets = make("tanh")
    rng = np.random.default_rng(1)
    vectors = [rng.normal(size=p.shape) for p in parameters]

    def gradients_at(step):
        moved = [p + step * v for p, v in zip(parameters, vectors, strict=True)]
        return Evidence(evidence.network, moved, inputs, targets, dtype=torch.float64).gradients

    product = evidence.hessian_product([torch.from_numpy(v) for v in vectors])
    for got, plus, minus in zip(product, gradients_at(1e-5), gradients_at(-1e-5), strict=True):
        assert_allclose(got.numpy(), (plus - minus) / 2e-5, rtol=1e-5, atol=1e-7)


def test_gradient_flow_is_the_hessian_times_the_gradient():
    evidence, parameters, inputs, targets = make("tanh")
    loss = reference_loss(evidence.network, inputs, targets, temperature=200.0)
    tensors = tuple(torch.from_numpy(p) for p in parameters)
    hessian = torch.func.hessian(loss, argnums=(0, 1, 2))(*tensors)
    gradient = torch.func.grad(loss, argnums=(0, 1, 2))(*tensors)
    for i, got in enumerate(evidence.gradient_flow()):
        expected = sum(torch.tensordot(hessian[i][j], gradient[j], dims=2) for j in range(3))
        assert_allclose(got, expected.numpy(), rtol=1e-7)


def test_activity_is_counted_as_by_hand():
    evidence, parameters, inputs, _ = make("relu", fit_intercept=True)
    outputs = [inputs]
    for layer in range(3):
        values = outputs[-1] @ parameters[layer] + parameters[3 + layer]
        outputs.append(np.maximum(values, 0) if layer < 2 else values)
    features = inputs - inputs.min(axis=0)
    before = [features, *outputs[1:-1]]
    for layer in range(3):
        assert_allclose(evidence.input_norms[layer], np.sqrt((outputs[layer] ** 2).mean(0)))
        assert_allclose(evidence.unit_activity[layer], np.abs(outputs[layer + 1]).mean(0))
        assert_allclose(evidence.unit_nonzero[layer], (outputs[layer + 1] != 0).mean(0))
        assert_allclose(evidence.input_activity[layer], np.abs(before[layer]).mean(0))
        assert_allclose(evidence.input_nonzero[layer], (before[layer] != 0).mean(0))
        pairs = before[layer][:, :, None] * np.abs(outputs[layer + 1])[:, None, :]
        assert_allclose(evidence.coactivity[layer], pairs.mean(0))


def test_movement_tells_weights_that_grow_from_weights_that_shrink():
    # One feature says the class; from a weight near zero towards the right sign is movement away from zero.
    rng = np.random.default_rng(0)
    inputs = rng.choice([-1.0, 1.0], size=(400, 1)).astype(np.float32)
    targets = (inputs[:, 0] > 0).astype(np.int64)
    network = MLPNetwork((1, 2), "relu", False)
    grows = Evidence(network, [np.array([[-0.1, 0.1]], dtype=np.float32)], inputs, targets).movement[0]
    shrinks = Evidence(network, [np.array([[0.1, -0.1]], dtype=np.float32)], inputs, targets).movement[0]
    assert (grows > 0).all()
    assert (shrinks < 0).all()


def test_a_sample_is_taken_of_many():
    evidence, _parameters, _inputs, _targets = make(max_samples=10)
    same, *_ = make(max_samples=10)
    whole, *_ = make()
    for a, b, c in zip(evidence.gradients, same.gradients, whole.gradients, strict=True):
        assert_allclose(a, b)
        assert not np.allclose(a, c)


@pytest.mark.parametrize(
    "figure", ["gradients", "fisher", "hessian_diagonal", "input_norms", "coactivity", "unit_activity"]
)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_sample_of_twice_the_weight_counts_twice(figure, activation):
    weights = np.tile([1.0, 2.0, 0.0], N)[:N]
    _, parameters, inputs, targets = make(activation, fit_intercept=True)
    network = MLPNetwork(SIZES, activation, True)
    rows = np.repeat(np.arange(N), weights.astype(int))
    weighed = Evidence(network, parameters, inputs, targets, weights=weights, dtype=torch.float64)
    repeated = Evidence(network, parameters, inputs[rows], targets[rows], dtype=torch.float64)
    for a, b in zip(getattr(weighed, figure), getattr(repeated, figure), strict=True):
        assert_allclose(a, b)


def test_movement_leaves_what_was_removed_away():
    _, parameters, *_ = make()
    rng = np.random.default_rng(1)
    inputs, targets = rng.normal(size=(250, SIZES[0])), rng.integers(0, SIZES[-1], 250)
    masks = [rng.random(p.shape) < 0.5 for p in parameters]
    parameters = [p * mask for p, mask in zip(parameters, masks, strict=True)]
    network = MLPNetwork(SIZES, "relu", False)
    found = Evidence(network, parameters, inputs, targets, masks=masks, seed=3).movement
    weights = [torch.tensor(p, dtype=torch.float32, requires_grad=True) for p in parameters]
    optimiser = torch.optim.Adam(weights, lr=1e-3)
    scores = [torch.zeros_like(w) for w in weights]
    order = torch.randperm(250, generator=torch.Generator().manual_seed(3))
    for rows in order.split(100):
        logits = reference_logits(network, weights, torch.tensor(inputs[rows], dtype=torch.float32))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.tensor(targets[rows])).backward()
        for score, weight in zip(scores, weights, strict=True):
            score -= (weight * weight.grad).detach()
        optimiser.step()
        with torch.no_grad():
            for weight, mask in zip(weights, masks, strict=True):
                weight *= torch.tensor(mask)
    for a, b, mask in zip(found, scores, masks, strict=True):
        assert_allclose(a, b.numpy(), atol=1e-5)
        assert not a[~mask].any()


@pytest.mark.parametrize("name", ["movement", "grasp", "obd"])
def test_units_are_scored_by_the_sum_of_scores_that_have_signs(name):
    evidence, parameters, *_ = make("tanh")
    model = Model(parameters[:2], make_evidence=lambda: evidence)
    for units, weights in zip(unit_scores(name, model), weight_scores(name, model), strict=True):
        assert (weights < 0).any()
        assert_allclose(units, weights.sum(0))


# -- the criteria ----------------------------------------------------------------------------------------------


def test_criteria_by_hand():
    evidence, parameters, *_ = make(fit_intercept=True)
    model = Model(parameters[:2], seed=3, make_evidence=lambda: evidence)
    w, g, h, f = parameters[0], evidence.gradients[0], evidence.hessian_diagonal[0], evidence.fisher[0]
    for name, expected in {
        "magnitude": np.abs(w),
        "taylor": np.abs(w * g),
        "snip": np.abs(w * g),
        "obd": w**2 * h / 2,
        "fisher": w**2 * f / 2,
        "wanda": np.abs(w) * evidence.input_norms[0][:, None],
        "activation": np.abs(w) * evidence.input_activity[0][:, None],
        "apoz": np.abs(w) * evidence.input_nonzero[0][:, None],
        "grasp": w * evidence.gradient_flow()[0],
        "activity": evidence.coactivity[0],
    }.items():
        scores = weight_scores(name, model)
        assert len(scores) == 2
        assert_allclose(scores[0], expected)
    change = (w * g).sum(0) + parameters[3] * evidence.bias_gradients[0]
    assert_allclose(unit_scores("taylor", model)[0], np.abs(change))
    assert_allclose(unit_scores("activation", model)[0], evidence.unit_activity[0])
    assert_allclose(unit_scores("apoz", model)[0], evidence.unit_nonzero[0])
    assert_allclose(unit_scores("obd", model, norm=1)[0], np.abs(w**2 * h / 2).sum(0))


def test_obd_foretells_what_removing_a_weight_costs_at_a_minimum():
    """At a minimum of a quadratic loss the second-order change is the change (here: nearly)."""
    evidence, parameters, inputs, targets = make("identity", sizes=(4, 3))
    weights = torch.from_numpy(parameters[0]).requires_grad_()
    loss = reference_loss(evidence.network, inputs, targets)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss(weights)
        value.backward()
        return value

    optimiser.step(closure)
    w = weights.detach().numpy().copy()
    at_minimum = Evidence(evidence.network, [w], inputs, targets, dtype=torch.float64)
    saliency = weight_scores("obd", Model([w], make_evidence=lambda: at_minimum))[0]
    small = np.abs(w) < 0.3
    assert small.sum() >= 3
    for i, j in zip(*np.nonzero(small), strict=True):
        cut = w.copy()
        cut[i, j] = 0
        cost = float(loss(torch.from_numpy(cut)) - loss(torch.from_numpy(w)))
        assert cost == pytest.approx(saliency[i, j], rel=0.25, abs=1e-6)


def test_criteria_that_look_at_data_say_so_where_there_are_none():
    model = Model([np.ones((2, 2))])
    with pytest.raises(ValueError, match="training data"):
        weight_scores("taylor", model)


X, Y = make_classification(600, 16, n_informative=8, n_classes=3, random_state=0)


@pytest.mark.parametrize("criterion", criterion_names())
@pytest.mark.parametrize("granularity", ["weight", "unit"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_every_criterion_prunes_exactly_and_repeatably(criterion, granularity, scope):
    classifier = PrunedMLPClassifier(
        (20, 12), max_iter=2, criterion=criterion, granularity=granularity, scope=scope, random_state=1, device="cpu"
    )
    path = sparsity_path(classifier, X, Y, sparsities=(0.25, 0.5))
    sizes = [16 * 20, 20 * 12] if granularity == "weight" else [20, 12]
    groups = sizes if scope == "layer" else [sum(sizes)]
    for masks, sparsity in zip(path.masks, (0.25, 0.5), strict=True):
        kept = [mask if granularity == "weight" else mask.any(axis=0) for mask in masks[:2]]
        removed = [int((~mask).sum()) for mask in kept]
        removed = removed if scope == "layer" else [sum(removed)]
        if granularity == "weight":
            assert removed == [round(sparsity * n) for n in groups]
    if criterion not in FOR_EACH_SPARSITY:
        assert all((~b | a).all() for a, b in zip(*path.masks, strict=True))  # nested
    again = classifier.set_params(sparsity=0.5).fit(X, Y)
    for mask, other in zip(path.masks[1], again.masks_, strict=True):
        np.testing.assert_array_equal(mask, other)
