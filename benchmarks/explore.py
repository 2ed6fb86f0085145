"""Response time of the Explore screen: interactive pruning of the original network on MNIST.

Keys are pressed on the real screen with the real service process, after random delays: on the
slider, for weights and units, by layer and globally, and on the switches. Each is timed from the press to the first
figures of its position on the screen (an estimate, or immediately the exact ones), and, if no other key
follows, to the exact ones. The network is trained first, unless --run names a run with one.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from common import arguments, print_goal, print_machine, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from prunelab.tui.runs.store import Run
    from prunelab.tui.screens.explore import ExploreScreen

SWITCHING = ("g", "s", "o")


def main() -> None:
    parser = arguments(__doc__, repeats=60)
    parser.add_argument("--run", metavar="RUN", help="a finished run of the original experiment on MNIST")
    args = parser.parse_args()
    from prunelab.tui.runs.store import RunError, RunStore

    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        if args.run:
            try:
                run = RunStore().find(args.run)
            except RunError as error:
                sys.exit(str(error))
        else:
            run = train(RunStore(folder), args.data_root, args.quick)
        first, exact = asyncio.run(press_keys(run, 8 if args.quick else args.repeats))
    rows = [[name, *summary(values)] for group in (first, exact) for name, values in group.items()]
    print_table(["milliseconds from the key", "median", "95th percentile", "keys"], rows)
    print_goal_of("first figures", [value for values in first.values() for value in values], 0.15, args.quick)
    print_goal_of("exact figures", [value for values in exact.values() for value in values], 1.0, args.quick)


def train(store, data_root: str | None, quick: bool) -> Run:
    """A finished run with the network."""
    from prunelab.tui.runs.spec import RunSpec
    from prunelab.tui.runs.worker import Worker

    spec = RunSpec.from_preset("digits" if quick else "original", data_root=data_root, sparsities=(0.0, 0.8))
    run = store.create(spec)
    worker = Worker(run)
    if worker.work() != "finished":
        sys.exit(worker.reason)
    worker.close()
    return run


async def press_keys(run: Run, repeats: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds to the first and to the exact figures, by type of key."""
    from prunelab.tui.app import PrunelabApp

    rng = random.Random(0)
    first: dict[str, list[float]] = {"slider, first figures": [], "switches, first figures": []}
    exact: dict[str, list[float]] = {"slider, exact": [], "switches, exact": []}
    app = PrunelabApp()
    app.run_explored = run
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f3")
        screen: ExploreScreen = app.screen  # type: ignore[assignment]
        await until(lambda: is_exact(screen))
        for number in range(repeats):
            kind = "switches" if number % 4 == 3 else "slider"
            # The pace of a user, from fast to slow: the exact figures of the previous key may be pending.
            for _ in range(rng.randrange(1, 4)):
                await asyncio.sleep(rng.uniform(0.1, 0.6))
                key = rng.choice(SWITCHING if kind == "switches" else slider_keys(screen.percent))
                started = time.perf_counter()
                app.post_message(key_event(key))
                await until(lambda: screen.is_waiting)
                await until(lambda: not screen.is_waiting)
                await drawn(screen)
                first[f"{kind}, first figures"].append(time.perf_counter() - started)
            await until(lambda: is_exact(screen))
            await drawn(screen)
            exact[f"{kind}, exact"].append(time.perf_counter() - started)
    return first, exact


def slider_keys(percent: float) -> tuple[str, ...]:
    """Keys that stay in the interesting range of sparsities."""
    return ("left", "down") if percent > 90 else ("right", "up") if percent < 50 else ("left", "down", "right", "up")


def key_event(key: str):
    from textual.events import Key

    return Key(key, key if len(key) == 1 else None)


def is_exact(screen: ExploreScreen) -> bool:
    return not screen.is_waiting and screen.figures is not None and not screen.figures.is_estimate


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def drawn(screen: ExploreScreen) -> None:
    """Wait until the screen has drawn its latest state."""
    done = asyncio.Event()
    screen.call_after_refresh(done.set)
    await done.wait()


def summary(seconds: list[float]) -> list[str]:
    return [f"{1000 * statistics.median(seconds):.0f}", f"{1000 * percentile_95(seconds):.0f}", str(len(seconds))]


def percentile_95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20, method="inclusive")[-1]


def print_goal_of(what: str, seconds: list[float], goal: float, quick: bool) -> None:
    worst = percentile_95(seconds)
    print_goal(f"{what} appear within {1000 * worst:.0f} ms in 95 % of the cases", worst, quick=quick, at_most=goal)


if __name__ == "__main__":
    os.environ.setdefault("PRUNELAB_HOME", tempfile.mkdtemp(prefix="prunelab-benchmark-"))
    main()
