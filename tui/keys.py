"""Tables of the screens and of the keys: bindings, navigation bar, command palette and help are built from them."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType
from textual.keys import format_key


class Key(NamedTuple):
    """A key, its action, its label in the footer (hidden if empty), and its description in the help."""

    key: str
    action: str
    label: str
    help: str
    #: Whether it takes precedence over the bindings of the focused widget and of dialogs.
    is_first: bool = False


class ScreenInfo(NamedTuple):
    """A screen: its name, the key that shows it, its title, its class in the module `screens.NAME`, a line of help."""

    name: str
    key: str
    title: str
    class_name: str
    help: str


SCREENS = (
    ScreenInfo("lab", "f2", "Lab", "LabScreen", "the lab: set up a run, start it, watch it"),
    ScreenInfo("explore", "f3", "Explore", "ExploreScreen", "explore: prune a trained model interactively"),
    ScreenInfo("runs", "f4", "Runs", "RunsScreen", "all runs"),
    ScreenInfo("compare", "f5", "Compare", "CompareScreen", "compare the curves of several runs"),
    ScreenInfo("data", "f6", "Data", "DataScreen", "look at the data"),
)

#: The keys of each screen. Only letters, digits and function keys: multiplexers and terminals use most others.
KEYS: dict[str, list[Key]] = {
    "everywhere": [
        *(Key(screen.key, f"go('{screen.name}')", "", screen.help) for screen in SCREENS),
        Key("question_mark,f1", "help", "Help", "this help"),
        Key("f9", "next_theme", "", "the next colour theme (ctrl+p lists all)"),
        Key("ctrl+p", "command_palette", "", "the command palette: all commands by name"),
        Key("ctrl+z", "suspend_process", "", "suspend the lab; the shell's command fg resumes it", is_first=True),
        Key("q", "quit", "Quit", "quit; a run continues in the background unless you stop it"),
    ],
    "lab": [
        Key(
            "r,f7",
            "start",
            "Run",
            "run the experiment in the form; a hidden form is shown first (F7 also works while you type)",
        ),
        Key("s,f8", "stop", "Stop", "stop the run after its current step; a second time, end it immediately"),
        Key("u", "resume", "Resume", "resume a run that was stopped, interrupted or failed"),
        Key(
            "n",
            "edit",
            "New",
            "edit the form: up, down and Tab move between fields, left and right change a value, space lists values",
        ),
        Key("escape", "watch", "Back", "leave the form and show the run; the form keeps its values"),
        Key("e", "explore", "Explore", "prune the model of this run interactively"),
        Key("p", "next_part", "Part", "table, layers or log, if there is room for only one of them"),
        Key("t", "stage", "Plot", "the training plot or the pruning plot, if there is room for only one of them"),
        Key("enter", "begin", "", "before the first run: run the original experiment on the digits"),
    ],
    "explore": [
        Key("left", "step(-1)", "Denser", "remove one percent less"),
        Key("right", "step(1)", "Sparser", "remove one percent more"),
        Key("shift+left,down,pagedown", "step(-5)", "", "remove five percent less"),
        Key("shift+right,up,pageup", "step(5)", "", "remove five percent more"),
        Key("home", "go_to(0)", "", "remove nothing"),
        Key("end", "go_to(100)", "", "remove everything"),
        Key(
            "enter",
            "take_typed",
            "",
            "apply the percentage typed with the digits, for example 8 5 Enter or 9 7 . 5 Enter",
        ),
        Key("g", "switch('granularity')", "", "remove weights or units"),
        Key("s", "switch('scope')", "", "rank within each layer or across the whole network"),
        Key("c", "switch('criterion')", "", "the next criterion"),
        Key("C", "switch('criterion', -1)", "", "the previous criterion"),
        Key("n", "switch('norm')", "", "the next norm, which reduces the scores of a unit's weights to one"),
        Key("o", "switch('order')", "", "remove the smallest or the largest scores first"),
        Key("e", "switch('seed')", "", "the network of the next seed"),
        Key("v", "next_view", "View", "figures, images or curve, if there is no room for all of them"),
        Key("m", "more_images", "More images", "the next images; the first again after the last"),
        Key("w", "save", "Write model", "write the pruned network to a model file"),
    ],
    "runs": [
        Key("enter", "open", "Open", "open the run in the lab; if several are selected, compare them"),
        Key("space", "select", "Select", "select or deselect the run"),
        Key("a", "select_all", "", "select all listed runs, or none"),
        Key("v", "compare", "Compare", "compare the curves of the selected runs"),
        Key(
            "slash",
            "filter",
            "Filter",
            "show only runs whose name, data, state, preset or network contains these words",
        ),
        Key("escape", "clear", "", "clear the filter; then clear the selection"),
        Key("o", "sort_next", "", "sort by the next column (or click its header)"),
        Key("i", "sort_turn", "", "reverse the order"),
        Key("e", "explore", "", "prune the run's model interactively"),
        Key("c", "change", "", "load the settings of the run into the lab's form"),
        Key("n", "rename", "", "rename the run"),
        Key("s", "stop", "", "stop the run after its current step; a second time, end it immediately"),
        Key("u", "resume", "", "resume runs that were stopped, interrupted or failed"),
        Key("x", "export", "Export", "export as CSV, JSON, an SVG picture or a model file"),
        Key("d,delete", "delete", "Delete", "delete the run, or the selected runs, after confirmation"),
    ],
    "compare": [
        Key("a", "add", "Add", "add runs"),
        Key("d,delete", "remove", "Remove", "remove the run of this curve from the comparison"),
        Key("space", "hide", "Hide", "hide or show this curve in the plot"),
        Key("f", "only", "Only", "show only the curves of weights, then only those of units, ...; then all"),
        Key("b", "base", "Base", "use this curve's run as the baseline; again: use this curve alone"),
        Key("y", "measure", "Measure", "accuracy or loss"),
        Key("x", "axis", "Axis", "against sparsity, parameters removed or multiply-adds removed"),
        Key("enter", "open", "", "open the run in the lab"),
        Key("right", "shift(1)", "", "show higher sparsities"),
        Key("left", "shift(-1)", "", "show lower sparsities"),
    ],
    "data": [
        Key("d", "download", "Download", "download the selected data set"),
        Key("x", "cancel_download", "Cancel", "cancel the download"),
        Key("o", "open_file", "Open", "open your own file, .npz or .csv"),
        Key("e", "edit_reading", "Reading", "how to read the file: label column, header line, delimiter, ..."),
        Key("t", "toggle_part", "Training/test", "show the training data or the test data"),
        Key("n,pagedown", "turn_page(1)", "Next", "the next page"),
        Key("p,pageup", "turn_page(-1)", "Previous", "the previous page"),
        Key("right", "step_choice(1)", "", "the next class"),
        Key("left", "step_choice(-1)", "", "the previous class"),
        Key("0", "choose(0)", "", "the class with this number, 0 to 9"),
        Key("a", "choose", "", "one image per class"),
        Key("r", "run", "Run", "set up a run with this data set"),
    ],
}

#: The headings of the keys in the help.
TITLES = {"everywhere": "Everywhere", **{screen.name: screen.title for screen in SCREENS}}

#: Short ASCII names of keys, so that the footer fits into 80 columns.
_ASCII_NAMES = {"left": "<-", "right": "->", "enter": "ret"}


def key_name(key: str, ascii_only: bool) -> str:
    """The name of a key in the footer and in the help."""
    name = format_key(key)
    return name if name.isascii() or not ascii_only else _ASCII_NAMES.get(key, key)


def bindings(screen: str) -> list[BindingType]:
    """The bindings of a screen, in Textual's form."""
    return [
        Binding(
            key.key, key.action, key.label or key.help, show=bool(key.label), tooltip=key.help, priority=key.is_first
        )
        for key in KEYS[screen]
    ]
