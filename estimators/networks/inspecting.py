"""The tensors of a module, and what one forward pass shows of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .base import TensorRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

#: Layers whose weights are pruned, and the axis along which their units lie.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)
_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    getattr(nn, "RMSNorm", nn.LayerNorm),  # since PyTorch 2.4
)

#: The parameters of `MultiheadAttention` that are multiplied with inputs.
_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def is_state(tensor: Tensor) -> bool:
    """Whether a buffer is one of the network's tensors; indices and flags are part of its structure."""
    return tensor.is_floating_point()


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and floating-point buffers by name; shared ones once."""
    buffers = {name: buffer for name, buffer in module.named_buffers() if is_state(buffer)}
    return {**dict(module.named_parameters()), **buffers}


def constants(module: nn.Module) -> dict[str, Tensor]:
    """The buffers of indices and flags."""
    return {name: buffer for name, buffer in module.named_buffers() if not is_state(buffer)}


@dataclass
class Seen:
    """What a forward pass showed.

    Attributes
    ----------
    output : object
        What the module returned.
    layers : list of str
        The names of the layers with weights, in the order in which they were used first.
    positions : dict of str to int
        For tensors of weights, how often each entry is used for one sample.
    widest : int
        The largest number of activations of a layer for one sample.
    outputs : dict of str to object
        What each layer returned last.
    """

    output: Any = None
    layers: list[str] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    widest: int = 1
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def last_layer(self) -> str | None:
        """The layer whose output the module returned unchanged; None if there is none."""
        found = [name for name, output in self.outputs.items() if output is self.output]
        return found[-1] if found else None


def look(module: nn.Module, inputs: Tensor) -> Seen:
    """Compute the outputs of a module in evaluation, and watch its layers.

    Parameters
    ----------
    module : Module
        Its mode stays as it is.
    inputs : Tensor, shape (n, ...)
    """
    seen, handles = Seen(), []
    for name, layer in module.named_modules():
        if isinstance(layer, LAYERS):
            handles.append(layer.register_forward_hook(_watch(seen, name, len(inputs)), with_kwargs=True))
    try:
        with torch.no_grad():
            seen.output = module(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _watch(seen: Seen, name: str, n: int):
    def hook(layer: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        if name not in seen.layers:
            seen.layers.append(name)
        seen.outputs[name] = output
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor):
            seen.widest = max(seen.widest, math.ceil(first.numel() / n))
        for parameter, count in _positions(layer, args, kwargs, first, n):
            full = f"{name}.{parameter}" if name else parameter
            seen.positions[full] = seen.positions.get(full, 0) + count

    return hook


def _positions(layer: nn.Module, args: tuple, kwargs: dict, output: Any, n: int) -> Iterator[tuple[str, int]]:
    """How often each entry of a layer's weights was used for a sample."""
    if isinstance(layer, nn.Embedding):
        yield "weight", 0  # rows are looked up, not multiplied
    elif isinstance(layer, _TRANSPOSED):
        yield "weight", math.prod(args[0].shape[2:])
    elif isinstance(layer, (nn.Linear, *_CONVOLUTIONS)):
        yield "weight", output.numel() // n // layer.weight.shape[0]
    elif isinstance(layer, nn.RNNBase):
        inputs = args[0] if args else kwargs["input"]
        is_packed = isinstance(inputs, nn.utils.rnn.PackedSequence)
        steps = len(inputs.batch_sizes) if is_packed else inputs.numel() // inputs.shape[-1] // n
        yield from ((name, steps) for name, _ in layer.named_parameters() if name.startswith("weight"))
    elif isinstance(layer, nn.MultiheadAttention):
        query, key, value = (args[i] if i < len(args) else kwargs[k] for i, k in enumerate(("query", "key", "value")))
        lengths = [tensor.numel() // tensor.shape[-1] // n for tensor in (query, key, value)]
        yield "in_proj_weight", round(sum(lengths) / 3)
        yield from zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), lengths, strict=True)
        yield "out_proj.weight", lengths[0]


def records_of(module: nn.Module, seen: Seen, output_layer: str) -> list[TensorRecord]:
    """The records of a module's tensors, in the order in which its layers are used, those of the output layer last."""
    records = {}
    for prefix, layer in module.named_modules():
        for name, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
            full = f"{prefix}.{name}" if prefix else name
            records[full] = _record(full, name, layer, tensor, seen, prefix == output_layer)
    used = {name: place for place, name in enumerate(seen.layers)}

    def place(record: TensorRecord) -> tuple[bool, int]:
        owners = [used[name] for name in _prefixes(record.name) if name in used]
        return record.is_output, owners[0] if owners else len(used)

    return sorted((records[name] for name in named_tensors(module)), key=place)


def _prefixes(name: str) -> Iterator[str]:
    """The modules that contain a tensor, from the innermost."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
    yield ""


def _record(full: str, name: str, layer: nn.Module, tensor: Tensor, seen: Seen, is_output: bool) -> TensorRecord:
    kind, axis = _kind(layer, name, tensor)
    positions = seen.positions.get(full, 0) if kind == "weight" else 1
    return TensorRecord(full, tuple(tensor.shape), kind, axis, positions, is_output)


def _kind(layer: nn.Module, name: str, tensor: Tensor) -> tuple[str, int]:
    """The kind of a tensor, and for weights the axis of their units."""
    if not isinstance(tensor, nn.Parameter) or not tensor.requires_grad:
        return "buffer", 0
    if isinstance(layer, _NORMS):
        return ("scale" if name == "weight" else "shift"), 0
    if isinstance(layer, LAYERS):
        if name.startswith("bias") or name.endswith("bias"):
            return "bias", 0
        if isinstance(layer, nn.MultiheadAttention):
            return ("weight" if name in _ATTENTION else "other"), 0
        return "weight", int(isinstance(layer, (nn.Embedding, *_TRANSPOSED)))
    return "other", 0
