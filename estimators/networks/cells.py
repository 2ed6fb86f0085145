"""Recurrent cells on whole sequences: PyTorch's kernels, the same step by step, and sequences of different lengths.

The kernels are given the tensors to compute with, so that no copy of them can go stale. Sequences and outputs are
(n, steps, features) and (n, steps, units); the rows of weights and biases are the gates, one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import _VF  # the functions behind torch.nn.LSTM, GRU and RNN
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    #: Weights (gates * units, n_in) and (gates * units, units), and their biases (gates * units,).
    CellTensors = tuple[Tensor, Tensor, Tensor, Tensor]


def run(cell: str, tensors: CellTensors, values: Tensor, *, training: bool = False) -> Tensor:
    """The outputs of every step, by PyTorch's kernels; also of cells without inputs or units.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn"}
    tensors : tuple of Tensor
    values : Tensor, shape (n, steps, n_in)
    training : bool, default=False
        Whether a first derivative is all that is wanted: the kernels of cuDNN have no second.
    """
    weight, recurrent, *biases = tensors
    n_units = recurrent.shape[1]
    if n_units == 0:
        return values.new_zeros(*values.shape[:2], 0)
    if values.shape[2] == 0:
        weight, values = functional.pad(weight, (0, 1)), values.new_zeros(*values.shape[:2], 1)
    start = values.new_zeros(1, len(values), n_units)
    has_gradients = torch.is_grad_enabled()
    given = [weight, recurrent, *biases], True, 1, 0.0, has_gradients, False, True
    if values.device.type != "cuda":
        return _kernel(cell, values, start, given)
    with torch.backends.cudnn.flags(enabled=training or not has_gradients):
        return _kernel(cell, values, start, given)


def _kernel(cell: str, values: Tensor, start: Tensor, given: tuple) -> Tensor:
    if cell == "lstm":
        return _VF.lstm(values, (start, start), *given)[0]  # type: ignore[attr-defined]
    return (_VF.gru if cell == "gru" else _VF.rnn_tanh)(values, start, *given)[0]  # type: ignore[attr-defined]


def run_by_steps(cell: str, recurrent: Tensor, bias: Tensor, from_inputs: Tensor, added: Tensor) -> Tensor:
    """The outputs of every step, one step after the other.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn"}
    recurrent : Tensor, shape (gates * units, units)
    bias : Tensor, shape (gates * units,)
        Of the recurrent weights.
    from_inputs : Tensor, shape (n, steps, gates * units)
        What the inputs and their bias contribute.
    added : Tensor, shape (n, steps, gates * units)
        Added to what the recurrent weights and their bias contribute.
    """
    output = state = from_inputs.new_zeros(len(from_inputs), recurrent.shape[1])
    outputs = []
    for ours, more in zip(from_inputs.unbind(1), added.unbind(1), strict=True):
        theirs = torch.addmm(bias, output, recurrent.T) + more
        if cell == "lstm":
            enter, forget, fresh, leave = (ours + theirs).chunk(4, 1)
            state = torch.sigmoid(forget) * state + torch.sigmoid(enter) * torch.tanh(fresh)
            output = torch.sigmoid(leave) * torch.tanh(state)
        elif cell == "gru":
            (reset, update, fresh), (from_reset, from_update, from_fresh) = ours.chunk(3, 1), theirs.chunk(3, 1)
            fresh = torch.tanh(fresh + torch.sigmoid(reset + from_reset) * from_fresh)
            output = fresh + torch.sigmoid(update + from_update) * (output - fresh)
        else:
            output = torch.tanh(ours + theirs)
        outputs.append(output)
    return torch.stack(outputs, 1)


class Steps:
    """Which steps of some sequences are there; those after the end of a shorter one are NaN.

    Parameters
    ----------
    sequences : Tensor, shape (n, steps, features)
    """

    def __init__(self, sequences: Tensor):
        there = ~torch.isnan(sequences[:, :, 0])
        # A GPU is not waited for: there the sequences count as of different lengths.
        self._are_whole = there.device.type == "cpu" and bool(there.all())
        if not self._are_whole:
            lengths, places = there.sum(1, keepdim=True), torch.arange(there.shape[1], device=there.device)
            self._there, self._last = there[:, :, None], (lengths - 1)[:, :, None]
            self._order = torch.where(there, lengths - 1 - places, places)[:, :, None]

    def filled(self, values: Tensor) -> Tensor:
        """Values of every step (n, steps, ...) with zeros after the ends."""
        return values if self._are_whole else torch.where(self._there, values, values.new_zeros(()))

    def reversed(self, values: Tensor) -> Tensor:
        """Values of every step (n, steps, width) in the opposite order; what is after the ends stays there."""
        if self._are_whole:
            return values.flip(1)
        return values.gather(1, self._order.expand(-1, -1, values.shape[2]))

    def last(self, values: Tensor) -> Tensor:
        """The values (n, width) of the last step of each sequence."""
        if self._are_whole:
            return values[:, -1]
        return values.gather(1, self._last.expand(-1, -1, values.shape[2]))[:, 0]
