"""One epoch of ResNet-8 (width 16) on MNIST, batches of 100, against skorch.

prunelab bfloat16  `PrunedResNetClassifier` in the precision that it chooses for all images, where that is bfloat16
prunelab float32   the same in float32
skorch             skorch's NeuralNetClassifier, images in memory, plain Adam. Where skorch is not installed: a loop
                   over a DataLoader of a TensorDataset, plain Adam, that reads the loss of every batch

All fit a fresh network on the CPU, in turns, with the number of threads that PyTorch chooses; the clock stops at the
end of the epoch, before prunelab prunes. The first round, on a few images, is not counted. On a busy machine the
seconds of the processor, of all threads, compare better than those of the clock, and `--samples` takes fewer images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from common import print_machine
from epochs import compare, images, options
from prunelab.estimators import PrunedResNetClassifier
from torch import nn

if TYPE_CHECKING:
    from sklearn.utils import Bunch

#: How many times as fast as skorch each precision should be.
GOALS = {"bfloat16": 1.6, "float32": 1.1}


def main() -> None:
    args = options(__doc__).parse_args()
    data = images(args, 1)
    print_machine()
    compare(data, args, make_classifier, make_network, GOALS)


def make_classifier(data: Bunch, precision: str) -> PrunedResNetClassifier:  # noqa: ARG001
    return PrunedResNetClassifier(max_iter=1, device="cpu", precision=precision, random_state=0)


class Block(nn.Module):
    """Two convolutions, and a shortcut around them."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, values: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return torch.relu(self.inner(values) + self.shortcut(values))


def make_network(data: Bunch) -> nn.Module:
    """The network of `PrunedResNetClassifier` as a torch module."""
    torch.manual_seed(0)
    stem = nn.Conv2d(data.X_train.shape[1], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    blocks = Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


if __name__ == "__main__":
    main()
