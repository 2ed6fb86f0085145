"""The recipes in docs/extending.md, applied to a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "extending.md"

PREPARED = """
from sklearn.datasets import load_digits
import prunelab.estimators
from prunelab.estimators import PrunedMLPClassifier, sparsity_path

assert prunelab.estimators.__file__.startswith({package!r})
X, y = load_digits(return_X_y=True)
X, y = X[:600] / 16, y[:600]


def refused(attempt):
    try:
        attempt()
    except ValueError as error:
        return str(error)
"""


class Block(NamedTuple):
    """A block of a recipe: a change in a file, a new file, or (without a file) what shows the result."""

    language: str
    file: str
    text: str


def recipes() -> dict[str, list[Block]]:
    """The blocks of every recipe, by its heading."""
    _, *sections = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    found = {}
    for section in sections:
        blocks = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        found[section.splitlines()[0]] = [Block(*block) for block in blocks]
    return found


def change(path: Path, diff: str) -> None:
    """Replace the one place in a file that has the lines of a diff without its additions."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    after = "".join(line[1:] for line in lines if not line.startswith("-"))
    text = path.read_text()
    assert text.count(before) == 1, f"{path.name} has {text.count(before)} places such as\n{before}"
    path.write_text(text.replace(before, after))


def with_shared_parameters(text: str, package: Path) -> str:
    """Put the parameters that all estimators share where a recipe refers to those of PrunedCNNClassifier."""
    source = (package / "estimators" / "cnn.py").read_text()
    signature = source[source.index("        solver: str") : source.index("    ):")]
    assignments = source[source.index("        self.solver = ") : source.index("    network_class")]
    text = re.sub(r" +# the parameters that all .*\n", lambda _: signature, text)
    return re.sub(r" +# their assignments\n", lambda _: assignments.rstrip() + "\n", text)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with all additions."""
    folder = tmp_path_factory.mktemp("extended")
    for name in ("estimators", "tui"):
        shutil.copytree(ROOT / name, folder / "prunelab" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for blocks in recipes().values():
        for block in blocks:
            path = folder / "prunelab" / block.file
            if block.language == "diff":
                change(path, block.text)
            elif block.file:
                path.write_text(with_shared_parameters(block.text, folder / "prunelab"))
    return folder


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_gives_what_it_shows(name: str, extended: Path, tmp_path: Path) -> None:
    shown = [block.text for block in recipes()[name] if not block.file]
    assert shown
    program = PREPARED.format(package=str(extended)) + "".join(shown)
    environment = {**os.environ, "PYTHONPATH": str(extended), "PRUNELAB_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
