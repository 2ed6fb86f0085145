"""The schedules and controls as data: a summary of each, and the parameters it uses. Loads neither torch nor sklearn.

Validation, the command line and the lab's form read it. The functions are registered in `problem.SCHEDULES`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScheduleRecord:
    """One schedule.

    Attributes
    ----------
    summary : str
        A line for lists and ``--help``.
    parameters : tuple of str
        Parameters that only some schedules use, or use in another way, this one among them.
    of_weights : bool
        Whether it removes single weights only.
    has_criterion : bool
        Whether the parameter `criterion` decides what is removed.
    is_one_ended : bool
        Whether it drives what it removes to zero, so that the other end of the ranking cannot be kept.
    is_trained_to_the_end : bool
        Whether it prunes while training and needs every epoch: `tol` does not stop it.
    short_for : tuple of (str, str), optional
        The schedule and control that it abbreviates.
    """

    summary: str
    parameters: tuple[str, ...] = ()
    of_weights: bool = False
    has_criterion: bool = True
    is_one_ended: bool = False
    is_trained_to_the_end: bool = False
    short_for: tuple[str, str] | None = None


SCHEDULE_RECORDS = {
    "one-shot": ScheduleRecord("once, after training"),
    "iterative": ScheduleRecord("a part, training again, the next part, ...", parameters=("n_rounds",)),
    "rewind": ScheduleRecord(
        "a part, weights back to their first values, training again, ...: lottery tickets",
        parameters=("n_rounds", "rewind_step"),
    ),
    "rewind-reinit": ScheduleRecord(
        "short for rewind with control reinit", parameters=("n_rounds", "rewind_step"), short_for=("rewind", "reinit")
    ),
    "rewind-shuffle": ScheduleRecord(
        "short for rewind with control shuffle", parameters=("n_rounds", "rewind_step"), short_for=("rewind", "shuffle")
    ),
    "gradual": ScheduleRecord("more and more while training", is_trained_to_the_end=True),
    "before-training": ScheduleRecord("before training, by gradients at the first values or by their size"),
    "set": ScheduleRecord(
        "from the start; while training, the smallest weights make room for random new ones",
        parameters=("distribution",),
        of_weights=True,
        has_criterion=False,
        is_one_ended=True,
        is_trained_to_the_end=True,
    ),
    "rigl": ScheduleRecord(
        "from the start; while training, the smallest make room for those with large gradients",
        parameters=("distribution",),
        of_weights=True,
        has_criterion=False,
        is_one_ended=True,
        is_trained_to_the_end=True,
    ),
    "l1": ScheduleRecord("by a penalty on |w| in the loss", is_one_ended=True, is_trained_to_the_end=True),
    "l0": ScheduleRecord(
        "by a penalty on how many weights there are in the loss (hard concrete gates)",
        has_criterion=False,
        is_one_ended=True,
        is_trained_to_the_end=True,
    ),
    "synaptic": ScheduleRecord(
        "while training: connections of little activity are tagged, then cut, as microglia do",
        of_weights=True,
        has_criterion=False,
        is_one_ended=True,
        is_trained_to_the_end=True,
    ),
}

SCHEDULES = tuple(SCHEDULE_RECORDS)

#: Schedules that go back to earlier weights before every round.
REWINDING = tuple(name for name, record in SCHEDULE_RECORDS.items() if "rewind_step" in record.parameters)

#: Schedules that are short for "rewind" with a control.
SHORT_FOR = {name: record.short_for for name, record in SCHEDULE_RECORDS.items() if record.short_for is not None}

#: Parameters that only some schedules use, and those schedules.
USED_BY = {
    parameter: tuple(name for name, record in SCHEDULE_RECORDS.items() if parameter in record.parameters)
    for parameter in dict.fromkeys(p for record in SCHEDULE_RECORDS.values() for p in record.parameters)
}

CONTROL_SUMMARIES = {
    "none": "the result itself",
    "shuffle": "as many in each layer, but random ones",
    "reinit": "the same mask, trained from other initial weights",
    "invert": "remove what ranks highest instead",
}

CONTROLS = tuple(CONTROL_SUMMARIES)
