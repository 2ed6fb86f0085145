"""Which values a parameter can have, in code and in words, and how they are read from text and shown."""

from __future__ import annotations

import math
import numbers
import os
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

#: Wider layers are no network that a machine could hold, and overflow NumPy's arithmetic of sizes.
MAX_WIDTH = 10**9

#: The most recurrent layers: far above what can be trained.
MAX_CELLS = 100

#: The name of a layer, or of its tensor of weights.
_LAYER = re.compile(r"\w[\w.]{0,99}")


@dataclass(frozen=True)
class Values:
    """The values that a parameter can have.

    Attributes
    ----------
    accepts : callable
        Whether a value is one of them.
    words : str
        What they are, as it follows "must be".
    read : callable
        From what a user types to a value; ValueError if it cannot be one, with a message that begins with "must be".
        A value that was read may still be out of range.
    show : callable
        From a value to text that `read` understands.
    choices : callable
        Their list, where there are few; empty otherwise.
    is_flag : bool
        Whether they are True and False, perhaps with a name for something between.
    """

    accepts: Callable[[Any], bool]
    words: str = ""
    read: Callable[[str], Any] = str.strip
    show: Callable[[Any], str] = str
    choices: Callable[[], Sequence[Any]] = tuple
    is_flag: bool = False

    @property
    def description(self) -> str:
        """What they are, as it follows "must be"."""
        return self.words or f"one of {', '.join(dict.fromkeys(map(repr, self.choices())))}"


def number(low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False) -> Values:
    """Numbers in a range; 0 and 1 are not taken for False and True."""
    accepts, bounds = _in_range(numbers.Real, low, high, open_low, open_high)
    finite = "finite " if high == math.inf else ""
    return Values(accepts, f"a {finite}number {bounds}", read_number, "{:g}".format)


def whole(low: int, high: float = math.inf) -> Values:
    """Whole numbers in a range."""
    accepts, bounds = _in_range(numbers.Integral, low, high, False, False)
    return Values(accepts, f"a whole number {bounds}", read_whole)


def _in_range(kind: type, low: float, high: float, open_low: bool, open_high: bool):
    """A check for a number in a range, and the words for the range."""
    bounds = {
        (True, True): f"between {low:g} and {high:g}",
        (True, False): f"above {low:g}",
        (False, True): f"from {low:g} to below {high:g}",
        (False, False): f"from {low:g} to {high:g}",
    }[open_low, open_high]
    if high == math.inf:
        bounds = f"above {low:g}" if open_low else f"of at least {low:g}"

    def accepts(value: Any) -> bool:
        if not isinstance(value, kind) or _is_bool(value):
            return False
        try:
            number = float(value)
        except OverflowError:
            return False
        is_inside = (number > low if open_low else number >= low) and (number < high if open_high else number <= high)
        return is_inside and math.isfinite(number)

    return accepts, bounds


def tolerance() -> Values:
    """Any number, also infinite ones."""

    def accepts(value: Any) -> bool:
        is_real = isinstance(value, numbers.Real) and not _is_bool(value)
        return is_real and not math.isnan(value)

    return Values(accepts, "a number", read_number, "{:g}".format)


def one_of(choices: Sequence[Any] | Callable[[], Sequence[Any]]) -> Values:
    """Names out of a list, or out of what a function lists at the time."""
    names = choices if callable(choices) else lambda: choices
    return Values(lambda value: isinstance(value, Hashable) and value in names(), choices=names)


def flag(third: str = "") -> Values:
    """True, False, or a name for something between."""

    def accepts(value: Any) -> bool:
        return value == third if third and isinstance(value, str) else _is_bool(value)

    words = f"True, False or {third!r}" if third else "True or False"
    names = (False, True, third) if third else (False, True)
    return Values(accepts, words, _read_flag, choices=lambda: names, is_flag=True)


def or_none(values: Values, words: str) -> Values:
    """Values, or None for what is decided elsewhere."""
    return replace(
        values,
        accepts=lambda value: value is None or values.accepts(value),
        words=words,
        read=lambda text: None if text.strip().lower() in ("", "none") else values.read(text),
        show=lambda value: "" if value is None else values.show(value),
    )


def or_name(values: Values, name: str) -> Values:
    """Values, or one name."""
    return replace(
        values,
        accepts=lambda value: value == name if isinstance(value, str) else values.accepts(value),
        words=f"{values.words}, or {name!r}",
        read=lambda text: name if text.strip().lower() == name else values.read(text),
    )


def widths() -> Values:
    """A whole number for each of some layers, perhaps none."""

    def accepts(value: Any) -> bool:
        if not _is_sequence(value):
            return isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 < int(value) <= MAX_WIDTH
        return all(isinstance(width, numbers.Integral) and 0 < int(width) <= MAX_WIDTH for width in value)

    return Values(accepts, f"whole numbers from 1 to {MAX_WIDTH:,}, such as (300, 100)", read_widths, _show_widths)


def one_or_several() -> Values:
    """A whole number for all layers, or one for each of some layers."""
    sizes = widths()

    def accepts(value: Any) -> bool:
        return sizes.accepts(value) and not (_is_sequence(value) and len(value) == 0)

    def read(text: str) -> int | tuple[int, ...]:
        values = read_widths(text)
        return values[0] if len(values) == 1 else values

    return replace(sizes, accepts=accepts, words=f"a whole number from 1 to {MAX_WIDTH:,}, or several", read=read)


def depth() -> Values:
    """Layers of a residual network with three stages of blocks of two."""
    count = whole(8)

    def accepts(value: Any) -> bool:
        return count.accepts(value) and (value - 2) % 6 == 0

    return replace(count, accepts=accepts, words="6n+2 with n of at least 1: 8, 14, 20, 26, ...")


def sample_shape() -> Values:
    """The height and width of images, perhaps with their channels before them; or None."""
    sizes = widths()

    def accepts(value: Any) -> bool:
        return _is_sequence(value) and len(value) in (2, 3) and sizes.accepts(value)

    words = "None, or a height and width, or channels, height and width"
    return or_none(replace(sizes, accepts=accepts), words)


def norm(norms: Sequence[float]) -> Values:
    """The order of a vector norm; infinity also by its name."""

    def read(text: str) -> Any:
        return next((value for value in norms if text.strip() == f"{value:g}"), text.strip())

    return Values(
        lambda value: isinstance(value, Hashable) and value in (*norms, "inf"),
        ", ".join(f"{value:g}" for value in norms[:-1]) + f" or {norms[-1]:g}",
        read,
        lambda value: value if isinstance(value, str) else f"{value:g}",
        lambda: norms,
    )


def seed() -> Values:
    """What scikit-learn takes as `random_state`."""

    def accepts(value: Any) -> bool:
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            return int(value) >= 0
        return value is None or hasattr(value, "random_sample")  # a RandomState

    return Values(accepts, "a whole number of at least 0, a RandomState or None", read_whole)


def class_weights() -> Values:
    """Weights of classes: None, "balanced", or a dict from labels to numbers. As text only the names."""

    def accepts(value: Any) -> bool:
        if isinstance(value, dict):
            labels = (isinstance(label, (str, numbers.Real)) or _is_bool(label) for label in value)
            return bool(value) and all(labels) and all(map(weight.accepts, value.values()))
        return value is None or (isinstance(value, str) and value == "balanced")

    def read(text: str) -> str | None:
        names = {"": None, "none": None, "balanced": "balanced"}
        if text.strip().lower() not in names:
            raise ValueError("must be balanced or none")
        return names[text.strip().lower()]

    weight = number(0)
    words = "None, 'balanced' or a dict from labels to numbers of at least 0"
    return Values(accepts, words, read, lambda value: "none" if value is None else str(value))


def sparsity() -> Values:
    """A fraction, or one for each of some layers."""
    fraction = number(0, 1)

    def accepts(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return fraction.accepts(value)
        return all(isinstance(name, str) and fraction.accepts(part) for name, part in value.items())

    words = f"{fraction.words}, or a dict from names of layers to such numbers"
    return Values(accepts, words, fraction.read, fraction.show)


def layers() -> Values:
    """Names of some layers."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, (list, tuple)):
            return False
        return all(isinstance(name, str) and _LAYER.fullmatch(name) for name in value) and len(set(value)) == len(value)

    return Values(
        accepts,
        "a list of different names of layers, such as ['hidden1']",
        lambda text: () if text.strip().lower() in ("", "none") else tuple(re.split(r"[\s,;]+", text.strip(" ,;"))),
        lambda value: " ".join(value) or "none",
    )


def layer_name() -> Values:
    """The name of a layer."""
    return Values(
        lambda value: isinstance(value, str) and _LAYER.fullmatch(value) is not None,
        "the name of a layer",
    )


def module() -> Values:
    """A network of the user's own, or what makes one."""
    return Values(
        lambda value: value is None or callable(value), "a torch.nn.Module or something callable that makes one"
    )


def at_least() -> Values:
    """A number of entries of a layer, or a fraction of them."""
    count, part = whole(0), number(0, 1, open_low=True, open_high=True)

    def read(text: str) -> float:
        return read_number(text) if "." in text or "e" in text.lower() else read_whole(text)

    return Values(
        lambda value: count.accepts(value) or (not isinstance(value, numbers.Integral) and part.accepts(value)),
        "a whole number of at least 0, or a fraction between 0 and 1",
        read,
        lambda value: str(value) if isinstance(value, numbers.Integral) else f"{value:g}",
    )


def pattern(parse: Callable[[str], Any], usual: Sequence[str], largest: int) -> Values:
    """A pattern that a function can read; the usual ones are the choices."""

    def accepts(value: Any) -> bool:
        try:
            parse(value)
        except (TypeError, ValueError):
            return False
        return True

    words = f"'none', 'N:M' with N < M <= {largest}, such as '2:4', or 'RxC' with R * C <= {largest}, such as '4x1'"
    return Values(accepts, words, choices=lambda: usual)


def verbosity() -> Values:
    """A flag, or how much is printed."""
    return Values(lambda value: isinstance(value, (bool, numbers.Integral)), "True, False or a whole number")


def device() -> Values:
    """Where to compute."""
    return Values(
        lambda value: isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value) is not None,
        "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'",
    )


def folder() -> Values:
    """A folder that keeps trainings."""
    return Values(
        lambda value: value is None or isinstance(value, (str, os.PathLike)) or hasattr(value, "location"),
        "a folder, a joblib.Memory or None",
        str,
    )


# NumPy's values are recognised without NumPy, which the command line's --help does not load -----------------


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"  # that of NumPy


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0  # an array


# Reading and showing text -------------------------------------------------------------------------------


def read_whole(text: str) -> int:
    """A whole number; commas and underscores may separate thousands."""
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise ValueError("must be a whole number") from None


def read_number(text: str) -> float:
    """A finite number."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError("must be a number, such as 0.001")
    return found


def read_widths(text: str) -> tuple[int, ...]:
    """Whole numbers with spaces, commas, "x" or dashes between them; nothing, or "none", is no layer."""
    if text.strip().lower() in ("", "none"):
        return ()
    words = re.split(r"[\s,;x()-]+", text.strip(" (),"))
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise ValueError("must be the widths of the layers, whole numbers such as 300,100, or none")
    return tuple(map(int, words))


def _show_widths(value: Any) -> str:
    return " ".join(map(str, value if isinstance(value, Sequence) else [value])) or "none"


def _read_flag(text: str) -> bool | str:
    answers = {"yes": True, "true": True, "no": False, "false": False}
    return answers.get(text.strip().lower(), text.strip())
