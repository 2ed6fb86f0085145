"""The service process: answers, errors, overtaken requests, and its end."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prunelab.estimators.data.source import DataOptions, DataSource
from prunelab.tui.service import browser
from prunelab.tui.service.client import Overtaken, Service, ServiceError
from prunelab.tui.service.server import Request

DIGITS = {"source": DataSource().to_json()}


def run(test: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test, 60)

    asyncio.run(limited())


def test_answers_errors_and_overtaken_requests() -> None:
    async def test() -> None:
        service = Service()
        try:
            about = await service.ask("data.describe", **DIGITS)
            assert about["image_shape"] == [8, 8]
            assert sum(about["counts"]["training"]) == 1437
            assert len(about["class_names"]) == len(about["counts"]["test"]) == 10

            with pytest.raises(ServiceError, match="there is no data set 'digitz'"):
                await service.ask("data.describe", source=DataSource("digitz").to_json())
            with pytest.raises(ServiceError):
                await service.ask("data.no_such_operation")
            with pytest.raises(ServiceError):
                await service.ask("nothing.at_all")

            page = {**DIGITS, "part": "test", "choice": None, "start": 0, "count": 100}
            asked = [service.ask("data.images", group="page", **page) for _ in range(100)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert isinstance(answers[-1], dict)
            assert any(isinstance(answer, Overtaken) for answer in answers[:-1])
            assert all(isinstance(answer, (dict, Overtaken)) for answer in answers)

            # Other groups, and requests without one, are not overtaken.
            asked = [service.ask("data.images", group=f"{i}", **page) for i in range(3)]
            asked += [service.ask("data.images", **page) for _ in range(3)]
            assert len(await asyncio.gather(*asked)) == 6
        finally:
            await service.close()

    run(test())


def test_a_process_that_dies_is_reported_and_restarted() -> None:
    async def test() -> None:
        service = Service()
        await service.start()
        assert service._process is not None
        waiting = asyncio.create_task(service.ask("data.describe", **DIGITS))
        await asyncio.sleep(0)
        while not service._answers:
            await asyncio.sleep(0.01)
        service._process.kill()
        with pytest.raises(ServiceError, match="ended"):
            await waiting
        assert (await service.ask("data.describe", **DIGITS))["n_features"] == 64
        process = service._process
        await service.close()
        assert process.returncode is not None

    run(test())


SLOW_DOWNLOAD = """
import sys, time
from pathlib import Path
from prunelab.estimators.data import idx
from prunelab.tui.service import server

def download(class_name, root):
    folder = Path(root, class_name, "raw")
    folder.mkdir(parents=True)
    with (folder / "train-images-idx3-ubyte.gz").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1000))
            time.sleep(0.01)

idx._run_torchvision = download
sys.exit(server.main())
"""


def start_slow_download(root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_DOWNLOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"id": 1, "op": "data.download", "name": "mnist", "root": str(root)}) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        answer = json.loads(line)
        assert answer["id"] == 1
        assert "error" not in answer
        if answer["arrived"]:
            break
    assert list(root.iterdir())
    return process


@pytest.mark.parametrize("how", ["asked to end", "standard input ends"])
def test_it_ends_in_the_middle_of_a_download_and_leaves_nothing(how: str, tmp_path: Path) -> None:
    with start_slow_download(tmp_path) as process:
        if how == "asked to end":
            process.terminate()
        else:
            assert process.stdin is not None
            process.stdin.close()
        assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_its_standard_input() -> None:
    command = [sys.executable, "-m", "prunelab.tui.service.server"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0
    assert done.stdout == b""


# -- answers about data, without the process ---------------------------------------------------------------


def answer(operation: str, **fields: Any) -> dict[str, Any]:
    request = Request({"id": 1, "root": None, "part": "training", "start": 0, **fields}, {})
    return list(browser.OPERATIONS[operation](request))[-1]


def of(path: Path, **options: Any) -> dict[str, Any]:
    return DataSource(str(path), options=DataOptions(**options)).to_json()


def pixels(page: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(page["pixels"]), np.uint8).reshape(page["shape"])


def test_images_come_one_of_each_class_or_of_one_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (40, 4, 6), dtype=np.uint8)
    y = np.array(["a", "b"] * 18 + ["c"] * 4)
    path = tmp_path / "images.npz"
    np.savez(path, X_train=X, y_train=y, X_test=X[-6:], y_test=y[-6:])
    about = answer("describe", source=of(path))
    assert about["counts"] == {"training": [18, 18, 4], "test": [1, 1, 4]}
    assert about["image_shape"] == (4, 6)

    first = answer("images", source=of(path), choice=None, count=3)
    assert first["indices"] == [0, 1, 36]
    assert first["total"] == 3 * 18
    assert np.array_equal(pixels(first), X[[0, 1, 36]])
    assert answer("images", source=of(path), choice=None, start=3, count=3)["indices"] == [2, 3, 37]
    # The third class has no fifth image.
    assert answer("images", source=of(path), choice=None, start=12, count=3)["classes"] == [0, 1]

    third = answer("images", source=of(path), choice=2, start=1, count=10)
    assert third["indices"] == [37, 38, 39]
    assert third["total"] == 4
    assert answer("images", source=of(path), choice=1, count=9, part="test")["indices"] == [1]


@pytest.mark.parametrize("shape", [(5, 7, 3), (3, 5, 7), (5, 7, 1)])
def test_colours_become_grey(shape: tuple[int, ...], tmp_path: Path) -> None:
    X = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    path = tmp_path / "colours.npz"
    np.savez(path, X=X, y=np.arange(20) % 2)
    assert answer("describe", source=of(path))["image_shape"] == (5, 7)
    assert pixels(answer("images", source=of(path), choice=0, count=2)).shape == (2, 5, 7)


def test_columns_have_their_names_and_the_values_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    rows = [f"{i / 4},7,{1000 * i},{'ab'[i % 2]}" for i in range(20)]
    path.write_text("\n".join(["length,always,price,label", *rows]))
    about = answer("describe", source=of(path))
    assert about["image_shape"] is None
    assert about["n_features"] == 3
    table = answer("features", source=of(path), count=2, start=1, rows=4)
    assert table["names"] == ["always", "price"]
    assert table["total"] == 3
    assert table["min"][0] == table["max"][0] == table["mean"][0] == 7
    prices = {1000.0 * i for i in range(20)}
    assert {round(value, 2) for value in table["rows"][1]} <= prices
    assert len(table["rows"][1]) == len(table["classes"]) == 4


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    for n in (20, 40):
        path.write_text("\n".join(["length,label", *(f"{i},{i % 2}" for i in range(n))]))
        assert sum(map(sum, answer("describe", source=of(path))["counts"].values())) == n


def test_a_download_tells_its_bytes_and_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, root: str, *, download: bool, on_bytes: Any) -> None:
        assert download
        for number in range(1, 4):
            on_bytes(number)
            time.sleep(0.01)
        if name == "bad":
            raise ValueError("no connection")

    monkeypatch.setattr(browser, "load_dataset", load)
    assert answer("download", name="mnist")["arrived"] == 3
    with pytest.raises(ValueError, match="no connection"):
        answer("download", name="bad")
