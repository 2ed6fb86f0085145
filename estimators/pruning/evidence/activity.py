"""How active inputs and units are on the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from .sample import arrays, as_weights, by_position

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from .sample import Sample

    Arrays = dict[str, NDArray]


class Activity(NamedTuple):
    """Means over the samples and positions. Activities are absolute outputs; of features, from their least value.

    Attributes
    ----------
    input_norms : dict of str to ndarray, each (fan_in,)
        For every layer, the root mean square of each of its inputs.
    input_activity, input_nonzero : dict of str to ndarray, each (fan_in,)
        Their mean activity, and how often they are active, 0 to 1.
    unit_activity, unit_nonzero : dict of str to ndarray, each (size,)
        For every group, the mean absolute output of each unit, and how often it is not zero (1 - APoZ). Of a residual
        stream, the means over its states after each addition.
    coactivity : dict of str to ndarray, each shaped as the weights
        For every weight, the mean of the activity before it times the activity behind it.
    """

    input_norms: Arrays
    input_activity: Arrays
    input_nonzero: Arrays
    unit_activity: Arrays
    unit_nonzero: Arrays
    coactivity: Arrays


@torch.no_grad()
def activity(sample: Sample) -> Activity:
    """Measure everything in one pass over the sample."""
    network, new = sample.network, sample.inputs.new_zeros
    layers = {record.name: record for record in network.weights}
    squares, active_in, nonzero_in = ({name: new(record.fan_in) for name, record in layers.items()} for _ in range(3))
    active, nonzero = ({name: new(group.size) for name, group in network.groups.items()} for _ in range(2))
    together = {name: torch.zeros_like(weight) for name, weight in sample.weights.items()}
    for inputs, _, shares in sample.batches():
        trace = sample.trace(inputs)
        for name, states in trace.activities.items():
            outputs = [by_position(values) for values in states]
            active[name] += shares @ torch.stack([values.abs().mean(1) for values in outputs]).mean(0)
            nonzero[name] += shares @ torch.stack([(values != 0).to(shares).mean(1) for values in outputs]).mean(0)
        for name, record in layers.items():
            before = trace.active_inputs(name, sample.silence)
            squares[name] += shares @ (trace.inputs(name) ** 2).mean(1)
            active_in[name] += shares @ before.mean(1)
            nonzero_in[name] += shares @ (before > 0).to(shares).mean(1)
            behind = by_position(trace.behind(name).abs())
            together[name] += as_weights(mean_products(before, behind, shares), record)
    norms = {name: square.sqrt() for name, square in squares.items()}
    return Activity(*map(arrays, (norms, active_in, nonzero_in, active, nonzero, together)))


def mean_products(before: Tensor, behind: Tensor, shares: Tensor) -> Tensor:
    """Means over samples and positions of inputs times outputs, (fan_in, units) from (n, positions, ...)."""
    if before.shape[1] == 1:
        return (before[:, 0] * shares[:, None]).T @ behind[:, 0]
    weighted = before * (shares / before.shape[1])[:, None, None]
    return weighted.flatten(0, 1).T @ behind.flatten(0, 1)
