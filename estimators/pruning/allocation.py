"""How much each layer loses: one sparsity for all of them, one for each, or shares by Erdos-Renyi.

A sparsity is a number, or a mapping from layers to numbers. A layer has the name of its group of units, such as
``"hidden1"``, ``"conv1"`` or ``"output"``; the name of its tensor of weights, ``"hidden1.weight"``, names it as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..messages import as_text
from .masks import layers_ranked_together, output_sparsity, sparsity_of_each
from .patterns import Blocks, NOfM, parse_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..networks.base import Group, Network, TensorRecord

    Sparsity = float | Mapping[str, float]
    S = TypeVar("S", bound=Sparsity)

#: A sparsity may be written with this many digits less than exactly, as 0.667 of a pattern that keeps one of three.
PATTERN_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Choices:
    """What is removed, in what order. The fields are the estimator's parameters of the same names."""

    criterion: str = "magnitude"
    granularity: str = "weight"
    scope: str = "layer"
    norm: float = 2
    order: str = "smallest"
    prune_output: bool | str = False
    reduce: str = "auto"
    normalize: str = "auto"
    per_output: bool = False
    exclude_layers: tuple[str, ...] = ()
    min_kept: float = 0
    distribution: str = "auto"
    pattern: str = "none"
    prune_residual: bool = False

    @property
    def blocks(self) -> Blocks | None:
        """The pattern, if it is one of blocks."""
        return self._pattern if isinstance(self._pattern, Blocks) else None

    @property
    def n_of_m(self) -> NOfM | None:
        """The pattern, if it keeps some of each so many consecutive weights."""
        return self._pattern if isinstance(self._pattern, NOfM) else None

    @property
    def _pattern(self) -> NOfM | Blocks | None:
        return parse_pattern(self.pattern)


def in_each(function: Callable[[float], float], sparsity: S) -> S:
    """Apply a function to a sparsity, or to that of each layer."""
    if isinstance(sparsity, Mapping):
        return {name: function(value) for name, value in sparsity.items()}  # type: ignore[return-value]
    return function(sparsity)  # type: ignore[return-value]


def values_of(sparsity: Sparsity) -> list[float]:
    """The numbers in a sparsity: one, or that of each layer."""
    return list(sparsity.values()) if isinstance(sparsity, Mapping) else [sparsity]


def as_sparsity(value: Sparsity) -> Sparsity:
    """A sparsity of Python's numbers, whatever kind they are of."""
    return in_each(float, value)


def prunable_weights(network: Network, output: bool | str = True, excluded: Iterable[str] = ()) -> list[TensorRecord]:
    """The records of the weights that may be pruned.

    Parameters
    ----------
    network : Network
    output : {False, True, "half"}
        Whether those of the output layer may.
    excluded : iterable of str
        Names of layers that are left alone.
    """
    alone = {record.name for name in excluded for record in weights_of_layer(network, name)}
    records = [record for record in network.weights if output or not record.is_output]
    return [record for record in records if record.name not in alone]


def prunable_groups(
    network: Network, output: bool | str = True, excluded: Iterable[str] = (), residual: bool = False
) -> list[Group]:
    """The groups of units that may be pruned, with `residual` also those of residual streams.

    The other parameters and errors are those of `prunable_weights`.
    """
    alone = {group.name for name in excluded for group in groups_of_layer(network, name)}
    groups = [group for group in network.groups.values() if output or not group.is_output]
    return [group for group in groups if group.name not in alone and (residual or not group.is_residual)]


def groups_of_layer(network: Network, name: str) -> list[Group]:
    """The groups of units that a layer's name stands for; ValueError if there is no such layer."""
    groups = network.groups.values()
    found = [g for g in groups if name == g.name]
    found = found or [g for g in groups if {name, f"{name}.weight"} & {part.tensor for part in g.of_role("producer")}]
    if not found:
        layers = dict.fromkeys([*network.groups, *(record.layer for record in network.weights)])
        raise ValueError(f"there is no layer {as_text(name)}: the layers are {', '.join(layers)}")
    return found


def weights_of_layer(network: Network, name: str) -> list[TensorRecord]:
    """The records of the weights that a layer's name stands for; ValueError if there is no such layer."""
    own = [record for record in network.weights if name in (record.name, record.layer)]
    if own and name not in network.groups:
        return own
    return [network.records[part.tensor] for g in groups_of_layer(network, name) for part in g.of_role("producer")]


@dataclass(frozen=True)
class Allocation:
    """How much of each layer of a network is removed.

    Attributes
    ----------
    network : Network
    choices : Choices
    """

    network: Network
    choices: Choices

    @property
    def is_by_unit(self) -> bool:
        """Whether units are pruned, not weights."""
        return self.choices.granularity == "unit"

    @cached_property
    def weights(self) -> list[TensorRecord]:
        """The records of the weights that may be pruned."""
        return prunable_weights(self.network, self.choices.prune_output, self.choices.exclude_layers)

    @property
    def weight_names(self) -> list[str]:
        """Their names."""
        return [record.name for record in self.weights]

    @cached_property
    def groups(self) -> list[Group]:
        """The groups of units that may be pruned."""
        choices = self.choices
        return prunable_groups(self.network, choices.prune_output, choices.exclude_layers, choices.prune_residual)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what is ranked: of each tensor of weights, or of the units of each group."""
        if self.is_by_unit:
            return {group.name: (group.size,) for group in self.groups}
        return {record.name: record.shape for record in self.weights}

    @property
    def sizes(self) -> dict[str, int]:
        """How many weights or units each layer has."""
        return {name: math.prod(shape) for name, shape in self.shapes.items()}

    @property
    def min_kept(self) -> list[int]:
        """How many weights or units each layer keeps at least: so many, or the part ``ceil(min_kept * n)`` of them."""
        least = self.choices.min_kept
        return [min(least, n) if isinstance(least, int) else math.ceil(least * n) for n in self.sizes.values()]

    def check(self, sparsity: Sparsity) -> None:
        """Raise ValueError, one sentence, if a sparsity or an excluded layer does not fit the network."""
        wanted = dict.fromkeys(self.choices.exclude_layers, "exclude_layers")
        wanted |= dict.fromkeys(sparsity if isinstance(sparsity, Mapping) else (), "sparsity")
        for name, parameter in wanted.items():
            try:
                is_output = self._is_output(name)
            except ValueError as error:
                raise ValueError(f"{parameter} names a layer that the network does not have: {error}") from None
            if parameter == "exclude_layers" and is_output:
                raise ValueError("exclude_layers must not name the output layer: prune_output=False leaves it alone")
        removes = max(values_of(sparsity), default=0) > 0
        if self.is_by_unit:
            self.network.check_units()
        if removes and self.choices.exclude_layers and not self.shapes:
            raise ValueError("exclude_layers must leave a layer to prune, or sparsity must be 0")
        if isinstance(sparsity, Mapping):
            self._check_layers(sparsity)

    def _is_output(self, layer: str) -> bool:
        """Whether a name stands for the output layer; ValueError if it stands for nothing."""
        if self.is_by_unit:
            return groups_of_layer(self.network, layer)[0].is_output
        return any(record.is_output for record in weights_of_layer(self.network, layer))

    def _check_layers(self, sparsity: Mapping[str, float]) -> None:
        named: dict[str, str] = {}
        for name, value in sparsity.items():
            ranked = self._ranked_of(name)
            if value > 0 and any(tensor not in self.shapes for tensor in ranked):
                remedy = "set prune_output=True" if self._is_output(name) else "take it out of exclude_layers"
                raise ValueError(f"sparsity prunes the layer {as_text(name)}, which is left alone: {remedy}")
            for tensor in ranked:
                if tensor in named:
                    raise ValueError(f"sparsity names one layer twice, as {as_text(named[tensor])} and {as_text(name)}")
                named[tensor] = name

    def _ranked_of(self, layer: str) -> list[str]:
        """The names in `shapes` that a layer's name stands for, also of layers that are left alone."""
        if self.is_by_unit:
            return [group.name for group in groups_of_layer(self.network, layer)]
        return [record.name for record in weights_of_layer(self.network, layer)]

    def fractions(self, sparsity: Sparsity) -> list[float]:
        """The fraction of each group ranked, as `RemovalOrder.masks` takes it: of each layer, or of all together."""
        choices = self.choices
        if isinstance(sparsity, Mapping):
            of_name = {ranked: value for layer, value in sparsity.items() for ranked in self._ranked_of(layer)}
            return [of_name.get(name, 0.0) for name in self.shapes]
        has_half = choices.prune_output == "half"
        if choices.scope == "layer" and choices.distribution == "erk":
            return [1 - share / max(n, 1) for share, n in zip(self._shares(sparsity), self.sizes.values(), strict=True)]
        n_groups = len(layers_ranked_together(len(self.shapes), choices.scope, choices.prune_output))
        return sparsity_of_each(sparsity, n_groups, has_half)

    def _shares(self, sparsity: float) -> list[float]:
        """How many weights each layer keeps by Erdos-Renyi; an output layer at half the rate is by itself."""
        shapes = list(self.shapes.values())
        if self.choices.prune_output != "half" or not shapes:
            return erdos_renyi_shares(shapes, sparsity).tolist()
        of_output = (1 - output_sparsity(sparsity)) * math.prod(shapes[-1])
        return [*erdos_renyi_shares(shapes[:-1], sparsity).tolist(), of_output]

    def affected(self, sparsity: Sparsity) -> list[str]:
        """The names in `shapes` of what a sparsity removes something of; a number, of everything."""
        if not isinstance(sparsity, Mapping):
            return list(self.shapes)
        return [name for name, value in zip(self.shapes, self.fractions(sparsity), strict=True) if value > 0]

    def fraction(self, sparsity: Sparsity) -> float:
        """The part of all weights or units of the layers affected that a sparsity removes; a number is that itself."""
        if not isinstance(sparsity, Mapping):
            return sparsity
        pairs = zip(self.fractions(sparsity), self.sizes.values(), strict=True)
        of_layers = [(value * n, n) for value, n in pairs if value > 0]
        return sum(removed for removed, _ in of_layers) / max(sum(n for _, n in of_layers), 1)

    def kept(self, sparsity: Sparsity) -> dict[str, int]:
        """How many weights each layer keeps where there is no ranking across layers, whatever the scope.

        Together they are exactly as many as the sparsity leaves (but for `min_kept`), also with Erdos-Renyi's shares,
        which "auto" stands for here.
        """
        sizes, shapes = list(self.sizes.values()), list(self.shapes.values())
        if isinstance(sparsity, Mapping):
            kept = [n - round(value * n) for n, value in zip(sizes, self.fractions(sparsity), strict=True)]
        elif self.choices.prune_output == "half" and shapes:
            kept = self._kept_of(shapes[:-1], sparsity)
            kept.append(sizes[-1] - round(output_sparsity(sparsity) * sizes[-1]))
        else:
            kept = self._kept_of(shapes, sparsity)
        return {name: max(count, least) for name, count, least in zip(self.shapes, kept, self.min_kept, strict=True)}

    def _kept_of(self, shapes: Sequence[tuple[int, ...]], sparsity: float) -> list[int]:
        return kept_per_layer(shapes, sparsity, "uniform" if self.choices.distribution == "uniform" else "erk")


def erdos_renyi_shares(shapes: Sequence[tuple[int, ...]], sparsity: float) -> np.ndarray:
    """How many weights each layer keeps by Erdos-Renyi, as numbers that need not be whole.

    The density of a layer is at most one, and else proportional to ``(n_in + n_out) / (n_in * n_out)``, or for a
    convolution to ``(n_in + n_out + height + width) / (n_in * n_out * height * width)`` (Erdos-Renyi-kernel). At a
    lower sparsity no layer keeps fewer weights.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the weights of each layer.
    sparsity : float

    Returns
    -------
    ndarray of float, shape (layers,)
        The sum is what the sparsity leaves of all weights.

    References
    ----------
    D. Mocanu et al., Nature Communications 2018; U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen, "Rigging the
    Lottery: Making All Tickets Winners", ICML 2020.
    """
    sizes = np.array([int(np.prod(shape)) for shape in shapes])
    total = _left_of(shapes, sparsity)
    wanted = np.array([sum(shape) for shape in shapes], dtype=float)
    full = np.zeros(len(sizes), dtype=bool)
    while True:
        share = np.where(full, sizes, wanted * max(total - sizes[full].sum(), 0) / max(wanted[~full].sum(), 1e-12))
        over = (share > sizes) & ~full
        if not over.any():
            return share
        full |= over


def _left_of(shapes: Sequence[tuple[int, ...]], sparsity: float) -> int:
    """How many of all weights a sparsity leaves."""
    n = sum(math.prod(shape) for shape in shapes)
    return n - round(sparsity * n)


def kept_per_layer(shapes: Sequence[tuple[int, ...]], sparsity: float, distribution: str) -> list[int]:
    """How many weights each layer keeps: exactly what the sparsity leaves, of each ("uniform") or together ("erk").

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the weights of each layer.
    sparsity : float
    distribution : {"uniform", "erk"}
        The same density in each layer, or that of `erdos_renyi_shares`.
    """
    if distribution == "uniform":
        sizes = [math.prod(shape) for shape in shapes]
        return [size - round(sparsity * size) for size in sizes]
    share = erdos_renyi_shares(shapes, sparsity)
    total = _left_of(shapes, sparsity)
    kept = np.floor(share).astype(int)
    # What rounding down has left over goes to the layers that lost most by it.
    for layer in np.argsort(kept - share, kind="stable")[: total - int(kept.sum())]:
        kept[layer] += 1
    return kept.tolist()
