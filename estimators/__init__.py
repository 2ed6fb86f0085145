"""Scikit-learn style classifiers that are trained and pruned, and the tools to study them.

The names below are loaded when they are first used: importing this package imports neither torch nor
scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cnn import PrunedCNNClassifier
    from .data.datasets import DatasetError, load_dataset
    from .display import SparsityPathDisplay
    from .files import UnverifiedFileWarning
    from .messages import PruningWarning
    from .mlp import PrunedMLPClassifier
    from .module import PrunedModuleClassifier
    from .path import ORIGINAL_SPARSITIES, iter_sparsity_path, sparsity_path
    from .persistence import ModelFileError, load_model
    from .resnet import PrunedResNetClassifier
    from .rnn import PrunedRNNClassifier
    from .selection import PrunedClassifierCV, PrunedMLPClassifierCV
    from .standalone import PruningReport, prune_module
    from .studies.run import run_study, sweep
    from .studies.statistics import knee, mean_interval, summarise
    from .training.loop import TrainingDiverged

_HOME = {
    "DatasetError": "data.datasets",
    "ModelFileError": "persistence",
    "ORIGINAL_SPARSITIES": "path",
    "PrunedCNNClassifier": "cnn",
    "PrunedClassifierCV": "selection",
    "PrunedMLPClassifier": "mlp",
    "PrunedMLPClassifierCV": "selection",
    "PrunedModuleClassifier": "module",
    "PrunedRNNClassifier": "rnn",
    "PrunedResNetClassifier": "resnet",
    "PruningReport": "standalone",
    "PruningWarning": "messages",
    "SparsityPathDisplay": "display",
    "TrainingDiverged": "training.loop",
    "UnverifiedFileWarning": "files",
    "iter_sparsity_path": "path",
    "knee": "studies.statistics",
    "load_dataset": "data.datasets",
    "load_model": "persistence",
    "prune_module": "standalone",
    "mean_interval": "studies.statistics",
    "run_study": "studies.run",
    "sparsity_path": "path",
    "summarise": "studies.statistics",
    "sweep": "studies.run",
}

__all__ = [
    "ORIGINAL_SPARSITIES",
    "DatasetError",
    "ModelFileError",
    "PrunedCNNClassifier",
    "PrunedClassifierCV",
    "PrunedMLPClassifier",
    "PrunedMLPClassifierCV",
    "PrunedModuleClassifier",
    "PrunedRNNClassifier",
    "PrunedResNetClassifier",
    "PruningReport",
    "PruningWarning",
    "SparsityPathDisplay",
    "TrainingDiverged",
    "UnverifiedFileWarning",
    "iter_sparsity_path",
    "knee",
    "load_dataset",
    "load_model",
    "mean_interval",
    "prune_module",
    "run_study",
    "sparsity_path",
    "summarise",
    "sweep",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
