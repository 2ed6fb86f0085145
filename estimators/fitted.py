"""What a fit leaves in a classifier: its fitted attributes, all of which follow from one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .accounting import count_cost
from .engine import choices_of
from .messages import PruningWarning, as_text, warn_caller
from .pruning.allocation import Allocation
from .pruning.connectivity import connectivity
from .validation import clone_with

if TYPE_CHECKING:
    from typing import Self

    from .base import BasePrunedClassifier
    from .fitting import PrunedModel, Task
    from .networks.base import Network
    from .pruning.allocation import Choices, Sparsity
    from .pruning.connectivity import Connectivity
    from .pruning.masks import Mask
    from .training.state import Arrays, Training


#: Fitted attributes that describe the data. The others are set by `publish`.
DATA_ATTRIBUTES = (
    "classes_",
    "class_weight_",
    "n_features_in_",
    "feature_names_in_",
    "sample_shape_",
    "preprocessing_",
)


class PrunedAs(NamedTuple):
    """What a classifier was pruned with, whatever its parameters are set to afterwards."""

    choices: Choices
    sparsity: Sparsity


def pruned_as_of(classifier: BasePrunedClassifier) -> PrunedAs:
    """What the parameters of a classifier prune with."""
    return PrunedAs(choices_of(classifier), classifier.sparsity)


class OptimiserState(NamedTuple):
    """The optimiser's memory after `partial_fit`, and the solver and the tensors that it is of."""

    solver: str
    trained: tuple[str, ...]
    training: Training

    def fits(self, solver: str, network: Network) -> bool:
        """Whether the same solver can go on from it with the same tensors."""
        return (self.solver, self.trained) == (solver, tuple(network.trained))


@dataclass(frozen=True)
class Fitted:
    """The result of a fit.

    Attributes
    ----------
    network : Network
    tensors, masks : dict of str to ndarray
    sparsity : float
        The fraction that was removed.
    pruned_as : PrunedAs
    seed : int
    precision : {"float32", "bfloat16"}
    loss_curve, validation_scores, fine_tune_loss_curve : list of float
        One value an epoch.
    early_stop_step : int or None
    optimiser_state : OptimiserState or None
    """

    network: Network
    tensors: Arrays
    masks: dict[str, Mask]
    sparsity: float
    pruned_as: PrunedAs
    seed: int
    precision: str
    loss_curve: list[float]
    validation_scores: list[float]
    fine_tune_loss_curve: list[float]
    early_stop_step: int | None = None
    optimiser_state: OptimiserState | None = None

    @classmethod
    def of(cls, task: Task, model: PrunedModel, pruned_as: PrunedAs) -> Self:
        """The result of a training and its pruning."""
        trained, fine_tuning = model.as_trained, model.fine_tuning
        return cls(
            network=task.network,
            tensors=model.tensors,
            masks=model.pruned.masks,
            sparsity=model.pruned.achieved_sparsity,
            pruned_as=pruned_as,
            seed=task.seed,
            precision=task.precision,
            loss_curve=list(model.training.loss_curve),
            validation_scores=list(model.training.validation_scores),
            fine_tune_loss_curve=[] if fine_tuning is None else list(fine_tuning.loss_curve),
            early_stop_step=None if trained is None else trained.early_stop_step,
        )


def publish(classifier: BasePrunedClassifier, fitted: Fitted) -> Connectivity:
    """Set all attributes of a classifier that follow from a fit, but for those that describe its data."""
    found = connectivity(fitted.network, fitted.tensors)
    classifier.network_ = fitted.network
    classifier.tensors_ = fitted.tensors
    classifier.masks_ = fitted.masks
    classifier.sparsity_ = fitted.sparsity
    classifier.pruned_as_ = fitted.pruned_as
    classifier.seed_ = fitted.seed
    classifier.precision_ = fitted.precision
    classifier.loss_curve_ = fitted.loss_curve
    classifier.loss_ = fitted.loss_curve[-1]
    classifier.n_iter_ = len(fitted.loss_curve)
    classifier.validation_scores_ = fitted.validation_scores or None
    classifier.fine_tune_loss_curve_ = fitted.fine_tune_loss_curve
    classifier.early_stop_step_ = fitted.early_stop_step
    classifier.optimiser_state_ = fitted.optimiser_state
    classifier.n_layers_ = len(fitted.network.weights) + 1
    classifier.n_outputs_ = fitted.network.n_outputs
    classifier.n_nonzero_ = count_cost(fitted.network, fitted.tensors, found).nonzero
    prunable = Allocation(fitted.network, fitted.pruned_as.choices).weight_names
    classifier.effective_sparsity_ = found.effective_sparsity(prunable)
    classifier.dead_units_ = found.dead_units if found.is_known else None
    classifier.disconnected_units_ = found.disconnected_units if found.is_known else None
    return found


def copy_data_attributes(source: BasePrunedClassifier, target: BasePrunedClassifier) -> None:
    """Copy the attributes that describe the data rather than the fit."""
    for name in DATA_ATTRIBUTES:
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def fitted_clone(
    estimator: BasePrunedClassifier,
    data_of: BasePrunedClassifier,
    task: Task,
    model: PrunedModel,
    **parameters: Any,
) -> BasePrunedClassifier:
    """A copy of an estimator, with some parameters replaced, that is fitted with a known result.

    Parameters
    ----------
    estimator : BasePrunedClassifier
    data_of : BasePrunedClassifier
        Has the attributes that describe the data.
    task : Task
    model : PrunedModel
        Pruned as the parameters of the copy choose.
    **parameters
    """
    classifier = clone_with(estimator, **parameters)
    copy_data_attributes(data_of, classifier)
    publish(classifier, Fitted.of(task, model, pruned_as_of(classifier)))
    return classifier


def warn_if_disconnected(found: Connectivity, sparsity: Sparsity) -> None:
    """Warn when no path leads from the input to the output, and name the emptied layers if there are any."""
    if found.is_connected:
        return
    layers = ", ".join(str(layer + 1) for layer in found.emptied_layers)
    text = as_text(dict(sparsity)) if isinstance(sparsity, Mapping) else f"{sparsity:g}"
    plural = "s" if len(found.emptied_layers) > 1 else ""
    did = f"removed every weight of layer{plural} {layers}" if layers else "left no path from the input to the output"
    warn_caller(
        f"pruning to sparsity {text} {did}: the network now gives the same answer to every input",
        PruningWarning,
    )
