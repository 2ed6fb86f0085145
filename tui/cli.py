"""The `prunelab` command: its options, and how it reports errors.

Only the parser lives here, so that ``--help`` and ``--version`` import nothing heavy.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from .cleaning import clean
from .exit_status import EXIT_USAGE
from .streams import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..estimators.parameters import Parameter

DESCRIPTION = "Find out how much of a neural network can be deleted, which parts, and what it costs."

EXAMPLES = """examples:
  prunelab                                      open the lab
  prunelab sweep                                the experiment on the digits that ship with scikit-learn
  prunelab sweep --preset original --download   the original experiment, on MNIST
  prunelab sweep --criterion magnitude,random --scope layer,global --seeds 5
  prunelab sweep --csv results.csv --json results.json
  prunelab fit --dataset mnist --sparsity 0.8 --fine-tune-iter 1 --save pruned.safetensors
  prunelab sweep --preset original --detach     in the background; prunelab attach last shows it
  prunelab runs                                 list all runs; show, export, resume, delete
  prunelab study light-pruning --quick          does light pruning raise the accuracy?
  prunelab data mnist                           one image per class, drawn in the terminal

If standard output is not a terminal, it receives only data (CSV): prunelab sweep > results.csv

exit status: 0 finished; 1 failed, for example because memory ran out or training diverged; 2 invalid options or input;
130 stopped by Ctrl-C
"""

JOBS_HELP = "seeds computed in parallel (default: one per processor, up to 8; one on a GPU, and with --quick)"
#: The column in which the descriptions in lists begin.
EXPLAINED = 19
PRESET_HELP = "the experiment to start from: see below; options override it"


class _Formatter(argparse.HelpFormatter):
    """Wrap every line separately; in lists, indent the descriptions to the right of the names."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002
        return "\n".join(
            textwrap.fill(line, width, subsequent_indent=" " * EXPLAINED if line.startswith(" ") else "")
            for line in text.splitlines()
        )


def names_explained() -> str:
    """Describe the presets, criteria, schedules and controls, a line each."""
    from ..estimators.presets import PRESETS
    from ..estimators.pruning.catalogue import CRITERION_SUMMARIES
    from ..estimators.schedules.catalogue import CONTROL_SUMMARIES, SCHEDULE_RECORDS

    presets = {name: preset.description for name, preset in PRESETS.items()}
    schedules = {name: record.summary for name, record in SCHEDULE_RECORDS.items()}
    lists = {
        "presets": presets,
        "criteria": CRITERION_SUMMARIES,
        "schedules": schedules,
        "controls": CONTROL_SUMMARIES,
    }
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:<{EXPLAINED - 2}}{words}" for name, words in words_of.items())])
        for title, words_of in lists.items()
    )


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error as one sentence, and imports what its options need when it is used.

    Parameters
    ----------
    add_options : callable, optional
        Called with the parser before it parses; adds options and an epilog.
    """

    def __init__(
        self, *args: Any, add_options: Callable[[argparse.ArgumentParser], None] | None = None, **settings: Any
    ):
        super().__init__(*args, **settings)
        self._add_options = add_options

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        add, self._add_options = self._add_options, None
        if add is not None:
            add(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        message = clean(message.removeprefix("argument "))
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    prepare()
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command in (None, "attach"):
        from .commands.open_lab import open_lab

        return open_lab(options)
    command = import_module(f".commands.{options.command}", __package__)
    return command.run(options)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the `prunelab` command and its subcommands."""
    parser = _Parser(
        prog="prunelab",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        usage="prunelab [--ascii] [--data-root DIR]\n       prunelab COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    _add_lab_options(parser)
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", prog="prunelab", parser_class=_Parser
    )
    _add_sweep(commands)
    _add_fit(commands)
    _add_study(commands)
    _add_data(commands)
    _add_runs(commands)
    _add_attach(commands)
    return parser


class _Version(argparse.Action):
    """Look the version up only if requested: reading the package's metadata takes a while."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"prunelab {version('prunelab')}")
        raise SystemExit(0)


def _add_sweep(commands: argparse._SubParsersAction) -> None:
    commands.add_parser(
        "sweep",
        help="train once, prune to many sparsities: the curve of accuracy against sparsity",
        description="Train a dense network, prune it to many sparsities, and show the accuracy at each. "
        "{ways} accept several values, separated by commas: every combination becomes a curve.",
        formatter_class=_Formatter,
        add_options=_add_sweep_options,
    )


def _add_sweep_options(parser: _Parser) -> None:
    from ..estimators.parameters import PARAMETERS, WAYS

    ways = [PARAMETERS[name].option for name in WAYS]
    parser.description = (parser.description or "").format(ways=f"{', '.join(ways[:-1])} and {ways[-1]}")
    parser.epilog = names_explained()
    parser.add_argument("--preset", metavar="NAME", help=PRESET_HELP)
    parser.add_argument(
        "--sparsities", type=_numbers, metavar="S,S,...", help="fractions to remove (default: 0 to 0.99, as published)"
    )
    parser.add_argument("--seeds", type=_positive, metavar="N", default=1, help="repeat with N seeds (default: 1)")
    parser.add_argument("--detach", action="store_true", help="run in the background, and print the run's id")
    _add_estimator_options(parser, several=True)
    _add_data_options(parser)
    _add_output_options(parser, saves="write every pruned network to this folder, one model file each")


def _add_fit(commands: argparse._SubParsersAction) -> None:
    commands.add_parser(
        "fit",
        help="train and prune one network, report its accuracy and size, save it",
        description="Train a network, prune it to --sparsity, and compare it with the dense one.",
        formatter_class=_Formatter,
        add_options=_add_fit_options,
    )


def _add_fit_options(parser: _Parser) -> None:
    parser.epilog = names_explained()
    parser.add_argument("--preset", metavar="NAME", help=PRESET_HELP)
    parser.add_argument(
        "--sparsity", type=float, metavar="S", default=0.5, help="fraction to remove, 0 to 1 (default: 0.5)"
    )
    _add_estimator_options(parser, several=False)
    _add_data_options(parser)
    _add_output_options(parser, saves="write the pruned network to this model file (.safetensors)")


def _add_data(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "data",
        help="list, download and show data sets",
        description="Without NAME: list the data sets. With NAME: check the data set and show one image per class.",
    )
    parser.add_argument("dataset", nargs="?", metavar="NAME", help="a data set, or your own .npz or .csv file")
    _add_location_options(parser)
    _add_pixels_option(parser)
    _add_file_options(parser)
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")


def _add_study(commands: argparse._SubParsersAction) -> None:
    from ..estimators.studies.networks import NETWORKS

    parser = commands.add_parser(
        "study",
        help="answer a question about pruning with experiments and a statistical test",
        description="Without NAME: list the studies. An interrupted study continues where it stopped.",
    )
    parser.add_argument("study", nargs="?", metavar="NAME", help="the study")
    parser.add_argument("--quick", action="store_true", help="use the digits, a small network and few seeds")
    parser.add_argument(
        "--estimator",
        choices=list(NETWORKS),
        metavar="NAME",
        default="mlp",
        help=f"the networks: {', '.join(NETWORKS)} (mlp; others in studies that do not choose their own)",
    )
    parser.add_argument(
        "--seeds", type=_positive, metavar="N", help="number of networks to train (default: the study's)"
    )
    parser.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:N or mps (auto)")
    parser.add_argument("--jobs", "-j", type=_positive, metavar="N", help=JOBS_HELP)
    parser.add_argument("--again", action="store_true", help="recompute all results")
    _add_data_options(parser, of_study=True)
    group = parser.add_argument_group("output")
    group.add_argument(
        "--csv", type=_output, metavar="FILE", help="write the table of all points as CSV; - is standard output"
    )
    group.add_argument("--json", type=_output, metavar="FILE", help="write it as a JSON list of objects; - as above")
    group.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    group.add_argument("--quiet", "-q", action="store_true", help="show no progress")


def _add_runs(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "runs",
        help="list, show, export, resume, stop and delete runs",
        description="Without an action: list the runs. RUN is an id, the start of an id, a name, or last.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", parser_class=_Parser)
    for name, words in (
        ("list", "list the runs, newest first"),
        ("show", "show the state, table and curve of a run"),
        ("export", "write the table, a picture or the dense network to a file"),
        ("resume", "resume a stopped or interrupted run in the background"),
        ("stop", "stop a run after its current step; a second time, end it immediately"),
        ("rename", "rename a run"),
        ("delete", "delete runs and all their files"),
    ):
        action = actions.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        if name in ("list", "show"):
            action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
        if name != "list":
            action.add_argument("run", metavar="RUN", nargs="+" if name == "delete" else None, help="the run")
        if name == "show":
            action.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
        if name == "export":
            action.add_argument("--format", metavar="F", help="csv, json, svg or model (default: by the file's suffix)")
            action.add_argument("--seed", type=int, metavar="N", help="seed of the model (default: the first)")
            action.add_argument(
                "-o",
                "--output",
                type=_output,
                metavar="FILE",
                help="file or folder (default: a file here, named after the run)",
            )
        if name == "rename":
            action.add_argument("name", metavar="NAME", help="the new name")
        if name == "delete":
            action.add_argument("--yes", "-y", action="store_true", help="do not ask for confirmation")


def _add_attach(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "attach",
        help="open the lab and show a run",
        description="Open the lab and show RUN: an id, the start of an id, a name, or last.",
    )
    parser.add_argument("run", metavar="RUN", nargs="?", default="last", help="the run (default: last)")
    _add_lab_options(parser)


def _add_lab_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument("--data-root", metavar="DIR", help="folder of the data sets (default: $PRUNELAB_DATA)")


#: Groups of options by the kind of the parameter.
_GROUPS = {
    "network": "network and training",
    "training": "network and training",
    "pruning": "pruning",
    "machine": "machine",
}


def _add_estimator_options(parser: argparse.ArgumentParser, several: bool) -> None:
    """Add an option for every parameter with a help line; it is absent from the result unless given.

    With `several`, the ways of pruning accept several values, separated by commas.
    """
    from ..estimators.parameters.records import RECORDS
    from ..estimators.registry import ESTIMATORS, REGISTRY

    groups = {title: parser.add_argument_group(title) for title in dict.fromkeys(_GROUPS.values())}
    titles = [f"{name} ({entry.title})" for name, entry in REGISTRY.items()]
    groups[_GROUPS["network"]].add_argument(
        "--estimator",
        metavar="NAME",
        choices=ESTIMATORS,
        help=f"{' or '.join(titles)}; with a preset of another one, the network has its defaults (mlp)",
    )
    for record in RECORDS:
        if record.help:
            _add_parameter(groups[_GROUPS[record.kind]], record, several and record.is_way)


def _add_parameter(group: argparse._ArgumentGroup, record: Parameter, several: bool) -> None:
    def read(text: str) -> Any:
        try:
            return [record.values.read(word) for word in text.split(",")] if several else record.values.read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from error

    help_line = record.help_line().replace("%", "%%")
    how: dict[str, Any] = {"metavar": record.metavar, "type": read}
    if record.values.is_flag:  # has no value, or the one value that is not a bool
        names = [choice for choice in record.values.choices() if not isinstance(choice, bool)]
        how = {"nargs": "?", "const": True, "metavar": names[0], "type": read} if names else {"action": "store_true"}
    group.add_argument(record.option, *record.spellings, default=argparse.SUPPRESS, help=help_line, **how)


def _add_data_options(parser: argparse.ArgumentParser, of_study: bool = False) -> None:
    default = "the study's" if of_study else "digits"
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset", metavar="NAME", help=f"digits, mnist, fashion-mnist, kmnist, or an .npz or .csv file ({default})"
    )
    _add_location_options(group)
    if not of_study:
        _add_pixels_option(group)
        group.add_argument(
            "--label-noise", type=float, metavar="PART", help="fraction of the training labels to make wrong"
        )
    _add_file_options(parser)


def _add_location_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--data-root", metavar="DIR", help="folder of the data sets (default: $PRUNELAB_DATA)")
    parser.add_argument("--download", action="store_true", help="download the data set if it is missing")


def _add_pixels_option(parser: argparse._ActionsContainer) -> None:
    scalings = "auto, signed (-1 to 1), unit (0 to 1) or standard (mean 0, deviation 1)"
    parser.add_argument("--pixels", metavar="NAME", help=f"{scalings}; auto scales pixels as signed does")


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "your own files", "Options that are not given are inferred where this is unambiguous."
    )
    group.add_argument("--label", metavar="COLUMN", help="column of class labels; without a header line, its number")
    group.add_argument(
        "--delimiter", metavar="C", help="character between cells, or comma, semicolon, tab, space, pipe"
    )
    group.add_argument("--decimal", metavar="C", help="decimal mark: . or ,")
    group.add_argument(
        "--header", type=_yes_no, metavar="YES/NO", default="auto", help="whether the first line names the columns"
    )
    group.add_argument(
        "--index",
        type=_yes_no_or_name,
        metavar="COLUMN",
        default="auto",
        help="column of row names, which is ignored; yes: the first",
    )
    group.add_argument(
        "--test", type=_test, metavar="PART", help="fraction to test on (0.2), or a file of test samples"
    )


def _yes_no(text: str) -> bool | str:
    answers = {"yes": True, "no": False, "true": True, "false": False, "auto": "auto"}
    if text.casefold() not in answers:
        raise argparse.ArgumentTypeError(f"{text!r} is not yes, no or auto")
    return answers[text.casefold()]


def _yes_no_or_name(text: str) -> bool | str:
    return {"yes": True, "no": False, "true": True, "false": False}.get(text.casefold(), text)


def _test(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _add_output_options(parser: argparse.ArgumentParser, saves: str) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--name", metavar="NAME", help="name of this run in the list of runs")
    group.add_argument("--csv", type=_output, metavar="FILE", help="write the table as CSV; - is standard output")
    group.add_argument(
        "--json", type=_output, metavar="FILE", help="write the table as a JSON list of objects; - as above"
    )
    group.add_argument("--save", metavar="PATH", help=saves)
    group.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    group.add_argument("--quiet", "-q", action="store_true", help="show no progress")


def _output(text: str) -> str:
    """A file to write; "-" for standard output by any of its names."""
    from ..estimators.files import is_standard_output

    return "-" if is_standard_output(text) else text


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0,0.5,0.9") from None


def _positive(text: str) -> int:
    if not text.isdecimal() or len(text) > 6 or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1 and at most 100,000")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
