"""The pruned convolutional network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .base import BasePrunedClassifier
from .images import image_shape
from .networks.cnn import CNNNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .networks.base import Network


class PrunedCNNClassifier(BasePrunedClassifier):
    """A convolutional network that is trained, then pruned to a given sparsity.

    The default is LeNet-5 as in the pruning literature: 20 and 50 filters of 5x5, each convolution followed by 2x2
    max pooling, and 500 hidden units, with biases. A unit is a filter, or a hidden unit after the convolutions: it is
    removed with its incoming weights, its bias (scale, shift and running statistics, with batch normalisation), and
    its outgoing weights.

    Parameters
    ----------
    channels : int or sequence of int, default=(20, 50)
        Filters of each convolution.
    kernel_size : int, default=5
        Height and width of the filters. On samples of one line they are 1 across the line, and so is `pooling`.
    pooling : int, default=2
        Height and width of the windows of max pooling after each convolution; 1 is none.
    padding : {"valid", "same"}, default="valid"
        Whether the convolutions read their inputs only, or zeros around them, which keeps the size of the maps.
    hidden_layer_sizes : int or sequence of int, default=(500,)
        Units in each linear layer between the convolutions and the output.
    activation : {"relu", "tanh", "logistic", "identity"}, default="relu"
        After the convolutions and the hidden layers.
    batch_norm : bool, default=False
        Normalise the outputs of the convolutions (S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015). Their
        running statistics are those of the training, and of the retraining if there is one; see `recalibrate`.
    recalibrate : bool, default=False
        After a pruning that removed something, measure the running means and variances again on the training data
        (without those held out), before the retraining if there is one. Without retraining, a heavily pruned network
        recovers much of its accuracy (B. Li et al., "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network
        Pruning", ECCV 2020). Each layer's are measured exactly, behind those measured before it, which takes about a
        prediction of the training data. Needs ``batch_norm=True``.
    sample_shape : (height, width) or (channels, height, width), optional
        What a row of X is. Not needed where X has the shape (n, height, width) or (n, channels, height, width).
        Without it, rows whose length is a square number are square grey images; other rows are one line of pixels,
        with a warning.
    augment : {"none", "crop", "crop-flip"}, default="none"
        Change the images of each update: "crop" surrounds them with an eighth of their height and width (4 pixels of
        32) of the least value in the data, and takes a random part of the original size; "crop-flip" also mirrors
        half of them. The changes are drawn from the seed. (K. He et al., "Deep Residual Learning for Image
        Recognition", CVPR 2016, section 4.2.)
    solver, alpha, batch_size, learning_rate, learning_rate_init, momentum
        As in `PrunedMLPClassifier`; so are all further parameters.

    Attributes
    ----------
    tensors_ : dict of str to ndarray
        ``"conv1.weight"`` (filters, channels, height, width), ``"conv1.bias"`` (filters,), ..., ``"hidden1.weight"``
        (n_in, n_out), ``"hidden1.bias"``, ..., ``"output.weight"``, ``"output.bias"``; with `batch_norm`,
        ``"conv1.scale"``, ``"conv1.shift"``, ``"conv1.mean"`` and ``"conv1.variance"`` in the place of the bias. Zero
        where pruned.
    masks_ : dict of str to ndarray of bool
        For every tensor, True where an entry was kept.
    network_ : CNNNetwork
        The structure that was fitted.
    dead_units_, disconnected_units_ : list of int
        For every layer, the output included; a filter is a unit.

    The other attributes are those of `PrunedMLPClassifier`, but for `coefs_` and `intercepts_`.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE 1998; S. Han et al., NeurIPS 2015 (the network of the pruning literature).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from prunelab.estimators import PrunedCNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = PrunedCNNClassifier((8,), kernel_size=3, hidden_layer_sizes=(), sparsity=0.5, granularity="unit",
    ...                                  max_iter=2, random_state=0)
    >>> classifier.fit(X.reshape(-1, 8, 8) / 16, y).masks_["conv1.bias"].sum()
    np.int64(4)
    """

    def __init__(
        self,
        channels: int | Sequence[int] = (20, 50),
        *,
        kernel_size: int = 5,
        pooling: int = 2,
        padding: str = "valid",
        hidden_layer_sizes: int | Sequence[int] = (500,),
        activation: str = "relu",
        batch_norm: bool = False,
        sample_shape: Sequence[int] | None = None,
        augment: str = "none",
        solver: str = "adam",
        alpha: float = 0.0,
        batch_size: int = 100,
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        momentum: float = 0.9,
        max_grad_norm: float | None = None,
        max_iter: int = 20,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool | str = False,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        verbose: bool = False,
        warm_start: bool = False,
        class_weight: Mapping[Any, float] | str | None = None,
        init: str = "uniform",
        sparsity: float | Mapping[str, float] = 0.0,
        criterion: str = "magnitude",
        granularity: str = "weight",
        scope: str = "layer",
        norm: float | str = 2,
        reduce: str = "auto",
        normalize: str = "auto",
        per_output: bool = False,
        order: str = "smallest",
        prune_output: bool | str = False,
        schedule: str = "one-shot",
        control: str = "none",
        recalibrate: bool = False,
        fine_tune_iter: int = 0,
        fine_tune_learning_rate: float | None = None,
        fine_tune_schedule: str = "auto",
        n_rounds: int | str = 5,
        rewind_step: int = 0,
        exclude_layers: Sequence[str] = (),
        min_kept: float = 0,
        distribution: str = "auto",
        pattern: str = "none",
        device: str = "auto",
        precision: str = "auto",
        memory: Any = None,
    ):
        self.channels = channels
        self.kernel_size = kernel_size
        self.pooling = pooling
        self.padding = padding
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.batch_norm = batch_norm
        self.sample_shape = sample_shape
        self.augment = augment
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.max_grad_norm = max_grad_norm
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start
        self.class_weight = class_weight
        self.init = init
        self.sparsity = sparsity
        self.criterion = criterion
        self.granularity = granularity
        self.scope = scope
        self.norm = norm
        self.reduce = reduce
        self.normalize = normalize
        self.per_output = per_output
        self.order = order
        self.prune_output = prune_output
        self.schedule = schedule
        self.control = control
        self.recalibrate = recalibrate
        self.fine_tune_iter = fine_tune_iter
        self.fine_tune_learning_rate = fine_tune_learning_rate
        self.fine_tune_schedule = fine_tune_schedule
        self.n_rounds = n_rounds
        self.rewind_step = rewind_step
        self.exclude_layers = exclude_layers
        self.min_kept = min_kept
        self.distribution = distribution
        self.pattern = pattern
        self.device = device
        self.precision = precision
        self.memory = memory

    network_class = CNNNetwork

    def make_network(self, sample_shape: tuple[int, ...], n_classes: int) -> CNNNetwork:
        """See `BasePrunedClassifier.make_network`."""
        network = CNNNetwork(
            image_shape(self.sample_shape, sample_shape),
            _widths(self.channels),
            int(self.kernel_size),
            int(self.pooling),
            self.padding,
            _widths(self.hidden_layer_sizes),
            n_classes,
            self.activation,
            bool(self.batch_norm),
            self.init,
        )
        _ = network.map_shapes  # refuses images that are too small
        return network

    def structure(self, network: Network) -> dict[str, Any]:
        """See `BasePrunedClassifier.structure`."""
        assert isinstance(network, CNNNetwork)
        return {
            "channels": network.channels,
            "kernel_size": network.kernel_size,
            "pooling": network.pooling,
            "padding": network.padding,
            "hidden_layer_sizes": network.hidden_sizes,
            "activation": network.activation,
            "batch_norm": network.batch_norm,
            "sample_shape": network.sample_shape,
        }


def _widths(value: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(int(width) for width in np.atleast_1d(np.asarray(value, dtype=int)))
