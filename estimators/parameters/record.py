"""What is known about a parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..registry import ESTIMATORS, SCRIPT_ONLY
from .values import Values

#: What a parameter is about. "network": which tensors there are and what is computed with them. "training": how the
#: dense network is trained. "pruning": what is removed, when, and how it is retrained; only these may differ between
#: the networks that share one dense training. "machine": where and how precisely it is computed.
Kind = Literal["network", "training", "pruning", "machine"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of the estimators.

    Attributes
    ----------
    name : str
        As in the constructors.
    default : object
        As in the constructors.
    values : Values
        Which values it can have, and how they are read and shown.
    kind : {"network", "training", "pruning", "machine"}
        What it is about; see `Kind`.
    help : str
        The help line of its option on the command line, which is its name with dashes; empty if it has no option. The
        default is added in parentheses.
    metavar : str
        Stands for the value in the help.
    spellings : tuple of str
        Further spellings of the option, such as ``"--lr"``.
    default_words : str, optional
        The default in the help, where it is not the value itself; empty: no default is shown.
    label : str
        The label of its field in the lab's form, at most 14 characters; empty if it has no field.
    hint : str
        Shown in the field while it is empty.
    choice_labels : mapping
        What the form calls a choice, where it is not the value itself.
    notes : mapping
        A line on each choice, for lists in the lab.
    field_choices : sequence, optional
        The choices that the form offers, where they are not those of `values`.
    matters : callable, optional
        From the values of all fields (of ways: tuples) to whether this one makes a difference; the form hides it where
        it does not, and a run leaves it at its default.
    estimators : tuple of str
        The estimators that have it.
    defaults : mapping of str to object
        The default of some estimators, where it is another one.
    is_way : bool
        Whether a run takes several values of it, and draws a curve for each.
    is_stored : bool
        Whether a file (a model, a run) may set it. No path may be among them: a file that comes from elsewhere must
        not name a folder to read.
    is_of_run : bool
        Whether a run takes it. Others are given in other ways (`sparsities`, `seeds`), or make no sense there.
    """

    name: str
    default: Any
    values: Values
    kind: Kind
    help: str = ""
    metavar: str = "NAME"
    spellings: tuple[str, ...] = ()
    default_words: str | None = None
    label: str = ""
    hint: str = ""
    choice_labels: Mapping[Any, str] = field(default_factory=dict)
    notes: Mapping[Any, str] = field(default_factory=dict)
    field_choices: Sequence[Any] | None = None
    matters: Callable[[Mapping[str, Any]], bool] | None = None
    estimators: tuple[str, ...] = (*ESTIMATORS, *SCRIPT_ONLY)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    is_way: bool = False
    is_stored: bool = True
    is_of_run: bool = True

    @property
    def is_of_every_run(self) -> bool:
        """Whether every estimator that runs can have has it."""
        return set(ESTIMATORS) <= set(self.estimators)

    @property
    def option(self) -> str:
        """The option of the command line."""
        return f"--{self.name.replace('_', '-')}"

    def default_of(self, estimator: str) -> Any:
        """The default of one of the estimators that have it."""
        return self.defaults.get(estimator, self.default)

    def help_line(self) -> str:
        """The help of its option: the estimators that have it, if not all, and the defaults."""
        words = self.default_words
        if words is None:
            words = "" if self.values.is_flag else self._as_argument(self.default)
            others = {name: value for name, value in self.defaults.items() if name in ESTIMATORS}
            words += "".join(f"; {name}: {self._as_argument(value)}" for name, value in others.items())
        line = f"{self.help} ({words})" if words else self.help
        of_runs = [name for name in self.estimators if name in ESTIMATORS]
        return line if self.is_of_every_run else f"{', '.join(of_runs)}: {line}"

    def _as_argument(self, value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, tuple) else self.values.show(value)
