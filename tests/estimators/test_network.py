"""The written-out forward and backward passes, against autograd, finite differences and NumPy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from prunelab.estimators.network import MLPNetwork
from scipy import stats
from torch.nn import functional

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
        self.parameters = [draw(*shape) for shape in pairwise(sizes)]
        if fit_intercept:
            self.parameters += [draw(width) for width in sizes[1:]]
        self.inputs = draw(n, sizes[0])
        self.targets = torch.arange(n) % sizes[-1]
        self.weights = torch.arange(n).float() if weighted else None

    def gradients(self):
        loss, gradients = self.network.loss_and_gradients(self.parameters, self.inputs, self.targets, self.weights)
        return loss, dict(gradients)

    def reference_logits(self, parameters):
        activate, n_layers = ACTIVATIONS[self.network.activation], len(self.network.sizes) - 1
        values = self.inputs
        for layer in range(n_layers):
            values = values @ parameters[layer]
            if self.network.fit_intercept:
                values = values + parameters[n_layers + layer]
            if layer < n_layers - 1:
                values = activate(values)
        return values

    def reference_loss(self, parameters):
        losses = functional.cross_entropy(self.reference_logits(parameters), self.targets, reduction="none")
        weights = torch.ones_like(losses) if self.weights is None else self.weights.double()
        return (losses * weights).sum() / weights.sum()

    def reference_gradients(self):
        leaves = [parameter.clone().requires_grad_() for parameter in self.parameters]
        loss = self.reference_loss(leaves)
        return loss.detach(), torch.autograd.grad(loss, leaves)


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
    assert sorted(gradients) == list(range(len(case.parameters)))
    for index, gradient in gradients.items():
        assert gradient.shape == case.parameters[index].shape
        is_weight = index < len(sizes) - 1
        assert_close(gradient, expected[index], 1e-6 if weighted or not is_weight else 1e-12)


@every_activation
@with_and_without_biases
def test_gradients_are_those_of_finite_differences(activation, fit_intercept):
    case = Case(activation, fit_intercept)
    _, gradients = case.gradients()
    step = 1e-6
    for index, parameter in enumerate(case.parameters):
        flat = parameter.view(-1)
        for place in range(0, len(flat), 5):
            original = flat[place].item()
            losses = []
            for sign in (1, -1):
                flat[place] = original + sign * step
                losses.append(case.reference_loss(case.parameters).item())
            flat[place] = original
            slope = (losses[0] - losses[1]) / (2 * step)
            assert gradients[index].view(-1)[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


@every_activation
@with_and_without_biases
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_forward_is_that_of_numpy(activation, fit_intercept, sizes):
    case = Case(activation, fit_intercept, sizes=sizes)
    arrays = [parameter.numpy() for parameter in case.parameters]
    coefs, biases = arrays[: len(sizes) - 1], arrays[len(sizes) - 1 :] or [0.0] * (len(sizes) - 1)
    values = case.inputs.numpy()
    for layer, (coef, bias) in enumerate(zip(coefs, biases, strict=True)):
        values = values @ coef + bias
        values = IN_NUMPY[activation](values) if layer < len(coefs) - 1 else values
    np.testing.assert_allclose(case.network.forward(case.parameters, case.inputs).numpy(), values, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_nothing_passed_in_is_changed(weighted):
    case = Case(weighted=weighted)
    tensors = [*case.parameters, case.inputs, case.targets, *([case.weights] if weighted else [])]
    before = [tensor.clone() for tensor in tensors]
    case.gradients()
    case.network.forward(case.parameters, case.inputs)
    assert all(torch.equal(one, other) for one, other in zip(tensors, before, strict=True))


@every_activation
@with_and_without_biases
def test_a_parameter_may_change_as_soon_as_its_gradient_is_there(activation, fit_intercept):
    case = Case(activation, fit_intercept)
    _, expected = case.reference_gradients()
    _, gradients = case.network.loss_and_gradients(case.parameters, case.inputs, case.targets)
    for index, gradient in gradients:
        assert_close(gradient, expected[index], 1e-6)
        case.parameters[index].fill_(float("nan"))
        gradient.fill_(float("nan"))


def test_whole_weights_are_repetitions():
    case = Case(weighted=True)
    loss, gradients = case.gradients()
    times = case.weights.long()
    case.inputs, case.targets = (tensor.repeat_interleave(times, dim=0) for tensor in (case.inputs, case.targets))
    case.weights = None
    repeated_loss, repeated = case.gradients()
    assert_close(loss, repeated_loss, 1e-6)
    for index, gradient in gradients.items():
        assert_close(gradient, repeated[index], 1e-6)


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
    case.parameters[0][:, :4] = 0
    case.parameters[1][2:5] = 0
    _, expected = case.reference_gradients()
    for index, gradient in case.gradients()[1].items():
        assert_close(gradient, expected[index], 1e-12)


def test_enormous_logits_give_a_finite_loss():
    case = Case("identity")
    case.parameters = [parameter * 100 for parameter in case.parameters]
    loss, gradients = case.gradients()
    expected_loss, _ = case.reference_gradients()
    assert loss.item() > 1e4
    assert_close(loss, expected_loss, 1e-6)
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@with_and_without_biases
def test_bfloat16_products_give_float32_logits(fit_intercept):
    case = Case(fit_intercept=fit_intercept)
    halved = [parameter.bfloat16() for parameter in case.parameters]
    logits = case.network.forward(halved, case.inputs.bfloat16())
    assert logits.dtype == torch.float32
    exact = case.reference_logits(case.parameters)
    assert (logits - exact).abs().max() < 0.03 * exact.abs().max()


# -- the start -------------------------------------------------------------------------------------------


def test_initial_parameters_are_uniform_as_those_of_torch():
    sizes = (400, 300, 5)
    weights = MLPNetwork(sizes, "relu", True).initial_parameters(0)
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
    parameters = MLPNetwork(sizes, "relu", True, "glorot").initial_parameters(0)
    for weight, n_in, n_out in zip(parameters, sizes, sizes[1:], strict=False):
        assert weight.dtype == np.float32
        scaled = weight.ravel() / np.sqrt(2 / (n_in + n_out))
        assert stats.kstest(scaled, "norm").pvalue > 0.01
    assert not any(bias.any() for bias in parameters[3:])
    assert [bias.shape for bias in parameters[3:]] == [(300,), (100,), (10,)]
    assert len(MLPNetwork(sizes, "relu", False, "glorot").initial_parameters(0)) == 3


def test_initial_parameters_are_a_function_of_the_seed():
    network = MLPNetwork((4, 3, 2), "relu", False)
    first, again, other = (network.initial_parameters(seed) for seed in (0, 0, 1))
    assert len(first) == 2
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != different).all()


def test_weights_are_counted_without_biases():
    assert MLPNetwork((4, 3, 2), "relu", True).n_weights == 18
    assert MLPNetwork((4, 2), "relu", False).n_layers == 1
