"""Every key of the app, in one table: the screens take their bindings from it, and the help screen shows it."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding


class Key(NamedTuple):
    """A key, what it does, and how that is said: in the footer (nothing if `label` is empty) and in the help."""

    key: str
    action: str
    label: str
    help: str


#: The keys of each screen. Letters, digits and function keys only: multiplexers and terminals want most others.
KEYS: dict[str, list[Key]] = {
    "everywhere": [
        Key("f2", "go('lab')", "", "the lab: set up a run, start it, watch it"),
        Key("f3", "go('explore')", "", "explore: prune a finished model by hand"),
        Key("f4", "go('runs')", "", "all runs"),
        Key("f5", "go('compare')", "", "compare the curves of several runs"),
        Key("f6", "go('data')", "", "look at the data"),
        Key("question_mark,f1", "help", "Help", "this help"),
        Key("f9", "next_theme", "", "the next colour theme (all of them: ctrl+p)"),
        Key("ctrl+p", "command_palette", "", "the command palette: everything by name"),
        Key("q", "quit", "Quit", "quit; a run that is running goes on unless you stop it"),
    ],
    "lab": [],
    "explore": [],
    "runs": [],
    "compare": [],
    "data": [],
}

TITLES = {
    "everywhere": "Everywhere",
    "lab": "Lab",
    "explore": "Explore",
    "runs": "Runs",
    "compare": "Compare",
    "data": "Data",
}


def bindings(screen: str) -> list[Binding]:
    """The bindings of a screen, as Textual takes them."""
    return [
        Binding(key.key, key.action, key.label or key.help, show=bool(key.label), tooltip=key.help)
        for key in KEYS[screen]
    ]
