"""From a pruned classifier to a smaller one: `BasePrunedClassifier.compact`."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .fitted import Fitted, copy_data_attributes, pruned_as_of, publish
from .messages import as_text
from .pruning.allocation import prunable_groups, prunable_weights
from .pruning.compact import compact
from .pruning.groups import has_entries, with_units, without_units
from .validation import clone_with

if TYPE_CHECKING:
    from .base import BasePrunedClassifier
    from .networks.base import Network
    from .pruning.allocation import Choices
    from .pruning.masks import Mask

    Classifier = TypeVar("Classifier", bound=BasePrunedClassifier)


def compacted(classifier: Classifier, round_to: int = 1) -> Classifier:
    """A smaller classifier with the same outputs; see `BasePrunedClassifier.compact`."""
    if not isinstance(round_to, numbers.Integral) or isinstance(round_to, bool) or round_to < 1:
        raise ValueError(f"round_to must be a whole number of at least 1, got {as_text(round_to)}")
    network, small = classifier.network_, compact(classifier.network_, classifier.tensors_)
    masks = {name: classifier.masks_.get(name, np.ones(array.shape, bool)) for name, array in small.tensors.items()}
    masks |= without_units(network.hidden_groups, small.kept, network.records, classifier.masks_)
    widths = {g.name: _width(int(small.kept[g.name].sum()), round_to, g.size) for g in network.hidden_groups}
    wide = small.network.with_widths(widths)
    tensors, masks = (with_units(small.network, wide, arrays) for arrays in (small.tensors, masks))

    parameters = {**classifier.parameters_of(wide, tensors), "sparsity": 0.0}
    if "fit_intercept" in classifier.get_params(deep=False):
        parameters["fit_intercept"] = "output.bias" in wide.records
    smaller = clone_with(classifier, **parameters)
    copy_data_attributes(classifier, smaller)
    pruned_as = pruned_as_of(smaller)
    fitted = Fitted(
        network=wide,
        tensors=tensors,
        masks=masks,
        sparsity=_removed(wide, masks, pruned_as.choices),
        pruned_as=pruned_as,
        seed=classifier.seed_,
        precision=classifier.precision_,
        loss_curve=list(classifier.loss_curve_),
        validation_scores=list(classifier.validation_scores_ or []),
        fine_tune_loss_curve=list(classifier.fine_tune_loss_curve_),
        early_stop_step=classifier.early_stop_step_,
    )
    publish(smaller, fitted)
    return smaller


def _width(n: int, round_to: int, size: int) -> int:
    """The next multiple of `round_to`, at least one unit and at most as many as there were."""
    return min(max(-(-n // round_to) * round_to, 1), size)


def _removed(network: Network, masks: dict[str, Mask], choices: Choices) -> float:
    """The fraction of what the choices may remove that is masked."""
    if choices.granularity == "unit":
        groups = prunable_groups(network, choices.prune_output, choices.exclude_layers, choices.prune_residual)
        kept = [has_entries(group, masks) for group in groups]
    else:
        records = prunable_weights(network, choices.prune_output, choices.exclude_layers)
        kept = [masks[record.name] for record in records]
    total = sum(mask.size for mask in kept)
    return sum(int(np.count_nonzero(~mask)) for mask in kept) / total if total else 0.0
