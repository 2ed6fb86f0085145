"""One epoch of LeNet-5 (20-50-500) on MNIST, batches of 100, against skorch.

prunelab bfloat16  `PrunedCNNClassifier` in the precision that it chooses for all images, where that is bfloat16
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
from prunelab.estimators import PrunedCNNClassifier
from torch import nn

if TYPE_CHECKING:
    from sklearn.utils import Bunch

#: How many times as fast as skorch each precision should be.
GOALS = {"bfloat16": 2.4, "float32": 1.3}


def main() -> None:
    args = options(__doc__).parse_args()
    data = images(args, 1)
    print_machine()
    compare(data, args, make_classifier, make_network, GOALS)


def make_classifier(data: Bunch, precision: str) -> PrunedCNNClassifier:
    return PrunedCNNClassifier(**parameters(data), max_iter=1, device="cpu", precision=precision, random_state=0)


def parameters(data: Bunch) -> dict:
    """LeNet-5, or what fits into the small images of the smoke test."""
    return {} if data.X_train.shape[-1] == 28 else {"kernel_size": 3, "padding": "same"}


def make_network(data: Bunch) -> nn.Module:
    """The network of `PrunedCNNClassifier` as a torch module."""
    torch.manual_seed(0)
    size, padding = (3, "same") if parameters(data) else (5, "valid")
    return nn.Sequential(
        nn.Conv2d(1, 20, size, padding=padding),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(20, 50, size, padding=padding),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(500),
        nn.ReLU(),
        nn.Linear(500, 10),
    )


if __name__ == "__main__":
    main()
