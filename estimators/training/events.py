"""What a training reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .state import Checkpoint


@dataclass(frozen=True)
class BatchEnded:
    """Some batches of an epoch are done; reported a few times a second, not for every batch.

    Attributes
    ----------
    phase : str
        What is trained: "training" for the dense network, otherwise the part of a schedule.
    epoch, epochs : int
        The current epoch, from 1, and how many there are at most.
    batch, batches : int
        The current batch of the epoch, from 1, and how many there are.
    loss : float
        Mean of the epoch so far; on a GPU it lags a little behind, because nothing waits for it.
    samples : int
        Samples trained on since this training started.
    seconds : float
        Time since then.
    is_resumable : bool
        Whether a later training can go on from `checkpoint`.
    checkpoint : callable
        Returns the state of the training. It copies everything, so call it only when it is needed, and only before
        the event has been handled.
    """

    phase: str
    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    samples: int
    seconds: float
    is_resumable: bool = field(repr=False, compare=False)
    checkpoint: Callable[[], Checkpoint] = field(repr=False, compare=False)


@dataclass(frozen=True)
class EpochEnded:
    """An epoch is done.

    Attributes
    ----------
    loss : float
        Mean of the epoch.
    validation_score : float or None
        Accuracy on the held-out data, if there are any.
    monitored : float or None
        What the `monitor` of the training returned.
    phase, epoch, epochs, samples, seconds, is_resumable, checkpoint
        As in `BatchEnded`.
    """

    phase: str
    epoch: int
    epochs: int
    loss: float
    validation_score: float | None
    samples: int
    seconds: float
    monitored: float | None
    is_resumable: bool = field(repr=False, compare=False)
    checkpoint: Callable[[], Checkpoint] = field(repr=False, compare=False)


@dataclass(frozen=True)
class PointEnded:
    """A point of a sparsity path is done; `row` is its row of the table."""

    row: dict
    point: int
    points: int


Event = BatchEnded | EpochEnded | PointEnded
