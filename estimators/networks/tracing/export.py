"""The graph of a module, by `torch.export`."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..sources import ModuleError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, fx, nn


@dataclass(frozen=True)
class Graph:
    """What a module computes in evaluation, operation by operation.

    Attributes
    ----------
    graph : torch.fx.Graph
    tensors : dict of str to str
        From the names of inputs of the graph to those of the module's tensors.
    constants : dict of str to Tensor
        From the names of inputs of the graph to tensors that are part of the module's structure.
    inputs : str
        The input of the graph that is the samples.
    is_general : bool
        Whether it is that of any number of samples, and not of the example's alone.
    """

    graph: fx.Graph
    tensors: dict[str, str]
    constants: dict[str, Tensor]
    inputs: str
    is_general: bool

    def run(self, step: Any, values: dict[str, Any]) -> Any:
        """Compute the output.

        Parameters
        ----------
        step : callable
            From a node and its arguments to its value; also of arithmetic with sizes.
        values : dict of str to object
            Of the inputs of the graph.
        """
        found: dict[fx.Node, Any] = {}
        for node in self.graph.nodes:
            if node.op == "placeholder":
                found[node] = values[node.name]
            elif node.op == "call_function":
                args, kwargs = (torch.fx.map_arg(part, found.__getitem__) for part in (node.args, node.kwargs))
                found[node] = step(node, args, kwargs)
            elif node.op == "output":
                (output,) = node.args[0]
                return found[output]
            else:
                raise ModuleError(f"the graph of the module has a node of the kind {node.op!r}, which is not known")
        raise ModuleError("the graph of the module has no output")


def export(module: nn.Module, example: Tensor) -> Graph:
    """The graph of a module in evaluation, if possible for any number of samples.

    Raises
    ------
    ModuleError
        If `torch.export` cannot get it.
    """
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(
                module.eval(), (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=False
            )
    except Exception as error:
        raise ModuleError(
            f"torch.export has no graph of {type(module).__name__} ({type(error).__name__}: {one_line(error)})"
        ) from error
    signature = program.graph_signature
    names = {id(tensor): name for name, tensor in reversed([*module.named_parameters(), *module.named_buffers()])}
    aliases = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    tensors, constants = {}, {}
    for placeholder, target in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items():
        tensor = aliases[target]
        if tensor.is_floating_point():
            tensors[placeholder] = names[id(tensor)]
        else:
            constants[placeholder] = tensor
    for placeholder, target in signature.inputs_to_lifted_tensor_constants.items():
        constants[placeholder] = program.constants[target]
    (inputs,) = signature.user_inputs
    node = next(node for node in program.graph.nodes if node.name == inputs)
    is_general = isinstance(node.meta["val"].shape[0], torch.SymInt)
    return Graph(program.graph, tensors, constants, str(inputs), is_general)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what `torch.export` logs and warns of while it tries."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
