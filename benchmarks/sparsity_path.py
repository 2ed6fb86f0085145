"""The cost of pruning to 10 sparsities and evaluating each, in units of one dense evaluation.

The network of the original experiment is trained once. Then `iter_sparsity_path` is timed on an estimator
whose training returns that network. So the timing includes everything that a path does after training
(checking the test data, ranking, masking, scoring, counting, building the rows of the table) and nothing of
the training itself.

The unit is the dense evaluation as the path performs it: from NumPy parameters to accuracy and loss on the
10,000 test images, with the images already on the device. The bare forward pass, without the search
for removable units and without the loss, is given for comparison.

A second table shows the effect of unit pruning: the size of the compacted network, and the time of `predict`
compared with the bare forward pass of the compacted network.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import torch
from common import arguments, interleave, load, print_goal, print_machine, print_table, spread, timed
from prunelab.estimators import PrunedMLPClassifier, iter_sparsity_path
from prunelab.estimators.backend import multiplies_bfloat16, resolve_device
from prunelab.estimators.inference import Evaluator
from prunelab.estimators.pruning.compact import compact

if TYPE_CHECKING:
    from collections.abc import Callable

    from prunelab.estimators.fitting import DenseModel
    from sklearn.utils import Bunch

SPARSITIES = (0.0, 0.25, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 0.99)
GOALS = {"weight": 14, "unit": 5}
LATENCY_SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95)


class Trained(PrunedMLPClassifier):
    """A classifier whose training always returns `dense`."""

    dense: DenseModel

    def _train_dense(self, *_: object) -> DenseModel:
        return self.dense


def main() -> None:
    args = arguments(__doc__, repeats=15).parse_args()
    data = load(args, "digits" if args.quick else "mnist")
    print_machine()
    device = resolve_device("auto")
    classifier = PrunedMLPClassifier(max_iter=1 if args.quick else 3, random_state=0)
    Trained.dense = next(iter_sparsity_path(classifier, data.X_train, data.y_train, sparsities=[0])).dense
    for precision in ("float32", "bfloat16") if multiplies_bfloat16(device) else ("float32",):
        print(f"{precision} on {device}, {len(data.y_test)} test images\n")
        paths(data, precision, args)
        latencies(data, precision, args)


def paths(data: Bunch, precision: str, args) -> None:
    dense, device = Trained.dense, resolve_device("auto")
    network, tensors = dense.task.network, dense.training.tensors
    evaluator = Evaluator(data.X_test, device, precision)
    contestants: dict[str, Callable[[], object]] = {
        "one dense evaluation": lambda: evaluator.accuracy_and_loss(network, tensors, data.y_test),
        "bare dense forward pass": forward_pass(network, tensors, data.X_test, precision),
        "weight": lambda: walk(data, precision, "weight"),
        "unit": lambda: walk(data, precision, "unit"),
    }
    seconds = time_each(contestants, args.repeats)
    unit, bare = median(seconds["one dense evaluation"]), median(seconds["bare dense forward pass"])
    print_table(
        ["", "milliseconds", "dense evaluations", "bare forward passes"],
        [
            [
                f"10-point {name} path" if name in GOALS else name,
                spread(values, 1, 1000),
                f"{median(values) / unit:.1f}",
                f"{median(values) / bare:.1f}",
            ]
            for name, values in seconds.items()
        ],
    )
    for granularity, goal in GOALS.items():
        ratio = median(seconds[granularity]) / unit
        print_goal(
            f"{precision}: a 10-point {granularity} path costs {ratio:.1f} dense evaluations",
            ratio,
            quick=args.quick,
            at_most=goal,
        )
    print(flush=True)


def latencies(data: Bunch, precision: str, args) -> None:
    classifiers = {}
    for sparsity in LATENCY_SPARSITIES:
        classifier = Trained(granularity="unit", sparsity=sparsity, precision=precision, random_state=0)
        classifiers[sparsity] = classifier.fit(*few(data))
    many, one = data.X_test, data.X_test[:1]
    rows = []
    for sparsity, classifier in classifiers.items():
        network, tensors, _ = compact(classifier.network_, classifier.tensors_)
        # One image is predicted in float64 where the precision is float32, so the bare pass is too.
        seconds = time_each(
            {
                "predict many": partial(classifier.predict, many),
                "bare many": forward_pass(network, tensors, many, precision),
                "predict one": partial(classifier.predict, one),
                "bare one": forward_pass(network, tensors, one, precision),
            },
            args.repeats,
        )
        n_parameters = sum(array.size for array in tensors.values())
        rows.append(
            [
                f"{sparsity:g}",
                f"{100 * classifier.score(data.X_test, data.y_test):.2f}",
                "-".join(map(str, network.widths)),
                str(n_parameters),
                f"{4 * n_parameters / 1e6:.2f}",
                *(spread(values, 3, 1000) for values in seconds.values()),
            ]
        )
    print(f"Unit-pruned networks, milliseconds in {precision}:")
    header = ["sparsity", "accuracy %", "compacted network", "parameters", "MB (float32)"]
    images = f"{len(many)} images"
    print_table([*header, f"predict {images}", f"bare {images}", "predict 1", "bare 1"], rows)


def walk(data: Bunch, precision: str, granularity: str) -> None:
    """Everything a path does except training, for which the data are not needed."""
    estimator = Trained(granularity=granularity, precision=precision)
    path = iter_sparsity_path(estimator, *few(data), sparsities=SPARSITIES, X_test=data.X_test, y_test=data.y_test)
    for _ in path:
        pass


def few(data: Bunch):
    """As few training samples as possible, of every class."""
    return data.X_train[:100], data.y_train[:100]


def forward_pass(network, arrays, X, precision: str) -> Callable[[], object]:
    """A function from inputs and tensors on the device to class indices in main memory."""
    device, dtype = resolve_device("auto"), getattr(torch, precision)
    inputs = torch.as_tensor(X).to(device, dtype)
    tensors = {name: torch.as_tensor(array).to(device, dtype) for name, array in arrays.items()}

    def forward() -> object:
        with torch.inference_mode():
            return network.forward(tensors, inputs).argmax(dim=1).cpu()

    return forward


def time_each(contestants: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every call, after one warm-up round."""
    runs = {name: partial(timed, contestant) for name, contestant in contestants.items()}
    return {name: [seconds for seconds, _ in results[1:]] for name, results in interleave(runs, repeats + 1).items()}


if __name__ == "__main__":
    main()
