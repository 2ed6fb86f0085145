"""The command line, as a user runs it: real processes, pipes and a real terminal."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import re
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pexpect
import pytest
from prunelab.estimators import PrunedMLPClassifier, load_dataset, sparsity_path
from prunelab.estimators.backend import OUT_OF_MEMORY
from prunelab.estimators.path import COLUMNS, ORIGINAL_SPARSITIES
from prunelab.estimators.presets import PRESETS
from prunelab.estimators.pruning.criteria import criterion_names
from prunelab.estimators.schedules.catalogue import SCHEDULES
from prunelab.tui.cli import main
from prunelab.tui.exit_status import EXIT_FAILED, EXIT_USAGE
from prunelab.tui.runs.store import RunError, RunStore

QUICK = ["--layers", "64", "--epochs", "2", "--device", "cpu"]
PRUNELAB = [sys.executable, "-m", "prunelab.tui.cli"]


def prunelab(*arguments: str, **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PRUNELAB, *arguments], capture_output=True, text=True, timeout=120, **settings)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# -- how commands end ----------------------------------------------------------------------------------------

#: 40 GB of weights, where a process may have 6 GB; ends with the status of the command line.
TOO_LARGE = """
import resource, sys
from prunelab.tui.cli import main

resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
sys.exit(main(["fit", "--layers", "100000,100000", "--device", "cpu", "--epochs", "1"]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are Linux's")
def test_the_exit_status_is_1_where_memory_runs_out(tmp_path):
    environment = {**os.environ, "PRUNELAB_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", TOO_LARGE], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == EXIT_FAILED, done.stderr
    assert f"prunelab fit: {OUT_OF_MEMORY}; 0 of 2 points are finished" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exit_status_is_1_where_a_training_diverges(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    assert main(["fit", "--layers", "8", "--lr", "1e30", "--epochs", "2", "--device", "cpu"]) == EXIT_FAILED
    assert "training diverged in epoch 1" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["sweep", "--sparsities", "0,0.5"], ["fit", "--sparsity", "0.5"]], ids=str)
def test_the_exit_status_is_2_where_nothing_can_be_pruned(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    assert main([*command, "--layers", ""]) == EXIT_USAGE
    assert "prune_output must be True without hidden layers" in capsys.readouterr().err


# -- sweep ---------------------------------------------------------------------------------------------------


def test_sweep_into_a_pipe_is_csv_and_nothing_else():
    result = prunelab("sweep", *QUICK)
    assert result.returncode == 0
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    frame = pd.read_csv(io.StringIO(result.stdout))
    assert tuple(frame.columns) == COLUMNS
    assert list(frame["sparsity"]) == [*ORIGINAL_SPARSITIES] * 2
    assert list(frame["granularity"]) == ["weight"] * 10 + ["unit"] * 10
    assert frame["accuracy"].between(0, 1).all()


def test_sweep_gives_the_numbers_that_a_script_gets():
    result = prunelab("sweep", *QUICK, "--granularity", "weight", "--sparsities", "0,0.5,0.9", "--seed", "3")
    data = load_dataset("digits")
    classifier = PrunedMLPClassifier((64,), max_iter=2, random_state=3, device="cpu")
    path = sparsity_path(
        classifier, data.X_train, data.y_train, sparsities=(0, 0.5, 0.9), X_test=data.X_test, y_test=data.y_test
    )
    printed = pd.read_csv(io.StringIO(result.stdout))
    pd.testing.assert_frame_equal(printed, path.frame, rtol=1e-12)


def test_sweep_files_hold_the_same_rows(tmp_path):
    csv_file, json_file = tmp_path / "out.csv", tmp_path / "out.json"
    result = prunelab(
        "sweep", *QUICK, "--sparsities", "0,0.5", "--seeds", "2", "--csv", str(csv_file), "--json", str(json_file)
    )
    assert result.returncode == 0, result.stderr
    frame = pd.read_csv(csv_file)
    rows = json.loads(json_file.read_text())
    assert sorted(frame["seed"].unique()) == [0, 1]
    assert len(rows) == len(frame) == 8
    assert tuple(rows[0]) == COLUMNS
    np.testing.assert_allclose([row["accuracy"] for row in rows], frame["accuracy"])
    assert len(rows_of(result.stdout)) == 8


def test_json_to_standard_output_is_json_only():
    result = prunelab("sweep", *QUICK, "--sparsities", "0,1", "--prune-output", "--json", "-")
    rows = json.loads(result.stdout)
    assert len(rows) == 4
    assert rows[1]["nonzero"] == 0
    assert rows[1]["compression"] == "inf"  # which JSON does not have as a number
    assert "removed every weight" in result.stderr


def test_sweep_over_several_criteria_scopes_and_orders():
    result = prunelab(
        "sweep", *QUICK, "--sparsities", "0.5", "--criterion", "magnitude,random", "--scope", "layer,global",
        "--order", "smallest,largest", "--norm", "1,inf",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows = rows_of(result.stdout)
    assert len(rows) == 2 * 2 * 2 * 2 * 2  # with weight and unit
    assert {row["criterion"] for row in rows} == {"magnitude", "random"}
    assert {row["scope"] for row in rows} == {"layer", "global"}


def test_sweep_saves_every_network(tmp_path):
    folder = tmp_path / "models"
    result = prunelab("sweep", *QUICK, "--sparsities", "0,0.5", "--save", str(folder))
    assert result.returncode == 0, result.stderr
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "magnitude-unit-layer-0-seed0.safetensors",
        "magnitude-unit-layer-0.5-seed0.safetensors",
        "magnitude-weight-layer-0-seed0.safetensors",
        "magnitude-weight-layer-0.5-seed0.safetensors",
    ]
    data = load_dataset("digits")
    row = next(r for r in rows_of(result.stdout) if r["granularity"] == "unit" and r["sparsity"] == "0.5")
    model = PrunedMLPClassifier.load(folder / "magnitude-unit-layer-0.5-seed0.safetensors")
    assert model.score(data.X_test, data.y_test) == float(row["accuracy"])


def test_files_are_written_where_links_and_pipes_lead_and_keep_their_permissions(tmp_path):
    real, link, pipe = tmp_path / "real.csv", tmp_path / "link.csv", tmp_path / "pipe"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    command = ["sweep", *QUICK, "--sparsities", "0,0.5", "--granularity", "weight"]
    assert prunelab(*command, "--csv", str(link), "--json", str(pipe)).returncode == 0
    assert link.is_symlink()
    assert len(pd.read_csv(real)) == 2
    assert real.stat().st_mode & 0o777 == 0o600
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert len(json.loads(reader.communicate(timeout=30)[0])) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "pipe", "real.csv"]


def test_ways_that_vary_are_in_every_output(tmp_path):
    file = tmp_path / "out.csv"
    command = ["sweep", *QUICK, "--sparsities", "0,0.5", "--norm", "1,inf", "--order", "smallest,largest"]
    command += ["--granularity", "unit"]
    piped = prunelab(*command)
    frame = pd.read_csv(io.StringIO(piped.stdout))
    assert list(frame.columns) == [*COLUMNS, "norm", "order"]
    assert len(frame[["norm", "order", "sparsity"]].drop_duplicates()) == len(frame) == 8
    listed = json.loads(prunelab(*command, "--json", "-", "--csv", str(file)).stdout)
    assert [float(row["norm"]) for row in listed] == list(frame["norm"])
    assert [row["order"] for row in listed] == list(frame["order"])
    pd.testing.assert_frame_equal(pd.read_csv(file), frame)


def test_how_long_was_trained_is_said():
    impatient = ["--epochs", "50", "--tol", "1", "--n-iter-no-change", "2"]
    output = in_terminal("sweep", *QUICK[:2], *impatient, "--sparsities", "0")
    assert "3 of 50 epochs" in re.sub(r"\s+", " ", output)


@pytest.mark.parametrize("shape", [(60, 8, 8, 3), (60, 3, 8, 8), (60, 8, 8)])
def test_images_in_colour_are_shown(tmp_path, shape):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", X=rng.random(shape), y=np.arange(60) % 3)
    result = prunelab("data", str(tmp_path / "mine.npz"))
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) > 6


def test_presets_are_the_experiment_and_options_add_to_them():
    result = prunelab("sweep", "--preset", "digits", *QUICK, "--sparsities", "0")
    assert result.returncode == 0, result.stderr
    assert int(rows_of(result.stdout)[0]["nonzero"]) == 64 * 64 + 64 * 10


def test_wrong_labels_are_learnt(capsys):
    arguments = ["sweep", *QUICK, "--granularity", "weight", "--sparsities", "0"]
    accuracies = []
    for options in ([], ["--label-noise", "1"]):
        assert main([*arguments, *options]) == 0
        accuracies.append(float(rows_of(capsys.readouterr().out)[0]["accuracy"]))
    clean, wrong = accuracies
    assert clean > 0.5
    assert wrong < 0.1  # which chance would reach
    assert main([*arguments, "--label-noise", "2"]) == 2
    assert "label_noise must be a number from 0 to 1" in capsys.readouterr().err


# -- fit -----------------------------------------------------------------------------------------------------


def test_fit_shows_dense_and_pruned_and_saves(tmp_path):
    file = tmp_path / "model.safetensors"
    result = prunelab("fit", *QUICK, "--sparsity", "0.8", "--fine-tune-iter", "1", "--save", str(file))
    assert result.returncode == 0, result.stderr
    dense, pruned = rows_of(result.stdout)
    assert (dense["sparsity"], pruned["sparsity"]) == ("0.0", "0.8")
    assert "accuracy_before_fine_tuning" in pruned
    data = load_dataset("digits")
    model = PrunedMLPClassifier.load(file)
    assert model.sparsity_ == float(pruned["achieved_sparsity"])
    assert model.score(data.X_test, data.y_test) == float(pruned["accuracy"])


# -- data ----------------------------------------------------------------------------------------------------


def test_data_lists_what_there_is(tmp_path):
    result = prunelab("data", "--data-root", str(tmp_path))
    assert result.returncode == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert " ready " in lines["digits"]
    assert " missing " in lines["mnist"]


def test_data_draws_one_image_a_class():
    result = prunelab("data", "digits", "--ascii")
    assert result.returncode == 0
    assert result.stdout.isascii()
    assert "1,437 training, 360 test" in result.stdout
    assert result.stdout.splitlines()[-1].split() == list("0123456789")


def test_own_file(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.choice(["cat", "dog"], size=80)
    X = rng.normal(size=(80, 5)) + (y == "cat")[:, None]
    file = tmp_path / "mine.npz"
    np.savez(file, X=X, y=y)
    result = prunelab("sweep", *QUICK, "--dataset", str(file), "--sparsities", "0,0.5")
    assert result.returncode == 0, result.stderr
    assert len(rows_of(result.stdout)) == 4


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "--sparsities", "1.5"], "from 0 to 1"),
        (["sweep", "--sparsities", "a"], "not a list of numbers"),
        (["sweep", "--criterion", "magic"], "criterion must be one of"),
        (["sweep", "--norm", "3"], "norm must be 1, 2 or inf"),
        (["sweep", "--preset", "none"], "the presets are digits, original"),
        (["sweep", "--seeds", "0"], "at least 1"),
        (["sweep", "--dataset", "no-such-file.npz"], "no-such-file.npz"),
        (["sweep", "--dataset", "mnits"], "mnist"),
        (["sweep", "--csv", "/no/such/folder/x.csv"], "/no/such/folder"),
        (["sweep", "--csv", "-", "--json", "-"], "cannot both go to standard output"),
        (["sweep", "--csv", "x", "--json", "x"], "cannot both go to x"),
        (["sweep", "--norm", "1,1"], "norm must have different values"),
        (["sweep", "--criterion", "random,random"], "criterion must have different values"),
        (["sweep", "--sparsities", "0.5,0.5"], "sparsities must all be different"),
        (["sweep", "--seed", "4294967296"], "4,294,967,295"),
        (["sweep", "--layers", ""], "without hidden layers"),
        (["sweep", "--min-kept", "some"], "must be a"),
        (["sweep", "--exclude-layers", "$"], "exclude_layers must be a list of different names of layers"),
        (["sweep", "--exclude-layers", "hidden9"], "there is no layer 'hidden9'"),
        (["sweep", "--pattern", "4:2"], "pattern must be"),
        (["sweep", "--sparsities", "0,0.5", "--pattern", "2:4"], "pattern='2:4' does not go with granularity='unit'"),
        (["fit", "--pattern", "2:4", "--sparsity", "0.9"], "sparsity must be 0 or 0.5"),
        (["fit", "--distribution", "erk", "--scope", "global"], "distribution must be 'auto'"),
        (["fit", "--preset", "largest"], "--order smallest or largest"),
        (["fit", "--preset", "global"], "--scope layer or global"),
        (["fit", "--sparsity", "-1"], "from 0 to 1"),
        (["fit", "--layers", "a"], "whole numbers"),
        (["fit", "--layers", "0"], "hidden_layer_sizes"),
        (["fit", "--epochs", "0"], "max_iter"),
        (["fit", "--lr", "-1"], "learning_rate_init"),
        (["fit", "--device", "tpu"], "device"),
        (["fit", "--save", "/no/such/folder/x.safetensors"], "/no/such/folder"),
        (["fit", "--no-such-option"], "--no-such-option"),
        (["data", "/"], "folder"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, message, capsys):
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    output, errors = capsys.readouterr()
    assert status == 2
    assert output == ""
    assert message in errors
    assert errors.startswith("prunelab")
    assert len(errors.strip().splitlines()) == 1


def test_bad_input_in_a_process():
    result = prunelab("sweep", "--sparsities", "1.5")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "prunelab sweep: sparsities must be numbers from 0 to 1 and at least one, got 1.5\n"


def test_no_gpu_for_cuda():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    result = prunelab("fit", "--device", "cuda")
    assert result.returncode == 2
    assert "NVIDIA GPU" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_diverging_training_is_one_sentence(tmp_path):
    result = prunelab("sweep", *QUICK, "--solver", "sgd", "--lr", "1e30")
    assert result.returncode == 1
    assert "diverged" in result.stderr
    assert "Traceback" not in result.stderr


def test_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m prunelab.tui.cli sweep {' '.join(QUICK)} | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert result.stdout.startswith("seed,")
    assert "Traceback" not in result.stderr
    assert "Broken" not in result.stderr


def test_interrupt_keeps_what_is_finished(tmp_path):
    file = tmp_path / "out.csv"
    sparsities = ",".join(f"{s / 1000:g}" for s in range(1000))
    process = subprocess.Popen(
        [*PRUNELAB, "sweep", "--layers", "300,300", "--epochs", "1", "--sparsities", sparsities, "--csv", str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(4):  # the header and three points are out
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    finished = re.search(r"stopped; (\d+) of 2000 points are finished and kept", errors)
    assert finished, errors
    assert len(errors.strip().splitlines()) == 1
    assert len(pd.read_csv(file)) == int(finished[1]) >= 3


# -- in a terminal -------------------------------------------------------------------------------------------


def in_terminal(*arguments: str, rows: int = 40, columns: int = 100, **environment: str) -> str:
    """Everything the command writes to a pseudo-terminal of that size."""
    variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    child = pexpect.spawn(
        PRUNELAB[0], [*PRUNELAB[1:], *arguments], dimensions=(rows, columns), timeout=120, encoding="utf-8",
        env={**variables, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    output = child.read()
    child.close()
    assert child.exitstatus == 0, output
    return output


def test_terminal_shows_progress_table_and_curve():
    output = in_terminal("sweep", *QUICK)
    assert re.search(r"epoch \d/2", output)
    assert "trained on 2,874 samples" in output
    assert "accuracy %" in output
    assert "sparsity (% removed)" in output
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output)
    table = [line for line in plain.splitlines() if re.match(r"\s*(weight|unit)\s+0", line)]
    assert len(table) == 20
    assert "64-64-10 relu without biases (4,736 parameters)" in plain


def test_terminal_without_colours():
    output = in_terminal("sweep", *QUICK, "--quiet", "--ascii", NO_COLOR="1")
    assert "\x1b[" not in output
    assert output.isascii()


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_wider_than_the_terminal(columns):
    output = in_terminal("sweep", *QUICK, "--quiet", "--seeds", "2", columns=columns, NO_COLOR="1")
    table = output[output.index("sparsity") :]
    assert max(map(len, table.splitlines())) <= columns


def test_interrupt_in_a_terminal_restores_it():
    child = pexpect.spawn(
        PRUNELAB[0], [*PRUNELAB[1:], "sweep", "--epochs", "10000", "--tol", "-1"],
        dimensions=(24, 80), timeout=60, encoding="utf-8",
    )  # fmt: skip
    child.expect("epoch")
    time.sleep(0.2)
    child.sendintr()
    child.expect("stopped; 0 of 20 points are finished")
    rest = child.read()
    child.close()
    assert child.exitstatus == 130
    assert "Traceback" not in rest
    seen = child.before + rest
    assert seen.count("\x1b[?25l") <= seen.count("\x1b[?25h")  # the cursor is visible again


# -- the parser ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["sweep", "fit"])
def test_every_parameter_has_an_option(command):
    help_text = subprocess.run([*PRUNELAB, command, "--help"], capture_output=True, text=True, check=True).stdout
    parameters = set(PrunedMLPClassifier().get_params()) - {"verbose", "warm_start"}
    if command == "sweep":
        parameters = parameters - {"sparsity"} | {"sparsities"}
    for name in parameters:
        assert f"--{name.replace('_', '-')}" in help_text


@pytest.mark.parametrize("columns", [60, 100])
def test_the_help_explains_every_name(columns):
    text = prunelab("sweep", "--help", env={**os.environ, "COLUMNS": str(columns)}).stdout
    lists = text[text.index("\npresets:") :]
    for name in (*PRESETS, *criterion_names(), *SCHEDULES):
        assert re.search(rf"^  {name} +\S", lists, re.MULTILINE), name
    assert max(map(len, lists.splitlines())) <= columns


def test_without_a_terminal_the_lab_says_what_to_use_instead():
    result = prunelab()
    assert result.returncode == 2
    assert result.stdout == ""
    assert "prunelab sweep" in result.stderr
    assert result.stderr.count("\n") == 1


# -- study -----------------------------------------------------------------------------------------------------


def test_studies_are_listed():
    result = prunelab("study")
    assert result.returncode == 0
    assert "light-pruning" in result.stdout


@pytest.mark.slow
def test_a_study_goes_on_where_it_was(tmp_path):
    environment = {**os.environ, "PRUNELAB_HOME": str(tmp_path)}
    first = prunelab("study", "norms", "--quick", "--seeds", "2", env=environment)
    assert first.returncode == 0, first.stderr
    assert first.stderr.startswith("estimated duration: ")
    assert re.search(r"^took .* \(estimated .*\)$", first.stderr, re.MULTILINE)
    assert "2 seeds allow no test" in first.stderr  # the verdict
    frame = pd.read_csv(io.StringIO(first.stdout))
    assert len(frame) == 2 * 3 * 10
    assert set(frame["method"]) == {1, 2, np.inf}
    runs = json.loads(prunelab("runs", "--json", env=environment).stdout)
    assert [(run["name"], run["state"]) for run in runs] == [("norms (quick)", "finished")]
    log = tmp_path / "runs" / runs[0]["id"] / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-20]))  # as if the process had been killed
    status = tmp_path / "runs" / runs[0]["id"] / "status.json"
    status.write_text(status.read_text().replace('"finished"', '"running"'))
    document = tmp_path / "study.json"
    second = prunelab("study", "norms", "--quick", "--seeds", "2", "--json", str(document), env=environment)
    assert second.stdout == first.stdout
    answer = json.loads(document.read_text())
    assert answer["verdict"][-1].startswith("2 seeds allow no test")
    assert len(answer["rows"]) == 2 * 3 * 10
    assert len(answer["differences"]) == 2 * 9
    assert len(json.loads(prunelab("runs", "--json", env=environment).stdout)) == 1
    more = prunelab("study", "norms", "--quick", "--seeds", "4", "--jobs", "2", env=environment)  # two are known
    assert more.stdout.startswith(first.stdout)
    assert len(pd.read_csv(io.StringIO(more.stdout))) == 4 * 3 * 10
    runs = json.loads(prunelab("runs", "--json", env=environment).stdout)
    assert sorted(run["seeds"] for run in runs) == [[0, 1], [2], [3]]
    anew = prunelab("study", "norms", "--quick", "--seeds", "4", "--again", "--csv", "-", env=environment)
    assert anew.stdout == more.stdout
    assert len(json.loads(prunelab("runs", "--json", env=environment).stdout)) == 4


@pytest.mark.slow
def test_a_study_of_several_processes_shows_how_far_each_is(tmp_path):
    output = in_terminal("study", "global", "--quick", "--seeds", "2", "--jobs", "2", PRUNELAB_HOME=str(tmp_path))
    # What the two are at in between depends on when they are looked at: see test_progress.py.
    assert re.search(r"points .*100%", output)
    assert "global (unit): " in output


@pytest.mark.slow
def test_a_study_of_several_processes_stops_at_an_interrupt_and_goes_on(tmp_path):
    environment = {**os.environ, "PRUNELAB_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "prunelab.tui.cli", "study", "tickets", "--quick", "--seeds", "2", "--jobs", "2"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )

    def points() -> int:  # a command would take as long as the rest of the study
        with contextlib.suppress(RunError):  # a run whose files are being written
            return sum(len(run.points()) for run in RunStore(tmp_path / "runs").runs())
        return 0

    while points() < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    estimate, hint = errors.splitlines()
    assert estimate.startswith("estimated duration: ")
    assert "the same command continues from here" in hint
    runs = json.loads(prunelab("runs", "--json", env=environment).stdout)
    assert [run["state"] for run in runs] == ["stopped"] * 2
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert len(pd.read_csv(io.StringIO(finished.stdout))) == 2 * 3 * 7
    assert len(json.loads(prunelab("runs", "--json", env=environment).stdout)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "nonsense"], "there is no study"),
        (["study", "global", "--seeds", "0"], "at least 1"),
        (["study", "global", "--data-root", "/no/such/folder"], "/no/such/folder"),
        (["study", "global", "--quick", "--device", "cuda:9"], "GPU"),
    ],
)
def test_what_a_study_cannot_do_is_one_sentence(arguments, message, capsys):
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    output, errors = capsys.readouterr()
    assert (status, output) == (2, "")
    assert message in errors


def test_a_schedule_is_a_way_of_pruning():
    result = prunelab(
        "sweep", *QUICK, "--granularity", "weight", "--schedule", "one-shot,gradual", "--sparsities", "0,0.9"
    )
    assert result.returncode == 0, result.stderr
    assert len(rows_of(result.stdout)) == 4
    assert len({row["accuracy"] for row in rows_of(result.stdout)}) > 1


SINGLE = ["sweep", *QUICK[2:], "--granularity", "weight", "--layers", "16,8", "--csv", "-"]


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        (["--distribution", "uniform,erk", "--min-kept", "0.05", "--exclude-layers", "hidden2"], {"distribution": 2}),
        (["--pattern", "none,2:4,4x1"], {"pattern": 3}),
    ],
)
def test_layers_and_patterns_from_the_command_line(options, columns, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    assert main([*SINGLE, *options, "--sparsities", "0,0.5"]) == 0
    rows = rows_of(capsys.readouterr().out)
    for name, count in columns.items():
        assert len({row[name] for row in rows}) == count
    assert {float(row["achieved_sparsity"]) for row in rows if row["sparsity"] != "0.0"} == {0.5}
    assert len(rows) == 2 * math.prod(columns.values())


def test_a_layer_that_there_is_not_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    assert main([*SINGLE, "--exclude-layers", "conv1"]) != 0
    errors = capsys.readouterr().err
    assert "'conv1': the layers are hidden1, hidden2, output" in errors
    assert "Traceback" not in errors
