"""The written-out forward and backward passes, against autograd, finite differences and NumPy."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from prunelab.estimators.networks.base import Network
from prunelab.estimators.networks.cnn import CNNNetwork
from prunelab.estimators.networks.mlp import MLPNetwork, name_tensors
from scipy import stats
from torch import nn
from torch.nn import functional

from .lists import listed
from .small_networks import CNNS, NETWORKS, random_samples, random_tensors

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid, "identity": lambda values: values}
IN_NUMPY = {
    "relu": lambda values: np.maximum(values, 0),
    "tanh": np.tanh,
    "logistic": lambda values: 1 / (1 + np.exp(-values)),
    "identity": lambda values: values,
}
SIZES = [(5, 3), (5, 7, 3), (5, 7, 6, 4, 3)]

every_activation = pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
with_and_without_biases = pytest.mark.parametrize("fit_intercept", [False, True], ids=["no-biases", "biases"])


class Case:
    """A network with float64 parameters and samples."""

    def __init__(self, activation="relu", fit_intercept=True, weighted=False, sizes=(5, 7, 6, 3), n=11):
        generator = torch.Generator().manual_seed(3)

        def draw(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        self.network = MLPNetwork(sizes, activation, fit_intercept)
        weights = [draw(*shape) for shape in pairwise(sizes)]
        self.tensors = name_tensors(weights, [draw(width) for width in sizes[1:]] if fit_intercept else [])
        self.inputs = draw(n, sizes[0])
        self.targets = torch.arange(n) % sizes[-1]
        self.weights = torch.arange(n).float() if weighted else None

    def gradients(self):
        loss, gradients = self.network.loss_and_gradients(self.tensors, self.inputs, self.targets, self.weights)
        return loss, dict(gradients)

    def reference_logits(self, tensors):
        activate, n_hidden = ACTIVATIONS[self.network.activation], len(self.network.sizes) - 2
        values = self.inputs
        for layer in [*(f"hidden{i + 1}" for i in range(n_hidden)), "output"]:
            values = values @ tensors[f"{layer}.weight"]
            if self.network.fit_intercept:
                values = values + tensors[f"{layer}.bias"]
            if layer != "output":
                values = activate(values)
        return values

    def reference_loss(self, tensors):
        losses = functional.cross_entropy(self.reference_logits(tensors), self.targets, reduction="none")
        weights = torch.ones_like(losses) if self.weights is None else self.weights.double()
        return (losses * weights).sum() / weights.sum()

    def reference_gradients(self):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in self.tensors.items()}
        loss = self.reference_loss(leaves)
        return loss.detach(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def assert_close(actual, expected, tolerance):
    np.testing.assert_allclose(actual.double().numpy(), expected.double().numpy(), rtol=tolerance, atol=tolerance)


@every_activation
@with_and_without_biases
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradients_are_those_of_autograd(activation, fit_intercept, weighted, sizes):
    case = Case(activation, fit_intercept, weighted, sizes)
    loss, gradients = case.gradients()
    expected_loss, expected = case.reference_gradients()
    assert_close(loss, expected_loss, 1e-6)  # weights and the gradients of biases travel as float32
    assert gradients.keys() == case.tensors.keys()
    for name, gradient in gradients.items():
        assert gradient.shape == case.tensors[name].shape
        is_weight = name.endswith("weight")
        assert_close(gradient, expected[name], 1e-6 if weighted or not is_weight else 1e-12)


@every_activation
@with_and_without_biases
def test_gradients_are_those_of_finite_differences(activation, fit_intercept):
    case = Case(activation, fit_intercept)
    _, gradients = case.gradients()
    step = 1e-6
    for name, tensor in case.tensors.items():
        flat = tensor.view(-1)
        for place in range(0, len(flat), 5):
            original = flat[place].item()
            losses = []
            for sign in (1, -1):
                flat[place] = original + sign * step
                losses.append(case.reference_loss(case.tensors).item())
            flat[place] = original
            slope = (losses[0] - losses[1]) / (2 * step)
            assert gradients[name].view(-1)[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


@every_activation
@with_and_without_biases
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_forward_is_that_of_numpy(activation, fit_intercept, sizes):
    case = Case(activation, fit_intercept, sizes=sizes)
    arrays = [tensor.numpy() for tensor in listed(case.tensors)]
    coefs, biases = arrays[: len(sizes) - 1], arrays[len(sizes) - 1 :] or [0.0] * (len(sizes) - 1)
    values = case.inputs.numpy()
    for layer, (coef, bias) in enumerate(zip(coefs, biases, strict=True)):
        values = values @ coef + bias
        values = IN_NUMPY[activation](values) if layer < len(coefs) - 1 else values
    np.testing.assert_allclose(case.network.forward(case.tensors, case.inputs).numpy(), values, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_nothing_passed_in_is_changed(weighted):
    case = Case(weighted=weighted)
    tensors = [*case.tensors.values(), case.inputs, case.targets, *([case.weights] if weighted else [])]
    before = [tensor.clone() for tensor in tensors]
    case.gradients()
    case.network.forward(case.tensors, case.inputs)
    assert all(torch.equal(one, other) for one, other in zip(tensors, before, strict=True))


@every_activation
@with_and_without_biases
def test_a_parameter_may_change_as_soon_as_its_gradient_is_there(activation, fit_intercept):
    case = Case(activation, fit_intercept)
    _, expected = case.reference_gradients()
    _, gradients = case.network.loss_and_gradients(case.tensors, case.inputs, case.targets)
    for name, gradient in gradients:
        assert_close(gradient, expected[name], 1e-6)
        case.tensors[name].fill_(float("nan"))
        gradient.fill_(float("nan"))


def test_whole_weights_are_repetitions():
    case = Case(weighted=True)
    loss, gradients = case.gradients()
    times = case.weights.long()
    case.inputs, case.targets = (tensor.repeat_interleave(times, dim=0) for tensor in (case.inputs, case.targets))
    case.weights = None
    repeated_loss, repeated = case.gradients()
    assert_close(loss, repeated_loss, 1e-6)
    for name, gradient in gradients.items():
        assert_close(gradient, repeated[name], 1e-6)


def test_a_batch_in_which_nothing_weighs_gives_zeros():
    case = Case()
    case.weights = torch.zeros(len(case.targets))
    loss, gradients = case.gradients()
    assert loss.item() == 0.0
    assert all((gradient == 0).all() for gradient in gradients.values())


@every_activation
def test_gradients_of_units_that_are_dead(activation):
    """A pruned unit's input is exactly zero: the edge of relu."""
    case = Case(activation, fit_intercept=False)
    case.tensors["hidden1.weight"][:, :4] = 0
    case.tensors["hidden2.weight"][2:5] = 0
    _, expected = case.reference_gradients()
    for name, gradient in case.gradients()[1].items():
        assert_close(gradient, expected[name], 1e-12)


def test_enormous_logits_give_a_finite_loss():
    case = Case("identity")
    case.tensors = {name: tensor * 100 for name, tensor in case.tensors.items()}
    loss, gradients = case.gradients()
    expected_loss, _ = case.reference_gradients()
    assert loss.item() > 1e4
    assert_close(loss, expected_loss, 1e-6)
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@with_and_without_biases
def test_bfloat16_products_give_float32_logits(fit_intercept):
    case = Case(fit_intercept=fit_intercept)
    halved = {name: tensor.bfloat16() for name, tensor in case.tensors.items()}
    logits = case.network.forward(halved, case.inputs.bfloat16())
    assert logits.dtype == torch.float32
    exact = case.reference_logits(case.tensors)
    assert (logits - exact).abs().max() < 0.03 * exact.abs().max()


# -- every kind of network -------------------------------------------------------------------------------

every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
every_cnn = pytest.mark.parametrize("network", CNNS.values(), ids=CNNS)
in_training_or_not = pytest.mark.parametrize("training", [False, True], ids=["fitted", "training"])


def as_tensors(arrays):
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def with_samples(network, n=6):
    """Random tensors, inputs, targets."""
    return as_tensors(random_tensors(network, 0)), *map(torch.from_numpy, random_samples(network, n, seed=1))


def as_module(network: CNNNetwork, tensors):
    """The same network of torch's own layers, and their parameters and buffers by the names of the tensors."""
    activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid, "identity": nn.Identity}
    activation = activations[network.activation]
    layers, places = [nn.Unflatten(1, network.sample_shape)], {}
    n_in = network.sample_shape[0]
    for i, n_out in enumerate(network.channels, 1):
        has_bias = not network.batch_norm
        layer = nn.Conv2d(n_in, n_out, network.kernel_size, padding=network.padding, bias=has_bias, dtype=torch.float64)
        layers.append(layer)
        places[f"conv{i}.weight"] = layer.weight
        if network.batch_norm:
            layer = nn.BatchNorm2d(n_out, dtype=torch.float64)
            layers.append(layer)
            places |= {f"conv{i}.scale": layer.weight, f"conv{i}.shift": layer.bias}
            places |= {f"conv{i}.mean": layer.running_mean, f"conv{i}.variance": layer.running_var}
        else:
            places[f"conv{i}.bias"] = layer.bias
        layers += [activation(), nn.MaxPool2d(network.pooling)]
        n_in = n_out
    layers.append(nn.Flatten())
    n_in = nn.Sequential(*layers)(torch.zeros(2, network.n_features, dtype=torch.float64)).shape[1]
    for i, n_out in enumerate([*network.hidden_sizes, network.n_classes], 1):
        name = f"hidden{i}" if i <= len(network.hidden_sizes) else "output"
        layer = nn.Linear(n_in, n_out, dtype=torch.float64)
        layers += [layer, nn.Identity() if name == "output" else activation()]
        places |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
        n_in = n_out
    assert places.keys() == tensors.keys()
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(transposed(tensors[name]))
    return nn.Sequential(*layers), places


def transposed(tensor):
    """Torch's linear layers have weights (n_out, n_in)."""
    return tensor.T if tensor.ndim == 2 else tensor


@every_cnn
@in_training_or_not
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_convolutional_networks_are_those_of_torch(network, training, weighted):
    tensors, inputs, targets = with_samples(network)
    weights = torch.arange(len(inputs)).float() if weighted else None
    module, places = as_module(network, tensors)
    module.train(training)
    expected = module(inputs)
    losses = functional.cross_entropy(expected, targets, reduction="none")
    shares = torch.ones_like(losses) if weights is None else weights.double()
    expected_loss = (losses * shares).sum() / shares.sum()
    expected_loss.backward()
    loss, gradients = network.loss_and_gradients(tensors, inputs, targets, weights, training=training)
    gradients = dict(gradients)
    assert_close(loss, expected_loss.detach(), 1e-6)  # the weights are float32
    assert gradients.keys() == {name for name, place in places.items() if place.requires_grad}
    for name, gradient in gradients.items():
        assert_close(gradient, transposed(places[name].grad), 1e-6)
    for name, place in places.items():  # running statistics are updated in training, and nothing else is
        assert_close(tensors[name], transposed(place.detach()), 1e-12)
    if not training:
        assert_close(network.forward(tensors, inputs), expected.detach(), 1e-12)


@every_network
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_gradients_of_every_network_are_those_of_its_forward_pass(network, weighted):
    tensors, inputs, targets = with_samples(network)
    weights = torch.arange(len(inputs)).float() if weighted else None
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    loss, gradients = network.loss_and_gradients(tensors, inputs, targets, weights)
    expected_loss, expected = Network.loss_and_gradients(network, copies, inputs, targets, weights)
    gradients, expected = dict(gradients), dict(expected)
    assert_close(loss, expected_loss, 1e-6)
    assert next(iter(gradients)).startswith("output")
    assert set(gradients) == set(expected) == set(network.trained)
    for name, gradient in gradients.items():
        assert_close(gradient, expected[name], 1e-6)


@every_network
def test_evaluation_changes_nothing_passed_in(network):
    tensors, inputs, targets = with_samples(network)
    before = {name: tensor.clone() for name, tensor in tensors.items()}, inputs.clone()
    network.forward(tensors, inputs)
    _, gradients = network.loss_and_gradients(tensors, inputs, targets, training=False)
    dict(gradients)
    assert torch.equal(inputs, before[1])
    assert all(torch.equal(tensor, before[0][name]) for name, tensor in tensors.items())


@every_cnn
@in_training_or_not
def test_gradients_of_convolutional_networks_are_those_of_finite_differences(network, training):
    tensors, inputs, targets = with_samples(network)
    _, gradients = network.loss_and_gradients(tensors, inputs, targets, training=training)
    generator, step = torch.Generator().manual_seed(0), 1e-8  # hardly an activation crosses its kink
    for name, gradient in gradients:
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        losses = []
        for sign in (1, -1):
            moved = {**{n: t.clone() for n, t in tensors.items()}, name: tensors[name] + sign * step * direction}
            losses.append(functional.cross_entropy(network.forward(moved, inputs, training=training), targets))
        slope = float(losses[0] - losses[1]) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@every_network
def test_gradients_are_stored_as_their_tensors(network):
    """Fused optimisers go through both in the order of memory."""
    tensors, inputs, targets = with_samples(network)
    _, gradients = network.loss_and_gradients(tensors, inputs, targets)
    for name, gradient in gradients:
        assert gradient.is_contiguous()
        assert tensors[name].is_contiguous()


@every_cnn
def test_the_linear_network_has_no_biases_normalisations_or_activations(network):
    tensors, inputs, _ = with_samples(network)
    plain = replace(network, activation="identity", batch_norm=False)
    weights = {name: tensor for name, tensor in tensors.items() if name.endswith("weight")}
    zeros = {name: torch.zeros(record.shape, dtype=torch.float64) for name, record in plain.records.items()}
    expected = plain.forward({**zeros, **weights}, inputs)
    assert_close(network.forward(weights, inputs, linear=True), expected, 1e-12)


@every_network
def test_every_network_gives_float32_logits_of_bfloat16_products(network):
    tensors, inputs, _ = with_samples(network)
    halved = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    logits = network.forward(halved, inputs.bfloat16())
    exact = network.forward(tensors, inputs)
    assert logits.dtype == torch.float32
    assert (logits - exact).abs().max() < 0.06 * exact.abs().max()


@every_network
def test_the_records_are_those_of_the_tensors(network):
    tensors = network.initial(0)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        name: record.shape for name, record in network.records.items()
    }
    assert network.n_weights == sum(tensor.size for name, tensor in tensors.items() if name.endswith("weight"))
    again, other = network.initial(0), network.initial(1)
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, again[name])
        is_drawn = name.endswith(("weight", "bias"))
        assert (tensor != other[name]).all() == is_drawn
    assert network.widths == [network.n_features, *(group.size for group in network.groups.values())]


@every_network
def test_multiply_adds_are_the_outputs_times_the_inputs_of_each(network):
    """Each output of a layer is a sum over the fan-in of its unit."""
    tensors, inputs, _ = with_samples(network, n=1)
    sizes = {}

    class Sizes:
        def layer(self, name, values, patches, outputs):
            sizes[name] = outputs.numel(), patches(values).shape
            return outputs

        def normalised(self, name, before, values):
            assert before.shape == values.shape
            assert values.shape[1] == network.records[network.normalisations[name].mean].size
            return values

        def units(self, group, values):
            assert values.shape[1] == network.groups[group].size

    network.forward(tensors, inputs, recorder=Sizes())
    assert network.dense_macs == sum(n * shape[2] for n, shape in sizes.values())
    assert network.widest == max(inputs.numel(), *(n for n, _ in sizes.values()))
    for record in network.weights:
        assert sizes[record.name][1] == (1, record.positions, record.fan_in)


@pytest.mark.parametrize("network", [n for n in NETWORKS.values() if n.hidden_groups])
def test_networks_of_other_widths(network):
    widths = {group.name: group.size + 2 for group in network.hidden_groups}
    wider = network.with_widths(widths)
    assert {group.name: group.size for group in wider.hidden_groups} == widths
    assert wider.n_outputs == network.n_outputs
    assert network.with_widths({}) == network
    assert wider.with_widths({group.name: group.size for group in network.hidden_groups}) == network


@pytest.mark.parametrize(
    ("kernel_size", "pooling", "channels"), [(9, 1, (2,)), (3, 8, (2,)), (5, 2, (2, 3)), (3, 2, (2, 2, 2))]
)
def test_images_of_which_convolutions_leave_nothing_are_refused(kernel_size, pooling, channels):
    network = CNNNetwork((1, 8, 9), channels, kernel_size, pooling, "valid", (4,), 3)
    with pytest.raises(ValueError, match="has no outputs left for images of 8x9"):
        network.initial(0)


# -- the start -------------------------------------------------------------------------------------------


def test_initial_parameters_are_uniform_as_those_of_torch():
    sizes = (400, 300, 5)
    weights = listed(MLPNetwork(sizes, "relu", True).initial(0))
    assert [array.shape for array in weights] == [(400, 300), (300, 5), (300,), (5,)]
    for array, n_in in zip(weights, (400, 300, 400, 300), strict=True):
        bound = n_in**-0.5
        assert array.dtype == np.float32
        assert np.abs(array).max() <= bound * (1 + 1e-6)
    assert weights[0].mean() == pytest.approx(0, abs=1e-3)
    assert weights[0].std() == pytest.approx(400**-0.5 / 3**0.5, rel=0.01)
    assert torch.nn.Linear(400, 300).weight.std().item() == pytest.approx(weights[0].std(), rel=0.02)


def test_initial_parameters_after_glorot():
    sizes = (784, 300, 100, 10)
    parameters = listed(MLPNetwork(sizes, "relu", True, "glorot").initial(0))
    for weight, n_in, n_out in zip(parameters, sizes, sizes[1:], strict=False):
        assert weight.dtype == np.float32
        scaled = weight.ravel() / np.sqrt(2 / (n_in + n_out))
        assert stats.kstest(scaled, "norm").pvalue > 0.01
    assert not any(bias.any() for bias in parameters[3:])
    assert [bias.shape for bias in parameters[3:]] == [(300,), (100,), (10,)]
    assert len(MLPNetwork(sizes, "relu", False, "glorot").initial(0)) == 3


def test_initial_parameters_are_a_function_of_the_seed():
    network = MLPNetwork((4, 3, 2), "relu", False)
    first, again, other = (listed(network.initial(seed)) for seed in (0, 0, 1))
    assert len(first) == 2
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != different).all()


def test_weights_are_counted_without_biases():
    assert MLPNetwork((4, 3, 2), "relu", True).n_weights == 18
    assert len(MLPNetwork((4, 2), "relu", False).weights) == 1


def test_convolutions_begin_as_those_of_torch():
    tensors = CNNNetwork((3, 12, 12), (40, 50), 3, 2, "same", (60,), 5, "relu", True).initial(0)
    plain = CNNNetwork((3, 12, 12), (40, 50), 3, 2, "same", (60,), 5).initial(0)
    for name, fan_in in {"conv1": 27, "conv2": 360, "hidden1": 450, "output": 60}.items():
        for tensor in (tensors[f"{name}.weight"], plain[f"{name}.weight"], plain[f"{name}.bias"]):
            assert np.abs(tensor).max() <= fan_in**-0.5 * (1 + 1e-6)
        assert tensors[f"{name}.weight"].std() == pytest.approx(fan_in**-0.5 / 3**0.5, rel=0.05)
    assert nn.Conv2d(40, 50, 3).weight.std().item() == pytest.approx(tensors["conv2.weight"].std(), rel=0.05)
    for name, value in {"scale": 1, "shift": 0, "mean": 0, "variance": 1}.items():
        assert (tensors[f"conv1.{name}"] == value).all()


def test_convolutions_begin_after_glorot():
    network = CNNNetwork((3, 12, 12), (40, 50), 3, 2, "same", (60,), 5, init="glorot")
    tensors = network.initial(0)
    for name, fans in {"conv1": 27 + 360, "conv2": 360 + 450, "hidden1": 450 + 60, "output": 65}.items():
        scaled = tensors[f"{name}.weight"].ravel() / np.sqrt(2 / fans)
        assert stats.kstest(scaled, "norm").pvalue > 0.01
        assert not tensors[f"{name}.bias"].any()
