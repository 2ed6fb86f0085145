"""The user's own module as a network: its tensors by name, and its forward pass on tensors that are passed in."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .base import Group, Network, Normalisation, Slice, TensorRecord, drawn_from
from .describing import digest_of_module, digest_of_tensors, name_of
from .inspecting import LAYERS, Seen, constants, look, named_tensors, records_of
from .resizing import resized
from .sources import ModuleError, Source, check_logits, run, with_numbers, without_numbers
from .units import ModuleUnits, positions, units_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    from .base import Recorder, Tensors

#: Samples of the example that is passed through a module to see what it does. (Not one, which has exceptions.)
N_EXAMPLES = 2


@dataclass(frozen=True)
class Identity:
    """What a module computes: equal for modules that compute the same of tensors of the same shapes."""

    architecture: str
    output_layer: str
    summary: str

    def __repr__(self) -> str:
        return f"{self.summary} ({self.architecture[:8]})"


@dataclass(frozen=True)
class ModuleNetwork(Network):
    """A `torch.nn.Module` without its numbers, which is called with those that are passed in.

    Its tensors have the module's own names; parameters that are shared come once. Two of them are equal if what they
    compute, the samples and the classes are the same, and they begin alike: `architecture` and `beginning` are digests.

    Attributes
    ----------
    architecture : str
        A digest of what the module computes.
    sample_shape : tuple of int
    n_classes : int
    output_layer : str
        The name of the layer that computes the logits.
    takes_integers : bool
        Whether the module takes whole numbers, such as tokens.
    beginning : str
        A digest of what the initial numbers follow from, beside a seed.
    source : Source
        Makes the module anew.
    skeleton : Module
        The module without its numbers.
    tensors : tuple of TensorRecord
    most_activations : int
        Of a layer, for one sample.
    known_units : ModuleUnits, optional
        The units, of a network that is a part of another one; found if absent.
    """

    architecture: str
    sample_shape: tuple[int, ...]
    n_classes: int
    output_layer: str
    takes_integers: bool
    beginning: str
    source: Source = field(repr=False, compare=False)
    skeleton: nn.Module = field(repr=False, compare=False)
    tensors: tuple[TensorRecord, ...] = field(repr=False, compare=False)
    most_activations: int = field(repr=False, compare=False)
    known_units: ModuleUnits | None = field(default=None, repr=False, compare=False)

    #: Dropout and the like draw random numbers in training.
    is_random = True

    #: Layers of PyTorch do not compute with no channels at all.
    smallest_group = 1

    def make_records(self) -> list[TensorRecord]:  # noqa: D102
        return list(self.tensors)

    def make_groups(self) -> list[Group]:  # noqa: D102
        return self.units.groups

    def make_normalisations(self) -> list[Normalisation]:  # noqa: D102
        return list(self.units.normalisations)

    @property
    def units(self) -> ModuleUnits:
        """The units of the module, and those that cannot be pruned."""
        return units_of(self) if self.known_units is None else self.known_units

    def with_units(self, units: ModuleUnits) -> Self:
        """The same network with other groups of units."""
        return replace(self, known_units=units)

    def check_units(self) -> None:  # noqa: D102
        if self.units.problem:
            raise ModuleError(f"granularity='unit' needs the units of {name_of(self.skeleton)}: {self.units.problem}")

    @property
    def is_connectivity_known(self) -> bool:  # noqa: D102
        return self.units.is_connectivity_known

    def with_widths(self, widths: Mapping[str, int]) -> Self:  # noqa: D102
        groups = {name: replace(group, size=widths.get(name, group.size)) for name, group in self.groups.items()}
        lost = [
            (part, (group.size - groups[group.name].size) * part.blocks * part.inner)
            for group in self.groups.values()
            for part in dict.fromkeys(group.slices)
        ]
        places = {(part.tensor, part.axis, part.start): n for part, n in lost}  # once, though it is written and read
        shapes = {
            name: tuple(
                n - sum(count for (tensor, along, _), count in places.items() if (tensor, along) == (name, axis))
                for axis, n in enumerate(record.shape)
            )
            for name, record in self.records.items()
        }

        def moved(part: Slice) -> Slice:
            before = [n for (name, axis, at), n in places.items() if (name, axis) == part[:2] and at < part.start]
            return part._replace(start=part.start - sum(before))

        smaller = [replace(group, slices=tuple(map(moved, group.slices))) for group in groups.values()]
        skeleton = resized(self.skeleton, shapes)
        return replace(
            self,
            architecture=digest_of_module(skeleton),
            skeleton=skeleton,
            tensors=tuple(replace(record, shape=shapes[record.name]) for record in self.tensors),
            known_units=replace(self.units, groups=smaller),
        )

    def constant_outputs(self, group: str, reader: str, tensors: Mapping[str, NDArray]) -> NDArray:  # noqa: ARG002
        """See `Network.constant_outputs`; NaN where it is not known, as for units with biases."""
        found = self.groups[group]
        is_zero = np.full(found.size, group in self.units.keep_zero)
        variances = {normalisation.variance for normalisation in self.normalisations.values()}
        for part in found.of_role("rider"):
            if self.records[part.tensor].kind not in ("scale", "weight") and part.tensor not in variances:
                units = [positions(part, found.size, np.array([unit])) for unit in range(found.size)]
                entries = np.moveaxis(tensors[part.tensor] != 0, part.axis, 0)[np.array(units, dtype=int)]
                is_zero &= ~entries.reshape(found.size, -1).any(axis=1)
        return np.where(is_zero, 0.0, np.nan)

    def fold_target(self, reader: str) -> None:
        """See `Network.fold_target`: what reads a unit of a module need not have a bias."""

    def initial(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """The tensors of a module that is made with random numbers that follow from the seed.

        Those of a module that was there already are its own, whatever the seed.
        """
        return arrays_of(self.source.make(seed, self.example))

    @property
    def is_piecewise_linear(self) -> bool:
        """Not known of a module."""
        return False

    @property
    def n_features(self) -> int:  # noqa: D102
        return math.prod(self.sample_shape)

    @property
    def n_outputs(self) -> int:  # noqa: D102
        return self.n_classes

    @property
    def widest(self) -> int:  # noqa: D102
        return max(self.most_activations, self.n_features)

    @property
    def summary(self) -> str:  # noqa: D102
        return f"{name_of(self.skeleton)} with {self.n_weights:,} weights"

    @property
    def identity(self) -> Identity:
        """What the module computes, apart from the numbers that it begins with."""
        return Identity(self.architecture, self.output_layer, self.summary)

    @property
    def example(self) -> Tensor:
        """Some samples."""
        return example_of(self.sample_shape, self.takes_integers)

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
            raise ModuleError(
                "criterion='synflow' leaves out biases, normalisations and activations, which it cannot in a module: "
                "use another criterion, such as 'magnitude', 'taylor' or 'snip'"
            )
        if recorder is not None:
            raise ModuleError(
                "the inputs and outputs of each layer are not recorded in a module, which criterion='fisher', 'wanda', "
                "'activation', 'apoz' and 'activity' and schedule='synaptic' need: use 'magnitude', 'lamp', 'taylor', "
                "'snip', 'obd', 'movement', 'grasp' or 'random'"
            )
        module = self._modes[training]
        fixed = {name: tensor.to(inputs.device, copy=training) for name, tensor in constants(module).items()}
        samples = inputs.reshape(-1, *self.sample_shape)
        samples = samples.long() if self.takes_integers else samples
        with _plain_attention():
            logits = torch.func.functional_call(module, {**tensors, **fixed}, (samples,))
        logits = check_logits(module, logits, samples)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    @cached_property
    def _modes(self) -> dict[bool, nn.Module]:
        """The module in training and in evaluation: two, so that no call changes the mode of another."""
        return {mode: copy.deepcopy(self.skeleton).train(mode) for mode in (True, False)}

    def __getstate__(self) -> dict[str, Any]:
        """What is made when it is needed is not copied or pickled."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    def to_module(self, tensors: Mapping[str, NDArray]) -> nn.Module:
        """A plain module with these numbers, in training mode; its parameters can be trained."""
        return with_numbers(self.skeleton, tensors)


def network_of(
    source: Source, sample_shape: tuple[int, ...], n_classes: int | None = None, output_layer: str | None = None
) -> ModuleNetwork:
    """The network of a module.

    Parameters
    ----------
    source : Source
    sample_shape : tuple of int
    n_classes : int, optional
        As many logits as the module must have.
    output_layer : str, optional
        The layer that computes the logits; found if absent.

    Raises
    ------
    ModuleError
        If the module cannot be made, or cannot compute such samples, or its output layer is not known.
    """
    example, takes_integers = example_of(sample_shape), False
    try:
        module = source.make(0, example)
        logits = _logits(module, example)
    except ModuleError:
        example, takes_integers = example_of(sample_shape, takes_integers=True), True
        try:
            module = source.make(0, example)
            logits = _logits(module, example)
        except ModuleError:
            _logits(source.make(0, example_of(sample_shape)), example_of(sample_shape))  # the first reason
            raise
    if n_classes is not None and logits.shape[1] != n_classes:
        raise ModuleError(
            f"module {source.name} returns {logits.shape[1]} logits, and y has {n_classes} classes: they must be equal"
        )
    seen = _seen(module, example)
    output = _output_layer(module, seen, output_layer)
    skeleton = without_numbers(module)
    return ModuleNetwork(
        architecture=digest_of_module(skeleton),
        sample_shape=tuple(sample_shape),
        n_classes=int(logits.shape[1]),
        output_layer=output,
        takes_integers=takes_integers,
        beginning=digest_of_tensors(arrays_of(module)) + source.describe(),
        source=source,
        skeleton=skeleton,
        tensors=tuple(records_of(module, seen, output)),
        most_activations=seen.widest,
    )


def _logits(module: nn.Module, example: Tensor) -> Tensor:
    with drawn_from(0), torch.no_grad():
        return run(copy.deepcopy(module).eval(), example)


def _seen(module: nn.Module, example: Tensor) -> Seen:
    with drawn_from(0), _plain_attention():
        return look(copy.deepcopy(module).eval(), example)


def _output_layer(module: nn.Module, seen: Seen, wanted: str | None) -> str:
    """The name of the layer that computes the logits."""
    layers = {name for name, layer in module.named_modules() if isinstance(layer, LAYERS)}
    if wanted is not None:
        if wanted not in layers:
            raise ModuleError(
                f"output_layer={wanted!r} is no layer with weights of {name_of(module)}: it has "
                f"{', '.join(sorted(layers)) or 'none'}"
            )
        return wanted
    if seen.last_layer is None:
        raise ModuleError(
            f"the output layer of {name_of(module)} is not clear, because no layer computes the logits alone: name it "
            f"as output_layer=..., one of {', '.join(seen.layers) or 'none'}"
        )
    return seen.last_layer


def example_of(sample_shape: tuple[int, ...], takes_integers: bool = False) -> Tensor:
    """Some samples, the same ones every time; whole numbers are zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    shape = (N_EXAMPLES, *sample_shape)
    if takes_integers:
        return torch.randint(0, 2, shape, generator=generator)
    return torch.randn(shape, generator=generator)


def arrays_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """The numbers of a module, by name."""
    return {
        name: tensor.detach().cpu().to(torch.float32).numpy().copy() for name, tensor in named_tensors(module).items()
    }


class _plain_attention:  # noqa: N801 (a context, as those of PyTorch)
    """Compute attention layers as in training: the fast path of PyTorch rounds in another way."""

    def __enter__(self) -> None:
        self._was = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)

    def __exit__(self, *_: object) -> None:
        torch.backends.mha.set_fastpath_enabled(self._was)
