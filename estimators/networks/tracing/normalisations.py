"""The batch normalisations in the graph of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import Normalisation

if TYPE_CHECKING:
    from torch import fx

    from .export import Graph

#: Operations with weights, right after which a normalisation is one of their outputs.
WEIGHTED = ("linear", "conv1d", "conv2d", "conv3d")


def name_of_operation(node: fx.Node) -> str:
    """The name of an operation of PyTorch; empty for other nodes."""
    schema = getattr(node.target, "_schema", None)
    return "" if schema is None else schema.name.partition("::")[2].removesuffix("_")


def normalisations_of(graph: Graph) -> list[Normalisation]:
    """The batch normalisations with running statistics, in the order of a forward pass."""
    found = []
    for node in graph.graph.nodes:
        if name_of_operation(node) == "batch_norm":
            scale, shift, mean, variance = (tensor_of(graph, argument) for argument in node.args[1:5])
            if mean is not None and variance is not None:
                weight, bias = _layer_before(graph, node.args[0])
                name = mean.rpartition(".")[0] or mean
                found.append(Normalisation(name, mean, variance, scale, shift, weight, bias))
    return found


def tensor_of(graph: Graph, argument: object) -> str | None:
    """The name of the module's tensor that an argument of an operation is; None if it is none."""
    return graph.tensors.get(getattr(argument, "name", ""))


def _layer_before(graph: Graph, node: fx.Node) -> tuple[str | None, str | None]:
    """Weights and bias of the layer whose outputs a node is, if nothing else reads them."""
    if name_of_operation(node) not in WEIGHTED or len(node.users) != 1:
        return None, None
    _, weight, bias, *_ = [*node.args, None]
    return tensor_of(graph, weight), tensor_of(graph, bias)
