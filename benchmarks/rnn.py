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

import time
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch._dynamo  # the first optimiser would import it, which takes a second
from common import arguments, first, interleave, load, print_faster, print_machine, print_table, spread
from prunelab.estimators import PrunedRNNClassifier
from prunelab.estimators.backend import resolve_precision
from prunelab.estimators.training.events import EpochEnded
from torch import nn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from numpy.typing import NDArray
    from sklearn.utils import Bunch

    Predict = Callable[[NDArray], NDArray]
    Contestant = Callable[[Bunch, Callable[[], None]], Predict]

BATCH, WARM_UP, UNITS = 100, 500, 128
MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

#: How many times as fast as skorch the precision that is chosen should be.
GOALS = {"gru": 1.5, "lstm": 2.0}
CPU = torch.device("cpu")


class Epoch(NamedTuple):
    """Seconds of the clock and of the processor, and the accuracy on the test images."""

    clock: float
    processor: float
    accuracy: float


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--samples", type=int, default=60000, metavar="N", help="training images (default: 60000)")
    parser.add_argument("--cells", nargs="+", default=list(GOALS), choices=["lstm", "gru", "rnn"], metavar="CELL")
    args = parser.parse_args()
    data = load(args, "digits" if args.quick else "mnist")
    data = first(data, args.samples, len(data.y_test))
    side = 8 if args.quick else 28
    data.X_train, data.X_test = (X.reshape(-1, side, side) for X in (data.X_train, data.X_test))
    print_machine()
    for cell in args.cells:
        compare(cell, data, args)


def compare(cell: str, data: Bunch, args: argparse.Namespace) -> None:
    chosen = resolve_precision("auto", CPU, work=float("inf"))
    print(f'{cell.upper()}-{UNITS}; precision="auto" is {chosen} for 60,000 images on this machine\n')
    reference = "skorch" if find_spec("skorch") else "plain loop"
    contestants: dict[str, Contestant] = {
        f"prunelab {p}": partial(prunelab, cell=cell, precision=p) for p in dict.fromkeys((chosen, "float32"))
    }
    contestants[reference] = partial(skorch if reference == "skorch" else plain_loop, cell=cell)
    for contestant in contestants.values():
        epoch(contestant, first(data, WARM_UP, WARM_UP))
    epochs = interleave({name: partial(epoch, function, data) for name, function in contestants.items()}, args.repeats)

    columns = {name: [list(column) for column in zip(*runs, strict=True)] for name, runs in epochs.items()}
    print_table(
        ["median (min, max)", "seconds", "of the processor", "test accuracy in %"],
        [[name, spread(c[0]), spread(c[1]), spread(c[2], 2, 100)] for name, c in columns.items()],
    )
    for name in contestants.keys() - {reference}:
        goal = GOALS.get(cell, 1.0) if name.endswith(chosen) else 1.0
        for column, unit in enumerate(("", " in seconds of the processor")):
            ours, theirs = columns[name][column], columns[reference][column]
            print_faster(name, f"{reference}{unit}", ours, theirs, goal=goal, quick=args.quick)
    print()


def epoch(contestant: Contestant, data: Bunch) -> Epoch:
    clock, processor = time.perf_counter(), time.process_time()
    taken: list[float] = []

    def stop() -> None:
        taken.extend((time.perf_counter() - clock, time.process_time() - processor))

    predict = contestant(data, stop)
    return Epoch(taken[0], taken[1], float((predict(data.X_test) == data.y_test).mean()))


def prunelab(data: Bunch, stop: Callable[[], None], cell: str, precision: str) -> Predict:
    def listen(event: object) -> None:
        if isinstance(event, EpochEnded):
            stop()

    classifier = PrunedRNNClassifier(
        cell, hidden_size=UNITS, max_iter=1, device="cpu", precision=precision, random_state=0
    )
    return classifier.fit(data.X_train, data.y_train, on_event=listen).predict


def skorch(data: Bunch, stop: Callable[[], None], cell: str) -> Predict:
    from skorch import NeuralNetClassifier

    classifier = NeuralNetClassifier(
        make_network(data, cell),
        criterion=nn.CrossEntropyLoss,  # pyright: ignore[reportArgumentType]
        optimizer=torch.optim.Adam,
        lr=0.001,
        max_epochs=1,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,  # pyright: ignore[reportArgumentType]
        verbose=0,
    )
    classifier.fit(data.X_train, data.y_train)
    stop()
    return classifier.predict


def plain_loop(data: Bunch, stop: Callable[[], None], cell: str) -> Predict:
    network = make_network(data, cell)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.001)
    criterion = nn.CrossEntropyLoss()
    samples = torch.utils.data.TensorDataset(torch.from_numpy(data.X_train), torch.from_numpy(data.y_train))
    total = 0.0
    for images, labels in torch.utils.data.DataLoader(samples, batch_size=BATCH, shuffle=True):
        optimiser.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        optimiser.step()
        total += loss.item()
    stop()

    @torch.no_grad()
    def predict(X):
        return network(torch.from_numpy(X)).argmax(dim=1).numpy()

    return predict


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
