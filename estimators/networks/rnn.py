"""Recurrent networks: perhaps a linear layer, LSTM, GRU or plain recurrent cells, and a readout of the last step.

With a recorder the steps are computed one after the other, so that the errors of every step can be seen; tests compare
that with PyTorch's kernels, which compute everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import expit
from torch.nn import functional

from .base import Group, Network, Slice, TensorRecord
from .cells import Steps, run, run_by_steps
from .layers import glorot, one_position, orthogonal, uniform
from .shapes import GATES, sequence_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    from .base import Recorder, Tensors
    from .cells import CellTensors


@dataclass(frozen=True)
class RNNNetwork(Network):
    """Layers of recurrent cells that read a sequence, and a linear readout of the last step.

    A cell has the gates of PyTorch's, in its order: those of an LSTM are input, forget, cell and output; those of a GRU
    reset, update and new, of which the last applies the reset to the product of the recurrent weights. Its tensors are
    ``rnn1.input.weight`` (gates * units, n_in), ``rnn1.recurrent.weight`` (gates * units, units), ``rnn1.input.bias``
    and ``rnn1.recurrent.bias`` (gates * units,); those of the cell that reads backwards begin with ``backward1``. There
    are ``output.weight`` (n_in, n_out) and ``output.bias``, and ``input.weight`` (n_in, n_out) and ``input.bias`` where
    a linear layer precedes the cells.

    The end of a sequence that is shorter than others is filled with NaN. Its last step is its own, from which the cells
    that read backwards begin.

    Attributes
    ----------
    sample_shape : tuple of int
        Steps and features of a sample; or channels, height and width of an image, whose rows are the steps.
    cell : {"lstm", "gru", "rnn"}
        "rnn" is the plain cell with tanh (J. Elman, 1990).
    hidden_sizes : tuple of int
        Units of each layer; with `bidirectional` of each layer forwards, then backwards.
    n_classes : int
    bidirectional : bool
        Whether each layer also has a cell that reads the sequence from its end. Its last step is the first one.
    input_size : int or None
        Units of a linear layer, without activation, that is applied to every step before the cells; None is no layer.
    init : {"uniform", "glorot"}
        How the tensors begin; see `initial`.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 1997; F. Gers et al., "Learning to
    Forget", 2000; K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014.
    """

    sample_shape: tuple[int, ...]
    cell: str
    hidden_sizes: tuple[int, ...]
    n_classes: int
    bidirectional: bool = False
    input_size: int | None = None
    init: str = "uniform"

    @property
    def steps_and_features(self) -> tuple[int, int]:
        """The length of a sequence, and the numbers of a step."""
        return sequence_of(self.sample_shape)

    @property
    def gates(self) -> tuple[str, ...]:
        """The names of the gates of a cell, in the order of their rows."""
        return GATES[self.cell]

    @property
    def layers(self) -> list[list[str]]:
        """The names of the cells of each layer."""
        directions = ("rnn", "backward") if self.bidirectional else ("rnn",)
        n_layers = len(self.hidden_sizes) // len(directions)
        return [[f"{direction}{i}" for direction in directions] for i in range(1, n_layers + 1)]

    @property
    def _sizes(self) -> dict[str, int]:
        """The units of each cell."""
        return dict(zip((cell for layer in self.layers for cell in layer), self.hidden_sizes, strict=True))

    @property
    def n_features(self) -> int:  # noqa: D102
        return int(np.prod(self.sample_shape))

    @property
    def summary(self) -> str:  # noqa: D102
        steps, features = self.steps_and_features
        cells = f"{self.cell.upper()} {'-'.join(map(str, self.hidden_sizes))}"
        before = "" if self.input_size is None else f"linear {self.input_size}, "
        return f"{steps} steps of {features}, {before}{cells}{' in both directions' if self.bidirectional else ''}"

    @property
    def widest(self) -> int:  # noqa: D102
        steps, features = self.steps_and_features
        of_a_step = max(features, self.input_size or 0, len(self.gates) * max(self.hidden_sizes))
        return max(steps * of_a_step, self.n_classes)

    def make_records(self) -> list[TensorRecord]:  # noqa: D102
        steps, width = self.steps_and_features
        records, sizes = [], self._sizes
        if self.input_size is not None:
            records.append(TensorRecord("input.weight", (width, self.input_size), output_axis=1, positions=steps))
            records.append(TensorRecord("input.bias", (self.input_size,), "bias"))
            width = self.input_size
        for layer in self.layers:
            for cell in layer:
                rows = len(self.gates) * sizes[cell]
                records.append(TensorRecord(f"{cell}.input.weight", (rows, width), positions=steps))
                records.append(TensorRecord(f"{cell}.recurrent.weight", (rows, sizes[cell]), positions=steps))
                records += [TensorRecord(f"{cell}.{part}.bias", (rows,), "bias") for part in ("input", "recurrent")]
            width = sum(sizes[cell] for cell in layer)
        records.append(TensorRecord("output.weight", (width, self.n_classes), output_axis=1, is_output=True))
        records.append(TensorRecord("output.bias", (self.n_classes,), "bias", is_output=True))
        return records

    def make_groups(self) -> list[Group]:  # noqa: D102
        layers, sizes, gates, groups = self.layers, self._sizes, len(self.gates), []
        if self.input_size is not None:
            slices = [Slice("input.weight", 1, "producer"), Slice("input.bias", 0, "rider")]
            slices += [Slice(f"{cell}.input.weight", 1, "consumer") for cell in layers[0]]
            groups.append(Group("input", self.input_size, tuple(slices)))
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            start = 0
            for cell in layer:
                slices = [Slice(f"{cell}.{part}.weight", 0, "producer", gates) for part in ("input", "recurrent")]
                slices += [Slice(f"{cell}.{part}.bias", 0, "rider", gates) for part in ("input", "recurrent")]
                slices.append(Slice(f"{cell}.recurrent.weight", 1, "consumer"))
                if following is None:
                    slices.append(Slice("output.weight", 0, "consumer", start=start))
                else:
                    slices += [Slice(f"{other}.input.weight", 1, "consumer", start=start) for other in following]
                groups.append(Group(cell, sizes[cell], tuple(slices)))
                start += sizes[cell]
        output = Slice("output.weight", 1, "producer"), Slice("output.bias", 0, "rider")
        return [*groups, Group("output", self.n_classes, output, is_output=True)]

    def with_widths(self, widths: Mapping[str, int]) -> Self:  # noqa: D102
        sizes = tuple(widths.get(cell, size) for cell, size in self._sizes.items())
        input_size = None if self.input_size is None else widths.get("input", self.input_size)
        return replace(self, hidden_sizes=sizes, input_size=input_size)

    def constant_outputs(self, group: str, reader: str, tensors: Mapping[str, NDArray]) -> NDArray:  # noqa: ARG002
        """Return the output of each unit after one step if all its incoming weights are zero, shape (size,).

        Of a cell, it stays zero where it is, and may change from step to step elsewhere.
        """
        if group == "input":
            return tensors["input.bias"]
        gates = len(self.gates)
        ours, theirs = (np.split(tensors[f"{group}.{part}.bias"], gates) for part in ("input", "recurrent"))
        if self.cell == "rnn":
            return np.tanh(ours[0] + theirs[0])
        if self.cell == "gru":
            reset, update = (expit(ours[i] + theirs[i]) for i in range(2))
            return (1 - update) * np.tanh(ours[2] + reset * theirs[2])
        enter, _, cell, leave = (our + their for our, their in zip(ours, theirs, strict=True))
        return expit(leave) * np.tanh(expit(enter) * np.tanh(cell))

    def fold_target(self, reader: str) -> tuple[str, int] | None:  # noqa: D102
        layer = reader.removesuffix(".weight")
        if self.input_size is not None and layer in [f"{cell}.input" for cell in self.layers[0]]:
            return f"{layer}.bias", 1
        return None  # the outputs of cells change with time

    def initial(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Draw the tensors of a cell uniformly from -1/sqrt(units) to 1/sqrt(units), as PyTorch's cells begin.

        Linear layers begin as PyTorch's, too, with the inputs in the place of the units. With "glorot", the weights are
        normal with variance 2 / (n_in + units), but those between the units of a cell orthogonal matrices, a gate each
        (A. Saxe, J. McClelland, S. Ganguli, ICLR 2014), and the biases zero.
        """
        rng = np.random.default_rng(seed)
        tensors: dict[str, NDArray[np.float32]] = {}
        for name, record in self.records.items():
            layer, _, kind = name.rpartition(".")
            cell = layer.partition(".")[0]
            units = self._sizes.get(cell)  # None of linear layers
            if self.init != "glorot":
                tensors[name] = uniform(rng, record.shape, units or self.records[f"{layer}.weight"].fan_in)
            elif kind == "bias":
                tensors[name] = np.zeros(record.shape, np.float32)
            elif layer == f"{cell}.recurrent":
                tensors[name] = np.concatenate([orthogonal(rng, record.shape[1]) for _ in self.gates])
            else:
                tensors[name] = glorot(rng, record.shape, record.fan_in, units or record.shape[1])
        return tensors

    def per_gate(self, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, dict[str, int]]:
        """For every tensor of a cell's weights, how many entries of each gate are kept."""
        counts = {}
        for record in self.weights:
            if record.name.partition(".")[0] in self._sizes:
                blocks = np.split(masks[record.name], len(self.gates))
                counts[record.name] = dict(zip(self.gates, map(int, map(np.count_nonzero, blocks)), strict=True))
        return counts

    @property
    def readers_of_features(self) -> list[str]:  # noqa: D102
        return [f"{cell}.input.weight" for cell in self.layers[0]] if self.input_size is None else ["input.weight"]

    @property
    def is_piecewise_linear(self) -> bool:  # noqa: D102
        return False

    def forward(  # noqa: D102
        self,
        tensors: Tensors,
        inputs: Tensor,
        *,
        training: bool = False,
        linear: bool = False,
        recorder: Recorder | None = None,
    ) -> Tensor:
        if linear:
            raise ValueError("recurrent cells have no linear form: synaptic flow has no meaning for them")
        sequences = self._sequences(inputs)
        steps = Steps(sequences)
        # The recorder gets what a layer reads, the features as they come in, and how it is read.
        values, source, read = steps.filled(sequences), inputs, lambda some: steps.filled(self._sequences(some))
        if self.input_size is not None:
            values = torch.matmul(values, tensors["input.weight"]) + tensors["input.bias"]
            if recorder is not None:
                values = steps.filled(recorder.layer("input.weight", source, read, values.mT).mT)
                recorder.units("input", values.mT)
            source, read = values, _as_they_are
        outputs: list[Tensor] = []
        for layer in self.layers:
            if outputs:  # those of the layer before
                in_time = [view(out) for view, out in zip(self._views(steps), outputs, strict=True)]
                source = values = torch.cat(in_time, 2)
                read = _as_they_are
            outputs = []
            for cell, view in zip(layer, self._views(steps), strict=True):
                own = view(values)
                if recorder is None:
                    outputs.append(run(self.cell, _tensors_of(cell, tensors), own, training=training))
                else:
                    patches = partial(_composed, view, read)
                    outputs.append(self._recorded(cell, tensors, own, steps, recorder, source, patches))
        last = torch.cat([steps.last(out) for out in outputs], 1)
        logits = torch.addmm(tensors["output.bias"], last, tensors["output.weight"])
        if recorder is not None:
            logits = recorder.layer("output.weight", last, one_position, logits)
        if logits.dtype == torch.bfloat16:
            logits = logits.float()
        if recorder is not None:
            recorder.units("output", logits)
        return logits

    def _recorded(
        self,
        cell: str,
        tensors: Tensors,
        values: Tensor,
        steps: Steps,
        recorder: Recorder,
        source: Tensor,
        patches: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """The outputs of every step of a cell, which a recorder sees as those of two layers.

        The products of the recurrent weights at all steps are known only after the last of them. They are computed
        beforehand, for the recorder, and what it adds to them is added to those of each step.
        """
        weight, recurrent, bias, recurrent_bias = of_cell = _tensors_of(cell, tensors)
        from_inputs = torch.matmul(values, weight.T) + bias
        from_inputs = recorder.layer(f"{cell}.input.weight", source, patches, from_inputs.mT).mT
        with torch.no_grad():
            before = functional.pad(run(self.cell, of_cell, values)[:, :-1], (0, 0, 1, 0))
            before = steps.filled(before)
            products = torch.matmul(before, recurrent.T) + recurrent_bias
        shown = recorder.layer(f"{cell}.recurrent.weight", before, _as_they_are, products.mT).mT
        outputs = run_by_steps(self.cell, recurrent, recurrent_bias, from_inputs, shown - products)
        outputs = steps.filled(outputs)
        recorder.units(cell, outputs.mT)
        return outputs

    def _sequences(self, inputs: Tensor) -> Tensor:
        """Rows of features as sequences (n, steps, features)."""
        if len(self.sample_shape) == 3:  # a row of an image is that of all its channels
            return inputs.reshape(-1, *self.sample_shape).movedim(1, 2).flatten(2)
        return inputs.reshape(-1, *self.sample_shape)

    def _views(self, steps: Steps) -> list[Callable[[Tensor], Tensor]]:
        """From values in the order of time to those in the order in which each cell of a layer reads, and back."""
        return [_as_they_are, steps.reversed] if self.bidirectional else [_as_they_are]


def _tensors_of(cell: str, tensors: Tensors) -> CellTensors:
    weight, recurrent = tensors[f"{cell}.input.weight"], tensors[f"{cell}.recurrent.weight"]
    return weight, recurrent, tensors[f"{cell}.input.bias"], tensors[f"{cell}.recurrent.bias"]


def _as_they_are(values: Tensor) -> Tensor:
    return values


def _composed(view: Callable[[Tensor], Tensor], read: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    return view(read(values))
