"""First derivatives of the loss: mean gradients, their squares, and how training would move the weights."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from ...networks.base import drawn_from
from ..groups import summed_by_unit
from .sample import arrays, as_weights, by_position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from torch import Tensor

    from .sample import Sample

    #: From probabilities (n, classes) and the rows they belong to, to gradients at the logits and the part of each.
    Deltas = Callable[[Tensor, slice], Iterable[tuple[Tensor, Tensor | None]]]


@torch.no_grad()
def mean_gradients(sample: Sample) -> dict[str, NDArray]:
    """The gradient of the mean loss with respect to every trained tensor."""
    network = sample.network
    totals = {name: torch.zeros_like(sample.tensors[name]) for name in network.trained}
    for inputs, targets, shares in sample.batches():
        _, gradients = network.loss_and_gradients(sample.tensors, inputs, targets, shares, training=False)
        for name, gradient in gradients:
            totals[name] += gradient * shares.sum()
    return arrays(totals)


def fisher(sample: Sample) -> dict[str, NDArray]:
    """The diagonal of the empirical Fisher information: the mean square of the samples' gradients, of every weight."""
    classes = torch.nn.functional.one_hot(sample.targets, sample.network.n_outputs)
    return squared_gradients(sample, lambda probabilities, rows: [(probabilities - classes[rows], None)])


@torch.no_grad()
def squared_gradients(sample: Sample, deltas: Deltas) -> dict[str, NDArray]:
    """Sum over some vectors at the logits of the squares of the weights' gradients, averaged over the samples.

    The gradient of one sample is the product of a layer's inputs and errors, summed over positions. With one position
    the squares of all samples are summed by one product of squares.
    """
    records = sample.network.records
    totals = {name: torch.zeros_like(weight) for name, weight in sample.weights.items()}
    start = 0
    for inputs, _, shares in sample.batches():
        rows = slice(start, start + len(inputs))
        start += len(inputs)
        trace = sample.trace(inputs)
        for delta, part in deltas(torch.softmax(trace.logits, 1), rows):
            counts = shares if part is None else shares * part
            for name, error in trace.errors(delta).items():
                squares = _summed_squares(trace.inputs(name), by_position(error), counts)
                totals[name] += as_weights(squares, records[name])
    return arrays(totals)


def _summed_squares(values: Tensor, errors: Tensor, counts: Tensor) -> Tensor:
    """Squares of the samples' gradients, summed with `counts`: from (n, positions, n_in) and (n, positions, n_out)."""
    if values.shape[1] == 1:
        return (values[:, 0] ** 2).T @ (errors[:, 0] ** 2 * counts[:, None])
    total = values.new_zeros(values.shape[2], errors.shape[2])
    step = max(1, 2**24 // max(total.numel(), 1))  # samples whose gradients are held at a time
    for some, theirs, count in zip(values.split(step), errors.split(step), counts.split(step), strict=True):
        total += torch.einsum("nio,n->io", (some.mT @ theirs) ** 2, count)
    return total


@torch.no_grad()
def group_fisher(sample: Sample) -> dict[str, NDArray]:
    """For each unit, the mean square over the samples of the derivative of the loss with respect to a gate, (size,).

    The gate, of value one, multiplies the unit's output before the activation, and after normalisation if there is
    one. The derivative is the output there times its error, summed over positions: without normalisation this is the
    sum of ``w * dL/dw`` over the incoming weights and the bias. Where several layers write the unit, the gate is on
    what each of them puts out.
    """
    groups = sample.network.groups
    classes = torch.nn.functional.one_hot(sample.targets, sample.network.n_outputs)
    totals = {name: sample.inputs.new_zeros(group.size) for name, group in groups.items()}
    start = 0
    for inputs, _, shares in sample.batches():
        trace = sample.trace(inputs)
        places = {name: trace.places_of_output(group) for name, group in groups.items()}
        delta = torch.softmax(trace.logits, 1) - classes[start : start + len(inputs)]
        errors = trace.errors(delta, dict.fromkeys(place for some in places.values() for place, _ in some))
        start += len(inputs)
        for name, group in groups.items():
            changes = [
                summed_by_unit((by_position(trace.outputs[place]) * by_position(errors[place])).sum(1), part, group)
                for place, part in places[name]
            ]
            of_units = [change.reshape(len(change), -1, groups[name].size).sum(1) for change in changes]  # of all gates
            totals[name] += shares @ sum(of_units) ** 2
    return arrays(totals)


@torch.no_grad()
def movement(sample: Sample) -> dict[str, NDArray]:
    """Minus the sum of ``w * dL/dw`` over the steps of one epoch of training with Adam from here, of every weight.

    What had been removed before stays removed.
    """
    network = sample.network
    tensors = {name: tensor.float().clone() for name, tensor in sample.tensors.items()}
    scores = {name: torch.zeros_like(tensors[name]) for name in sample.weights}
    optimiser = torch.optim.Adam([tensors[name] for name in network.trained], lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(sample.seed)
    inputs = sample.inputs.float()
    order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    with drawn_from(sample.seed, inputs.device) if network.is_random else nullcontext():
        for rows in order.split(100):
            batch = inputs[rows], sample.targets[rows], sample.shares[rows].float()
            _, gradients = network.loss_and_gradients(tensors, *batch)
            for name, gradient in gradients:
                tensors[name].grad = gradient.clone()
                if name in scores:
                    scores[name] -= tensors[name] * gradient
            optimiser.step()
            for name, mask in sample.masks.items():
                tensors[name].mul_(mask)
    return arrays(scores)
