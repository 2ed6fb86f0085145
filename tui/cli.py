"""The `prunelab` command: what can be asked, and how errors are told.

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
    from collections.abc import Sequence

DESCRIPTION = "Find out how much of a neural network can be deleted, which parts, and what it costs."

EXAMPLES = """examples:
  prunelab                                      open the lab
  prunelab sweep                                the experiment on the digits that ship with scikit-learn
  prunelab sweep --preset original --download   the original experiment, on MNIST
  prunelab sweep --criterion magnitude,random --scope layer,global --seeds 5
  prunelab sweep --csv results.csv --json results.json
  prunelab fit --dataset mnist --sparsity 0.8 --fine-tune-iter 1 --save pruned.safetensors
  prunelab sweep --preset original --detach     in the background; prunelab attach last shows it
  prunelab runs                                 every run there is; show, export, resume, delete
  prunelab study light-pruning --quick          does light pruning raise the accuracy?
  prunelab data mnist                           one image a class, drawn in the terminal

Where standard output is not a terminal, it carries nothing but data (CSV): prunelab sweep > results.csv

exit status: 0 finished; 1 failed, for example because memory ran out or a training diverged; 2 the command cannot be
carried out as given; 130 stopped by Ctrl-C
"""

JOBS_HELP = "seeds at a time (default: one a processor, up to 8; one on a GPU, and with --quick)"
#: The column of what is said about names in a list.
EXPLAINED = 19
PRESET_HELP = "an experiment to begin with: see below; options change it"


class _Formatter(argparse.HelpFormatter):
    """Fills every line by itself; what is explained in a list stays right of its names."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:  # noqa: ARG002
        return "\n".join(
            textwrap.fill(line, width, subsequent_indent=" " * EXPLAINED if line.startswith(" ") else "")
            for line in text.splitlines()
        )


def names_explained() -> str:
    """What the names of presets, criteria, schedules and controls stand for, a line each."""
    from ..estimators.presets import PRESETS
    from .glossary import CONTROLS, CRITERIA, SCHEDULES

    presets = {name: preset.description for name, preset in PRESETS.items()}
    lists = {"presets": presets, "criteria": CRITERIA, "schedules": SCHEDULES, "controls": CONTROLS}
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:<{EXPLAINED - 2}}{words}" for name, words in words_of.items())])
        for title, words_of in lists.items()
    )


class _Parser(argparse.ArgumentParser):
    """A parser that tells an error in one sentence."""

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
    """The parser of everything `prunelab` understands."""
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
    """Look the version up only when it is asked for: reading the package's metadata takes a while."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"prunelab {version('prunelab')}")
        raise SystemExit(0)


def _add_sweep(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "sweep",
        help="train once, prune to many sparsities: the curve of accuracy against sparsity",
        description="Train a dense network, prune it to many sparsities, and show the accuracy at each. "
        "--schedule, --control, --criterion, --granularity, --scope, --norm, --reduce, --normalize, --order and "
        "--fine-tune-schedule take several values with commas between them: every combination becomes a curve.",
        epilog=names_explained(),
        formatter_class=_Formatter,
    )
    parser.add_argument("--preset", metavar="NAME", help=PRESET_HELP)
    parser.add_argument(
        "--sparsities", type=_numbers, metavar="S,S,...", help="fractions to remove (default: 0 to 0.99, as published)"
    )
    parser.add_argument("--seeds", type=_positive, metavar="N", default=1, help="repeat with N seeds (default: 1)")
    parser.add_argument("--detach", action="store_true", help="run in the background, and print the run's id")
    _add_estimator_options(parser, several=True)
    _add_data_options(parser)
    _add_output_options(parser, saves="write every pruned network to this folder, a model file each")


def _add_fit(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "fit",
        help="train and prune one network, show what it costs, save it",
        description="Train a network, prune it to --sparsity, and show it beside the dense one.",
        epilog=names_explained(),
        formatter_class=_Formatter,
    )
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
        help="what data there are; download them; look at them",
        description="Without NAME: list the data sets. With NAME: check it and show one image a class.",
    )
    parser.add_argument("dataset", nargs="?", metavar="NAME", help="a data set, or an .npz or .csv file of your own")
    _add_location_options(parser)
    _add_pixels_option(parser)
    _add_file_options(parser)
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")


def _add_study(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "study",
        help="a question about pruning, answered: experiments, a test, a verdict",
        description="Without NAME: list the studies. A study that was interrupted goes on where it was.",
    )
    parser.add_argument("study", nargs="?", metavar="NAME", help="which study")
    parser.add_argument("--quick", action="store_true", help="on the digits, with a small network and few seeds")
    parser.add_argument("--seeds", type=_positive, metavar="N", help="networks to train (default: the study's)")
    parser.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:N or mps (auto)")
    parser.add_argument("--jobs", "-j", type=_positive, metavar="N", help=JOBS_HELP)
    parser.add_argument("--again", action="store_true", help="compute everything anew")
    _add_data_options(parser, of_study=True)
    group = parser.add_argument_group("output")
    group.add_argument(
        "--csv", type=_output, metavar="FILE", help="write the table of all points as CSV; - is standard output"
    )
    group.add_argument("--json", type=_output, metavar="FILE", help="write it as a JSON list of objects; - likewise")
    group.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    group.add_argument("--quiet", "-q", action="store_true", help="show no progress")


def _add_runs(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "runs",
        help="every run there is: list, show, export, resume, stop, delete",
        description="Without an action: list the runs. RUN is an id, the beginning of one, a name, or last.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", parser_class=_Parser)
    for name, words in (
        ("list", "list the runs, the newest first"),
        ("show", "how a run stands: its table and curve"),
        ("export", "write the table, a picture or the dense network to a file"),
        ("resume", "go on with a run that was stopped or interrupted, in the background"),
        ("stop", "let a run finish its step and stop; the second time end it at once"),
        ("rename", "call a run something else"),
        ("delete", "remove runs and all their files"),
    ):
        action = actions.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        if name in ("list", "show"):
            action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
        if name != "list":
            action.add_argument("run", metavar="RUN", nargs="+" if name == "delete" else None, help="which run")
        if name == "show":
            action.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
        if name == "export":
            action.add_argument("--format", metavar="F", help="csv, json, svg or model (default: the file's ending)")
            action.add_argument("--seed", type=int, metavar="N", help="of the model (the first)")
            action.add_argument(
                "-o", "--output", type=_output, metavar="FILE", help="file or folder (default: here, by its name)"
            )
        if name == "rename":
            action.add_argument("name", metavar="NAME", help="the new name")
        if name == "delete":
            action.add_argument("--yes", "-y", action="store_true", help="do not ask")


def _add_attach(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "attach",
        help="open the lab on a run",
        description="Open the lab on RUN: an id, the beginning of one, a name, or last.",
    )
    parser.add_argument("run", metavar="RUN", nargs="?", default="last", help="which run (default: last)")
    _add_lab_options(parser)


def _add_lab_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument("--data-root", metavar="DIR", help="where data sets lie (default: $PRUNELAB_DATA)")


def _add_estimator_options(parser: argparse.ArgumentParser, several: bool) -> None:
    """An option for every parameter of the classifier; its default is the classifier's own."""
    text, texts = str, _words if several else str
    number, norm = float, _words if several else str
    network = parser.add_argument_group("network and training")
    add = _adder(network)
    add("--hidden-layer-sizes", "--layers", type=_sizes, metavar="N,N,...", help="hidden units (1000,1000,500,200)")
    add("--activation", type=text, metavar="NAME", help="relu, tanh, logistic or identity (relu)")
    add("--fit-intercept", action="store_true", help="give the layers biases")
    add("--init", type=text, metavar="NAME", help="uniform or glorot: how the weights begin (uniform)")
    add("--solver", type=text, metavar="NAME", help="adam or sgd (adam)")
    add("--learning-rate", type=text, metavar="NAME", help="constant, or cosine: falls to zero (constant)")
    add("--learning-rate-init", "--lr", type=number, metavar="X", help="step size (0.001)")
    add("--momentum", type=number, metavar="X", help="for sgd (0.9)")
    add("--alpha", type=number, metavar="X", help="strength of the L2 penalty (0)")
    add("--batch-size", type=int, metavar="N", help="samples in a mini-batch (100)")
    add("--max-iter", "--epochs", type=int, metavar="N", help="passes over the data (20)")
    add("--tol", type=number, metavar="X", help="improvement that counts (0.0001)")
    add("--n-iter-no-change", type=int, metavar="N", help="stop after N epochs without one (10)")
    add("--early-stopping", **_flag_or("measure"), help="watch held-out data and keep the best epoch, or measure only")
    add("--validation-fraction", type=number, metavar="X", help="how much of the data that is (0.1)")
    add("--random-state", "--seed", type=int, metavar="N", help="the (first) seed (0)")
    pruning = parser.add_argument_group("pruning")
    add = _adder(pruning)
    add("--criterion", type=texts, metavar="NAME", help="by what to judge: see below (magnitude)")
    add("--granularity", type=texts, metavar="NAME", help="weight or unit (sweep: both; fit: weight)")
    add("--scope", type=texts, metavar="NAME", help="layer or global (layer)")
    add("--norm", type=norm, metavar="P", help="1, 2 or inf: how weights make the score of a unit (2)")
    add("--reduce", type=texts, metavar="NAME", help="norm or sum: a unit's score from its weights' (by the criterion)")
    add(
        "--normalize",
        type=texts,
        metavar="NAME",
        help="none, mean or max: of the scores of a layer's units (auto: mean with --scope global)",
    )
    add("--per-output", action="store_true", help="rank the weights into each unit by themselves, as wanda's paper")
    add("--order", type=texts, metavar="NAME", help="remove the smallest or the largest (smallest)")
    add("--prune-output", **_flag_or("half"), help="prune the output layer as well, or at half the rate")
    add("--schedule", type=texts, metavar="NAME", help="when to prune: see below (one-shot)")
    add("--control", type=texts, metavar="NAME", help="what to compare the result with: see below (none)")
    add("--fine-tune-iter", type=int, metavar="N", help="epochs of retraining after pruning (0)")
    add("--fine-tune-learning-rate", type=number, metavar="X", help="its step size (that of the training)")
    add(
        "--fine-tune-schedule",
        type=texts,
        metavar="NAME",
        help="constant, cosine, or rewind: the last step sizes of the training again (as --learning-rate)",
    )
    add("--n-rounds", type=_rounds, metavar="N", help="rounds of iterative and rewind; auto: 20 %% a round (5)")
    add("--rewind-step", type=int, metavar="N", help="go back to the weights of this step (0)")
    add("--density-distribution", type=text, metavar="NAME", help="uniform or erk, for set and rigl (erk)")
    machine = parser.add_argument_group("machine")
    add = _adder(machine)
    add("--device", type=text, metavar="NAME", help="auto, cpu, cuda, cuda:N or mps (auto)")
    add("--precision", type=text, metavar="NAME", help="auto, float32 or bfloat16 (auto)")
    add("--memory", type=text, metavar="DIR", help="keep trainings in this folder and reuse them")


def _flag_or(name: str) -> dict[str, Any]:
    """An option that stands alone, or takes the one value `name`."""
    return {"nargs": "?", "const": True, "metavar": name, "type": str}


def _adder(group: argparse._ArgumentGroup):
    """Add options that are absent from the result unless given, so that presets can fill them in."""

    def add(*names: str, **settings: object) -> None:
        group.add_argument(*names, default=argparse.SUPPRESS, **settings)  # type: ignore[arg-type]

    return add


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
            "--label-noise", type=float, metavar="PART", help="fraction of the training labels made wrong"
        )
    _add_file_options(parser)


def _add_location_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--data-root", metavar="DIR", help="where data sets lie (default: $PRUNELAB_DATA)")
    parser.add_argument("--download", action="store_true", help="download the data set if it is not there")


def _add_pixels_option(parser: argparse._ActionsContainer) -> None:
    scalings = "auto, signed (-1 to 1), unit (0 to 1) or standard (mean 0, deviation 1)"
    parser.add_argument("--pixels", metavar="NAME", help=f"{scalings}; auto scales pixels as signed does")


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("files of your own", "What is left out is inferred where it is clear.")
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
        help="column of row names, which is left out; yes: the first",
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
    group.add_argument("--name", metavar="NAME", help="what to call this run in the list of runs")
    group.add_argument("--csv", type=_output, metavar="FILE", help="write the table as CSV; - is standard output")
    group.add_argument(
        "--json", type=_output, metavar="FILE", help="write the table as a JSON list of objects; - likewise"
    )
    group.add_argument("--save", metavar="PATH", help=saves)
    group.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    group.add_argument("--quiet", "-q", action="store_true", help="show no progress")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _output(text: str) -> str:
    """A file to write; "-" for standard output under any of its names."""
    from ..estimators.files import is_standard_output

    return "-" if is_standard_output(text) else text


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0,0.5,0.9") from None


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",") if word.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 300,100") from None


def _rounds(text: str) -> int | str:
    return text if text == "auto" else _positive(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or len(text) > 6 or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1 and at most 100,000")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
