"""What data say about the weights of a network: gradients, curvature, activity.

Criteria that look at data (see `criteria`) take their figures from here. Everything is computed when it is first
asked for, on a sample of the training data that is stratified by class.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..inference import as_tensor
from .flow import removal_order
from .sampling import stratified_sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from ..network import MLPNetwork

    Arrays = list[NDArray[np.floating]]

#: Samples looked at. (SNIP and GraSP take a hundred in their papers; more make the estimates steadier.)
MAX_SAMPLES = 4000

#: Up to this many weights the Hessian's diagonal is computed exactly also where that takes a product a weight.
EXACT_HESSIAN_WEIGHTS = 2000

#: Random vectors of Hutchinson's estimate.
N_PROBES = 50

_BATCH = 500


class Evidence:
    """Figures of a network on data; each is a list with one array a layer, shaped as the layer's weights or units.

    Parameters
    ----------
    network : MLPNetwork
    parameters : sequence of ndarray
        Weights (n_in, n_out), then biases.
    inputs : ndarray, shape (n, n_features)
    targets : ndarray of int64, shape (n,)
        Class indices.
    weights : ndarray, shape (n,), optional
        How much each sample counts; equally if absent.
    masks : sequence of ndarray of bool, optional
        One a parameter: what an earlier pruning left. The others are zero, and stay so.
    seed : int
        Chooses the sample, and the random vectors of estimates.
    device : str
    dtype : torch.dtype
        To compute in.
    max_samples : int
        The size of the sample; see `stratified_sample`.
    """

    def __init__(
        self,
        network: MLPNetwork,
        parameters: Sequence[NDArray[np.floating]],
        inputs: NDArray[np.floating],
        targets: NDArray[np.int64],
        *,
        weights: NDArray[np.floating] | None = None,
        masks: Sequence[NDArray[np.bool_]] | None = None,
        seed: int = 0,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_samples: int = MAX_SAMPLES,
    ):
        self.network = network
        self._seed = seed
        weights = weights if weights is not None and weights.any() else None
        # Activity of a feature is counted from its least value: the background of an image is silent.
        counted = inputs if weights is None else inputs[weights > 0]
        self._silence = as_tensor(np.min(counted, axis=0)).to(device, dtype)
        rows, shares = stratified_sample(targets, weights, max_samples, seed)
        self._inputs = as_tensor(inputs[rows]).to(device, dtype)
        self._targets = as_tensor(targets[rows]).to(device)
        self._parameters = [as_tensor(p).to(device, dtype) for p in parameters]
        self._masks = None if masks is None else [as_tensor(mask).to(device) for mask in masks]
        self._shares = as_tensor(shares).to(device, dtype)

    @property
    def biases(self) -> Arrays:
        """The biases; empty without."""
        return _arrays(self._parameters[self.network.n_layers :])

    @property
    def _weights(self) -> list[Tensor]:
        return self._parameters[: self.network.n_layers]

    # -- first order -----------------------------------------------------------------------------------------

    @cached_property
    def gradients(self) -> Arrays:
        """The gradient of the mean loss with respect to every weight."""
        return self._all_gradients[: self.network.n_layers]

    @cached_property
    def bias_gradients(self) -> Arrays:
        """The same with respect to every bias; empty without biases."""
        return self._all_gradients[self.network.n_layers :]

    @cached_property
    def _all_gradients(self) -> Arrays:
        totals = [torch.zeros_like(p) for p in self._parameters]
        with torch.inference_mode():
            for inputs, targets, shares in self._batches():
                _, gradients = self.network.loss_and_gradients(self._parameters, inputs, targets, shares)
                for index, gradient in gradients:
                    totals[index] += gradient * shares.sum()
        return _arrays(totals)

    @cached_property
    def fisher(self) -> Arrays:
        """The diagonal of the empirical Fisher information: the mean square of the samples' gradients."""
        classes = torch.nn.functional.one_hot(self._targets, self.network.sizes[-1])
        return self._squared_gradients(lambda probabilities, rows: [(probabilities - classes[rows], None)])

    @cached_property
    def group_fisher(self) -> Arrays:
        """For each unit, the mean square over the samples of ``sum of w * dL/dw``, its bias with it, shape (n_out,).

        With w * dL/dw = w * input * error, the sum over a unit's inputs is its value before the activation times its
        error.
        """
        classes = torch.nn.functional.one_hot(self._targets, self.network.sizes[-1])
        totals = [w.new_zeros(w.shape[1]) for w in self._weights]
        with torch.inference_mode():
            for start in range(0, len(self._inputs), _BATCH):
                rows = slice(start, start + _BATCH)
                inputs = self._inputs[rows]
                *hidden, logits = self.network.layers(self._parameters, inputs)
                delta = torch.softmax(logits, 1) - classes[rows]
                for layer, values, error in self.network.errors(self._parameters, [inputs, *hidden], delta):
                    before = values @ self._weights[layer]
                    if self.network.fit_intercept:
                        before = before + self._parameters[self.network.n_layers + layer]
                    totals[layer] += self._shares[rows] @ (before * error) ** 2
        return _arrays(totals)

    def _squared_gradients(self, deltas_of) -> Arrays:
        """Sum over some vectors at the logits of the squares of the weights' gradients, averaged over samples.

        A sample's gradient is the outer product of a layer's input and the error behind it, so the squares
        of all samples are summed by one product of squares.
        """
        totals = [torch.zeros_like(w) for w in self._weights]
        with torch.inference_mode():
            for start in range(0, len(self._inputs), _BATCH):
                rows = slice(start, start + _BATCH)
                inputs = self._inputs[rows]
                *hidden, logits = self.network.layers(self._parameters, inputs)
                for delta, share in deltas_of(torch.softmax(logits, 1), rows):
                    for layer, values, error in self.network.errors(self._parameters, [inputs, *hidden], delta):
                        counts = self._shares[rows] if share is None else self._shares[rows] * share
                        totals[layer] += (values**2).T @ (error**2 * counts[:, None])
        return _arrays(totals)

    @cached_property
    def movement(self) -> Arrays:
        """Minus the sum of ``w * dL/dw`` over the steps of one epoch of training with Adam from here.

        What had been removed before stays away.
        """
        parameters = [p.float().clone() for p in self._parameters]
        scores = [torch.zeros_like(p) for p in parameters[: self.network.n_layers]]
        optimiser = torch.optim.Adam(parameters, lr=1e-3, fused=True)
        generator = torch.Generator().manual_seed(self._seed)
        inputs = self._inputs.float()
        for rows in torch.randperm(len(inputs), generator=generator).to(inputs.device).split(100):
            with torch.no_grad():
                batch = inputs[rows], self._targets[rows], self._shares[rows].float()
                _, gradients = self.network.loss_and_gradients(parameters, *batch)
                for index, gradient in gradients:
                    parameters[index].grad = gradient.clone()
                    if index < len(scores):
                        scores[index] -= parameters[index] * gradient
                optimiser.step()
                for parameter, mask in zip(parameters, self._masks or [], strict=False):
                    parameter.mul_(mask)
        return _arrays(scores)

    # -- second order ----------------------------------------------------------------------------------------

    @cached_property
    def hessian_diagonal(self) -> Arrays:
        """The second derivative of the mean loss with respect to every weight.

        Exact for relu and identity, where the logits are linear in any one weight, so that the Gauss-Newton
        term is all there is. For tanh and logistic it is exact up to `EXACT_HESSIAN_WEIGHTS` weights, and
        beyond that Hutchinson's estimate from `N_PROBES` random vectors (M. Hutchinson, 1989), which scatters.
        """
        if self.network.activation in ("relu", "identity"):
            return self.gauss_newton_diagonal
        if self.network.n_weights <= EXACT_HESSIAN_WEIGHTS:
            return self._hessian_by_basis()
        return self._hessian_by_probes()

    @cached_property
    def gauss_newton_diagonal(self) -> Arrays:
        """The diagonal of the Gauss-Newton matrix, exactly: a backward pass a class.

        With p the probabilities, the curvature at the logits is diag(p) - p p^T, the sum over the classes c of
        p_c (e_c - p)(e_c - p)^T.
        """
        n_classes = self.network.sizes[-1]

        def deltas(probabilities: Tensor, _: slice) -> Iterator[tuple[Tensor, Tensor]]:
            for c in range(n_classes):
                error = -probabilities.clone()
                error[:, c] += 1
                yield error, probabilities[:, c]

        return self._squared_gradients(deltas)

    @torch.inference_mode(False)  # a schedule may ask from within a training
    def hessian_product(self, vectors: Sequence[Tensor], temperature: float = 1.0) -> list[Tensor]:
        """The Hessian of the mean loss with respect to the weights, times a vector (an array a layer)."""
        with torch.enable_grad():
            weights = [w.clone().requires_grad_() for w in self._weights]
            gradients = torch.autograd.grad(self._loss(weights, temperature), weights, create_graph=True)
            product = torch.stack([(g * v).sum() for g, v in zip(gradients, vectors, strict=True)]).sum()
            return list(torch.autograd.grad(product, weights))

    @torch.inference_mode(False)
    def gradient_flow(self, temperature: float = 200.0) -> Arrays:
        """The Hessian times the gradient, both of the loss with logits divided by `temperature` (GraSP)."""
        with torch.enable_grad():
            weights = [w.clone().requires_grad_() for w in self._weights]
            gradients = torch.autograd.grad(self._loss(weights, temperature), weights)
        return _arrays(self.hessian_product(gradients, temperature))

    def _loss(self, weights: list[Tensor], temperature: float) -> Tensor:
        # Copies: what was made within a training is of no use to automatic differentiation.
        biases, inputs = [bias.clone() for bias in self._parameters[self.network.n_layers :]], self._inputs.clone()
        logits = self.network.forward([*weights, *biases], inputs) / temperature
        losses = torch.nn.functional.cross_entropy(logits, self._targets.clone(), reduction="none")
        return (losses * self._shares.clone()).sum()

    @torch.inference_mode(False)
    def _hessian_by_basis(self) -> Arrays:
        diagonal = [torch.zeros_like(w) for w in self._weights]
        for layer, weight in enumerate(self._weights):
            for i in range(weight.numel()):
                vectors = [torch.zeros_like(w) for w in self._weights]
                vectors[layer].view(-1)[i] = 1
                diagonal[layer].view(-1)[i] = self.hessian_product(vectors)[layer].reshape(-1)[i]
        return _arrays(diagonal)

    @torch.inference_mode(False)
    def _hessian_by_probes(self) -> Arrays:
        generator = torch.Generator().manual_seed(self._seed)
        diagonal = [torch.zeros_like(w) for w in self._weights]
        for _ in range(N_PROBES):
            signs = [
                (torch.randint(0, 2, w.shape, generator=generator) * 2 - 1).to(w.device, w.dtype) for w in self._weights
            ]
            for total, sign, product in zip(diagonal, signs, self.hessian_product(signs), strict=True):
                total += sign * product / N_PROBES
        return _arrays(diagonal)

    # -- activity --------------------------------------------------------------------------------------------

    @cached_property
    def input_norms(self) -> Arrays:
        """For each layer, the root mean square of every one of its inputs over the samples, shape (n_in,)."""
        return [np.sqrt(square) for square in self._activity[0]]

    @property
    def input_activity(self) -> Arrays:
        """For each layer, the mean activity of every one of its inputs, shape (n_in,); of features from the least."""
        return self._activity[4]

    @property
    def input_nonzero(self) -> Arrays:
        """For each layer, how often every one of its inputs is active, 0 to 1, shape (n_in,)."""
        return self._activity[5]

    @cached_property
    def unit_activity(self) -> Arrays:
        """For each layer, the mean absolute output of every unit, shape (n_out,); of the logits for the last."""
        return self._activity[1]

    @cached_property
    def unit_nonzero(self) -> Arrays:
        """For each layer, how often every unit is not zero, 0 to 1, shape (n_out,): 1 - APoZ."""
        return self._activity[2]

    @cached_property
    def coactivity(self) -> Arrays:
        """For each weight, the mean of the activity before it times the activity behind it, shape (n_in, n_out).

        Activities are absolute outputs; those of the features are counted from the least value of each.
        """
        return self._activity[3]

    @cached_property
    def _activity(self) -> tuple[Arrays, Arrays, Arrays, Arrays, Arrays, Arrays]:
        sizes = self.network.sizes
        new = self._weights[0].new_zeros
        squares = [new(width) for width in sizes[:-1]]
        absolute, nonzero = [new(width) for width in sizes[1:]], [new(width) for width in sizes[1:]]
        together = [torch.zeros_like(w) for w in self._weights]
        first_activity, first_nonzero = new(sizes[0]), new(sizes[0])
        with torch.inference_mode():
            for inputs, _, shares in self._batches():
                outputs = self.network.layers(self._parameters, inputs)
                before = inputs
                active_before = inputs - self._silence
                first_activity += shares @ active_before
                first_nonzero += shares @ (active_before > 0).to(shares)
                for layer, after in enumerate(outputs):
                    active = after.abs()
                    squares[layer] += shares @ before**2
                    absolute[layer] += shares @ active
                    nonzero[layer] += shares @ (after != 0).to(shares)
                    together[layer] += (active_before * shares[:, None]).T @ active
                    before, active_before = after, active
        into_activity, into_nonzero = [first_activity, *absolute[:-1]], [first_nonzero, *nonzero[:-1]]
        parts = (squares, absolute, nonzero, together, into_activity, into_nonzero)
        return tuple(map(_arrays, parts))  # type: ignore[return-value]

    # -- without data ----------------------------------------------------------------------------------------

    def synaptic_flow_order(
        self, groups: Sequence[Sequence[int]], sparsities: Sequence[float], by_unit: bool = False
    ) -> Arrays:
        """When SynFlow removes each weight, or unit, of the layers in `groups`; see `flow.removal_order`."""
        return _arrays(removal_order(self._weights, groups, sparsities, by_unit, self._masks))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        parts = self._inputs.split(_BATCH), self._targets.split(_BATCH), self._shares.split(_BATCH)
        yield from zip(*parts, strict=True)


def _arrays(tensors: Sequence[Tensor]) -> Arrays:
    return [tensor.cpu().numpy() for tensor in tensors]
