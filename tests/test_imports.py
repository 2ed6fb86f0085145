"""No import circle, and the layers that docs/architecture.md states. Imports inside functions count, too."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def import_graph(root: Path, *packages: str) -> dict[str, set[str]]:
    """For every module, the modules that its relative imports name.

    Imports for type checkers alone do not count, because they are never carried out.
    """
    paths = [path for package in packages for path in (root / package).rglob("*.py")]
    files = {name_of(path.relative_to(root)): path for path in paths}
    return {name: set(imported(name, path, files)) - {name} for name, path in files.items()}


def name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(name: str, path: Path, files: dict[str, Path]) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for statement in carried_out(ast.parse(path.read_text(encoding="utf-8"))):
        if statement.level:
            start = [*package[: len(package) + 1 - statement.level], *filter(None, [statement.module])]
            for alias in statement.names:
                module = ".".join([*start, alias.name])
                yield module if module in files else ".".join(start)


def carried_out(node: ast.AST) -> Iterator[ast.ImportFrom]:
    """The statements ``from ... import`` below a node, but for those under ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            yield child
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from carried_out(child)


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return import_graph(REPOSITORY, "estimators", "tui")


def test_there_is_no_import_circle(graph):
    assert graph["estimators.mlp"] >= {"estimators.base", "estimators.networks.mlp"}
    assert circle_in(graph) == []


def test_a_circle_is_found_inside_functions_and_packages(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from .b import name\nif TYPE_CHECKING:\n    from .c import other\n")
    (package / "b.py").write_text("name = 1\n")
    (package / "c.py").write_text("from . import a\n")
    assert circle_in(import_graph(tmp_path, "package")) == []
    (package / "b.py").write_text("def name():\n    from .c import other\n")
    assert set(circle_in(import_graph(tmp_path, "package"))) == {"package.a", "package.b", "package.c"}


def rows_of_the_document() -> list[list[str]]:
    """The modules and packages of each row of the list of layers, from the lowest."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("| module | what it is |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [[name.rstrip("/").replace("/", ".") for name in re.findall(r"`([^`]+)`", cell)] for cell in cells]


def test_every_module_imports_only_from_its_own_layer_and_those_below(graph):
    layers = {name: number for number, row in enumerate(rows_of_the_document()) for name in row}

    def layer(module: str) -> int:
        """That of the module itself if it has a row, or else of its package."""
        name = module.removeprefix("estimators.")
        while name not in layers:
            assert "." in name, f"docs/architecture.md has no row for {module}"
            name = name.rpartition(".")[0]
        return layers[name]

    edges = [
        (module, other)
        for module, others in graph.items()
        for other in others
        if module.startswith("estimators.") and other.startswith("estimators.")
    ]
    assert len(layers) > 10
    assert [(module, other) for module, other in edges if layer(module) < layer(other)] == []
