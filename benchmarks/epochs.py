"""One epoch of a classifier against skorch with the same network: what the benchmarks of several networks share."""

from __future__ import annotations

import time
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch._dynamo  # the first optimiser would import it, which takes a second
from common import arguments, first, interleave, load, print_faster, print_table, spread
from prunelab.estimators.backend import resolve_precision
from prunelab.estimators.training.events import EpochEnded
from torch import nn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from numpy.typing import NDArray
    from prunelab.estimators.base import BasePrunedClassifier
    from sklearn.utils import Bunch

    Predict = Callable[[NDArray], NDArray]
    Contestant = Callable[[Bunch, Callable[[], None]], Predict]
    MakeClassifier = Callable[[Bunch, str], BasePrunedClassifier]
    MakeNetwork = Callable[[Bunch], nn.Module]

BATCH, WARM_UP = 100, 500
CPU = torch.device("cpu")


class Epoch(NamedTuple):
    """Seconds of the clock and of the processor, and the accuracy on the test images."""

    clock: float
    processor: float
    accuracy: float


def options(description: str | None) -> argparse.ArgumentParser:
    """The options of all of these benchmarks."""
    parser = arguments(description, repeats=3)
    parser.add_argument("--samples", type=int, default=60000, metavar="N", help="training images (default: 60000)")
    return parser


def images(args: argparse.Namespace, *channels: int) -> Bunch:
    """The data as images, (n, height, width) or, with a number of channels, (n, channels, height, width)."""
    data = load(args, "digits" if args.quick else "mnist")
    data = first(data, args.samples, len(data.y_test))
    side = 8 if args.quick else 28
    data.X_train, data.X_test = (X.reshape(-1, *channels, side, side) for X in (data.X_train, data.X_test))
    return data


def compare(
    data: Bunch,
    args: argparse.Namespace,
    make_classifier: MakeClassifier,
    make_network: MakeNetwork,
    goals: dict[str, float],
    title: str = "",
) -> None:
    """Time the classifier in its own precision and in float32 against skorch, and print the ratios.

    `make_classifier` receives the data and the precision; `goals` are the ratios wanted, by precision.
    """
    chosen = resolve_precision("auto", CPU, work=float("inf"))
    print(f'{title}precision="auto" is {chosen} for 60,000 images on this machine\n')
    reference = "skorch" if find_spec("skorch") else "plain loop"
    contestants: dict[str, Contestant] = {
        f"prunelab {p}": partial(prunelab, make_classifier=make_classifier, precision=p)
        for p in dict.fromkeys((chosen, "float32"))
    }
    contestants[reference] = partial(skorch if reference == "skorch" else plain_loop, make_network=make_network)
    for contestant in contestants.values():
        epoch(contestant, first(data, WARM_UP, WARM_UP))
    epochs = interleave({name: partial(epoch, function, data) for name, function in contestants.items()}, args.repeats)

    columns = {name: [list(column) for column in zip(*runs, strict=True)] for name, runs in epochs.items()}
    print_table(
        ["median (min, max)", "seconds", "of the processor", "test accuracy in %"],
        [[name, spread(c[0]), spread(c[1]), spread(c[2], 2, 100)] for name, c in columns.items()],
    )
    for name in contestants.keys() - {reference}:
        goal = goals[name.removeprefix("prunelab ")]
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


def prunelab(data: Bunch, stop: Callable[[], None], make_classifier: MakeClassifier, precision: str) -> Predict:
    def listen(event: object) -> None:
        if isinstance(event, EpochEnded):
            stop()

    return make_classifier(data, precision).fit(data.X_train, data.y_train, on_event=listen).predict


def skorch(data: Bunch, stop: Callable[[], None], make_network: MakeNetwork) -> Predict:
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


def plain_loop(data: Bunch, stop: Callable[[], None], make_network: MakeNetwork) -> Predict:
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
