"""A smaller module from a module, for users who do not need a classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from .messages import PruningWarning, as_text, warn_caller
from .networks.inspecting import named_tensors
from .networks.module import arrays_of, network_of
from .networks.sources import ModuleError, Source
from .parameters import check_value, conflicts
from .pruning.allocation import Allocation, Choices, as_sparsity, values_of
from .pruning.compact import compact
from .pruning.evidence import Evidence
from .pruning.pruner import Pruner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor, nn

    from .networks.module import ModuleNetwork
    from .pruning.allocation import Sparsity
    from .pruning.pruner import Pruned


@dataclass(frozen=True)
class PruningReport:
    """What `prune_module` did; ``print(report)`` shows it.

    Attributes
    ----------
    widths : dict of str to (int, int)
        For every group of units, how many there were and how many are left.
    weights : dict of str to (int, int)
        For every tensor of weights, how many there were and how many are left that are not zero.
    parameters, macs : (int, int)
        Trained numbers that are not zero, and multiply-adds of the weights for one sample, before and after.
    fixed : dict of str to str
        Groups of units that could not be pruned, and why.
    not_pruned : tuple of str
        Parameters that are never pruned: no weights of a layer.
    masks : dict of str to ndarray of bool
        For every tensor of the module that was passed in, True where an entry was kept.
    """

    widths: dict[str, tuple[int, int]]
    weights: dict[str, tuple[int, int]]
    parameters: tuple[int, int]
    macs: tuple[int, int]
    fixed: dict[str, str]
    not_pruned: tuple[str, ...]
    masks: dict[str, NDArray[np.bool_]]

    def __str__(self) -> str:
        rows = self.widths or self.weights
        width = max(map(len, rows), default=0)
        lines = [f"{'units' if self.widths else 'weights':{width}}      before       after"]
        lines += [f"{name:{width}}  {before:>10,}  {after:>10,}" for name, (before, after) in rows.items()]
        for name, (before, after) in (("parameters", self.parameters), ("multiply-adds", self.macs)):
            part = f" ({after / before:.1%})" if before else ""
            lines.append(f"{name}: {before:,} -> {after:,}{part}")
        lines += [f"not pruned: {name}: {reason}" for name, reason in self.fixed.items()]
        lines += [f"not pruned: {name}: not the weights of a layer" for name in self.not_pruned]
        return "\n".join(lines)


def prune_module(
    module: nn.Module,
    example_input: Tensor,
    *,
    sparsity: Sparsity,
    granularity: str = "unit",
    criterion: str = "magnitude",
    scope: str = "layer",
    norm: float | str = 2,
    order: str = "smallest",
    reduce: str = "auto",
    normalize: str = "auto",
    prune_output: bool = False,
    exclude_layers: Sequence[str] = (),
    min_kept: float = 1,
    pattern: str = "none",
    data: tuple[ArrayLike, ArrayLike] | None = None,
    output_layer: str | None = None,
    random_state: int = 0,
) -> tuple[nn.Module, PruningReport]:
    """Return a smaller module, and a report.

    With ``granularity="unit"`` the module returned has narrower layers: hidden units, filters and attention heads are
    removed with all that belongs to them. With "weight" its layers are as wide as before, and the weights removed are
    zero (to keep them so in a training, multiply with ``report.masks`` after each step). It is a copy: it can be
    trained, pickled and exported, and the module passed in stays as it is.

    Parameters
    ----------
    module : torch.nn.Module
    example_input : Tensor, shape (n, ...)
        A batch that the module takes; its shape and type count, not its values.
    sparsity : float, or dict of str to float
        The fraction removed, of every layer or of those named.
    granularity : {"unit", "weight"}, default="unit"
    criterion : str, default="magnitude"
        As in `PrunedModuleClassifier`. Those that look at data need `data`.
    scope, norm, order, reduce, normalize, prune_output, exclude_layers, pattern
        As in `PrunedModuleClassifier`.
    min_kept : int or float, default=1
        Weights or units that every layer keeps at least; below 1, the fraction of them.
    data : (X, y), optional
        Samples and their classes, 0, 1, ...: what criteria look at.
    output_layer : str, optional
        The name of the layer that computes the logits; found if None, where that is clear.
    random_state : int, default=0
        Of the criterion "random", and of samples drawn from the data.

    Returns
    -------
    module : torch.nn.Module
        On the device and in the mode of the one passed in.
    report : PruningReport

    Raises
    ------
    ValueError
        If a parameter or the module cannot be used; the message is one sentence that says which and why.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from prunelab.estimators import prune_module
    >>> module = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    >>> smaller, report = prune_module(module, torch.zeros(1, 8), sparsity=0.75)
    >>> smaller[0].out_features, report.parameters
    (8, (387, 99))
    """
    choices = {
        "criterion": criterion,
        "granularity": granularity,
        "scope": scope,
        "norm": norm,
        "order": order,
        "reduce": reduce,
        "normalize": normalize,
        "prune_output": prune_output,
        "exclude_layers": tuple(exclude_layers),
        "min_kept": min_kept,
        "pattern": pattern,
    }
    others = {"sparsity": sparsity, "output_layer": output_layer, "random_state": random_state}
    for name, value in {**choices, **others}.items():
        check_value(name, value)
    for sentence in conflicts({**choices, "sparsity": sparsity}).values():
        raise ValueError(sentence)
    _check(module, example_input)
    network = network_of(Source(module), tuple(example_input.shape[1:]), output_layer=output_layer)
    chosen = Choices(**{**choices, "norm": float(norm)})
    Allocation(network, chosen).check(sparsity)
    tensors = arrays_of(module)
    evidence = _evidence(network, tensors, data, random_state, criterion)
    pruned = Pruner(chosen, network, tensors, None, random_state, evidence).prune(as_sparsity(sparsity))
    masked = {name: np.where(pruned.masks[name], array, np.float32(0)) for name, array in tensors.items()}
    smaller, left = network, masked
    if granularity == "unit":
        small = compact(network, masked)
        smaller, left = cast("ModuleNetwork", small.network), small.tensors
    _warn_of_emptied(network, pruned, sparsity)
    device = next((tensor.device for tensor in named_tensors(module).values()), torch.device("cpu"))
    result = smaller.to_module(left).train(module.training).to(device)
    return result, _report(network, smaller, pruned)


def _check(module: Any, example_input: Any) -> None:
    from torch import nn

    if not isinstance(module, nn.Module):
        raise ModuleError(f"module must be a torch.nn.Module, got {as_text(module)}")
    if not isinstance(example_input, torch.Tensor) or example_input.ndim < 2 or len(example_input) == 0:
        raise ModuleError(f"example_input must be a Tensor with at least one sample, got {as_text(example_input)}")


def _evidence(
    network: ModuleNetwork,
    tensors: dict[str, NDArray[np.float32]],
    data: tuple[ArrayLike, ArrayLike] | None,
    seed: int,
    criterion: str,
) -> Callable[[], Evidence]:
    """What makes the evidence from the data, when a criterion asks for it."""

    def make() -> Evidence:
        if data is None:
            raise ModuleError(f"criterion={criterion!r} looks at data: give data=(X, y), samples and their classes")
        X, y = np.asarray(data[0], dtype=np.float32), np.asarray(data[1])
        shape = network.sample_shape
        if len(X) != len(y) or math.prod(X.shape[1:]) != network.n_features:
            raise ModuleError(
                f"data must be (X, y) with samples of shape {shape} and a class for each, got shapes {X.shape} and "
                f"{y.shape}"
            )
        if not np.isin(y, np.arange(network.n_classes)).all():
            raise ModuleError(f"data must have classes from 0 to {network.n_classes - 1}, the logits of the module")
        return Evidence(network, tensors, X.reshape(len(X), -1), y.astype(np.int64), seed=seed)

    return make


def _warn_of_emptied(network: ModuleNetwork, pruned: Pruned, sparsity: Sparsity) -> None:
    emptied = pruned.emptied_layers(network)
    if emptied:
        value = max(values_of(sparsity), default=0)
        warn_caller(f"pruning to sparsity {value:g} removed every weight of {', '.join(emptied)}", PruningWarning)


def _report(network: ModuleNetwork, smaller: ModuleNetwork, pruned: Pruned) -> PruningReport:
    by_unit = smaller is not network
    kept = {name: int(np.count_nonzero(mask)) for name, mask in pruned.masks.items()}
    left = {name: smaller.records[name].size if by_unit else kept[name] for name in network.records}
    hidden = network.hidden_groups if by_unit else []
    return PruningReport(
        widths={group.name: (group.size, smaller.groups[group.name].size) for group in hidden},
        weights={record.name: (record.size, left[record.name]) for record in network.weights},
        parameters=(sum(network.records[n].size for n in network.trained), sum(left[n] for n in network.trained)),
        macs=(network.dense_macs, sum(left[record.name] * record.positions for record in network.weights)),
        fixed={units.name: f"{units.size} units, {units.reason}" for units in network.units.fixed},
        not_pruned=tuple(name for name, record in network.records.items() if record.kind == "other"),
        masks=dict(pruned.masks),
    )
