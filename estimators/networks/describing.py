"""A module in words: what it computes, and a digest of it, the same in every process.

Networks compare by these words, and the keys of cached trainings contain them. They cover the code of the module's
classes, its attributes and the shapes of its tensors, but not the numbers in its parameters.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from types import CodeType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What every module has, and what says nothing about what it computes.
_ORDINARY = frozenset(vars(nn.Module())) | {"_flat_weights"}

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def digest_of_module(module: nn.Module) -> str:
    """A digest of what a module computes, apart from the numbers in its parameters and buffers."""
    return hashlib.sha256(_Writer().of_module(module).encode()).hexdigest()


def digest_of_tensors(tensors: Mapping[str, Any]) -> str:
    """A digest of the numbers in some NumPy arrays."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def describe(value: Any) -> str:
    """A value in words, without addresses: equal values give equal words in every process."""
    return _Writer().of(value)


def name_of(value: Any) -> str:
    """The name of a class, a function or the class of an object, for messages."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return named.__qualname__


class _Writer:
    """Writes values; what contains itself is written once."""

    def __init__(self):
        self._open: list[int] = []

    def of(self, value: Any) -> str:
        if id(value) in self._open:
            return "..."
        self._open.append(id(value))
        try:
            return self._of(value)
        finally:
            self._open.pop()

    def of_module(self, module: nn.Module) -> str:
        attributes = {name: value for name, value in vars(module).items() if name not in _ORDINARY}
        parameters = {name: _kind_of_tensor(tensor) for name, tensor in module._parameters.items()}
        buffers = {name: self._buffer(tensor) for name, tensor in module._buffers.items()}
        children = [f"{name}={self.of(child)}" for name, child in module._modules.items()]
        own = ", ".join([self._mapping(attributes), self._mapping(parameters), self._mapping(buffers), *children])
        return f"{self._class(type(module))}({own})"

    def _of(self, value: Any) -> str:
        if isinstance(value, nn.Module):
            return self.of_module(value)
        if isinstance(value, nn.Parameter):
            return _kind_of_tensor(value)
        if isinstance(value, torch.Tensor):
            return f"{_kind_of_tensor(value)}{value.detach().cpu().tolist()}" if value.device.type != "meta" else "meta"
        if isinstance(value, dict):
            return self._mapping(value)
        if isinstance(value, (list, tuple)):
            return f"{type(value).__name__}[{', '.join(map(self.of, value))}]"
        if isinstance(value, (set, frozenset)):
            return f"set[{', '.join(sorted(map(self.of, value)))}]"
        if isinstance(value, functools.partial):
            return f"partial({self.of(value.func)}, {self.of(value.args)}, {self.of(value.keywords)})"
        if isinstance(value, type):
            return self._class(value)
        if inspect.isroutine(value):
            return self._function(value)
        words = _ADDRESS.sub("", repr(value))
        if type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__"):
            words += self._mapping(vars(value))
        return words

    def _mapping(self, values: Mapping[Any, Any]) -> str:
        return f"{{{', '.join(f'{name}: {self.of(value)}' for name, value in values.items())}}}"

    def _buffer(self, tensor: torch.Tensor | None) -> str:
        """The numbers of buffers that are not measured, such as indices, are part of what is computed."""
        if tensor is None or tensor.is_floating_point():
            return _kind_of_tensor(tensor)
        return self.of(tensor)

    def _class(self, cls: type) -> str:
        """Its name, and the code of all methods that are not PyTorch's own."""
        name = f"{cls.__module__}.{cls.__qualname__}"
        own = [base for base in cls.__mro__ if not _is_of_library(base.__module__)]
        code = [self._function(member) for base in own for member in vars(base).values() if inspect.isfunction(member)]
        return f"{name}<{_short(code)}>" if code else name

    def _function(self, function: Any) -> str:
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(function))}"
        code = getattr(function, "__code__", None)
        if code is None or _is_of_library(getattr(function, "__module__", None) or ""):
            return _ADDRESS.sub("", name)
        enclosed = [self.of(cell.cell_contents) for cell in function.__closure__ or () if _is_set(cell)]
        return f"{name}<{_short([_code(code), *enclosed, self.of(function.__defaults__)])}>"


def _kind_of_tensor(tensor: torch.Tensor | None) -> str:
    return "None" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)} {tensor.requires_grad}"


def _is_of_library(module: str) -> bool:
    return module.partition(".")[0] in ("torch", "builtins")


def _is_set(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _code(code: CodeType) -> str:
    constants = [_code(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _short(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
