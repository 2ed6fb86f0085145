"""Second derivatives of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .gradients import squared_gradients
from .sample import arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from .sample import Sample

#: Up to this many weights the Hessian's diagonal is computed exactly also where that takes a product a weight.
EXACT_HESSIAN_WEIGHTS = 2000

#: Random vectors of Hutchinson's estimate.
N_PROBES = 50

#: What GraSP divides the logits by, as the authors' program does.
GRASP_TEMPERATURE = 200.0


def hessian_diagonal(sample: Sample) -> dict[str, NDArray]:
    """The second derivative of the mean loss with respect to every weight.

    Exact where the logits are piecewise linear in any one weight (relu, identity), so that the Gauss-Newton term is
    all there is. Otherwise it is exact up to `EXACT_HESSIAN_WEIGHTS` weights, and beyond that Hutchinson's estimate
    from `N_PROBES` random vectors (M. Hutchinson, 1989), which scatters.
    """
    if sample.network.is_piecewise_linear:
        return gauss_newton_diagonal(sample)
    if sample.network.n_weights <= EXACT_HESSIAN_WEIGHTS:
        return _hessian_by_basis(sample)
    return _hessian_by_probes(sample)


def gauss_newton_diagonal(sample: Sample) -> dict[str, NDArray]:
    """The diagonal of the Gauss-Newton matrix, exactly: a backward pass a class.

    With p the probabilities, the curvature at the logits is diag(p) - p p^T, the sum over the classes c of
    p_c (e_c - p)(e_c - p)^T.
    """

    def deltas(probabilities: Tensor, _: slice) -> Iterator[tuple[Tensor, Tensor]]:
        for c in range(sample.network.n_outputs):
            error = -probabilities.clone()
            error[:, c] += 1
            yield error, probabilities[:, c]

    return squared_gradients(sample, deltas)


def hessian_product(sample: Sample, vectors: Mapping[str, Tensor], temperature: float = 1.0) -> dict[str, Tensor]:
    """The Hessian of the mean loss with respect to the weights, times a vector (a tensor for each weight)."""
    with torch.enable_grad():
        weights = {name: weight.detach().clone().requires_grad_() for name, weight in sample.weights.items()}
        leaves = list(weights.values())
        gradients = torch.autograd.grad(
            _loss(sample, weights, temperature), leaves, create_graph=True, materialize_grads=True
        )
        pairs = zip(gradients, (vectors[name] for name in weights), strict=True)
        product = torch.stack([(gradient * vector).sum() for gradient, vector in pairs]).sum()
        return dict(zip(weights, torch.autograd.grad(product, leaves, materialize_grads=True), strict=True))


def gradient_flow(sample: Sample, temperature: float = GRASP_TEMPERATURE) -> dict[str, NDArray]:
    """The Hessian times the gradient, both of the loss with logits divided by `temperature` (GraSP)."""
    with torch.enable_grad():
        weights = {name: weight.detach().clone().requires_grad_() for name, weight in sample.weights.items()}
        loss = _loss(sample, weights, temperature)
        gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
    return arrays(hessian_product(sample, dict(zip(weights, gradients, strict=True)), temperature))


def _loss(sample: Sample, weights: Mapping[str, Tensor], temperature: float) -> Tensor:
    logits = sample.network.forward({**sample.tensors, **weights}, sample.inputs) / temperature
    return (torch.nn.functional.cross_entropy(logits, sample.targets, reduction="none") * sample.shares).sum()


def _hessian_by_basis(sample: Sample) -> dict[str, NDArray]:
    diagonal = {name: torch.zeros_like(weight) for name, weight in sample.weights.items()}
    for name, found in diagonal.items():
        for i in range(found.numel()):
            vectors = {other: torch.zeros_like(weight) for other, weight in sample.weights.items()}
            vectors[name].view(-1)[i] = 1
            found.view(-1)[i] = hessian_product(sample, vectors)[name].reshape(-1)[i]
    return arrays(diagonal)


def _hessian_by_probes(sample: Sample) -> dict[str, NDArray]:
    generator = torch.Generator().manual_seed(sample.seed)
    diagonal = {name: torch.zeros_like(weight) for name, weight in sample.weights.items()}
    for _ in range(N_PROBES):
        signs = {
            name: (torch.randint(0, 2, weight.shape, generator=generator) * 2 - 1).to(weight.device, weight.dtype)
            for name, weight in sample.weights.items()
        }
        for name, product in hessian_product(sample, signs).items():
            diagonal[name] += signs[name] * product / N_PROBES
    return arrays(diagonal)
