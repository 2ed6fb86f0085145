"""The multi-layer perceptron, with a backward pass of its own.

The backward pass is written out, not left to autograd, for two reasons measured on a CPU: a gradient is used for its
update while it is in the cache (a step is an eighth faster), and small networks save autograd's bookkeeping. The tests
compare it with autograd.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from .base import Group, Network, Slice, TensorRecord, sample_shares
from .layers import ACTIVATIONS, PIECEWISE_LINEAR, glorot, one_position, uniform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    from .base import Recorder, Tensors


@dataclass(frozen=True)
class MLPNetwork(Network):
    """A multi-layer perceptron.

    Its tensors are ``hidden1.weight`` (n_in, n_out), ``hidden1.bias`` (n_out,), ..., ``output.weight`` and
    ``output.bias``.

    Attributes
    ----------
    sizes : tuple of int
        Width of every layer, the input first and the classes last.
    activation : {"relu", "tanh", "logistic", "identity"}
        Of the hidden layers.
    fit_intercept : bool
        Whether the layers have biases.
    init : {"uniform", "glorot"}
        How the tensors begin; see `initial`.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    fit_intercept: bool = False
    init: str = "uniform"

    @property
    def layers(self) -> list[str]:
        """Names of the layers."""
        return [*(f"hidden{i}" for i in range(1, len(self.sizes) - 1)), "output"]

    @property
    def n_features(self) -> int:  # noqa: D102
        return self.sizes[0]

    @property
    def summary(self) -> str:  # noqa: D102
        return f"{'-'.join(map(str, self.widths))} {self.activation}"

    @property
    def widest(self) -> int:  # noqa: D102
        return max(self.sizes)

    @property
    def layer_names(self) -> list[str]:  # noqa: D102
        return []

    def make_records(self) -> list[TensorRecord]:  # noqa: D102
        records = []
        for layer, (n_in, n_out) in zip(self.layers, itertools.pairwise(self.sizes), strict=True):
            is_output = layer == "output"
            records.append(TensorRecord(f"{layer}.weight", (n_in, n_out), output_axis=1, is_output=is_output))
            if self.fit_intercept:
                records.append(TensorRecord(f"{layer}.bias", (n_out,), kind="bias", is_output=is_output))
        return records

    def make_groups(self) -> list[Group]:  # noqa: D102
        groups = []
        for layer, following, width in zip(self.layers, [*self.layers[1:], None], self.sizes[1:], strict=True):
            slices = [Slice(f"{layer}.weight", 1, "producer")]
            if self.fit_intercept:
                slices.append(Slice(f"{layer}.bias", 0, "rider"))
            if following is not None:
                slices.append(Slice(f"{following}.weight", 0, "consumer"))
            groups.append(Group(layer, width, tuple(slices), is_output=following is None))
        return groups

    def with_widths(self, widths: Mapping[str, int]) -> Self:  # noqa: D102
        sizes = [self.sizes[0], *(widths.get(group.name, group.size) for group in self.groups.values())]
        return type(self)(tuple(sizes), self.activation, self.fit_intercept, self.init)

    def initial(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Draw weights and biases uniformly from -1/sqrt(n_in) to 1/sqrt(n_in), as `torch.nn.Linear` does.

        With "glorot", the weights are normal with variance 2 / (n_in + n_out), and the biases zero.
        """
        rng = np.random.default_rng(seed)
        tensors: dict[str, NDArray[np.float32]] = {}
        records = self.records.values()
        for record in (record for record in records if record.kind == "weight"):
            tensors[record.name] = (glorot if self.init == "glorot" else uniform)(rng, record.shape, record.fan_in)
        for record in (record for record in records if record.kind == "bias"):
            fan_in = self.records[record.name.replace("bias", "weight")].fan_in
            is_zero = self.init == "glorot"
            tensors[record.name] = np.zeros(record.shape, np.float32) if is_zero else uniform(rng, record.shape, fan_in)
        return {name: tensors[name] for name in self.records}

    def constant_outputs(self, group: str, reader: str, tensors: Mapping[str, NDArray]) -> NDArray:  # noqa: ARG002, D102
        width = self.groups[group].size
        bias = tensors.get(f"{group}.bias")
        return ACTIVATIONS[self.activation].of_array(np.zeros(width, np.float32) if bias is None else bias)

    def fold_target(self, reader: str) -> tuple[str, int] | None:  # noqa: D102
        return reader.replace("weight", "bias"), 1

    def with_biases(self) -> Self:  # noqa: D102
        return replace(self, fit_intercept=True)

    @property
    def is_piecewise_linear(self) -> bool:  # noqa: D102
        return self.activation in PIECEWISE_LINEAR

    def forward(  # noqa: D102
        self,
        tensors: Tensors,
        inputs: Tensor,
        *,
        training: bool = False,  # noqa: ARG002 (the same in training)
        linear: bool = False,
        recorder: Recorder | None = None,
    ) -> Tensor:
        return self._outputs(tensors, inputs, linear, recorder)[-1]

    def _outputs(
        self, tensors: Tensors, inputs: Tensor, linear: bool = False, recorder: Recorder | None = None
    ) -> list[Tensor]:
        """The output of every layer after its activation, the logits last."""
        activate = ACTIVATIONS["identity" if linear else self.activation].in_place
        outputs: list[Tensor] = []
        values = inputs
        for layer in self.layers:
            weight, before = tensors[f"{layer}.weight"], values
            if self.fit_intercept and not linear:
                values = torch.addmm(tensors[f"{layer}.bias"], before, weight)
            else:
                values = torch.mm(before, weight)
            if recorder is not None:
                values = recorder.layer(f"{layer}.weight", before, one_position, values)
            if layer != "output":
                values = activate(values)
            elif values.dtype == torch.bfloat16:
                values = values.float()
            if recorder is not None:
                recorder.units(layer, values)
            outputs.append(values)
        return outputs

    def loss_and_gradients(  # noqa: D102
        self,
        tensors: Tensors,
        inputs: Tensor,
        targets: Tensor,
        weights: Tensor | None = None,
        *,
        training: bool = True,  # noqa: ARG002 (the same in training)
    ) -> tuple[Tensor, Iterator[tuple[str, Tensor]]]:
        *hidden, logits = self._outputs(tensors, inputs)
        log_probabilities = torch.log_softmax(logits, dim=1)
        losses = -log_probabilities.gather(1, targets[:, None]).squeeze(1)
        share = sample_shares(losses, weights)
        loss = (losses * share).sum()
        delta = log_probabilities.exp_()
        delta.scatter_add_(1, targets[:, None], torch.full_like(delta[:, :1], -1.0))
        delta = delta.mul_(share[:, None]).to(inputs.dtype)
        return loss, self._gradients(tensors, [inputs, *hidden], delta)

    def _gradients(self, tensors: Tensors, layer_inputs: list[Tensor], delta: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Carry the error at the logits back through the layers."""
        through_activation = ACTIVATIONS[self.activation].gradient
        for i, layer in reversed(list(enumerate(self.layers))):
            values = layer_inputs[i]
            previous = None
            if i > 0:  # before the weights are yielded, because the caller then changes them
                previous = through_activation(torch.mm(delta, tensors[f"{layer}.weight"].T), values)
            yield f"{layer}.weight", torch.mm(values.T, delta)
            if self.fit_intercept:
                yield f"{layer}.bias", delta.sum(0, dtype=torch.float32)
            if previous is not None:
                delta = previous


def name_tensors(weights: Sequence[NDArray], biases: Sequence[NDArray] = ()) -> dict[str, NDArray]:
    """Weights and biases, listed from the first layer to the output, by the names they have in an `MLPNetwork`."""
    layers = [*(f"hidden{i}" for i in range(1, len(weights))), "output"]
    tensors = {}
    for i, (layer, weight) in enumerate(zip(layers, weights, strict=False)):
        tensors[f"{layer}.weight"] = weight
        if biases:
            tensors[f"{layer}.bias"] = biases[i]
    return tensors
