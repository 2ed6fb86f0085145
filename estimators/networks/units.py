"""The units of a module: declared or found in its graph, and tried out before they are believed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .base import Group, Normalisation, Slice
from .declared import declared_groups
from .sources import ModuleError
from .tracing.export import Graph, export
from .tracing.grouping import FixedUnits, find_groups
from .tracing.normalisations import normalisations_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from .module import ModuleNetwork

#: Graphs and units are kept for so many modules: a grid search makes many of the same.
_KEPT = 32

#: Of the largest logit, so much may masked and smaller networks differ in float64.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class ModuleUnits:
    """The units of a module.

    Attributes
    ----------
    groups : list of Group
        Those that can be pruned, and the classes, which are last.
    fixed : list of FixedUnits
        Those that cannot, and why.
    keep_zero : set of str
        The groups whose units, if zero before activations and the like, are zero behind them.
    normalisations : list of Normalisation
    is_connectivity_known : bool
        Whether the groups show what depends on what.
    problem : str
        Why no units are known; empty if they are.
    """

    groups: list[Group]
    fixed: list[FixedUnits] = field(default_factory=list)
    keep_zero: frozenset[str] = frozenset()
    normalisations: list[Normalisation] = field(default_factory=list)
    is_connectivity_known: bool = False
    problem: str = ""


class _Kept:
    """The latest results of a function, by the structure of the network."""

    def __init__(self, function: Callable[[ModuleNetwork], Any]):
        self._function = function
        self._results: OrderedDict[object, Any] = OrderedDict()

    def __call__(self, network: ModuleNetwork) -> Any:
        key = network.identity, network.sample_shape, network.takes_integers
        if key not in self._results:
            self._results[key] = self._function(network)
            while len(self._results) > _KEPT:
                self._results.popitem(last=False)
        return self._results[key]


def _graph_of(network: ModuleNetwork) -> Graph | ModuleError:
    zeros = {name: np.zeros(record.shape, np.float32) for name, record in network.records.items()}
    try:
        return export(network.to_module(zeros), network.example)
    except ModuleError as error:
        return error


_graphs = _Kept(_graph_of)


def graph_of(network: ModuleNetwork) -> Graph:
    """The graph of a module; ModuleError if there is none."""
    found = _graphs(network)
    if isinstance(found, ModuleError):
        raise found
    return found


def _find(network: ModuleNetwork) -> ModuleUnits:
    outputs = [record for record in network.tensors if record.is_output]
    slices = [Slice(r.name, r.output_axis, "producer" if r.kind == "weight" else "rider") for r in outputs]
    classes = [Group(network.output_layer, network.n_classes, tuple(slices), is_output=True)]
    declared = getattr(network.skeleton, "unit_groups", None)
    try:
        if callable(declared):
            groups = declared_groups(declared(), network.records, network.output_layer)
            good, bad = _sorted_out(network, groups)
            graph = _graphs(network)
            normalisations = normalisations_of(graph) if isinstance(graph, Graph) else []
            return ModuleUnits([*good, *groups[-1:]], bad, normalisations=normalisations)
        graph = graph_of(network)
        found = find_groups(graph, network.records, network.output_layer, network.example)
    except ModuleError as error:
        graph = _graphs(network)
        normalisations = normalisations_of(graph) if isinstance(graph, Graph) else []
        return ModuleUnits(classes, normalisations=normalisations, problem=str(error))
    good, bad = _sorted_out(network, found.groups)
    return ModuleUnits(
        [*good, *classes],
        [*found.fixed, *bad],
        frozenset(found.keep_zero),
        normalisations_of(graph),
        found.is_connectivity_known and not bad,
        "" if good else "none of them can be pruned",
    )


units_of = _Kept(_find)


def _sorted_out(network: ModuleNetwork, groups: Sequence[Group]) -> tuple[list[Group], list[FixedUnits]]:
    """The groups that the network can be without some units of, and those that it cannot."""
    hidden = [group for group in groups if not group.is_output]
    trial = _Trial(network, groups)
    if not hidden or trial.problem(hidden) is None:
        return hidden, []
    good, bad = [], []
    for group in hidden:
        problem = trial.problem([group])
        if problem is None:
            good.append(group)
        else:
            bad.append(FixedUnits(group.name, group.size, problem))
    return good, bad


class _Trial:
    """Compares a network in which units are zero with one that is smaller, on random numbers in float64."""

    def __init__(self, network: ModuleNetwork, groups: Sequence[Group]):
        self._network = network.with_units(ModuleUnits(list(groups)))
        self._rng = np.random.default_rng(0)
        self._tensors = {record.name: self._draw(record.shape, record.kind) for record in network.tensors}
        self._inputs = network.example if network.takes_integers else network.example.double()

    def _draw(self, shape: tuple[int, ...], kind: str) -> NDArray[np.float64]:
        numbers = self._rng.normal(size=shape)
        if kind in ("buffer", "scale"):
            return np.abs(numbers) + 0.5
        return numbers / np.sqrt(max(np.prod(shape[1:]), 1)) if kind == "weight" else numbers

    def problem(self, groups: Iterable[Group]) -> str | None:
        """Why units of these groups cannot be removed; None if they can."""
        masked, smaller, widths = dict(self._tensors), dict(self._tensors), {}
        gone: dict[tuple[str, int], list[NDArray[np.intp]]] = {}
        for group in groups:
            if group.size == 1:
                continue
            units = self._rng.permutation(group.size)[: max(group.size // 2, 1)]
            widths[group.name] = group.size - len(units)
            for part in group.slices:
                gone.setdefault((part.tensor, part.axis), []).append(positions(part, group.size, units))
        for (name, axis), parts in gone.items():
            places = np.unique(np.concatenate(parts))
            masked[name] = masked[name].copy()
            np.moveaxis(masked[name], axis, 0)[places] = 0
            smaller[name] = np.delete(smaller[name], places, axis=axis)
        try:
            expected, found = (
                self._logits(self._network, masked),
                self._logits(self._network.with_widths(widths), smaller),
            )
        except ModuleError as error:
            return f"its code does not compute with fewer of them: {error}"
        except Exception as error:
            return f"its code does not compute with fewer of them: {type(error).__name__}"
        if not np.allclose(found, expected, rtol=0, atol=TOLERANCE * max(np.abs(expected).max(), 1)):
            return "its code computes something else with fewer of them"
        return None

    def _logits(self, network: ModuleNetwork, tensors: dict[str, NDArray]) -> NDArray:
        with torch.no_grad():
            return network.forward({n: torch.from_numpy(a) for n, a in tensors.items()}, self._inputs).numpy()


def positions(part: Slice, size: int, units: NDArray[np.intp]) -> NDArray[np.intp]:
    """The positions along its axis that some units own in a slice of a group of `size`."""
    block = np.arange(part.blocks)[:, None, None] * size * part.inner
    return (part.start + block + units[:, None] * part.inner + np.arange(part.inner)).ravel()
