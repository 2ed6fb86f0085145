"""Sizes of maps and sequences, without torch: the lab's form checks them while they are typed."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: The gates of the recurrent cells, in the order of their rows.
GATES = {
    "lstm": ("input", "forget", "cell", "output"),
    "gru": ("reset", "update", "new"),
    "rnn": ("hidden",),
}


def window(size: tuple[int, int], length: int) -> tuple[int, int]:
    """Height and width of a window on a map: `length`, but 1 along a dimension in which the map has one position.

    So a line of pixels, or a sequence, is convolved and pooled along the line. In a square filter, all weights beside
    the line would multiply zeros only.

    Parameters
    ----------
    size : (int, int)
        Height and width of the map.
    length : int
    """
    height, width = size
    return (length if height > 1 else 1, length if width > 1 else 1)


def map_shapes(
    size: tuple[int, int], n_convolutions: int, kernel_size: int, pooling: int, padding: str
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Height and width of the maps of each convolution, before and after its pooling.

    Parameters
    ----------
    size : (int, int)
        Height and width of a sample.
    n_convolutions, kernel_size, pooling, padding
        See `prunelab.estimators.networks.cnn.CNNNetwork`.

    Raises
    ------
    ValueError
        If nothing is left of them.
    """
    (kernel_height, kernel_width), (pool_height, pool_width) = window(size, kernel_size), window(size, pooling)
    height, width = size
    shapes = []
    for i in range(n_convolutions):
        if padding == "valid":
            height, width = height - kernel_height + 1, width - kernel_width + 1
        before = height, width
        height, width = height // pool_height, width // pool_width
        if min(height, width) < 1:
            raise ValueError(
                f"convolution {i + 1} of {n_convolutions} has no outputs left for images of {size[0]}x{size[1]}: "
                "use fewer of them, a smaller kernel_size or pooling, or padding='same'"
            )
        shapes.append((before, (height, width)))
    return shapes


def has_channels_last(shape: Sequence[int]) -> bool:
    """Whether the shape of a sample is more likely height, width and channels than channels, height and width."""
    return len(shape) == 3 and shape[2] in (1, 3, 4) and shape[0] not in (1, 3, 4)


def sequence_of(sample_shape: Sequence[int]) -> tuple[int, int]:
    """The steps of a sample, and the numbers of a step; those of an image are its rows, with all channels.

    Parameters
    ----------
    sample_shape : (steps, features) or (channels, height, width)
    """
    *channels, steps, features = sample_shape
    return steps, math.prod(channels) * features


def cell_sizes(hidden_size: int | Sequence[int], n_layers: int, bidirectional: bool) -> tuple[int, ...]:
    """The units of each recurrent layer, with `bidirectional` of each of its directions.

    Parameters
    ----------
    hidden_size : int or sequence of int
        Of all layers, of each layer, or of each layer and direction.
    n_layers : int
    bidirectional : bool

    Raises
    ------
    ValueError
        If it has another number of values.
    """
    sizes = tuple(map(int, hidden_size if isinstance(hidden_size, Sequence) else [hidden_size]))
    directions = 2 if bidirectional else 1
    if len(sizes) == 1:
        return sizes * n_layers * directions
    if len(sizes) == n_layers:
        return tuple(size for size in sizes for _ in range(directions))
    if len(sizes) == n_layers * directions:
        return sizes
    each = "or of each layer and direction" if bidirectional else "such as 128"
    raise ValueError(
        f"hidden_size must be the units of all layers, of each of the n_layers={n_layers} layers, {each}, got "
        f"{len(sizes)} numbers"
    )


def resnet_layers(depth: int, shortcut: str) -> list[str]:
    """The names of the layers with weights of a residual network; see `prunelab.estimators.networks.resnet`."""
    per_stage = (depth - 2) // 6
    names = ["stem"]
    for i in range(3 * per_stage):
        names += [f"block{i + 1}.conv1", f"block{i + 1}.conv2"]
        if shortcut == "projection" and i >= per_stage and i % per_stage == 0:
            names.append(f"block{i + 1}.projection")
    return [*names, "output"]


def resnet_groups(depth: int) -> list[str]:
    """The names of the groups of units of a residual network, the output last."""
    per_stage = (depth - 2) // 6
    names = ["stream1"]
    for i in range(3 * per_stage):
        names.append(f"block{i + 1}.conv1")
        if i >= per_stage and i % per_stage == 0:
            names.append(f"stream{i // per_stage + 1}")
    return [*names, "output"]
