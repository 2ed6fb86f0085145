"""What a training starts from and leaves behind: recipe, data, results, checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from .augmentation import Augmentation

    #: Tensors by name, as NumPy arrays.
    Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Recipe:
    """How to train. The fields are the estimator's parameters of the same names, but for the last.

    `last_part` is the part of the step sizes, counted from the end, that this training goes through: 1 for all of
    them, less where a retraining repeats the last ones. (It is not part of the key of a cached training: those have
    all.)
    """

    solver: str
    learning_rate_init: float
    alpha: float
    momentum: float
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: int
    early_stopping: bool | str
    learning_rate: str = "constant"
    max_grad_norm: float | None = None
    augment: str = "none"
    last_part: float = field(default=1.0, repr=False)

    def __repr__(self) -> str:
        """Fields that not all versions have are left out at their defaults: it is part of the keys of trainings."""
        left_out = {"max_grad_norm": None, "augment": "none"}
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
        shown = (f"{name}={value!r}" for name, value in values.items() if left_out.get(name, ...) != value)
        return f"Recipe({', '.join(shown)})"

    @property
    def measures(self) -> bool:
        """Whether held-out data show when to stop, but nothing stops."""
        return self.early_stopping == "measure"

    def rate(self, progress: float) -> float:
        """The step size when a part `progress`, 0 to 1, of all updates is done."""
        progress = 1 - self.last_part * (1 - progress)
        if self.learning_rate == "cosine":
            return self.learning_rate_init / 2 * (1 + math.cos(math.pi * progress))
        if self.learning_rate == "step":  # as for ResNets: a tenth at epochs 80 and 120 of 160
            return self.learning_rate_init * 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
        return self.learning_rate_init


@dataclass(frozen=True)
class Data:
    """Training data on their device.

    Attributes
    ----------
    inputs : Tensor, shape (n, n_features)
        In the precision of the products.
    targets : Tensor of int64, shape (n,)
        Class indices.
    weights : Tensor of float32, shape (n,), optional
    augmentation : Augmentation, optional
        Changes the inputs of each update.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None
    augmentation: Augmentation | None = None

    def __len__(self) -> int:
        return len(self.targets)


@dataclass
class Training:
    """What a training leaves behind.

    Attributes
    ----------
    tensors : dict of str to ndarray of float32
        The tensors of the network, buffers included.
    loss_curve : list of float
        Mean loss of every epoch.
    validation_scores : list of float
        Accuracy on the validation data after every epoch; empty without validation data.
    moments : list of dict of str to ndarray
        The optimiser's memory, for a training that continues this one.
    n_steps : int
        Updates the optimiser has made in its life.
    monitored : list of float
        What the monitor returned after every epoch, if there was one.
    early_stop_step : int or None
        Updates after which the loss on the held-out data was lowest, if the recipe measures that.
    early_stop_tensors : dict of str to ndarray of float32, or None
        The tensors at that time.
    """

    tensors: Arrays
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    moments: list[Arrays] = field(default_factory=list)
    n_steps: int = 0
    monitored: list[float] = field(default_factory=list)
    early_stop_step: int | None = None
    early_stop_tensors: Arrays | None = None


@dataclass
class Checkpoint:
    """The state of an interrupted training: all it takes to reach the numbers it would have reached.

    Attributes
    ----------
    training : Training
        Tensors, the optimiser's memory, and the curves so far.
    first_step : int
        Updates the optimiser had made when the training began; the shuffling depends on it.
    epoch : int
        Epochs completed.
    batch : int
        Batches of the next epoch completed.
    total_loss : float
        Sum of the losses of that epoch's samples so far (a float32 number).
    best : dict of str to ndarray, or None
        The best tensors according to the held-out data, where these choose or measure.
    best_step : int
        Updates of this training after which they were reached, where that is measured.
    best_loss : float
        Their loss on the held-out data, likewise.
    samples : int
        Samples trained on so far.
    seconds : float
        Time it has taken so far.
    of : str
        Which training it is of: the same as that of its other checkpoints. Empty if unknown.
    """

    training: Training
    first_step: int
    epoch: int
    batch: int = 0
    total_loss: float = 0.0
    best: Arrays | None = None
    best_step: int = 0
    best_loss: float = math.inf
    samples: int = 0
    seconds: float = 0.0
    of: str = ""
