"""Where the user's module comes from: something that makes it, or a module that is there already."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..messages import as_text
from .base import drawn_from
from .describing import describe, name_of
from .inspecting import is_state, named_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class ModuleError(ValueError):
    """The user's module cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Source:
    """A callable and its arguments, or a module and the numbers that it had.

    Attributes
    ----------
    factory : callable or Module
    arguments : dict
        Of the callable.
    """

    factory: Callable[..., nn.Module] | nn.Module
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def is_instance(self) -> bool:
        """Whether it is a module already."""
        return isinstance(self.factory, nn.Module)

    @property
    def name(self) -> str:
        """A name for messages."""
        return name_of(self.factory)

    def make(self, seed: int, example: Tensor) -> nn.Module:
        """Make the module, or copy it; its initial numbers follow from the seed if it is made.

        Lazy layers are given the example, to see how many features they have.

        Raises
        ------
        ModuleError
            If it cannot be made.
        """
        with drawn_from(seed):
            module = self._made()
            if any(nn.parameter.is_lazy(tensor) for tensor in _tensors(module)):
                with torch.no_grad():
                    run(module, example)
            return module.train()

    def _made(self) -> nn.Module:
        if isinstance(self.factory, nn.Module):
            return copy.deepcopy(self.factory)
        try:
            module = self.factory(**self.arguments)
        except Exception as error:
            given = ", ".join(f"{name}={as_text(value)}" for name, value in self.arguments.items())
            raise ModuleError(
                f"module={name_of(self.factory)} cannot be made with {given or 'no arguments'}: "
                f"{type(error).__name__}: {one_line(error)}; set its arguments as module__NAME=..."
            ) from error
        if not isinstance(module, nn.Module):
            raise ModuleError(
                f"module must be a torch.nn.Module or make one, and {name_of(self.factory)} made {as_text(module)}"
            )
        return module

    def describe(self) -> str:
        """What the initial numbers follow from, beside a seed."""
        return "" if self.is_instance else describe([self.factory, self.arguments])


def source_of(module: Any, arguments: Mapping[str, Any], known: Mapping[str, Any]) -> Source:
    """The source that an estimator's parameters describe.

    Parameters
    ----------
    module : callable or Module
    arguments : mapping
        What the user set for the callable.
    known : mapping
        What the callable gets if it has parameters of these names.

    Raises
    ------
    ModuleError
        If arguments are given for a module that is there already, or there is no module.
    """
    if isinstance(module, nn.Module):
        if arguments:
            raise ModuleError(
                f"module__{next(iter(arguments))} sets an argument of a callable, and module is one made already: "
                f"give the class, module={name_of(module)}, to set arguments"
            )
        return Source(module)
    if not callable(module):
        raise ModuleError(
            f"module must be a torch.nn.Module or something callable that makes one, got {as_text(module)}"
        )
    try:
        names = inspect.signature(module).parameters
    except (TypeError, ValueError):
        names = {}
    return Source(cast("Any", module), {**{name: value for name, value in known.items() if name in names}, **arguments})


def run(module: nn.Module, inputs: Tensor) -> Tensor:
    """The logits of a module.

    Raises
    ------
    ModuleError
        If it cannot compute them.
    """
    try:
        return check_logits(module, module(inputs), inputs)
    except (ModuleError, MemoryError):
        raise
    except Exception as error:
        raise ModuleError(
            f"module {name_of(module)} cannot compute samples of shape {tuple(inputs.shape[1:])}: "
            f"{type(error).__name__}: {one_line(error)}; give X with the shape that its forward takes, or set "
            "sample_shape"
        ) from error


def check_logits(module: nn.Module, output: Any, inputs: Tensor) -> Tensor:
    """What a module returned, if it is a matrix with a row for each sample; ModuleError otherwise."""
    if isinstance(output, torch.Tensor) and output.ndim == 2 and len(output) == len(inputs):
        return output
    shape = f"of shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
    raise ModuleError(
        f"module {name_of(module)} must return logits of shape (n, classes) for samples of shape "
        f"{tuple(inputs.shape[1:])}, and returned {shape} for {len(inputs)} of them"
    )


def without_numbers(module: nn.Module) -> nn.Module:
    """A copy of a module whose parameters and floating-point buffers hold no numbers (the device "meta")."""
    memo: dict[int, Any] = {}
    for tensor in _tensors(module):
        if isinstance(tensor, nn.Parameter):
            empty = torch.empty_like(tensor.detach(), device="meta")
            memo[id(tensor)] = nn.Parameter(empty, requires_grad=tensor.requires_grad)
        elif is_state(tensor):
            memo[id(tensor)] = torch.empty_like(tensor, device="meta")
    return copy.deepcopy(module, memo)


def with_numbers(skeleton: nn.Module, arrays: Mapping[str, NDArray[np.floating]]) -> nn.Module:
    """A copy of a module without numbers that has those of the arrays; its parameters can be trained."""
    filled: dict[int, Any] = {}
    for name, tensor in named_tensors(skeleton).items():
        numbers = torch.tensor(arrays[name], dtype=tensor.dtype)
        filled[id(tensor)] = numbers
        if isinstance(tensor, nn.Parameter):
            filled[id(tensor)] = nn.Parameter(numbers, requires_grad=tensor.requires_grad)
    return copy.deepcopy(skeleton, filled)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def one_line(error: BaseException) -> str:
    """The message of an error, on one line of a reasonable length."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:197]}..."
