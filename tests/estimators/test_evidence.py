"""Evidence from data, compared with autograd, finite differences and sums by hand, all in float64."""

from __future__ import annotations

import itertools
from operator import attrgetter

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose
from prunelab.estimators import PrunedMLPClassifier, sparsity_path
from prunelab.estimators.networks.mlp import MLPNetwork, name_tensors
from prunelab.estimators.networks.resnet import ResNetNetwork
from prunelab.estimators.pruning.criteria import FOR_EACH_SPARSITY, Model, criterion_names, unit_scores, weight_scores
from prunelab.estimators.pruning.evidence import Evidence, curvature
from prunelab.estimators.pruning.evidence.curvature import gauss_newton_diagonal, hessian_product
from sklearn.datasets import make_classification

from .lists import listed
from .small_networks import CNNS, FEED_FORWARD, NETWORKS, RESNETS, random_samples, random_tensors, resnet_logits

SIZES = (6, 5, 4, 3)
LAYERS = ("hidden1", "hidden2", "output")
WEIGHTS = [f"{layer}.weight" for layer in LAYERS]
N = 37


def make(activation="relu", fit_intercept=False, seed=0, sizes=SIZES, **settings):
    rng = np.random.default_rng(seed)
    network = MLPNetwork(sizes, activation, fit_intercept)
    shapes = list(itertools.pairwise(sizes))
    weights = [rng.normal(size=shape) for shape in shapes]
    tensors = name_tensors(weights, [rng.normal(size=shape[1]) for shape in shapes] if fit_intercept else [])
    inputs, targets = rng.normal(size=(N, sizes[0])), rng.integers(0, sizes[-1], N)
    return Evidence(network, tensors, inputs, targets, dtype=torch.float64, **settings), tensors, inputs, targets


def as_leaves(tensors):
    return {name: torch.from_numpy(array).requires_grad_() for name, array in tensors.items()}


def reference_logits(network, tensors, inputs):
    """The network, written anew with plain operations that differentiate twice."""
    functions = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid, "identity": lambda x: x}
    values = inputs
    for layer in LAYERS if len(network.sizes) == 4 else ["output"]:
        values = values @ tensors[f"{layer}.weight"]
        if network.fit_intercept:
            values = values + tensors[f"{layer}.bias"]
        if layer != "output":
            values = functions[network.activation](values)
    return values


def reference_loss(network, inputs, targets, temperature=1.0):
    inputs, targets = torch.from_numpy(inputs), torch.from_numpy(targets)

    def loss(tensors):
        logits = reference_logits(network, tensors, inputs) / temperature
        return torch.nn.functional.cross_entropy(logits, targets)

    return loss


ACTIVATIONS = ["relu", "tanh", "logistic", "identity"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_gradients_are_those_of_autograd(activation, fit_intercept):
    evidence, tensors, inputs, targets = make(activation, fit_intercept)
    leaves = as_leaves(tensors)
    loss = reference_loss(evidence.sample.network, inputs, targets)(leaves)
    expected = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    assert evidence.gradients.keys() == expected.keys()
    for name, got in evidence.gradients.items():
        assert_allclose(got, expected[name].numpy(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fisher_is_the_mean_square_of_the_gradients_sample_by_sample(activation):
    evidence, tensors, inputs, targets = make(activation, fit_intercept=True)
    squares = {name: np.zeros_like(tensors[name]) for name in WEIGHTS}
    for i in range(N):
        leaves = as_leaves(tensors)
        loss = reference_loss(evidence.sample.network, inputs[i : i + 1], targets[i : i + 1])(leaves)
        gradients = torch.autograd.grad(loss, [leaves[name] for name in WEIGHTS])
        for name, gradient in zip(WEIGHTS, gradients, strict=True):
            squares[name] += gradient.numpy() ** 2 / N
    assert evidence.fisher.keys() == squares.keys()
    for name, got in evidence.fisher.items():
        assert_allclose(got, squares[name], rtol=1e-9)


def full_hessian(evidence, tensors, inputs, targets):
    """Blocks of the Hessian, for each pair of tensors, by torch.func."""
    constants = {name: torch.from_numpy(array) for name, array in tensors.items()}
    hessian = torch.func.hessian(reference_loss(evidence.sample.network, inputs, targets))(constants)
    return {
        name: {other: block.reshape(tensors[name].size, -1) for other, block in row.items()}
        for name, row in hessian.items()
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_hessian_s_diagonal_is_exact_for_small_networks(activation, fit_intercept):
    evidence, tensors, inputs, targets = make(activation, fit_intercept)
    hessian = full_hessian(evidence, tensors, inputs, targets)
    assert list(evidence.hessian_diagonal) == WEIGHTS
    for name, got in evidence.hessian_diagonal.items():
        assert_allclose(got.ravel(), hessian[name][name].diagonal().numpy(), rtol=1e-6, atol=1e-9)


def test_the_gauss_newton_term_is_not_all_there_is_for_tanh():
    evidence, *_ = make("tanh")
    gauss_newton = gauss_newton_diagonal(evidence.sample)
    gaps = [np.abs(exact - gauss_newton[name]).max() for name, exact in evidence.hessian_diagonal.items()]
    assert max(gaps[:-1]) > 1e-3
    assert gaps[-1] < 1e-9  # behind the last layer there is no activation


def test_hutchinson_s_estimate_comes_near(monkeypatch):
    monkeypatch.setattr(curvature, "EXACT_HESSIAN_WEIGHTS", 0)
    monkeypatch.setattr(curvature, "N_PROBES", 3000)
    estimated, tensors, inputs, targets = make("tanh")
    hessian = full_hessian(estimated, tensors, inputs, targets)
    for name, got in estimated.hessian_diagonal.items():
        exact = hessian[name][name].diagonal().numpy()
        # A single probe scatters as the rest of the row: sum of squares off the diagonal.
        rows = torch.cat(list(hessian[name].values()), dim=1).numpy()
        deviation = np.sqrt(((rows**2).sum(1) - exact**2) / 3000)
        assert (np.abs(got.ravel() - exact) < 5 * deviation + 1e-9).all()


def test_hessian_products_are_finite_differences_of_gradients():
    evidence, tensors, inputs, targets = make("tanh")
    rng = np.random.default_rng(1)
    vectors = {name: rng.normal(size=array.shape) for name, array in tensors.items()}

    def gradients_at(step):
        moved = {name: array + step * vectors[name] for name, array in tensors.items()}
        return Evidence(evidence.sample.network, moved, inputs, targets, dtype=torch.float64).gradients

    product = hessian_product(evidence.sample, {name: torch.from_numpy(v) for name, v in vectors.items()})
    plus, minus = gradients_at(1e-5), gradients_at(-1e-5)
    assert product.keys() == plus.keys()
    for name, got in product.items():
        assert_allclose(got.numpy(), (plus[name] - minus[name]) / 2e-5, rtol=1e-5, atol=1e-7)


def test_gradient_flow_is_the_hessian_times_the_gradient():
    evidence, tensors, inputs, targets = make("tanh")
    loss = reference_loss(evidence.sample.network, inputs, targets, temperature=200.0)
    constants = {name: torch.from_numpy(array) for name, array in tensors.items()}
    hessian, gradient = torch.func.hessian(loss)(constants), torch.func.grad(loss)(constants)
    assert list(evidence.gradient_flow) == WEIGHTS
    for name, got in evidence.gradient_flow.items():
        expected = sum(torch.tensordot(hessian[name][other], gradient[other], dims=2) for other in WEIGHTS)
        assert_allclose(got, expected.numpy(), rtol=1e-7)


def test_activity_is_counted_as_by_hand():
    evidence, tensors, inputs, _ = make("relu", fit_intercept=True)
    outputs = [inputs]
    for layer in LAYERS:
        values = outputs[-1] @ tensors[f"{layer}.weight"] + tensors[f"{layer}.bias"]
        outputs.append(np.maximum(values, 0) if layer != "output" else values)
    features = inputs - inputs.min(axis=0)
    before = [features, *outputs[1:-1]]
    activity = evidence.activity
    for i, (layer, weight) in enumerate(zip(LAYERS, WEIGHTS, strict=True)):
        assert_allclose(activity.input_norms[weight], np.sqrt((outputs[i] ** 2).mean(0)))
        assert_allclose(activity.unit_activity[layer], np.abs(outputs[i + 1]).mean(0))
        assert_allclose(activity.unit_nonzero[layer], (outputs[i + 1] != 0).mean(0))
        assert_allclose(activity.input_activity[weight], np.abs(before[i]).mean(0))
        assert_allclose(activity.input_nonzero[weight], (before[i] != 0).mean(0))
        pairs = before[i][:, :, None] * np.abs(outputs[i + 1])[:, None, :]
        assert_allclose(activity.coactivity[weight], pairs.mean(0))


def test_movement_tells_weights_that_grow_from_weights_that_shrink():
    # One feature determines the class; a weight near zero moves away from zero, towards the right sign.
    rng = np.random.default_rng(0)
    inputs = rng.choice([-1.0, 1.0], size=(400, 1)).astype(np.float32)
    targets = (inputs[:, 0] > 0).astype(np.int64)
    network = MLPNetwork((1, 2), "relu", False)

    def movement(weight):
        return Evidence(network, {"output.weight": weight}, inputs, targets).movement["output.weight"]

    assert (movement(np.array([[-0.1, 0.1]], dtype=np.float32)) > 0).all()
    assert (movement(np.array([[0.1, -0.1]], dtype=np.float32)) < 0).all()


def test_a_sample_is_taken_of_many():
    evidence, _parameters, _inputs, _targets = make(max_samples=10)
    same, *_ = make(max_samples=10)
    whole, *_ = make()
    for a, b, c in zip(*(listed(some.gradients) for some in (evidence, same, whole)), strict=True):
        assert_allclose(a, b)
        assert not np.allclose(a, c)


FIGURES = [
    "gradients",
    "fisher",
    "group_fisher",
    "hessian_diagonal",
    *(f"activity.{figure}" for figure in ("input_norms", "coactivity", "unit_activity")),
]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(
    "network",
    [MLPNetwork(SIZES, "relu", True), MLPNetwork(SIZES, "tanh", True), CNNS["lenet"], CNNS["batch norm"]],
    ids=["relu", "tanh", "lenet", "batch norm"],
)
def test_a_sample_of_twice_the_weight_counts_twice(figure, network):
    weights = np.tile([1.0, 2.0, 0.0], N)[:N]
    tensors, (inputs, targets) = random_tensors(network, 0), random_samples(network, N, seed=1)
    rows = np.repeat(np.arange(N), weights.astype(int))
    weighed = Evidence(network, tensors, inputs, targets, weights=weights, dtype=torch.float64)
    repeated = Evidence(network, tensors, inputs[rows], targets[rows], dtype=torch.float64)
    found, expected = attrgetter(figure)(weighed), attrgetter(figure)(repeated)
    assert found.keys() == expected.keys()
    for name, got in found.items():
        is_bias = figure == "gradients" and name.endswith("bias")  # those of the MLP are float32
        assert_allclose(got, expected[name], rtol=1e-5 if is_bias else 1e-7)


@pytest.mark.parametrize(
    "network", [MLPNetwork(SIZES), CNNS["lenet"], CNNS["batch norm"]], ids=["mlp", "lenet", "batch norm"]
)
def test_movement_leaves_what_was_removed_away(network):
    rng = np.random.default_rng(1)
    tensors, (inputs, targets) = random_tensors(network, 0), random_samples(network, 250, seed=1)
    masks = {name: rng.random(array.shape) < 0.5 for name, array in tensors.items()}
    masks |= {name: np.ones_like(mask) for name, mask in masks.items() if name.endswith("variance")}
    tensors = {name: array * masks[name] for name, array in tensors.items()}
    found = Evidence(network, tensors, inputs, targets, masks=masks, seed=3).movement
    trained = {name: torch.tensor(array, dtype=torch.float32) for name, array in tensors.items()}
    for name in network.trained:
        trained[name].requires_grad_()
    optimiser = torch.optim.Adam([trained[name] for name in network.trained], lr=1e-3)
    scores = {record.name: torch.zeros(record.shape) for record in network.weights}
    order = torch.randperm(250, generator=torch.Generator().manual_seed(3))
    for rows in order.split(100):
        batch = torch.tensor(inputs[rows], dtype=torch.float32)
        if isinstance(network, MLPNetwork):
            logits = reference_logits(network, trained, batch)
        else:
            logits = network.forward(trained, batch, training=True)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.tensor(targets[rows])).backward()
        for name, score in scores.items():
            score -= (trained[name] * trained[name].grad).detach()
        optimiser.step()
        with torch.no_grad():
            for name, mask in masks.items():
                trained[name] *= torch.tensor(mask)
    assert found.keys() == scores.keys()
    for name, score in scores.items():
        assert_allclose(found[name], score.numpy(), atol=1e-5)
        assert not found[name][~masks[name]].any()


@pytest.mark.parametrize("name", ["movement", "grasp", "obd"])
def test_units_are_scored_by_the_sum_of_scores_that_have_signs(name):
    evidence, tensors, *_ = make("tanh")
    model = Model(evidence.sample.network, tensors, output=False, make_evidence=lambda: evidence)
    assert list(unit_scores(name, model)) == ["hidden1", "hidden2"]
    for units, weights in zip(unit_scores(name, model).values(), weight_scores(name, model).values(), strict=True):
        assert (weights < 0).any()
        assert_allclose(units, weights.sum(0))


# -- every kind of network -------------------------------------------------------------------------------------

every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
every_feed_forward = pytest.mark.parametrize("network", FEED_FORWARD.values(), ids=FEED_FORWARD)
CHAINS = {name: network for name, network in FEED_FORWARD.items() if name not in RESNETS}
every_chain = pytest.mark.parametrize("network", CHAINS.values(), ids=CHAINS)
N_FEW = 9


def with_samples(network):
    tensors, (inputs, targets) = random_tensors(network, 0), random_samples(network, N_FEW, seed=1)
    return Evidence(network, tensors, inputs, targets, dtype=torch.float64), tensors, inputs, targets


def gradients_by_sample(network, tensors, inputs, targets):
    """The gradients of the loss of each sample with respect to all tensors that are trained, by autograd."""
    rows = []
    for sample, target in zip(torch.from_numpy(inputs), torch.from_numpy(targets), strict=True):
        leaves = {name: torch.tensor(array, requires_grad=name in network.trained) for name, array in tensors.items()}
        loss = torch.nn.functional.cross_entropy(network.forward(leaves, sample[None]), target[None])
        gradients = torch.autograd.grad(loss, [leaves[name] for name in network.trained])
        rows.append({n: gradient.numpy() for n, gradient in zip(network.trained, gradients, strict=True)})
    return rows


def as_units(record, array):
    """What each unit of a layer has, flattened."""
    return np.moveaxis(array, record.output_axis, 0).reshape(record.shape[record.output_axis], -1)


@every_network
def test_first_derivatives_are_those_of_the_samples(network):
    evidence, tensors, inputs, targets = with_samples(network)
    rows = gradients_by_sample(network, tensors, inputs, targets)
    assert set(evidence.gradients) == set(network.trained)
    for name, got in evidence.gradients.items():
        assert_allclose(got, np.mean([row[name] for row in rows], axis=0), rtol=1e-6, atol=1e-7)
    assert list(evidence.fisher) == [record.name for record in network.weights]
    for name, got in evidence.fisher.items():
        assert_allclose(got, np.mean([row[name] ** 2 for row in rows], axis=0), rtol=1e-9, atol=1e-12)


def gated_logits(network, tensors, inputs, gates):
    """The network, written anew, with a factor on every unit's output before the activation, after normalisation."""
    if isinstance(network, ResNetNetwork):
        return resnet_logits(network, tensors, inputs, gates)
    functions = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid, "identity": lambda x: x}
    activate = functions[network.activation]
    values = inputs.reshape(len(inputs), *getattr(network, "sample_shape", [network.n_features]))
    for name in network.groups:
        weight = tensors[f"{name}.weight"]
        if weight.ndim == 4:
            if network.padding == "same":
                before = (network.kernel_size - 1) // 2
                around = [before, network.kernel_size - 1 - before] * 2
                values = torch.nn.functional.pad(values, around)
            values = torch.nn.functional.conv2d(values, weight)
        else:
            values = values.flatten(1) @ weight
        along = (-1, *(1 for _ in range(values.ndim - 2)))
        if f"{name}.scale" in tensors:
            mean, variance = (tensors[f"{name}.{kind}"].reshape(along) for kind in ("mean", "variance"))
            values = (values - mean) / torch.sqrt(variance + 1e-5) * tensors[f"{name}.scale"].reshape(along)
            values = values + tensors[f"{name}.shift"].reshape(along)
        elif f"{name}.bias" in tensors:
            values = values + tensors[f"{name}.bias"].reshape(along)
        values = values * gates[name].reshape(along)
        if name != "output":
            values = activate(values)
        if weight.ndim == 4:
            values = torch.nn.functional.max_pool2d(values, network.pooling)
    return values


@every_feed_forward
def test_the_group_forms_are_derivatives_by_a_gate_on_each_unit(network):
    """Taylor's is their mean over the samples, Fisher's their mean square."""
    evidence, tensors, inputs, targets = with_samples(network)
    constants = {name: torch.from_numpy(array) for name, array in tensors.items()}
    rows = []
    for sample, target in zip(torch.from_numpy(inputs), torch.from_numpy(targets), strict=True):
        gates = {n: torch.ones(g.size, dtype=torch.float64, requires_grad=True) for n, g in network.groups.items()}
        logits = gated_logits(network, constants, sample[None], gates)
        np.testing.assert_allclose(logits.detach(), network.forward(constants, sample[None]), rtol=1e-9, atol=1e-12)
        loss = torch.nn.functional.cross_entropy(logits, target[None])
        rows.append(dict(zip(gates, torch.autograd.grad(loss, list(gates.values())), strict=True)))
    model = Model(network, tensors, make_evidence=lambda: evidence, residual=True)
    first, second = unit_scores("taylor", model), unit_scores("fisher", model, reduce="sum")
    assert list(first) == list(second) == list(network.groups)
    for name in network.groups:
        derivatives = torch.stack([row[name] for row in rows]).numpy()
        assert_allclose(first[name], np.abs(derivatives.mean(axis=0)), rtol=1e-5, atol=1e-6)  # biases in float32
        assert_allclose(second[name], (derivatives**2).mean(axis=0) / 2, rtol=1e-9, atol=1e-12)


@every_network
def test_the_gauss_newton_diagonal_is_that_of_jacobians(network):
    evidence, tensors, inputs, _ = with_samples(network)
    constants = {name: torch.from_numpy(array) for name, array in tensors.items()}
    weights = {record.name: constants[record.name] for record in network.weights}
    expected = dict.fromkeys(weights, 0.0)
    for sample in torch.from_numpy(inputs):

        def logits(some, sample=sample):
            return network.forward({**constants, **some}, sample[None])[0]

        probabilities = torch.softmax(logits(weights), 0)
        curvature_of_logits = torch.diag(probabilities) - torch.outer(probabilities, probabilities)
        for name, jacobian in torch.func.jacrev(logits)(weights).items():
            diagonal = torch.einsum("i...,ij,j...->...", jacobian, curvature_of_logits, jacobian)
            expected[name] += diagonal.numpy() / N_FEW
    found = gauss_newton_diagonal(evidence.sample)
    assert found.keys() == expected.keys()
    for name, got in found.items():
        assert_allclose(got, expected[name], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["lenet", "batch norm", "same", "no convolution", "resnet"])
def test_the_hessian_s_diagonal_is_exact_for_convolutions(name):
    network = NETWORKS[name]
    evidence, tensors, inputs, targets = with_samples(network)
    constants = {name: torch.from_numpy(array) for name, array in tensors.items()}
    batch = torch.from_numpy(inputs), torch.from_numpy(targets)
    for record in network.weights:
        if record.size > 250:
            continue  # the whole Hessian is large

        def loss(weight, record=record):
            logits = network.forward({**constants, record.name: weight}, batch[0])
            return torch.nn.functional.cross_entropy(logits, batch[1])

        hessian = torch.func.hessian(loss)(constants[record.name]).reshape(record.size, record.size)
        got = evidence.hessian_diagonal[record.name]
        assert_allclose(got.ravel(), hessian.diagonal().numpy(), rtol=1e-8, atol=1e-11)


def layers_by_hand(network, tensors, inputs):
    """For each layer, what meets its weights, and what its units put out: (n, positions, fan_in) and (..., units)."""
    functions = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh, "logistic": lambda x: 1 / (1 + np.exp(-x))}
    activate = functions[network.activation]
    layers, n = [], len(inputs)
    values = inputs.reshape(n, *getattr(network, "sample_shape", (-1,)))
    for record in network.weights:
        layer = record.name.removesuffix(".weight")
        if len(record.shape) == 4:
            before, extent = patches_by_hand(values, network)
            outputs = before @ tensors[record.name].reshape(len(tensors[record.name]), -1).T
        else:
            before = values.reshape(n, 1, -1)
            outputs = before @ tensors[record.name]
        if f"{layer}.scale" in tensors:
            scale, shift, mean, variance = (tensors[f"{layer}.{x}"] for x in ("scale", "shift", "mean", "variance"))
            outputs = (outputs - mean) / np.sqrt(variance + 1e-5) * scale + shift
        else:
            outputs = outputs + tensors.get(f"{layer}.bias", 0)
        outputs = outputs if record.is_output else activate(outputs)
        layers.append((record, values, before, outputs))
        values = outputs
        if len(record.shape) == 4:
            p = network.pooling
            maps = outputs.transpose(0, 2, 1).reshape(n, -1, *extent)
            height, width = (length // p for length in extent)
            maps = maps[:, :, : height * p, : width * p].reshape(n, -1, height, p, width, p)
            values = maps.max(axis=(3, 5))
    return layers


def patches_by_hand(maps, network):
    """(n, positions, channels * kernel area), and the height and width of the positions."""
    k = network.kernel_size
    around = ((k - 1) // 2, k - 1 - (k - 1) // 2) if network.padding == "same" else (0, 0)
    windows = sliding_window_view(np.pad(maps, ((0, 0), (0, 0), around, around)), (k, k), axis=(2, 3))
    patches = windows.transpose(0, 2, 3, 1, 4, 5)
    return patches.reshape(len(maps), patches.shape[1] * patches.shape[2], -1), patches.shape[1:3]


@every_chain
def test_activity_is_that_of_patches_cut_out_by_hand(network):
    evidence, tensors, inputs, _ = with_samples(network)
    activity = evidence.activity
    for i, (record, values, before, outputs) in enumerate(layers_by_hand(network, tensors, inputs)):
        layer = record.name.removesuffix(".weight")
        silent = values.min(axis=0) if i == 0 else 0  # features are active above their least value
        active = np.abs(values - silent)
        active = patches_by_hand(active, network)[0] if len(record.shape) == 4 else active.reshape(N_FEW, 1, -1)
        together = np.einsum("npi,npu->iu", active, np.abs(outputs)) / (N_FEW * record.positions)
        if len(record.shape) == 4:
            together = together.T.reshape(record.shape)
        assert before.shape == (N_FEW, record.positions, record.fan_in)
        assert_allclose(activity.input_norms[record.name], np.sqrt((before**2).mean(axis=(0, 1))))
        assert_allclose(activity.input_activity[record.name], active.mean(axis=(0, 1)))
        assert_allclose(activity.input_nonzero[record.name], (active > 0).mean(axis=(0, 1)))
        assert_allclose(activity.unit_activity[layer], np.abs(outputs).mean(axis=(0, 1)))
        assert_allclose(activity.unit_nonzero[layer], (outputs != 0).mean(axis=(0, 1)))
        assert_allclose(activity.coactivity[record.name], together)


@every_chain
def test_criteria_of_inputs_take_the_figure_of_the_input_of_each_weight(network):
    evidence, tensors, inputs, _ = with_samples(network)
    model = Model(network, tensors, make_evidence=lambda: evidence)
    found = weight_scores("wanda", model)
    assert list(found) == [record.name for record in network.weights]
    for record, _, before, _ in layers_by_hand(network, tensors, inputs):
        norms = np.sqrt((before**2).mean(axis=(0, 1)))
        got = as_units(record, found[record.name])
        assert_allclose(got, as_units(record, np.abs(tensors[record.name])) * norms)


# -- the criteria ----------------------------------------------------------------------------------------------


def test_criteria_by_hand():
    evidence, tensors, *_ = make(fit_intercept=True)
    model = Model(evidence.sample.network, tensors, output=False, seed=3, make_evidence=lambda: evidence)
    first, activity = WEIGHTS[0], evidence.activity
    w, g, h, f = (a[first] for a in (tensors, evidence.gradients, evidence.hessian_diagonal, evidence.fisher))
    for name, expected in {
        "magnitude": np.abs(w),
        "taylor": np.abs(w * g),
        "snip": np.abs(w * g),
        "obd": w**2 * h / 2,
        "fisher": w**2 * f / 2,
        "wanda": np.abs(w) * activity.input_norms[first][:, None],
        "activation": np.abs(w) * activity.input_activity[first][:, None],
        "apoz": np.abs(w) * activity.input_nonzero[first][:, None],
        "grasp": w * evidence.gradient_flow[first],
        "activity": activity.coactivity[first],
    }.items():
        scores = weight_scores(name, model)
        assert list(scores) == WEIGHTS[:2]
        assert_allclose(scores[first], expected)
    change = (w * g).sum(0) + tensors["hidden1.bias"] * evidence.gradients["hidden1.bias"]
    assert_allclose(unit_scores("taylor", model)["hidden1"], np.abs(change))
    assert_allclose(unit_scores("activation", model)["hidden1"], activity.unit_activity["hidden1"])
    assert_allclose(unit_scores("apoz", model)["hidden1"], activity.unit_nonzero["hidden1"])
    assert_allclose(unit_scores("obd", model, norm=1)["hidden1"], np.abs(w**2 * h / 2).sum(0))


def test_obd_foretells_what_removing_a_weight_costs_at_a_minimum():
    """At a minimum of a quadratic loss the second-order change is the change (here: nearly)."""
    evidence, tensors, inputs, targets = make("identity", sizes=(4, 3))
    network, name = evidence.sample.network, "output.weight"
    weights = torch.from_numpy(tensors[name]).requires_grad_()
    loss = reference_loss(network, inputs, targets)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss({name: weights})
        value.backward()
        return value

    optimiser.step(closure)
    w = weights.detach().numpy().copy()
    at_minimum = Evidence(network, {name: w}, inputs, targets, dtype=torch.float64)
    saliency = weight_scores("obd", Model(network, {name: w}, make_evidence=lambda: at_minimum))[name]
    small = np.abs(w) < 0.3
    assert small.sum() >= 3
    for i, j in zip(*np.nonzero(small), strict=True):
        cut = w.copy()
        cut[i, j] = 0
        cost = float(loss({name: torch.from_numpy(cut)}) - loss({name: torch.from_numpy(w)}))
        assert cost == pytest.approx(saliency[i, j], rel=0.25, abs=1e-6)


def test_criteria_that_look_at_data_say_so_where_there_are_none():
    model = Model(MLPNetwork((2, 2)), {"output.weight": np.ones((2, 2))})
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
        kept = [masks[name] if granularity == "weight" else masks[name].any(axis=0) for name in WEIGHTS[:2]]
        removed = [int((~mask).sum()) for mask in kept]
        removed = removed if scope == "layer" else [sum(removed)]
        if granularity == "weight":
            assert removed == [round(sparsity * n) for n in groups]
    if criterion not in FOR_EACH_SPARSITY:
        assert all((~b | a).all() for a, b in zip(*map(listed, path.masks), strict=True))  # nested
    again = classifier.set_params(sparsity=0.5).fit(X, Y)
    assert path.masks[1].keys() == again.masks_.keys()
    for name, mask in path.masks[1].items():
        np.testing.assert_array_equal(mask, again.masks_[name])
