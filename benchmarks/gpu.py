"""The original experiment on an NVIDIA GPU and on the CPU, and a check that training never waits for the GPU.

The check uses PyTorch's mode in which an error is raised whenever the host waits for the GPU
(`torch.cuda.set_sync_debug_mode("error")`). It is active from the first to the last batch of every epoch: a
replacement for the object to which the training loop reports epochs and batches switches it on and off. At the
end of an epoch the loop has to wait once, to read the loss. The check runs
without a listener (`on_event=None`) and with one, which receives the running loss and must not cause a wait.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import TYPE_CHECKING
from unittest import mock

import torch
from common import Clock, arguments, chosen_precision, interleave, load, print_machine, print_table, spread
from prunelab.estimators import PrunedMLPClassifier, sweep, training

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklearn.utils import Bunch

EPOCHS = 3
DEVICES = ("cuda", "cpu")


def main() -> None:
    args = arguments(__doc__, repeats=3).parse_args()
    if not torch.cuda.is_available():
        print("PyTorch finds no NVIDIA GPU on this machine: nothing to compare.")
        return
    data = load(args, "digits" if args.quick else "mnist")
    print_machine()
    print(f"{torch.cuda.get_device_name()}\n")
    check_nothing_waits(data)  # also the warm-up: the first use of the GPU loads its libraries

    results = interleave({device: partial(experiment, device, data) for device in DEVICES}, args.repeats)
    n_images = EPOCHS * len(data.y_train)
    rows = []
    for device, runs in results.items():
        trained = [run["training"] for run in runs]
        swept = [run["sweep"] for run in runs]
        rows.append(
            [
                f"{device}, {runs[0]['precision']}",
                spread(trained),
                f"{n_images / median(trained):.0f}",
                spread(swept),
                spread([a + b for a, b in zip(trained, swept, strict=True)]),
                f"{100 * median(run['accuracy'] for run in runs):.2f}",
            ]
        )
    print_table(["", "training s", "images/s", "20-point sweep s", "together s", "dense accuracy %"], rows)
    together = {name: median(run["training"] + run["sweep"] for run in runs) for name, runs in results.items()}
    print(f"the GPU is {together['cpu'] / together['cuda']:.1f} times as fast as the CPU (no goal)")


def experiment(device: str, data: Bunch) -> dict:
    """The original experiment; seconds of training and of the sweep."""
    clock = Clock()
    trained = 0.0

    def on_event(event: training.Event) -> None:
        nonlocal trained
        if isinstance(event, training.EpochEnded):
            trained += clock.lap()

    points = list(sweep(PrunedMLPClassifier(max_iter=EPOCHS, device=device), data, on_event=on_event))
    return {
        "training": trained,
        "sweep": clock.lap(),
        "accuracy": points[0].row["accuracy"],
        "precision": chosen_precision(data, device),
    }


def check_nothing_waits(data: Bunch) -> None:
    classifier = PrunedMLPClassifier(max_iter=2, device="cuda", random_state=0)
    events: list[training.Event] = []
    for name, listener in (("without a listener", None), ("with a listener", events.append)):
        with error_when_waiting() as watched:
            try:
                classifier.fit(data.X_train, data.y_train, on_event=listener)
            except RuntimeError as error:
                if "synchroniz" not in str(error):
                    raise
                raise SystemExit(f"{name}: something waits for the GPU within an epoch ({error})") from error
            finally:
                torch.cuda.set_sync_debug_mode("default")
        print(f"{name}: nothing waited for the GPU within {watched[0]} batches of {classifier.n_iter_} epochs")
    print(flush=True)


@contextmanager
def error_when_waiting() -> Iterator[list[int]]:
    """Activate the check between the first and the last batch of an epoch; yields the number of batches so far."""
    watched = [0]

    class WatchingReporter(training._Reporter):
        """Switches the check on and off when the loop reports."""

        def begin_epoch(self, epoch: int, n: int, total_loss: torch.Tensor) -> None:
            super().begin_epoch(epoch, n, total_loss)
            torch.cuda.set_sync_debug_mode("error")

        def batch(self, n: int) -> None:
            super().batch(n)
            watched[0] += 1
            if self._batch == self._batches:
                torch.cuda.set_sync_debug_mode("default")

    with mock.patch.object(training, "_Reporter", WatchingReporter):
        yield watched


if __name__ == "__main__":
    main()
