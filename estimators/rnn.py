"""The pruned recurrent network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import BasePrunedClassifier
from .messages import PruningWarning, warn_caller
from .networks.rnn import RNNNetwork
from .networks.shapes import cell_sizes, has_channels_last, sequence_of
from .sequences import sequence_lengths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .networks.base import Network


class PrunedRNNClassifier(BasePrunedClassifier):
    """A recurrent network that is trained, then pruned to a given sparsity.

    Layers of LSTM, GRU or plain recurrent cells read a sequence, and a linear layer reads their last step. The weights
    of a cell are two tensors, of its inputs and of its own units at the step before, and each is a layer that is pruned
    by itself. A unit is removed with its rows of all gates in both, its biases, and its outgoing weights: its column of
    the recurrent weights, and those of the next layer.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn"}, default="lstm"
        "rnn" is the plain cell with tanh. All compute what PyTorch's modules do, with two vectors of biases.
    hidden_size : int or sequence of int, default=128
        Units of all layers; or of each layer; or with `bidirectional` of each layer forwards, then backwards.
    n_layers : int, default=1
        Recurrent layers, each of which reads all outputs of the one before.
    bidirectional : bool, default=False
        Whether each layer also has a cell that reads the sequence from its end. Its last step is the first one.
    input_size : int, optional
        Units of a linear layer, without activation, that is applied to every step before the cells, as in the
        experiments of N. Lee et al., "SNIP", ICLR 2019. None is no such layer.
    sample_shape : (steps, features) or (channels, height, width), optional
        What a row of X is. Not needed where X has the shape (n, steps, features): an image is read row by row, and so
        is one with channels, (n, channels, height, width), all channels of a row at once. Without it, rows whose length
        is a square number are square grey images; other rows are steps of one number each, with a warning.
    solver, alpha, batch_size, learning_rate, learning_rate_init, momentum, max_grad_norm
        As in `PrunedMLPClassifier`; so are all further parameters. Long sequences may need ``max_grad_norm=1``.
    init : {"uniform", "glorot"}, default="uniform"
        How the weights begin: uniform from -1/sqrt(units) to 1/sqrt(units), as in PyTorch; or Glorot's, with orthogonal
        matrices between the units of a cell and biases of zero.

    Attributes
    ----------
    tensors_ : dict of str to ndarray
        ``"rnn1.input.weight"`` (gates * units, n_in), ``"rnn1.recurrent.weight"`` (gates * units, units),
        ``"rnn1.input.bias"`` and ``"rnn1.recurrent.bias"`` (gates * units,), ..., ``"output.weight"`` (n_in, n_out) and
        ``"output.bias"``; with `bidirectional`, ``"backward1.input.weight"``, ...; with `input_size`,
        ``"input.weight"`` (n_in, n_out) and ``"input.bias"``. The rows of a gate are together, in PyTorch's order:
        input, forget, cell, output of an LSTM; reset, update, new of a GRU. Zero where pruned.
    masks_ : dict of str to ndarray of bool
        For every tensor, True where an entry was kept.
    network_ : RNNNetwork
        The structure that was fitted.
    survivors_per_gate_ : dict of str to dict of str to int
        For every tensor of a cell's weights, how many entries of each gate were kept.
    dead_units_, disconnected_units_ : list of int
        For ``"input"``, if there is such a layer, then for every cell and the output. A unit that only units reach
        which are not reached themselves, perhaps itself, is dead; one that only such units read is disconnected.

    The other attributes are those of `PrunedMLPClassifier`, but for `coefs_` and `intercepts_`.

    Notes
    -----
    Sequences of different lengths are filled up with NaN: whole steps, after the end of a sequence. Its readout is that
    of its own last step. Other missing values are refused. Criteria that measure activity count what is filled up as
    silence. ``criterion="synflow"`` has no meaning for recurrent cells, and `criterion="apoz"` none for units that are
    never zero: both are refused.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 1997; K. Cho et al., "Learning Phrase
    Representations using RNN Encoder-Decoder for Statistical Machine Translation", EMNLP 2014; J. Elman, "Finding
    Structure in Time", Cognitive Science 1990.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from prunelab.estimators import PrunedRNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = PrunedRNNClassifier("gru", hidden_size=16, sparsity=0.5, granularity="unit", max_iter=2,
    ...                                  random_state=0)
    >>> classifier.fit(X.reshape(-1, 8, 8) / 16, y).compact().hidden_size
    8
    """

    def __init__(
        self,
        cell: str = "lstm",
        *,
        hidden_size: int | Sequence[int] = 128,
        n_layers: int = 1,
        bidirectional: bool = False,
        input_size: int | None = None,
        sample_shape: Sequence[int] | None = None,
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
        self.cell = cell
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.bidirectional = bidirectional
        self.input_size = input_size
        self.sample_shape = sample_shape
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

    network_class = RNNNetwork

    may_have_gaps = True

    def make_network(self, sample_shape: tuple[int, ...], n_classes: int) -> RNNNetwork:
        """See `BasePrunedClassifier.make_network`."""
        shape, assumed = self._sequence_shape(sample_shape)
        if assumed:
            warn_caller(assumed, PruningWarning)
        sizes = cell_sizes(np.atleast_1d(self.hidden_size).tolist(), int(self.n_layers), bool(self.bidirectional))
        input_size = None if self.input_size is None else int(self.input_size)
        return RNNNetwork(shape, self.cell, sizes, n_classes, bool(self.bidirectional), input_size, self.init)

    def structure(self, network: Network) -> dict[str, Any]:
        """See `BasePrunedClassifier.structure`."""
        assert isinstance(network, RNNNetwork)
        sizes = network.hidden_sizes
        return {
            "cell": network.cell,
            "hidden_size": sizes[0] if len(set(sizes)) == 1 else sizes,
            "n_layers": len(network.layers),
            "bidirectional": network.bidirectional,
            "input_size": network.input_size,
            "sample_shape": network.sample_shape,
        }

    @property
    def survivors_per_gate_(self) -> dict[str, dict[str, int]]:
        """For every tensor of a cell's weights, how many entries of each gate were kept."""
        network = self.network_
        assert isinstance(network, RNNNetwork)
        return network.per_gate(self.masks_)

    def check_missing(self, rows: NDArray[np.float32], sample_shape: tuple[int, ...]) -> None:
        """Refuse missing values but whole steps after the end of a sequence, and sequences without steps.

        (The tag ``allow_nan`` of scikit-learn would be about missing values anywhere.)
        """
        shape = sample_shape if len(sample_shape) > 1 else self._sequence_shape(sample_shape)[0]
        steps, features = sequence_of(shape)
        samples = rows.reshape(len(rows), *shape)
        if len(shape) == 3:
            samples = np.moveaxis(samples, 1, 2)
        sequence_lengths(samples.reshape(len(rows), steps, features))

    def _sequence_shape(self, seen: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        """The shape of a sample whose shape in X is `seen`, and what was assumed for it; empty if nothing was."""
        given = None if self.sample_shape is None else tuple(map(int, self.sample_shape))
        if len(seen) > 3:
            raise ValueError(f"X must have samples of 1 to 3 dimensions, got samples of shape {seen}")
        if len(seen) > 1:
            if given is not None and sequence_of(given) != sequence_of(seen):
                raise ValueError(f"X has samples of shape {seen}, and sample_shape is {given}: leave it at None")
            if given is None and has_channels_last(seen):
                raise ValueError(
                    f"X has samples of shape {seen}, whose channels seem to be last: they must come first, "
                    f"np.moveaxis(X, -1, 1); or set sample_shape={seen} if they do"
                )
            return seen, ""
        n_features = math.prod(seen)
        if given is not None:
            if math.prod(given) != n_features:
                raise ValueError(
                    f"sample_shape={given} has {math.prod(given)} numbers, and X has {n_features} features"
                )
            return given, ""
        side = math.isqrt(n_features)
        if side * side == n_features:
            return (side, side), ""
        return (n_features, 1), (
            f"{n_features} features are no square image, so each sample is taken for {n_features} steps of one number: "
            "set sample_shape=(steps, features) to describe a row"
        )
