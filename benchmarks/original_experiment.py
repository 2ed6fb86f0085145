"""The original experiment on MNIST, implemented in four ways.

A network 784-1000-1000-500-200-10 without biases is trained for 3 epochs in batches of 100, then pruned to
10 sparsities by weights and to 10 by units, each time from the trained network, and evaluated on the 10,000
test images.

prunelab       `sweep` of prunelab.estimators
author         the author's implementation: torchvision transforms of every image in a DataLoader, plain Adam, copies
               of the network with their smallest weights or units set to zero
skorch         skorch's NeuralNetClassifier, torch.nn.utils.prune, images in memory
MLPClassifier  scikit-learn's, training only (it has biases, and a small L2 penalty)

Every run is a separate process, because one contestant's settings of PyTorch's threads (the treatment of
denormal numbers is fixed when they are created) would otherwise affect the next. All run on the
CPU with the default number of threads of their library. Imports are not timed; loading the data is,
because the author's implementation normalises the images during training and the others during loading.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import warnings
from functools import partial
from itertools import count, pairwise
from statistics import median
from typing import TYPE_CHECKING

from common import Clock, arguments, first, interleave, load, print_faster, print_machine, print_table, spread

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SIZES = (784, 1000, 1000, 500, 200, 10)
SPARSITIES = (0.0, 0.25, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 0.99)
QUICK_TRAIN, QUICK_TEST = 2000, 500


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="run only these")
    parser.add_argument("--skip", nargs="+", choices=CONTESTANTS, default=[], help="do not run these")
    parser.add_argument("--in-this-process", choices=CONTESTANTS, help="run one once and print its times as JSON")
    parser.add_argument("--seed", type=int, default=0, help="seed of that one run")
    args = parser.parse_args()
    if args.in_this_process:
        print(json.dumps(CONTESTANTS[args.in_this_process](args)))
        return
    load(args)  # fail early if the data are missing
    print_machine()
    names = [name for name in CONTESTANTS if name in args.only and name not in args.skip]
    report(interleave({name: partial(in_new_process, name, args, count()) for name in names}, args.repeats), args.quick)


def in_new_process(name: str, args: argparse.Namespace, seeds: Iterator[int]) -> dict:
    """Run one contestant with the next seed in a separate process; return its seconds and accuracies."""
    command = [sys.executable, __file__, "--in-this-process", name, "--seed", str(next(seeds))]
    command += ["--quick"] if args.quick else []
    command += ["--data-root", args.data_root] if args.data_root else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed; see its error message above.")
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: training {result['training']:.2f} s, sweep {result['sweep']:.2f} s", file=sys.stderr, flush=True)
    return result


def report(results: dict[str, list[dict]], quick: bool) -> None:
    def seconds(name: str, *parts: str) -> list[float]:
        return [sum(run[part] for part in parts) for run in results[name]]

    everything = ("loading", "training", "sweep")
    print("Seconds, median (min, max):")
    print_table(
        ["", *everything, "together"],
        [
            [name, *(spread(seconds(name, part)) for part in everything), spread(seconds(name, *everything))]
            for name in results
        ],
    )
    print("Accuracy on the test images in %, median:")
    rows = []
    for name, runs in results.items():
        for kind in runs[0]["accuracy"]:
            points = [median(point) for point in zip(*(run["accuracy"][kind] for run in runs), strict=True)]
            cells = [f"{100 * point:.2f}" for point in points] + [""] * (len(SPARSITIES) - len(points))
            rows.append([f"{name}, {kind}", *cells])
    print_table(["sparsity", *(f"{sparsity:g}" for sparsity in SPARSITIES)], rows)
    if "prunelab" not in results:
        return
    ours, ours_training = seconds("prunelab", *everything), seconds("prunelab", "training")
    if "author" in results:
        print_faster("prunelab", "the author's code", ours, seconds("author", *everything), goal=7, quick=quick)
    if "skorch" in results:
        theirs = seconds("skorch", *everything)
        print_faster("prunelab", "skorch with torch.nn.utils.prune", ours, theirs, goal=3.5, quick=quick)
    if "MLPClassifier" in results:
        theirs = seconds("MLPClassifier", "training")
        print_faster("prunelab's training", "MLPClassifier's", ours_training, theirs, goal=6, quick=quick)


def load_in_memory(args: argparse.Namespace):
    data = load(args)
    return first(data, QUICK_TRAIN, QUICK_TEST) if args.quick else data


# ---------------------------------------------------------------------------------------------- prunelab


def prunelab(args: argparse.Namespace) -> dict:
    from prunelab.estimators import PrunedMLPClassifier, sweep
    from prunelab.estimators.training.events import EpochEnded

    estimator = PrunedMLPClassifier(SIZES[1:-1], max_iter=3, device="cpu")
    clock = Clock()
    data = load_in_memory(args)
    loading = clock.lap()
    training = 0.0

    def on_event(event: object) -> None:
        nonlocal training
        if isinstance(event, EpochEnded):
            training += clock.lap()

    points = list(sweep(estimator, data, sparsities=SPARSITIES, seeds=(args.seed,), on_event=on_event))
    sweeping = clock.lap()
    accuracy = {
        granularity: [point.row["accuracy"] for point in points if point.row["granularity"] == granularity]
        for granularity in ("weight", "unit")
    }
    return {"loading": loading, "training": training, "sweep": sweeping, "accuracy": accuracy}


# ------------------------------------------------------------------------------- author's implementation


def author(args: argparse.Namespace) -> dict:
    import torch
    import torch._dynamo  # the first optimiser would import it, which takes a second
    from prunelab.estimators.backend import import_torchvision
    from prunelab.estimators.data.datasets import data_folder

    import_torchvision()
    from torchvision import datasets, transforms

    clock = Clock()
    root = str(data_folder(args.data_root))
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    train = datasets.MNIST(root, train=True, transform=transform)
    test = datasets.MNIST(root, train=False, transform=transform)
    if args.quick:
        train = torch.utils.data.Subset(train, range(QUICK_TRAIN))
        test = torch.utils.data.Subset(test, range(QUICK_TEST))
    train_batches = torch.utils.data.DataLoader(train, batch_size=100, shuffle=True)
    test_batches = torch.utils.data.DataLoader(test, batch_size=100)
    loading = clock.lap()

    torch.manual_seed(args.seed)
    network = make_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.001)
    criterion = torch.nn.CrossEntropyLoss()
    for _ in range(3):
        for images, labels in train_batches:
            optimiser.zero_grad()
            loss = criterion(network(images.view(-1, 784)), labels)
            loss.backward()
            optimiser.step()
    training = clock.lap()

    def accuracy_pruned(zero, sparsity: float) -> float:
        pruned = copy.deepcopy(network)
        for layer in prunable_layers(pruned):
            zero(layer.weight.data, sparsity)
        hits = 0
        with torch.no_grad():
            for images, labels in test_batches:
                hits += int((pruned(images.view(-1, 784)).argmax(dim=1) == labels).sum())
        return hits / len(test)

    def zero_weights(weight: torch.Tensor, sparsity: float) -> None:
        smallest = weight.abs().flatten().argsort()[: int(weight.numel() * sparsity)]
        weight.view(-1)[smallest] = 0

    def zero_units(weight: torch.Tensor, sparsity: float) -> None:
        smallest = weight.norm(dim=1).argsort()[: int(len(weight) * sparsity)]
        weight[smallest] = 0

    accuracy = {
        "weight": [accuracy_pruned(zero_weights, sparsity) for sparsity in SPARSITIES],
        "unit": [accuracy_pruned(zero_units, sparsity) for sparsity in SPARSITIES],
    }
    return {"loading": loading, "training": training, "sweep": clock.lap(), "accuracy": accuracy}


def make_network():
    """The network as a torch module."""
    from torch import nn

    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(SIZES):
        layers += [nn.Linear(n_in, n_out, bias=False), nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.LogSoftmax(dim=1))


def prunable_layers(network):
    """All linear layers except the last."""
    from torch import nn

    return [module for module in network.modules() if isinstance(module, nn.Linear)][:-1]


# ------------------------------------------------------------------------------------------------ skorch


def skorch(args: argparse.Namespace) -> dict:
    import torch
    import torch._dynamo  # as above
    from skorch import NeuralNetClassifier
    from torch.nn.utils import prune

    clock = Clock()
    data = load_in_memory(args)
    loading = clock.lap()

    torch.manual_seed(args.seed)
    classifier = NeuralNetClassifier(
        make_network(),
        criterion=torch.nn.CrossEntropyLoss,  # pyright: ignore[reportArgumentType]
        optimizer=torch.optim.Adam,
        lr=0.001,
        max_epochs=3,
        batch_size=100,
        iterator_train__shuffle=True,
        iterator_valid__batch_size=1000,
        train_split=None,  # pyright: ignore[reportArgumentType]
        verbose=0,
    )
    classifier.fit(data.X_train, data.y_train)
    training = clock.lap()

    dense = classifier.module_

    def accuracy_pruned(granularity: str, sparsity: float) -> float:
        classifier.module_ = copy.deepcopy(dense)
        for layer in prunable_layers(classifier.module_):
            if granularity == "weight":
                prune.l1_unstructured(layer, "weight", amount=sparsity)
            else:
                prune.ln_structured(layer, "weight", amount=sparsity, n=2, dim=0)
        return float((classifier.predict(data.X_test) == data.y_test).mean())

    accuracy = {
        granularity: [accuracy_pruned(granularity, sparsity) for sparsity in SPARSITIES]
        for granularity in ("weight", "unit")
    }
    return {"loading": loading, "training": training, "sweep": clock.lap(), "accuracy": accuracy}


# ----------------------------------------------------------------------------------------- MLPClassifier


def mlp_classifier(args: argparse.Namespace) -> dict:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    clock = Clock()
    data = load_in_memory(args)
    loading = clock.lap()
    classifier = MLPClassifier(
        SIZES[1:-1],
        max_iter=3,
        batch_size=100,  # pyright: ignore[reportArgumentType]
        learning_rate_init=0.001,
        random_state=args.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 3 epochs are intended
        classifier.fit(data.X_train, data.y_train)
    training = clock.lap()
    accuracy = {"dense": [float(classifier.score(data.X_test, data.y_test))]}
    return {"loading": loading, "training": training, "sweep": 0.0, "accuracy": accuracy}


CONTESTANTS = {"prunelab": prunelab, "author": author, "skorch": skorch, "MLPClassifier": mlp_classifier}

if __name__ == "__main__":
    main()
