"""The multi-layer perceptron: forward and backward, written out.

The backward pass is spelled out, not left to autograd, for two reasons measured on a CPU: a gradient
can be used for its update at once, while it is in the cache (a step is an eighth faster), and small
networks save autograd's bookkeeping. The tests hold it against autograd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

_aten = torch.ops.aten

#: name -> (the function, in place; the gradient before it, from the gradient after it and its output)
_ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu_, lambda delta, output: _aten.threshold_backward(delta, output, 0)),
    "tanh": (torch.tanh_, _aten.tanh_backward),
    "logistic": (torch.sigmoid_, _aten.sigmoid_backward),
    "identity": (lambda values: values, lambda delta, _: delta),
}


@dataclass(frozen=True)
class MLPNetwork:
    """A multi-layer perceptron; its parameters are kept by the caller.

    Parameters travel as one list: the weights, each (n_in, n_out), then, with `fit_intercept`, the
    biases, each (n_out,).

    Attributes
    ----------
    sizes : tuple of int
        Width of every layer, the input first and the classes last.
    activation : {"relu", "tanh", "logistic", "identity"}
        Of the hidden layers.
    fit_intercept : bool
        Whether the layers have biases.
    init : {"uniform", "glorot"}
        How the parameters begin; see `initial_parameters`.
    """

    sizes: tuple[int, ...]
    activation: str
    fit_intercept: bool
    init: str = "uniform"

    @property
    def n_layers(self) -> int:
        """Number of weight matrices."""
        return len(self.sizes) - 1

    @property
    def n_weights(self) -> int:
        """Number of weights, biases not counted."""
        return sum(n_in * n_out for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False))

    def initial_parameters(self, seed: int) -> list[np.ndarray]:
        """Draw weights and biases uniformly from -1/sqrt(n_in) to 1/sqrt(n_in), as `torch.nn.Linear` does.

        With "glorot", the weights are normal with variance 2 / (n_in + n_out), and the biases zero.
        They are drawn on the CPU whatever the device, so that every device starts from the same.
        """
        rng = np.random.default_rng(seed)
        pairs = list(zip(self.sizes, self.sizes[1:], strict=False))
        if self.init == "glorot":
            weights = [_glorot(rng, n_in, n_out) for n_in, n_out in pairs]
            return weights + [np.zeros(n_out, dtype=np.float32) for _, n_out in pairs if self.fit_intercept]
        weights = [_uniform(rng, n_in, (n_in, n_out)) for n_in, n_out in pairs]
        biases = [_uniform(rng, n_in, (n_out,)) for n_in, n_out in pairs] if self.fit_intercept else []
        return weights + biases

    def forward(self, parameters: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Logits, shape (n, classes), in the precision of the parameters, but at least float32."""
        return self.layers(parameters, inputs)[-1]

    def loss_and_gradients(
        self, parameters: Sequence[Tensor], inputs: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Iterator[tuple[int, Tensor]]]:
        """Weighted mean cross-entropy, and the gradients, last layer first.

        Parameters
        ----------
        parameters : sequence of Tensor
            In the precision to compute in.
        inputs : Tensor, shape (n, n_in)
            In the same precision.
        targets : Tensor of int64, shape (n,)
            Class indices.
        weights : Tensor of float32, shape (n,), optional
            Weight of every sample; equal if absent.

        Returns
        -------
        loss : Tensor, shape ()
            Float32; nothing has waited for it.
        gradients : iterator of (index into `parameters`, gradient)
            Nothing of parameter `index` is needed any more once its gradient has been yielded, so the
            caller may update it at once.
        """
        *hidden, logits = self.layers(parameters, inputs)
        log_probabilities = torch.log_softmax(logits, dim=1)
        losses = -log_probabilities.gather(1, targets[:, None]).squeeze(1)
        if weights is None:
            share = torch.full_like(losses, 1.0 / len(losses))
        else:
            share = weights / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
        loss = (losses * share).sum()
        delta = log_probabilities.exp_()
        delta.scatter_add_(1, targets[:, None], torch.full_like(delta[:, :1], -1.0))
        delta = delta.mul_(share[:, None]).to(inputs.dtype)
        return loss, self._gradients(parameters, [inputs, *hidden], delta)

    def layers(self, parameters: Sequence[Tensor], inputs: Tensor) -> list[Tensor]:
        """The output of every layer, the logits last."""
        activate = _ACTIVATIONS[self.activation][0]
        outputs: list[Tensor] = []
        values = inputs
        for layer in range(self.n_layers):
            if self.fit_intercept:
                values = torch.addmm(parameters[self.n_layers + layer], values, parameters[layer])
            else:
                values = torch.mm(values, parameters[layer])
            if layer < self.n_layers - 1:
                values = activate(values)
            elif values.dtype == torch.bfloat16:
                values = values.float()
            outputs.append(values)
        return outputs

    def errors(
        self, parameters: Sequence[Tensor], layer_inputs: Sequence[Tensor], delta: Tensor
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Carry an error at the logits back through the layers, last layer first.

        Parameters
        ----------
        parameters : sequence of Tensor
        layer_inputs : sequence of Tensor, each (n, n_in)
            What goes into each layer: the inputs, then the outputs of the hidden layers.
        delta : Tensor, shape (n, classes)
            The gradient at the logits, sample by sample.

        Yields
        ------
        layer : int
        values : Tensor, shape (n, n_in)
            What goes into the layer.
        delta : Tensor, shape (n, n_out)
            The gradient at what comes out of it, before the activation. Nothing of the layer's weights is needed
            any more.
        """
        through_activation = _ACTIVATIONS[self.activation][1]
        for layer in reversed(range(self.n_layers)):
            values = layer_inputs[layer]
            previous = None
            if layer > 0:  # before the weights are yielded, because the caller then changes them
                previous = through_activation(torch.mm(delta, parameters[layer].T), values)
            yield layer, values, delta
            if previous is not None:
                delta = previous

    def _gradients(
        self, parameters: Sequence[Tensor], layer_inputs: list[Tensor], delta: Tensor
    ) -> Iterator[tuple[int, Tensor]]:
        for layer, values, error in self.errors(parameters, layer_inputs, delta):
            yield layer, torch.mm(values.T, error)
            if self.fit_intercept:
                yield self.n_layers + layer, error.sum(0, dtype=torch.float32)


def _glorot(rng: np.random.Generator, n_in: int, n_out: int) -> np.ndarray:
    return rng.standard_normal((n_in, n_out), dtype=np.float32) * np.float32(np.sqrt(2.0 / (n_in + n_out)))


def _uniform(rng: np.random.Generator, n_in: int, shape: tuple[int, ...]) -> np.ndarray:
    bound = np.float32(1.0 / np.sqrt(max(n_in, 1)))
    return (rng.random(shape, dtype=np.float32) * 2 - 1) * bound
