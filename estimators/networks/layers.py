"""What the layers of several networks share: activations and initial weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.special import expit
from torch.nn import functional

from .base import Normalisation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from .base import TensorRecord

_aten = torch.ops.aten

#: Added to the variance in batch normalisation (the value of PyTorch).
BATCH_NORM_EPSILON = 1e-5


class Activation(NamedTuple):
    """An activation function, in the forms that are needed of it.

    Attributes
    ----------
    in_place : callable
        From the values before it, which it may overwrite, to those after it.
    gradient : callable
        From the gradient at its output, and its output, to the gradient at its input.
    of_array : callable
        The same function of a NumPy array.
    """

    in_place: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]
    of_array: Callable[[NDArray], NDArray]


ACTIVATIONS = {
    "relu": Activation(
        torch.relu_,
        lambda delta, output: _aten.threshold_backward(delta, output, 0),
        lambda values: np.maximum(values, 0),
    ),
    "tanh": Activation(torch.tanh_, _aten.tanh_backward, np.tanh),
    "logistic": Activation(torch.sigmoid_, _aten.sigmoid_backward, expit),
    "identity": Activation(lambda values: values, lambda delta, _: delta, lambda values: values),
}

#: Activations without a second derivative.
PIECEWISE_LINEAR = ("relu", "identity")


def glorot(
    rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int | None = None
) -> NDArray[np.float32]:
    """Normal with variance 2 / (fan_in + fan_out); `fan_out` is that of a linear layer (n_in, n_out) by default."""
    fan_out = shape[-1] if fan_out is None else fan_out
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2.0 / (fan_in + fan_out)))


def uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> NDArray[np.float32]:
    """Uniform from -1/sqrt(fan_in) to 1/sqrt(fan_in), as PyTorch's linear and convolutional layers begin."""
    bound = np.float32(1.0 / np.sqrt(max(fan_in, 1)))
    return (rng.random(shape, dtype=np.float32) * 2 - 1) * bound


def orthogonal(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """An orthogonal matrix, (size, size), drawn uniformly."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return (q * np.sign(np.diag(r))).astype(np.float32)


def initial_tensors(records: Mapping[str, TensorRecord], seed: int, init: str) -> dict[str, NDArray[np.float32]]:
    """Draw weights and biases uniformly from -1/sqrt(fan_in) to 1/sqrt(fan_in), as PyTorch's layers do.

    With ``init="glorot"``, the weights are normal with variance 2 / (fan_in + fan_out), and the biases zero. Batch
    normalisation begins as the identity.
    """
    rng = np.random.default_rng(seed)
    starts = {"scale": 1.0, "shift": 0.0, "mean": 0.0, "variance": 1.0}
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, record in records.items():
        layer, _, kind = name.rpartition(".")
        fan_in = records[f"{layer}.weight"].fan_in
        if kind in starts:
            tensors[name] = np.full(record.shape, starts[kind], np.float32)
        elif init != "glorot":
            tensors[name] = uniform(rng, record.shape, fan_in)
        elif kind == "bias":
            tensors[name] = np.zeros(record.shape, np.float32)
        else:
            fan_out = record.shape[record.output_axis] * int(np.prod(record.shape[2:]))
            tensors[name] = glorot(rng, record.shape, fan_in, fan_out)
    return tensors


def one_position(values: Tensor) -> Tensor:
    """What meets the weights of a linear layer: values (n, n_in) as (n, 1, n_in)."""
    return values[:, None]


def patches_of_maps(values: Tensor, kernel_size: tuple[int, int], padding: str, stride: int = 1) -> Tensor:
    """What meets the weights of a convolution: maps (n, channels, ...) as (n, positions, channels * kernel area)."""
    if padding == "same":
        values = functional.pad(values, _same_pads(kernel_size))
    return functional.unfold(values, kernel_size, stride=stride).mT


def _same_pads(kernel_size: tuple[int, int]) -> list[int]:
    """Zeros to the left, right, top and bottom that let a convolution keep the size of its input."""
    return [pad for length in reversed(kernel_size) for pad in ((length - 1) // 2, length // 2)]


def channels_last(values: Tensor) -> Tensor:
    """The same values (n, channels, height, width), stored with the channels of a position next to each other.

    Convolutions and pooling are faster then: LeNet-5 is trained in two thirds of the time on a CPU.
    """
    if values.device.type == "mps":  # not measured there
        return values
    positions = values.movedim(1, -1)
    return positions.reshape(-1).view(positions.shape).movedim(-1, 1)  # also with one channel, unlike `contiguous`


def convolve(values: Tensor, weight: Tensor, bias: Tensor | None, padding: str, stride: int = 1) -> Tensor:
    """Convolve in two dimensions; also with no filters or no channels, where PyTorch has no convolution.

    Parameters
    ----------
    values : Tensor, shape (n, channels, height, width)
    weight : Tensor, shape (filters, channels, kernel height, kernel width)
    bias : Tensor, shape (filters,), optional
    padding : {"valid", "same"}
    stride : int, default=1
        Positions from one output to the next.
    """
    height, width = weight.shape[2:]
    if 0 in weight.shape[:2]:
        lost = (height - 1, width - 1) if padding == "valid" else (0, 0)
        size = [(length - less - 1) // stride + 1 for length, less in zip(values.shape[2:], lost, strict=True)]
        empty = values.new_zeros(len(values), len(weight), *size)
        return empty if bias is None else empty + bias[:, None, None]
    weight = channels_last(weight)
    if padding == "same" and height % 2 and width % 2:
        return functional.conv2d(values, weight, bias, stride, (height // 2, width // 2))
    if padding == "same":
        values = functional.pad(values, _same_pads((height, width)))
    return functional.conv2d(values, weight, bias, stride)


def max_pool(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Max pooling over windows of a height and width; also of no channels. What fills no window is left out."""
    if size == (1, 1):
        return values
    if values.shape[1] == 0:
        height, width = (length // window for length, window in zip(values.shape[2:], size, strict=True))
        return values.new_zeros(len(values), 0, height, width)
    if values.dtype == torch.bfloat16 and values.device.type == "cpu":  # the same numbers, in two thirds of the time
        return functional.max_pool2d(values.float(), size).to(values.dtype)
    return functional.max_pool2d(values, size)


def batch_norm(values: Tensor, tensors: Mapping[str, Tensor], layer: str, training: bool) -> Tensor:
    """Normalise each channel, then scale and shift it; also with no channels.

    Parameters
    ----------
    values : Tensor, shape (n, channels, height, width)
    tensors : mapping of str to Tensor
        Has ``scale``, ``shift``, ``mean`` and ``variance`` of the layer, each (channels,). While training, mean and
        variance are running averages and updated in place.
    layer : str
    training : bool
        Whether to normalise with the statistics of `values`. A single value a channel has none: it is normalised with
        the running ones.
    """
    channels = values.shape[1]
    if channels == 0:
        return values
    scale, shift, mean, variance = (tensors[f"{layer}.{name}"] for name in ("scale", "shift", "mean", "variance"))
    is_measured = training and values.numel() > channels
    return functional.batch_norm(values, mean, variance, scale, shift, is_measured, eps=BATCH_NORM_EPSILON)


def batch_normalisation(layer: str, weight: str) -> Normalisation:
    """The record of a `batch_norm` of this layer, which normalises the outputs of `weight`."""
    return Normalisation(layer, f"{layer}.mean", f"{layer}.variance", f"{layer}.scale", f"{layer}.shift", weight)


def normalised_zeros(tensors: Mapping[str, NDArray], layer: str) -> NDArray:
    """What `batch_norm` of this layer makes of channels that are zero, (channels,)."""
    scale, shift, mean, variance = (tensors[f"{layer}.{name}"] for name in ("scale", "shift", "mean", "variance"))
    return shift - mean * scale / np.sqrt(variance + variance.dtype.type(BATCH_NORM_EPSILON))
