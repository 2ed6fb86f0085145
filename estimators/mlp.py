"""The pruned multi-layer perceptron."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import BasePrunedClassifier
from .networks.mlp import MLPNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .networks.base import Network


class PrunedMLPClassifier(BasePrunedClassifier):
    """A multi-layer perceptron that is trained, then pruned to a given sparsity.

    Four independent choices describe what is removed: `criterion`, `granularity`, `scope` and `order`;
    `sparsity` is the fraction removed. The defaults are the network and the recipe of the experiment "Experiments in
    Pruning": four hidden layers without biases, Adam, mini-batches of 100; each layer loses its smallest
    weights, the output layer is left alone, and nothing is retrained.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(1000, 1000, 500, 200)
        Units in each hidden layer.
    activation : {"relu", "tanh", "logistic", "identity"}, default="relu"
        Of the hidden layers.
    solver : {"adam", "sgd"}, default="adam"
        The optimiser; "sgd" has Nesterov's momentum.
    alpha : float, default=0.0
        Strength of the L2 penalty, as in scikit-learn's MLPClassifier.
    batch_size : int, default=100
        Samples in a mini-batch (all samples if there are fewer).
    learning_rate : {"constant", "cosine"}, default="constant"
        Whether the step size stays the same, or falls to zero over `max_iter` epochs as a half cosine (I. Loshchilov,
        F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, without restarts).
    learning_rate_init : float, default=0.001
        The step size at first.
    momentum : float, default=0.9
        For "sgd", at least 0 and below 1.
    max_grad_norm : float, optional
        Scale the gradients of a step down to this norm, of all of them together, where it is larger (R. Pascanu,
        T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013).
    max_iter : int, default=20
        Epochs: passes over the data. (The original experiment takes 3 on MNIST.)
    tol : float, default=1e-4
        The loss, or with `early_stopping` the validation score, has to improve by this much ...
    n_iter_no_change : int, default=10
        ... within this many epochs, or training stops.
    early_stopping : bool or "measure", default=False
        Hold out validation data, stop when their score stalls, and keep the best epoch. "measure": train to the end
        all the same, and tell where the loss on these data was lowest, of looks every 100 updates.
    validation_fraction : float, default=0.1
        Of the training data held out when `early_stopping`.
    random_state : int, RandomState or None, default=None
        Of the initial weights, the shuffling, the validation split and random pruning. The same int gives
        the same network on the same machine.
    verbose : bool, default=False
        Print the loss of every epoch.
    warm_start : bool, default=False
        `fit` goes on from the fitted network. What was pruned stays pruned, so that fitting with growing
        `sparsity` prunes iteratively.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, which multiply `sample_weight` in the loss and wherever criteria look at the data. A
        dict from labels to numbers of at least 0, with 1 for the labels that it leaves out; or "balanced": ``n_samples
        / (n_classes * n_samples_of_the_class)``.
    fit_intercept : bool, default=False
        Whether the layers have biases.
    init : {"uniform", "glorot"}, default="uniform"
        How the weights begin. "uniform": from -1/sqrt(n_in) to 1/sqrt(n_in), biases too, as `torch.nn.Linear`.
        "glorot": normal with variance 2 / (n_in + n_out), biases zero (X. Glorot, Y. Bengio, "Understanding the
        difficulty of training deep feedforward neural networks", AISTATS 2010), as in the lottery tickets' paper.
    sparsity : float or dict, default=0.0
        Fraction of the prunable weights or units to remove, 0 to 1. Exactly ``round(sparsity * n)`` of each group
        ranked are removed; ties are broken by index. A dict from layers to fractions, such as
        ``{"hidden1": 0.9, "hidden2": 0.5}``, has one for each layer (with ``scope="layer"``; 0 for layers that it does
        not name). A layer has the name of its tensor in `masks_`, with or without ``".weight"``. Schedules that remove
        more and more bring each layer to its own fraction. Paths take numbers only; `GridSearchCV` takes dicts too.
    criterion : str, default="magnitude"
        How a weight is scored: "magnitude", or "lamp", whose magnitudes of different layers compare; by gradients
        "taylor", "snip", "grasp", "movement"; by curvature "obd", "fisher"; by activity "wanda", "activation", "apoz",
        "activity"; by the flow through the network "synflow"; or "random". See
        `prunelab.estimators.pruning.criteria`.
    granularity : {"weight", "unit"}, default="weight"
        What is removed. A unit is removed with its incoming weights, its bias and its outgoing weights.
    scope : {"layer", "global"}, default="layer"
        Ranked in each layer by itself, or across the whole network.
    norm : {1, 2, inf, "inf"}, default=2
        A unit's score is this norm of the scores of its incoming weights, with ``reduce="norm"``.
    reduce : {"auto", "norm", "sum"}, default="auto"
        How the scores of a unit's incoming weights make its own. "norm": their `norm`. "sum": the score of the group,
        ``|sum of w * dL/dw|`` for "taylor" and "snip" (P. Molchanov et al., CVPR 2019) and the group's Fisher
        information for "fisher"; of other criteria the sum of the scores. "auto": "sum" for "taylor", "snip", and for
        "grasp", "movement", "obd" and "synflow", which refuse "norm"; "norm" for the others. "random", "activation",
        "apoz" and "activity" score units themselves, and use neither.
    normalize : {"auto", "none", "mean", "max"}, default="auto"
        Of units: divide their scores by the mean or the largest of their layer, so that layers of different widths
        compare. "auto" is "mean" with ``scope="global"`` (but for "random" and "synflow", whose scores compare as they
        are), where raw norms empty the layers that have few inputs; else "none".
    per_output : bool, default=False
        Rank the weights into each unit by themselves, as Wanda's paper does; each unit loses the same fraction of them.
        Goes with ``granularity="weight"`` and ``scope="layer"``.
    order : {"smallest", "largest"}, default="smallest"
        Which scores are removed.
    prune_output : bool or "half", default=False
        Whether the output layer is pruned as well. "half": at half the rate of the others, as in the lottery
        tickets' paper; see `prunelab.estimators.pruning.masks.output_sparsity`.
    schedule : str, default="one-shot"
        When to prune. "one-shot": after training, at once. "iterative": after training, in `n_rounds` rounds of pruning
        and retraining. "rewind": in `n_rounds` rounds, each trained anew from the weights of step `rewind_step`
        (lottery tickets); "rewind-reinit" and "rewind-shuffle" are short for it with a `control`. "gradual": more and
        more while training. "before-training": at initialisation. "set", "rigl": sparse from the beginning, rewired
        while training (weights only, whatever the `criterion`). "l1", "l0": by penalties in the objective ("l0" by its
        gates, whatever the `criterion`). "synaptic": by activity while training, as microglia do (weights only,
        whatever the `criterion`). See `prunelab.estimators.schedules`.
    control : {"none", "shuffle", "reinit", "invert"}, default="none"
        What the result of the schedule is to be compared with (J. Frankle et al., "Pruning Neural Networks at
        Initialization: Why Are We Missing the Mark?", ICLR 2021). "shuffle": as many weights in each layer, or units,
        but random ones. "reinit": the same masks, a whole training from other initial weights. "invert": what ranks
        highest is removed. See `prunelab.estimators.pruning.controls`.
    fine_tune_iter : int, default=0
        Epochs of retraining after pruning ("iterative": after every round); what was removed stays exactly zero.
    fine_tune_learning_rate : float or None, default=None
        The step size of the retraining at first; None is `learning_rate_init`.
    fine_tune_schedule : {"auto", "constant", "cosine", "rewind"}, default="auto"
        The step size of the retraining afterwards. "auto": the schedule of `learning_rate`, from its beginning.
        "constant", "cosine": as there. "rewind": the step sizes of the last `fine_tune_iter` epochs of the training,
        which is learning-rate rewinding (A. Renda, J. Frankle, M. Carbin, "Comparing Rewinding and Fine-tuning in
        Neural Network Pruning", ICLR 2020) and makes a difference with ``learning_rate="cosine"``.
    n_rounds : int or "auto", default=5
        Rounds of "iterative" and "rewind"; each removes the same part of what is left. "auto": 20 % a round, as
        many rounds as it takes.
    rewind_step : int, default=0
        Updates after which "rewind" takes the weights that it goes back to; 0 is the initialisation.
    exclude_layers : sequence of str, default=()
        Layers that are not pruned, such as ``["hidden1"]``; they do not count for `sparsity` and `sparsity_`. (A unit
        removed before such a layer still takes its outgoing weights along.) `prune_output` decides about the output
        layer.
    min_kept : int or float, default=0
        Every layer that is pruned keeps at least so many weights (or units), or with a number between 0 and 1 the
        fraction ``ceil(min_kept * n)`` of them: those ranked highest. With ``scope="global"`` others are removed
        instead, so that exactly ``round(sparsity * n)`` are removed as long as there are others; with ``scope="layer"``
        the layer loses fewer.
    distribution : {"auto", "uniform", "erk"}, default="auto"
        How much each layer loses with ``scope="layer"``. "uniform": the same fraction. "erk": layers with fewer weights
        for their widths lose less, by Erdos-Renyi(-kernel): the density of a layer is proportional to ``sum(shape) /
        prod(shape)``, at most 1 (U. Evci et al., "Rigging the Lottery", ICML 2020). "auto": "erk" for the schedules
        "set" and "rigl", which look at no scope, else "uniform".
    pattern : str, default="none"
        The pattern of removed weights, on the matrix (n_out, n_in) of each layer (n_in = channels x height x width of
        a filter). "N:M", such as "2:4": of each M consecutive weights into a unit the N with the highest scores are
        kept, of a remainder of r weights ``ceil(r * N / M)``; `sparsity` is then 0 or ``1 - N / M``. "RxC", such as
        "4x1": blocks of R units times C inputs are removed as a whole, exactly ``round(sparsity * n_blocks)`` of them,
        ranked by the `norm` of their weights' scores (by their sum with ``reduce="sum"``, and for "grasp", "movement"
        and "obd"); blocks at the edges may be smaller.
    device : str, default="auto"
        "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1" or "mps". The fitted model does not depend
        on it: it predicts on any machine, and on another device when this is set after the fit.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the matrix products, in training and in predicting; weights and sums are always float32. "auto"
        is bfloat16 where the hardware multiplies it and the training is large (samples times weights of at
        least 1e10), else float32. Predictions have the precision of the fit. In bfloat16, probabilities are good to
        two or three digits; set "float32" before predicting where more are needed.
    memory : str, Path, joblib.Memory or None, default=None
        Folder where dense trainings are cached, so that for example GridSearchCV over `sparsity` trains once a
        fold. Needs an int `random_state`. Only the folder of a joblib.Memory is used: a training is a safetensors
        file with a checksum, not a pickle; a damaged one is computed again. New folders are accessible to their
        owner only. The checksum does not show who wrote a file: name no folder that others can write to.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_in, n_out)
        The weights; zero where pruned.
    intercepts_ : list of ndarray of shape (n_out,)
        The biases; zeros without `fit_intercept`.
    tensors_ : dict of str to ndarray
        Weights and biases by name: ``"hidden1.weight"`` (n_in, n_out), ``"hidden1.bias"`` (n_out,), ...,
        ``"output.weight"``, ``"output.bias"``. `coefs_` and `intercepts_` are views of them.
    masks_ : dict of str to ndarray of bool
        For every tensor, True where an entry was kept.
    classes_ : ndarray of shape (n_classes,)
        The labels.
    class_weight_ : ndarray of shape (n_classes,) or None
        The weights that `class_weight` stands for, in the order of `classes_`.
    n_features_in_ : int
        Number of features.
    sample_shape_ : tuple of int
        The shape of a sample: images of another shape are refused after the fit.
    network_ : MLPNetwork
        The widths of its layers (``sizes``), ``activation`` and ``fit_intercept`` as they were fitted. Predictions,
        files, copies and further pruning follow it, whatever the parameters are set to afterwards.
    feature_names_in_ : ndarray of str
        Their names, where X had string column names.
    sparsity_ : float
        The fraction of the prunable weights or units that was removed.
    effective_sparsity_ : float
        The fraction of the prunable weights that are zero or lie on no path of non-zero weights from the input to the
        output. It is at least the fraction that was removed. A weight behind a unit that no input reaches counts as
        ineffective, also where the unit's bias makes its output a constant other than zero (A. Vysogorets, J. Kempe,
        "Connectivity Matters", JMLR 2023).
    dead_units_ : list of int
        For every layer, the output included, how many of its units no path from the input leads to.
    disconnected_units_ : list of int
        For every layer, how many of its units the input reaches, but have no path to the output.
    n_nonzero_ : int
        Parameters that are not zero, in the whole network.
    loss_curve_ : list of float
        Mean training loss of every epoch, before pruning.
    fine_tune_loss_curve_ : list of float
        The same of the retraining; empty without.
    loss_ : float
        The last entry of `loss_curve_`.
    validation_scores_ : list of float or None
        Accuracy on the held-out data after every epoch, if `early_stopping`.
    n_iter_ : int
        Epochs trained before pruning.
    pruned_as_ : PrunedAs
        The ``choices`` and the ``sparsity`` that the network was pruned with.
    optimiser_state_ : OptimiserState or None
        The optimiser's memory after `partial_fit`, which the next call goes on with. Model files do not keep it.
    early_stop_step_ : int or None
        Updates after which the loss on the held-out data was lowest, with ``early_stopping="measure"``; None where
        the network was pruned after its training. Model files do not keep it.
    n_layers_, n_outputs_ : int
        Layers, input and output included, and classes.
    precision_ : str
        The precision it was trained in.
    seed_ : int
        The seed used: as `random_state`, it repeats the fit.
    preprocessing_ : Preprocessing
        A transformer from raw samples to what the network takes, and the names of the classes, in the order of
        `classes_`. Present in classifiers loaded from files that ``prunelab`` wrote; absent after `fit`.

    Notes
    -----
    Processes that are forked after a training or a prediction (``os.fork``, joblib's backend "multiprocessing") compute
    with one thread, and without the GPU if it was used before: neither OpenMP's threads nor CUDA survive a fork.
    joblib's default backend "loky", which `GridSearchCV` and `PrunedClassifierCV` use with ``n_jobs``, starts fresh
    processes and has no such limit.

    See Also
    --------
    prunelab.estimators.sparsity_path : Many sparsities from one training.
    prunelab.estimators.PrunedClassifierCV : The best sparsity by cross-validation.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from prunelab.estimators import PrunedMLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = PrunedMLPClassifier((64,), sparsity=0.5, random_state=0).fit(X / 16, y)
    >>> int((classifier.coefs_[0] == 0).sum()), classifier.coefs_[0].size
    (2048, 4096)
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (1000, 1000, 500, 200),
        *,
        activation: str = "relu",
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
        fit_intercept: bool = False,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
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
        self.fit_intercept = fit_intercept
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

    network_class = MLPNetwork

    @property
    def coefs_(self) -> list[NDArray[np.float32]]:
        """The weights of each layer, (n_in, n_out), as in scikit-learn's MLPClassifier; views of `tensors_`."""
        return [self.tensors_[record.name] for record in self.network_.weights]

    @property
    def intercepts_(self) -> list[NDArray[np.float32]]:
        """The biases of each layer, (n_out,); zeros without `fit_intercept`."""
        tensors = self.tensors_
        return [
            tensors.get(f"{group.name}.bias", np.zeros(group.size, np.float32))
            for group in self.network_.groups.values()
        ]

    def make_network(self, sample_shape: tuple[int, ...], n_classes: int) -> MLPNetwork:
        """See `BasePrunedClassifier.make_network`."""
        hidden = [int(width) for width in np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=int))]
        return MLPNetwork((math.prod(sample_shape), *hidden, n_classes), self.activation, self.fit_intercept, self.init)

    def structure(self, network: Network) -> dict[str, Any]:
        """See `BasePrunedClassifier.structure`."""
        assert isinstance(network, MLPNetwork)
        return {"hidden_layer_sizes": network.sizes[1:-1], "activation": network.activation}
