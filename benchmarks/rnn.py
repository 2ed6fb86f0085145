"""One epoch of recurrent networks that read MNIST's images row by row, batches of 100, against skorch.

prunelab bfloat16  `PrunedRNNClassifier` in the precision that it chooses for all images, where that is bfloat16
prunelab float32   the same in float32
skorch             skorch's NeuralNetClassifier, images in memory, plain Adam. Where skorch is not installed: a loop
                   over a DataLoader of a TensorDataset, plain Adam, that reads the loss of every batch

All fit a fresh network on the CPU, in turns, with the number of threads that PyTorch chooses; the clock stops at the
end of the epoch, before prunelab prunes. The first round, on a few images, is not counted. On a busy machine the
seconds of the processor, of all threads, compare better than those of the clock, and `--samples` takes fewer images.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from common import print_machine
from epochs import CPU, compare, images, options
from prunelab.estimators import PrunedRNNClassifier
from prunelab.estimators.backend import resolve_precision
from torch import nn

if TYPE_CHECKING:
    from sklearn.utils import Bunch

UNITS = 128
MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

#: How many times as fast as skorch the precision that is chosen should be.
GOALS = {"gru": 1.5, "lstm": 2.0}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--cells", nargs="+", default=list(GOALS), choices=["lstm", "gru", "rnn"], metavar="CELL")
    args = parser.parse_args()
    data = images(args)
    print_machine()
    chosen = resolve_precision("auto", CPU, work=float("inf"))
    for cell in args.cells:
        goals = {"float32": 1.0, chosen: GOALS.get(cell, 1.0)}
        makers = partial(make_classifier, cell=cell), partial(make_network, cell=cell)
        compare(data, args, *makers, goals, title=f"{cell.upper()}-{UNITS}; ")
        print()


def make_classifier(data: Bunch, precision: str, cell: str) -> PrunedRNNClassifier:  # noqa: ARG001
    return PrunedRNNClassifier(cell, hidden_size=UNITS, max_iter=1, device="cpu", precision=precision, random_state=0)


def make_network(data: Bunch, cell: str) -> nn.Module:
    """The network of `PrunedRNNClassifier` as a torch module."""
    torch.manual_seed(0)
    return Reader(MODULES[cell](data.X_train.shape[2], UNITS, batch_first=True), nn.Linear(UNITS, 10))


class Reader(nn.Module):
    """A readout of the last step."""

    def __init__(self, cells: nn.Module, output: nn.Module):
        super().__init__()
        self.cells, self.output = cells, output

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """The logits of some sequences."""
        return self.output(self.cells(X)[0][:, -1])


if __name__ == "__main__":
    main()
