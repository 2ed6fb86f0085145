"""Patterns in which weights are removed: N of each M consecutive weights, or whole blocks.

Both are defined on the matrix of a layer's weights with a row for each unit, (n_out, fan_in). The inputs of a linear
layer are in their order; those of a filter are its channels, each with its rows: ``weight.reshape(n_out, -1)`` of a
tensor (filters, channels, height, width). This module describes patterns; `pattern_masks` has their masks.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: The largest M of N:M, and the most weights of a block: far above what any hardware supports.
MAX_EXTENT = 1024

#: The patterns that lists offer.
USUAL_PATTERNS = ("none", "2:4", "1:4", "4x1", "16x1")


class NOfM(NamedTuple):
    """Of each `m` consecutive weights into a unit, the `n` with the highest scores are kept.

    Where `m` does not divide the number of inputs, the remaining r weights of each unit keep ``ceil(r * n / m)``.

    References
    ----------
    A. Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021 (2:4); A. Zhou et al., "Learning N:M
    Fine-grained Structured Sparse Neural Networks From Scratch", ICLR 2021.
    """

    n: int
    m: int

    @property
    def sparsity(self) -> float:
        """The fraction removed."""
        return 1 - self.n / self.m

    def removed(self, sparsity: float, length: int) -> int:
        """How many of `length` consecutive weights, at most `m`, are removed; a lower sparsity removes fewer."""
        return min(round(sparsity * length), length - -(-length * self.n // self.m))


class Blocks(NamedTuple):
    """Blocks of `rows` units times `columns` inputs are removed together; those at the edges may be smaller."""

    rows: int
    columns: int


def parse_pattern(text: str) -> NOfM | Blocks | None:
    """Read "N:M" (N kept of each M weights), "RxC" (blocks of R units times C inputs), or "none".

    Raises
    ------
    ValueError
        If it is none of them.
    """
    if text == "none":
        return None
    match = re.fullmatch(r"([1-9]\d{0,3})([:x])([1-9]\d{0,3})", text)
    if match is not None:
        first, second = int(match[1]), int(match[3])
        if match[2] == ":" and first < second <= MAX_EXTENT:
            return NOfM(first, second)
        if match[2] == "x" and 1 < first * second <= MAX_EXTENT:
            return Blocks(first, second)
    raise ValueError(f"{text!r} is no pattern")
