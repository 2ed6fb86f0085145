"""Start-up times: the import of prunelab.estimators, and `prunelab --help`.

Every run is a fresh process. The import is measured as the time added to an idle interpreter; `--help` is the
whole process. The first round, which fills the file caches, is not counted.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path
from statistics import median

from common import arguments, interleave, print_goal, print_machine, print_table, spread, timed


def main() -> None:
    parser = arguments(__doc__, repeats=20)
    args = parser.parse_args()
    repeats = min(args.repeats, 3) if args.quick else args.repeats
    script = Path(sysconfig.get_path("scripts")) / "prunelab"
    commands = {
        "bare python": [sys.executable, "-c", "pass"],
        "import": [sys.executable, "-c", "import prunelab.estimators"],
        "--version": [str(script), "--version"],
        "--help": [str(script), "--help"],
    }
    for name in [name for name, command in commands.items() if not succeeds(command)]:
        print(f"{' '.join(commands.pop(name))} does not work on this machine and is skipped.")
    print_machine()

    runs = {name: partial(timed, partial(run, command)) for name, command in commands.items()}
    results = interleave(runs, repeats)
    seconds = {name: [seconds for seconds, _ in timings] for name, timings in results.items()}
    print_table(["", "milliseconds"], [[name, spread(values, 0, 1000)] for name, values in seconds.items()])
    if "import" in seconds:
        added = median(seconds["import"]) - median(seconds["bare python"])
        sentence = f"import prunelab.estimators adds {added:.3f} s to the start of Python"
        print_goal(sentence, added, quick=args.quick, at_most=0.1)
    if "--help" in seconds:
        whole = median(seconds["--help"])
        print_goal(f"prunelab --help takes {whole:.3f} s", whole, quick=args.quick, at_most=0.3)


def succeeds(command: list[str]) -> bool:
    try:
        return run(command) == 0
    except OSError:
        return False


def run(command: list[str]) -> int:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


if __name__ == "__main__":
    main()
