"""Lottery tickets: masks found by pruning a trained network, trained from weights of early in its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..fitting import PrunedModel
from ..pruning.allocation import values_of
from ..training.state import Training
from .problem import masked, schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from ..pruning.allocation import Sparsity
    from ..training.loop import Batch
    from ..training.state import Arrays
    from .problem import Problem


@schedule("rewind")
def rewind(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Prune in `n_rounds` rounds, each time going back to the weights of step `rewind_step`.

    References
    ----------
    J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", ICLR 2019;
    J. Frankle, G. K. Dziugaite, D. Roy, M. Carbin, "Linear Mode Connectivity and the Lottery Ticket Hypothesis",
    ICML 2020 (rewinding to a later step).
    """
    ticket = find_ticket(problem, sparsity)
    if problem.retraining.epochs == 0 and not problem.retraining.recalibrate:
        return ticket
    return problem.finish(ticket.training, ticket.pruned, ticket.search_updates)


def find_ticket(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """The ticket of a sparsity, trained. The search continues from what an earlier one found with the same rounds."""
    rungs = problem.rungs(sparsity)
    asked = problem.shared.tickets.setdefault(problem.search, [])
    # The end of one search may not be on the next one, but the round before it is.
    last = problem.shared.last_tickets.setdefault(problem.search, [])
    usable = [(way, ticket) for way, ticket in (*asked, *last) if _is_beginning(way, rungs)]
    way, ticket = max(usable, key=lambda known: len(known[0]), default=((), None))
    if len(way) < len(rungs):
        for i, better in enumerate(tickets(problem, rungs[len(way) :], ticket), len(way) + 1):
            ticket = better
            last[:] = [*last[-1:], (rungs[:i], better)]
        asked.append(last[-1])  # the controls ask for it again
    assert ticket is not None
    return ticket


def _is_beginning(way: Sequence[Sparsity], rungs: Sequence[Sparsity]) -> bool:
    return len(way) <= len(rungs) and all(map(_is_same, way, rungs))


def _is_same(one: Sparsity, other: Sparsity) -> bool:
    names = [list(sparsity) if isinstance(sparsity, Mapping) else None for sparsity in (one, other)]
    return names[0] == names[1] and np.allclose(values_of(one), values_of(other), rtol=0, atol=1e-9)


def tickets(problem: Problem, rungs: Sequence[Sparsity], ticket: PrunedModel | None = None) -> Iterator[PrunedModel]:
    """Find a ticket at each sparsity, each from the one before; every one is trained from the rewound weights.

    `tensors_before` of what is yielded are the ticket's tensors before its training. With `ticket`, the search begins
    from that one instead of the dense network.
    """
    origin = weights_at_step(problem, problem.rewind_step)
    if ticket is None:
        dense = problem.dense()
        tensors, pruned, updates = dense.training.tensors, None, dense.updates
    else:
        tensors, pruned, updates = ticket.tensors, ticket.pruned, ticket.updates
    for rung in rungs:
        pruned = problem.rank(tensors, pruned).prune(rung)
        before = masked(origin, pruned.masks)
        density = 1 - problem.allocation.fraction(rung)
        training = problem.train(Training(before), pruned, f"ticket of {100 * density:.3g} %")
        tensors = training.tensors
        search_updates, updates = updates, updates + problem.updates(training)
        yield PrunedModel(tensors, pruned, before, training, None, updates, search_updates)


class _Reached(Exception):  # noqa: N818 (it is not an error)
    pass


class _Catch:
    """Takes the tensors at a step, and ends the training there."""

    def __init__(self, step: int):
        self._step = step
        self.tensors: Arrays = {}

    def after_step(self, step: int, tensors: dict[str, Tensor], batch: Batch) -> None:  # noqa: ARG002
        if step == self._step:
            self.tensors = {name: tensor.cpu().numpy().copy() for name, tensor in tensors.items()}
            raise _Reached


def weights_at_step(problem: Problem, step: int) -> Arrays:
    """The tensors of the dense training after so many updates."""
    if step == 0:
        return problem.initial.tensors
    known = problem.shared.weights_at_step
    if step not in known:
        catch = _Catch(step)
        try:
            problem.train(problem.initial, None, "rewinding", controller=catch)
        except _Reached:
            known[step] = catch.tensors
    return known[step]
