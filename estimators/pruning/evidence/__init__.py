"""What data show about the weights of a network: gradients, curvature, activity.

Criteria that look at data (see `prunelab.estimators.pruning.criteria`) take their figures from here. Everything is
computed when it is first needed, on a sample of the training data that is stratified by class.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ..flow import removal_order
from .activity import Activity, activity
from .curvature import gradient_flow, hessian_diagonal
from .gradients import fisher, group_fisher, mean_gradients, movement
from .sample import Sample, arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray]


class Evidence:
    """Figures of a network on data, by the name of the tensor or the group of units.

    Parameters
    ----------
    *arguments, **options
        As `Sample` takes them.
    """

    def __init__(self, *arguments, **options):
        self.sample = Sample(*arguments, **options)

    @cached_property
    def gradients(self) -> Arrays:
        """See `prunelab.estimators.pruning.evidence.gradients.mean_gradients`."""
        return mean_gradients(self.sample)

    @cached_property
    def fisher(self) -> Arrays:
        """See `prunelab.estimators.pruning.evidence.gradients.fisher`."""
        return fisher(self.sample)

    @cached_property
    def group_fisher(self) -> Arrays:
        """See `prunelab.estimators.pruning.evidence.gradients.group_fisher`."""
        return group_fisher(self.sample)

    @cached_property
    def movement(self) -> Arrays:
        """See `prunelab.estimators.pruning.evidence.gradients.movement`."""
        return movement(self.sample)

    @cached_property
    def hessian_diagonal(self) -> Arrays:
        """See `prunelab.estimators.pruning.evidence.curvature.hessian_diagonal`."""
        return hessian_diagonal(self.sample)

    @cached_property
    def gradient_flow(self) -> Arrays:
        """See `prunelab.estimators.pruning.evidence.curvature.gradient_flow`."""
        return gradient_flow(self.sample)

    @cached_property
    def activity(self) -> Activity:
        """See `prunelab.estimators.pruning.evidence.activity`."""
        return activity(self.sample)

    def synaptic_flow_order(
        self, ranked: Sequence[Sequence[str]], sparsities: Sequence[float], by_unit: bool = False
    ) -> Arrays:
        """When SynFlow removes each weight, or unit; see `prunelab.estimators.pruning.flow.removal_order`."""
        sample = self.sample
        return arrays(removal_order(sample.network, sample.weights, ranked, sparsities, by_unit, sample.masks))
