"""The pruned residual network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .base import BasePrunedClassifier
from .images import image_shape
from .networks.resnet import ResNetNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .networks.base import Network


class PrunedResNetClassifier(BasePrunedClassifier):
    """A residual network that is trained, then pruned to a given sparsity.

    It is that of He et al. for CIFAR-10: a convolution, three stages of blocks of two convolutions, around which the
    inputs are added, global average pooling, and a linear output; all convolutions are normalised. The default has 8
    layers, which takes minutes on a laptop with MNIST; ``depth=20`` is the smallest of the paper.

    A unit is a filter of the first convolution of a block. With ``prune_residual=True`` the channels of the residual
    stream, which the blocks read and add to, are pruned as well: one decision removes a channel from all layers that
    write it or read it.

    Parameters
    ----------
    depth : int, default=8
        Layers with weights: two, and two for each block, as many blocks in each of the three stages. So it is 8, 14,
        20, 26, ...
    width : int or sequence of int, default=16
        Channels of the first stage; the second has twice, the third four times as many. A sequence has the size of
        each group of hidden units, in the order of ``network_.groups``: `compact` sets it.
    shortcut : {"projection", "padding"}, default="projection"
        What is added where maps halve: a convolution of 1x1, or every second position with zeros in the new channels.
        With projections the stream of each stage is pruned by itself; with padding, a channel of the first stage is
        the same in the later ones.
    sample_shape : (height, width) or (channels, height, width), optional
        As in `PrunedCNNClassifier`.
    augment : {"none", "crop", "crop-flip"}, default="none"
        As in `PrunedCNNClassifier`.
    prune_residual : bool, default=False
        Whether pruning units also prunes the channels of the stream.
    recalibrate : bool, default=False
        As in `PrunedCNNClassifier`. What is left of a heavily pruned network needs it, or a retraining.
    solver, alpha, batch_size, learning_rate, learning_rate_init, momentum
        As in `PrunedMLPClassifier`; so are all further parameters. The paper trains with ``solver="sgd"``,
        ``learning_rate="step"``, ``learning_rate_init=0.1``, ``alpha=1e-4``, ``batch_size=128``, ``max_iter=160`` and
        ``augment="crop-flip"``.

    Attributes
    ----------
    tensors_ : dict of str to ndarray
        ``"stem.weight"`` (filters, channels, height, width), ``"block1.conv1.weight"``, ``"block1.conv2.weight"``, ...,
        ``"block2.projection.weight"``, each with ``scale``, ``shift``, ``mean`` and ``variance``, and
        ``"output.weight"`` (n_in, n_out), ``"output.bias"``. Zero where pruned.
    masks_ : dict of str to ndarray of bool
        For every tensor, True where an entry was kept.
    network_ : ResNetNetwork
        The structure that was fitted; `prunelab.estimators.networks.resnet.ResNetNetwork` describes its groups of
        units.
    dead_units_, disconnected_units_ : list of int
        For every group of units in ``network_.groups``, the output included.

    The other attributes are those of `PrunedMLPClassifier`, but for `coefs_` and `intercepts_`.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from prunelab.estimators import PrunedResNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = PrunedResNetClassifier(width=4, sparsity=0.5, granularity="unit", max_iter=2, random_state=0)
    >>> classifier.fit(X.reshape(-1, 8, 8) / 16, y).masks_["block1.conv1.scale"].sum()
    np.int64(2)
    """

    def __init__(
        self,
        depth: int = 8,
        *,
        width: int | Sequence[int] = 16,
        shortcut: str = "projection",
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
        prune_residual: bool = False,
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
        self.depth = depth
        self.width = width
        self.shortcut = shortcut
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
        self.prune_residual = prune_residual
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

    network_class = ResNetNetwork

    def make_network(self, sample_shape: tuple[int, ...], n_classes: int) -> ResNetNetwork:
        """See `BasePrunedClassifier.make_network`."""
        shape, width = image_shape(self.sample_shape, sample_shape), np.atleast_1d(np.asarray(self.width)).tolist()
        network = ResNetNetwork.of(shape, int(self.depth), width[0], n_classes, self.shortcut, self.init)
        if np.ndim(self.width) == 0:
            return network
        names = [group.name for group in network.hidden_groups]
        if len(width) != len(names):
            raise ValueError(
                f"width must be one number, or {len(names)} with depth={self.depth}, those of {', '.join(names)}, "
                f"got {len(width)}"
            )
        return network.with_widths(dict(zip(names, width, strict=True)))

    def structure(self, network: Network) -> dict[str, Any]:
        """See `BasePrunedClassifier.structure`."""
        assert isinstance(network, ResNetNetwork)
        return {
            "depth": network.depth,
            "width": network.width,
            "shortcut": network.shortcut,
            "sample_shape": network.sample_shape,
        }
