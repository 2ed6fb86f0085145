"""Images that are changed at random in each update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

#: The part of the height and width that surrounds an image before a part of it is taken: 4 pixels of 32.
BORDER = 1 / 8


@dataclass(frozen=True)
class Augmentation:
    """Random parts of images with a border, perhaps mirrored.

    Attributes
    ----------
    sample_shape : (int, int, int)
        Channels, height and width.
    background : float
        The value of the border.
    flips : bool
        Whether half of the images are mirrored.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """

    sample_shape: tuple[int, int, int]
    background: float
    flips: bool

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Changed images, (n, n_features), from such; what is drawn is drawn on the CPU, whatever the device."""
        n, (_, height, width) = len(inputs), self.sample_shape
        borders = [max(1, round(length * BORDER)) if length > 1 else 0 for length in (height, width)]
        places = [
            torch.arange(length) + torch.randint(2 * border + 1, (n, 1), generator=generator)
            for length, border in zip((height, width), borders, strict=True)
        ]
        if self.flips:
            is_mirrored = torch.randint(2, (n, 1), generator=generator) == 1
            places[1] = torch.where(is_mirrored, places[1].flip(1), places[1])
        down, across = (place.to(inputs.device) for place in places)
        images = inputs.reshape(n, *self.sample_shape)
        pads = [borders[1], borders[1], borders[0], borders[0]]
        wider = functional.pad(images, pads, value=self.background).movedim(1, -1)
        rows = torch.arange(n, device=inputs.device)[:, None, None]
        return wider[rows, down[:, :, None], across[:, None, :]].movedim(-1, 1).reshape(n, -1)
