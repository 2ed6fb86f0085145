"""The classifiers by the names that the command line, the lab and runs use. A class is loaded when it is needed.

To add one: an entry here, its parameters in `prunelab.estimators.parameters.records`, and its module.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import BasePrunedClassifier


@dataclass(frozen=True)
class EstimatorEntry:
    """A classifier.

    Attributes
    ----------
    title : str
        A few words for lists.
    short : str
        An abbreviation for headings.
    module : str
        The module of the class, in this package.
    class_name : str
        Also stands in model files.
    """

    title: str
    short: str
    module: str
    class_name: str

    def load(self) -> type[BasePrunedClassifier]:
        """The class, which loads torch."""
        return getattr(import_module(f".{self.module}", __package__), self.class_name)


REGISTRY = {
    "mlp": EstimatorEntry("multi-layer perceptron", "MLP", "mlp", "PrunedMLPClassifier"),
    "cnn": EstimatorEntry("convolutional network", "CNN", "cnn", "PrunedCNNClassifier"),
    "rnn": EstimatorEntry("recurrent network", "RNN", "rnn", "PrunedRNNClassifier"),
    "resnet": EstimatorEntry("residual network", "ResNet", "resnet", "PrunedResNetClassifier"),
}

#: The names of the classifiers.
ESTIMATORS = tuple(REGISTRY)

#: Classifiers for scripts alone: a run cannot name the user's own code.
SCRIPT_ONLY = {"module": EstimatorEntry("the user's own module", "module", "module", "PrunedModuleClassifier")}


def estimator_class(name: str) -> type[BasePrunedClassifier]:
    """The class of this name."""
    return (REGISTRY | SCRIPT_ONLY)[name].load()


def entry_of_class(class_name: str) -> EstimatorEntry | None:
    """The entry whose class has this name; None if there is none."""
    return next((entry for entry in REGISTRY.values() if entry.class_name == class_name), None)
