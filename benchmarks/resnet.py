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

import time
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch._dynamo  # the first optimiser would import it, which takes a second
from common import arguments, first, interleave, load, print_faster, print_machine, print_table, spread
from prunelab.estimators import PrunedResNetClassifier
from prunelab.estimators.backend import resolve_precision
from prunelab.estimators.training.events import EpochEnded
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from sklearn.utils import Bunch

    Predict = Callable[[NDArray], NDArray]
    Contestant = Callable[[Bunch, Callable[[], None]], Predict]

BATCH, WARM_UP = 100, 500
CPU = torch.device("cpu")


class Epoch(NamedTuple):
    """Seconds of the clock and of the processor, and the accuracy on the test images."""

    clock: float
    processor: float
    accuracy: float


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--samples", type=int, default=60000, metavar="N", help="training images (default: 60000)")
    args = parser.parse_args()
    data = load(args, "digits" if args.quick else "mnist")
    data = first(data, args.samples, len(data.y_test))
    side = 8 if args.quick else 28
    data.X_train, data.X_test = (X.reshape(-1, 1, side, side) for X in (data.X_train, data.X_test))
    print_machine()

    chosen = resolve_precision("auto", CPU, work=float("inf"))
    print(f'precision="auto" is {chosen} for 60,000 images on this machine\n')
    reference = "skorch" if find_spec("skorch") else "plain loop"
    contestants = {f"prunelab {p}": partial(prunelab, precision=p) for p in dict.fromkeys((chosen, "float32"))}
    contestants[reference] = skorch if reference == "skorch" else plain_loop
    for contestant in contestants.values():
        epoch(contestant, first(data, WARM_UP, WARM_UP))
    epochs = interleave({name: partial(epoch, function, data) for name, function in contestants.items()}, args.repeats)

    columns = {name: [list(column) for column in zip(*runs, strict=True)] for name, runs in epochs.items()}
    print_table(
        ["median (min, max)", "seconds", "of the processor", "test accuracy in %"],
        [[name, spread(c[0]), spread(c[1]), spread(c[2], 2, 100)] for name, c in columns.items()],
    )
    for name in contestants.keys() - {reference}:
        goal = 1.6 if name.endswith("bfloat16") else 1.1
        for column, unit in enumerate(("", " in seconds of the processor")):
            ours, theirs = columns[name][column], columns[reference][column]
            print_faster(name, f"{reference}{unit}", ours, theirs, goal=goal, quick=args.quick)


def epoch(contestant: Contestant, data: Bunch) -> Epoch:
    clock, processor = time.perf_counter(), time.process_time()
    taken: list[float] = []

    def stop() -> None:
        taken.extend((time.perf_counter() - clock, time.process_time() - processor))

    predict = contestant(data, stop)
    return Epoch(taken[0], taken[1], float((predict(data.X_test) == data.y_test).mean()))


def prunelab(data: Bunch, stop: Callable[[], None], precision: str) -> Predict:
    def listen(event: object) -> None:
        if isinstance(event, EpochEnded):
            stop()

    classifier = PrunedResNetClassifier(max_iter=1, device="cpu", precision=precision, random_state=0)
    return classifier.fit(data.X_train, data.y_train, on_event=listen).predict


def skorch(data: Bunch, stop: Callable[[], None]) -> Predict:
    from skorch import NeuralNetClassifier

    classifier = NeuralNetClassifier(
        make_network(data),
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


def plain_loop(data: Bunch, stop: Callable[[], None]) -> Predict:
    network = make_network(data)
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
