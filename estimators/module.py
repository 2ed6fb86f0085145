"""The user's own network, pruned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from . import persistence
from .base import BasePrunedClassifier
from .engine import OtherNetworkError
from .files import natural
from .networks.module import ModuleNetwork, network_of
from .networks.sources import ModuleError, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from torch import nn

    from .networks.base import Network
    from .training.state import Arrays

#: How the arguments of a callable begin among the parameters.
ARGUMENT = "module__"


class PrunedModuleClassifier(BasePrunedClassifier):
    """The user's own `torch.nn.Module`, trained and then pruned to a given sparsity.

    The weights of linear layers, convolutions, recurrent layers, embeddings and attention are pruned. Biases and the
    parameters of normalisations belong to units and go with them; other parameters, such as position embeddings, are
    trained and never pruned. Parameters with ``requires_grad=False`` stay as they are.

    Parameters
    ----------
    module : callable or torch.nn.Module
        A class or function that returns the module, which must return logits of shape (n, classes). It is called
        with the parameters ``module__NAME``; if it has parameters named ``n_features``, ``sample_shape`` or
        ``n_classes`` that are not set, it gets those of the data. Its random initial weights follow from
        `random_state`. Or a module that exists already, such as a pretrained one: training begins with its numbers,
        whatever `random_state`, and it is never changed.
    output_layer : str, optional
        The name of the layer that computes the logits, which `prune_output` is about. Found in the module if None,
        where that is clear.
    sample_shape : (height, width) or (channels, height, width), optional
        What a row of X is for the module. Not needed where X has the shape that the module takes, (n, ...).
    precision : {"float32", "auto", "bfloat16"}, default="float32"
        "bfloat16" casts weights, biases and samples, which not every module can compute with.
    solver, alpha, batch_size, learning_rate, learning_rate_init, momentum
        As in `PrunedMLPClassifier`; so are all further parameters.
    **module_parameters
        ``module__NAME``: the arguments of the callable, as in skorch. They can be searched as other parameters:
        ``GridSearchCV(classifier, {"module__width": [32, 64]})``.

    Attributes
    ----------
    tensors_ : dict of str to ndarray
        Parameters and running statistics by the names that they have in the module. Zero where pruned.
    masks_ : dict of str to ndarray of bool
        For every tensor, True where an entry was kept.
    network_ : ModuleNetwork
        The structure that was fitted.

    The other attributes are those of `PrunedMLPClassifier`, but for `coefs_` and `intercepts_`.

    Notes
    -----
    A classifier can be pickled, and searched with several processes, if the module's class can be imported.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from torch import nn
    >>> from prunelab.estimators import PrunedModuleClassifier
    >>> def network(width=64):
    ...     return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = PrunedModuleClassifier(network, module__width=32, sparsity=0.5, max_iter=2, random_state=0)
    >>> classifier.fit(X / 16, y).masks_["0.weight"].mean()
    np.float64(0.5)
    """

    module: Callable[..., nn.Module] | nn.Module | None
    output_layer: str | None
    sample_shape: Sequence[int] | None

    def __init__(
        self,
        module: Callable[..., nn.Module] | nn.Module | None = None,
        *,
        output_layer: str | None = None,
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
        precision: str = "float32",
        memory: Any = None,
        **module_parameters: Any,
    ):
        self.module = module
        self.output_layer = output_layer
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
        self._set_arguments(module_parameters)

    network_class = ModuleNetwork

    def _set_arguments(self, parameters: Mapping[str, Any]) -> None:
        for name, value in parameters.items():
            if not name.startswith(ARGUMENT) or name == ARGUMENT:
                raise TypeError(
                    f"{type(self).__name__} has no parameter {name!r}: those of the module begin with {ARGUMENT}"
                )
            setattr(self, name, value)

    def _arguments(self) -> dict[str, Any]:
        """The parameters of the callable, with their full names."""
        return {name: value for name, value in vars(self).items() if name.startswith(ARGUMENT)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, those of the module included."""
        return {**super().get_params(deep), **self._arguments()}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters; those of the module may be new ones.

        With another `module` the arguments of the one before are gone, but for those that are set with it.
        """
        if parameters.get("module", self.module) is not self.module:
            for name in self._arguments():
                delattr(self, name)
        own = {name: value for name, value in parameters.items() if name.startswith(ARGUMENT)}
        super().set_params(**{name: value for name, value in parameters.items() if name not in own})
        self._set_arguments(own)
        return self

    def make_network(self, sample_shape: tuple[int, ...], n_classes: int) -> ModuleNetwork:
        """See `BasePrunedClassifier.make_network`."""
        return self._network(self._shape(sample_shape), n_classes, self.output_layer)

    def _network(self, shape: tuple[int, ...], n_classes: int, output_layer: str | None) -> ModuleNetwork:
        known = {"n_features": math.prod(shape), "sample_shape": shape, "n_classes": n_classes}
        arguments = {name.removeprefix(ARGUMENT): value for name, value in self._arguments().items()}
        return network_of(source_of(self.module, arguments, known), shape, n_classes, output_layer)

    def _shape(self, seen: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a sample whose shape in X is `seen`."""
        given = None if self.sample_shape is None else tuple(map(int, self.sample_shape))
        if given is None or given == seen:
            return seen
        if len(seen) > 1:
            raise ValueError(f"X has samples of shape {seen}, and sample_shape is {given}: leave it at None")
        if math.prod(given) != math.prod(seen):
            raise ValueError(
                f"sample_shape={given} has {math.prod(given)} values, and X has {math.prod(seen)} features"
            )
        return given

    def structure(self, network: Network) -> dict[str, Any]:
        """See `BasePrunedClassifier.structure`; the module is represented by what it computes."""
        assert isinstance(network, ModuleNetwork)
        return {"module": network.identity, "sample_shape": network.sample_shape}

    def parameters_of(self, network: Network, tensors: Arrays) -> dict[str, Any]:
        """See `BasePrunedClassifier.parameters_of`: a module that exists, which has no arguments."""
        assert isinstance(network, ModuleNetwork)
        return {"module": network.to_module(tensors), "output_layer": network.output_layer}

    def describe_network(self, network: Network) -> dict[str, Any]:
        """See `BasePrunedClassifier.describe_network`: what shows whether a module is the one that was saved."""
        assert isinstance(network, ModuleNetwork)
        widths = {} if network.known_units is None else {group.name: group.size for group in network.hidden_groups}
        return {
            "sample_shape": list(network.sample_shape),
            "output_layer": network.output_layer,
            "widths": [[name, size] for name, size in widths.items()],
            "shapes": [[name, list(record.shape)] for name, record in network.records.items()],
        }

    def restore_network(self, saved: Mapping[str, Any]) -> Network:
        """See `BasePrunedClassifier.restore_network`; the module is the parameter's."""
        shape = tuple(map(natural, saved["sample_shape"]))
        widths = {str(name): natural(size) for name, size in saved["widths"]}
        shapes = {str(name): tuple(map(natural, sizes)) for name, sizes in saved["shapes"]}
        try:
            network = self._network(shape, len(self.classes_), str(saved["output_layer"]))
        except ModuleError as error:
            raise OtherNetworkError(str(error)) from error
        sizes = {name: group.size for name, group in network.groups.items()} if widths else {}
        if not all(1 <= size <= sizes.get(name, 0) for name, size in widths.items()):
            raise OtherNetworkError("it has been made smaller, and the module has other units")
        network = network.with_widths(widths) if widths else network
        found = {name: record.shape for name, record in network.records.items()}
        for name in found.keys() | shapes.keys():
            if found.get(name) != shapes.get(name):
                raise OtherNetworkError(
                    f"the file has {name} of shape {shapes.get(name)}, and the module {found.get(name)}: give the "
                    "module that was saved, with its parameters module__..."
                )
        return network

    @classmethod
    def load(
        cls, path: str | Path, module: Callable[..., nn.Module] | nn.Module | None = None, **module_parameters: Any
    ) -> Self:
        """Read a classifier written by `save`.

        A file holds numbers and no code, so that the module has to be given: nothing in the file is imported or
        executed. A classifier that `compact` returned is loaded with the module of the larger one.

        Parameters
        ----------
        path : str or Path
        module, **module_parameters
            As in the constructor.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, not of this class, or of another module.
        """
        if module is None:
            raise persistence.ModelFileError(
                f"{cls.__name__}.load needs the module, because a file holds no code: load(path, module=...)"
            )
        return persistence.load(cls, path, module=module, **module_parameters)
