"""What is installed, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def modules_after(code: str) -> set[str]:
    """Names of the top-level packages (and prunelab's modules) that a fresh interpreter has after `code`."""
    script = f"{code}\nimport sys; print(*sorted(sys.modules), sep='\\n')"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names = result.stdout.split()
    return {name.partition(".")[0] for name in names} | {name for name in names if name.startswith("prunelab.")}


def test_importing_the_estimators_loads_nothing_heavy():
    loaded = modules_after("import prunelab.estimators")
    assert not loaded & {"torch", "sklearn", "pandas", "numpy", "scipy", "torchvision", "rich"}


def test_estimators_never_import_the_terminal_side():
    loaded = modules_after(
        "import prunelab.estimators as e\nfor name in e.__all__: getattr(e, name)\n"
        "import prunelab.estimators.data.datasets, prunelab.estimators.studies.run"
    )
    assert "torch" in loaded
    assert not {name for name in loaded if name.startswith("prunelab.tui")}
    assert not loaded & {"plotext", "textual", "matplotlib"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["sweep", "--help"], ["data", "--help"], ["runs", "--help"]]
)
def test_help_and_version_load_nothing_heavy(arguments):
    loaded = modules_after(
        "from prunelab.tui.cli import main\nimport io, contextlib\n"
        f"with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main({arguments!r})"
    )
    assert not loaded & {"torch", "sklearn", "pandas", "numpy", "textual", "rich"}


@pytest.mark.parametrize("arguments", [["runs"], ["runs", "show", "nothing"]])
def test_the_list_of_runs_loads_neither_torch_nor_textual(arguments):
    loaded = modules_after(
        "from prunelab.tui.cli import main\nimport io, contextlib\n"
        f"with contextlib.redirect_stderr(io.StringIO()): main({arguments!r})"
    )
    assert "prunelab.tui.runs.store" in loaded
    assert not loaded & {"torch", "sklearn", "pandas", "textual"}


def test_the_app_never_computes():
    loaded = modules_after("import prunelab.tui.app")
    assert "textual" in loaded
    assert not loaded & {"torch", "torchvision", "sklearn", "pandas", "scipy"}


def test_every_public_name_can_be_imported():
    import prunelab.estimators as estimators

    assert set(estimators.__all__) == set(estimators._HOME)
    for name in estimators.__all__:
        assert getattr(estimators, name) is not None
    assert set(dir(estimators)) >= set(estimators.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        estimators.no_such_name  # noqa: B018


@pytest.mark.slow
def test_the_wheel_holds_every_module(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(REPOSITORY)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("prunelab-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"prunelab/{path.relative_to(REPOSITORY)}"
        for top in ("estimators", "tui")
        for pattern in ("*.py", "*.tcss", "py.typed")
        for path in (REPOSITORY / top).rglob(pattern)
    }
    assert expected <= inside
    assert {name.partition("/")[0] for name in inside if not name.startswith("prunelab-")} == {"prunelab"}
