"""Passes labels of units through the graph of a module."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..sources import ModuleError
from .units import NO_UNIT, Units, varies

if TYPE_CHECKING:
    from torch import fx

    from .export import Graph

    Handler = Callable[..., Any]

#: The functions that pass labels through operations, by the name of the operation.
HANDLERS: dict[str, Handler] = {}


def operation(*names: str) -> Callable[[Handler], Handler]:
    """Register a function for operations; it is called with the tracer, then as the operation is."""

    def register(function: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = function
        return function

    return register


@dataclass(frozen=True)
class Stored:
    """A tensor of the module that has not been computed with yet; perhaps transposed."""

    name: str
    shape: tuple[int, ...]
    is_transposed: bool = False


class Use(NamedTuple):
    """The units along an axis of a tensor.

    Attributes
    ----------
    tensor : str
    axis : int
    role : str
        As in `Slice`.
    labels : Tensor, shape (length of the axis,)
    """

    tensor: str
    axis: int
    role: str
    labels: Tensor


class Tracer:
    """What is found while labels pass through a graph.

    Attributes
    ----------
    units : Units
    uses : list of Use
        In the order of the graph.
    name : str
        Of the operation.
    mixes : bool
        Whether units meet otherwise than through weights and sums, so that the weights alone do not show what depends
        on what.
    shifted : list of Tensor
        Labels of values that may not be zero where they were zero before.
    output : Tensor
        The labels of the logits.
    """

    def __init__(self, graph: Graph, shapes: dict[str, tuple[int, ...]], example: Tensor):
        self.units, self.mixes, self.name = Units(), False, ""
        self.shifted: list[Tensor] = []
        self.uses: list[Use] = []
        self._elements: dict[str, Tensor] = {}
        values: dict[str, Any] = {name: Stored(tensor, shapes[tensor]) for name, tensor in graph.tensors.items()}
        values |= {name: torch.zeros_like(value, dtype=torch.int64) for name, value in graph.constants.items()}
        values[graph.inputs] = torch.zeros(example.shape, dtype=torch.int64)
        output = graph.run(self._step, values)
        self.output = self.labels(output)

    def _step(self, node: fx.Node, args: tuple, kwargs: dict) -> Any:
        target: Any = node.target
        if not isinstance(target, torch._ops.OpOverload):  # arithmetic with sizes
            return target(*args, **kwargs)
        self.name = target._schema.name.partition("::")[2].removesuffix("_")  # of what works in place, too
        if self.name in HANDLERS:
            return HANDLERS[self.name](self, *args, **kwargs)
        if not any(isinstance(value, (Tensor, Stored)) for value in _flat([args, kwargs])):
            return no_unit(target(*args, **kwargs))  # a constant
        raise UnknownOperation(f"{target._schema.name}".replace("::", "."))

    def labels(self, value: Tensor | Stored) -> Tensor:
        """The labels of a value; of a stored tensor, a new one for each of its entries."""
        if isinstance(value, Tensor):
            return value
        if value.name not in self._elements:
            shape = value.shape[::-1] if value.is_transposed else value.shape
            self._elements[value.name] = self.units.new(math.prod(shape)).reshape(shape)
        labels = self._elements[value.name]
        return labels.T if value.is_transposed else labels

    @property
    def elements(self) -> dict[str, Tensor]:
        """The labels of the entries of tensors that were combined one by one with others."""
        return self._elements

    def use(self, tensor: str, axis: int, role: str, labels: Tensor) -> None:
        """Note the units along an axis of a tensor; those of an earlier use of the same axis are the same."""
        first = next((use for use in self.uses if use.tensor == tensor and use.axis == axis), None)
        if first is not None:
            self.units.unite(first.labels, labels)
            if role == first.role:
                return
        self.uses.append(Use(tensor, axis, role, labels))

    def along(self, labels: Tensor, axis: int) -> Tensor:
        """The labels along one axis; they become the same along all others."""
        axis %= labels.ndim
        for other in range(labels.ndim):
            if other != axis and varies(labels, other):
                self.units.unite(labels, labels.narrow(other, 0, 1).expand_as(labels))
        for other in reversed(range(labels.ndim)):
            if other != axis:
                labels = labels.select(other, 0)
        return labels

    def fix(self, labels: Tensor, reason: str, mixes: bool = True) -> None:
        """Some units cannot be pruned."""
        self.units.fix(labels, reason)
        self.mixes |= mixes


class UnknownOperation(ModuleError):  # noqa: N818 (what happened is the name)
    """The graph has an operation that is not known."""

    def __init__(self, name: str):
        super().__init__(
            f"the module uses the operation {name}, of which it is not known how units pass through it: declare the "
            "units in a method unit_groups(), or use granularity='weight'"
        )


def no_unit(value: Any) -> Any:
    """The labels of a constant."""
    if isinstance(value, Tensor):
        return torch.full((1,) * value.ndim, NO_UNIT).expand(value.shape)
    return value


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [item for part in value for item in _flat(part)]
    if isinstance(value, dict):
        return _flat(list(value.values()))
    return [value]
