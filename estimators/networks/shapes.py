"""Sizes of maps, without torch: the lab's form checks them while they are typed."""

from __future__ import annotations


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
