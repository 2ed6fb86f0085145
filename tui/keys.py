"""The screens and the keys of the app, a table each: bindings, navigation bar, command palette and help read them."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType
from textual.keys import format_key


class Key(NamedTuple):
    """A key, what it does, and how that is said: in the footer (nothing if `label` is empty) and in the help."""

    key: str
    action: str
    label: str
    help: str
    #: Whether it comes before whatever the focused widget and a dialog do with it.
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

#: The keys of each screen. Letters, digits and function keys only: multiplexers and terminals want most others.
KEYS: dict[str, list[Key]] = {
    "everywhere": [
        *(Key(screen.key, f"go('{screen.name}')", "", screen.help) for screen in SCREENS),
        Key("question_mark,f1", "help", "Help", "this help"),
        Key("f9", "next_theme", "", "the next colour theme (all of them: ctrl+p)"),
        Key("ctrl+p", "command_palette", "", "the command palette: everything by name"),
        Key("ctrl+z", "suspend_process", "", "back to the shell; its command fg brings the lab back", is_first=True),
        Key("q", "quit", "Quit", "quit; a run that is running goes on unless you stop it"),
    ],
    "lab": [
        Key(
            "r,f7",
            "start",
            "Run",
            "run what the form says, named beside the key; a hidden form is shown first (F7 works while you type, too)",
        ),
        Key("s,f8", "stop", "Stop", "stop the run; a second time ends it at once"),
        Key("u", "resume", "Resume", "go on with a run that was stopped, interrupted or failed"),
        Key(
            "n",
            "edit",
            "New",
            "go to the form: up, down, Tab between fields; left, right choose, space lists what there is",
        ),
        Key("escape", "watch", "Back", "leave the form and show the run; what is in the form stays"),
        Key("e", "explore", "Explore", "prune the model of this run by hand"),
        Key("p", "next_part", "Part", "table, layers or log, where there is room for one of them"),
        Key("t", "stage", "Plot", "the plot of the training or of the pruning, where there is room for one of them"),
        Key("enter", "begin", "", "the first time: run the original experiment on the digits"),
    ],
    "explore": [
        Key("left", "step(-1)", "Denser", "remove one percent less"),
        Key("right", "step(1)", "Sparser", "remove one percent more"),
        Key("shift+left,down,pagedown", "step(-5)", "", "remove five percent less"),
        Key("shift+right,up,pageup", "step(5)", "", "remove five percent more"),
        Key("home", "go_to(0)", "", "remove nothing"),
        Key("end", "go_to(100)", "", "remove everything"),
        Key(
            "enter", "take_typed", "", "remove the percentage typed with the digits, such as 8 5 Enter or 9 7 . 5 Enter"
        ),
        Key("g", "switch('granularity')", "", "remove weights or units"),
        Key("s", "switch('scope')", "", "rank within each layer or across the whole network"),
        Key("c", "switch('criterion')", "", "the next criterion by which weights and units are scored"),
        Key("C", "switch('criterion', -1)", "", "the criterion before"),
        Key("n", "switch('norm')", "", "the next norm that makes a unit's score of its weights' scores"),
        Key("o", "switch('order')", "", "remove the smallest or the largest first"),
        Key("e", "switch('seed')", "", "the network of the run's next seed"),
        Key("v", "next_view", "View", "figures, images or curve, where there is no room for all of them"),
        Key("m", "more_images", "More images", "the next images; after the last, the first again"),
        Key("w", "save", "Write model", "write the pruned network as shown to a model file"),
    ],
    "runs": [
        Key("enter", "open", "Open", "open the run in the lab; with several selected, compare them"),
        Key("space", "select", "Select", "select the run for what follows, or no longer"),
        Key("a", "select_all", "", "select all runs on the list, or none"),
        Key("v", "compare", "Compare", "compare the curves of the selected runs"),
        Key("slash", "filter", "Filter", "show only runs with these words in name, data, state, preset or network"),
        Key("escape", "clear", "", "show all runs again; then: select none"),
        Key("o", "sort_next", "", "sort by the next column (or click on its header)"),
        Key("i", "sort_turn", "", "turn the order round"),
        Key("e", "explore", "", "explore the run's model by hand"),
        Key("c", "change", "", "run it again with changes: its settings go into the lab's form"),
        Key("n", "rename", "", "give the run a name"),
        Key("s", "stop", "", "stop the run; a second time, end its process at once"),
        Key("u", "resume", "", "resume runs that were stopped, interrupted or failed"),
        Key("x", "export", "Export", "export as CSV, JSON, an SVG picture or a model file"),
        Key("d,delete", "delete", "Delete", "delete the run, or the selected runs, after asking"),
    ],
    "compare": [
        Key("a", "add", "Add", "add runs"),
        Key("d,delete", "remove", "Remove", "remove the run of this curve from the comparison"),
        Key("space", "hide", "Hide", "hide this curve in the plot, or show it again"),
        Key("f", "only", "Only", "show only the curves of weights, then of units, ...; then all again"),
        Key("b", "base", "Base", "compare with this curve's run, like with like; again: with this curve alone"),
        Key("y", "measure", "Measure", "accuracy or loss"),
        Key("x", "axis", "Axis", "against sparsity, parameters removed or multiply-adds removed"),
        Key("enter", "open", "", "open the run in the lab"),
        Key("right", "shift(1)", "", "show the sparsities further right"),
        Key("left", "shift(-1)", "", "show the sparsities further left"),
    ],
    "data": [
        Key("d", "download", "Download", "download the chosen data set"),
        Key("x", "cancel_download", "Cancel", "cancel the download"),
        Key("o", "open_file", "Open", "open a file of your own, .npz or .csv"),
        Key("e", "edit_reading", "Reading", "how to read the file: label column, header line, delimiter, ..."),
        Key("t", "toggle_part", "Training/test", "show the training data or the test data"),
        Key("n,pagedown", "turn_page(1)", "Next", "the next page"),
        Key("p,pageup", "turn_page(-1)", "Previous", "the page before"),
        Key("right", "step_choice(1)", "", "the next class"),
        Key("left", "step_choice(-1)", "", "the class before"),
        Key("0", "choose(0)", "", "the class with this number, 0 to 9"),
        Key("a", "choose", "", "one image of each class"),
        Key("r", "run", "Run", "set up a run with this data set"),
    ],
}

#: The headings of the keys in the help.
TITLES = {"everywhere": "Everywhere", **{screen.name: screen.title for screen in SCREENS}}

#: Names of keys in ASCII; short ones, so that the footer fits into 80 columns.
_ASCII_NAMES = {"left": "<-", "right": "->", "enter": "ret"}


def key_name(key: str, ascii_only: bool) -> str:
    """What a key is called in the footer and in the help."""
    name = format_key(key)
    return name if name.isascii() or not ascii_only else _ASCII_NAMES.get(key, key)


def bindings(screen: str) -> list[BindingType]:
    """The bindings of a screen, as Textual takes them."""
    return [
        Binding(
            key.key, key.action, key.label or key.help, show=bool(key.label), tooltip=key.help, priority=key.is_first
        )
        for key in KEYS[screen]
    ]
