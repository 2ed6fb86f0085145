"""Files: what is written where, what is refused, and that damage is seen."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
from prunelab.estimators.files import (
    FileError,
    float_from_json,
    json_text,
    open_regular,
    pack_arrays,
    read_file,
    replace_file,
    unpack_arrays,
    write_output,
)
from safetensors.numpy import save


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_replacing_keeps_the_old_file_if_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="space"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_replacing_does_not_follow_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    replace_file(link, b"new")
    assert target.read_bytes() == b"precious"
    assert link.read_bytes() == b"new"
    assert not link.is_symlink()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_replaced_files_are_private_whatever_the_umask(tmp_path, umask):
    previous = os.umask(umask)
    try:
        replace_file(tmp_path / "file", b"x", sync=True)
    finally:
        os.umask(previous)
    assert mode_of(tmp_path / "file") == 0o600


def test_output_follows_links_and_keeps_permissions(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_output(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert mode_of(target) == 0o640


def test_output_creates_the_target_of_a_dangling_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_output(tmp_path / "link", b"x")
    assert (tmp_path / "target").read_bytes() == b"x"
    assert (tmp_path / "link").is_symlink()


def test_new_output_has_the_permissions_of_the_umask(tmp_path):
    previous = os.umask(0o027)
    try:
        write_output(tmp_path / "file", "x")
    finally:
        os.umask(previous)
    assert mode_of(tmp_path / "file") == 0o640


def test_output_goes_into_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, b"x" * 100_000)
    reader.join(10)
    assert read == [b"x" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_output_to_standard_output_is_appended_to_a_redirected_file(tmp_path, name):
    path = tmp_path / "file"
    path.write_text("before\n")
    code = f"from prunelab.estimators.files import write_output; write_output({name!r}, 'after\\n')"
    with path.open("a") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert path.read_text() == "before\nafter\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_is_written_in_place_where_the_folder_is_read_only(tmp_path):
    path = tmp_path / "file"
    path.write_text("old and longer")
    tmp_path.chmod(0o500)
    try:
        write_output(path, "new")
    finally:
        tmp_path.chmod(0o700)
    assert path.read_text() == "new"


def test_output_to_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError):
        write_output(tmp_path, "x")


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"x")
    for path, kind in ((tmp_path, "folder"), (tmp_path / "pipe", "pipe"), ("/dev/zero", "device")):
        with pytest.raises(FileError, match=kind):
            read_file(path, 10)
    assert read_file(tmp_path / "link", 10) == b"x"
    with pytest.raises(FileError, match="symbolic link"):
        read_file(tmp_path / "link", 10, follow_links=False)
    with pytest.raises(FileError, match="symbolic link"):
        open_regular(tmp_path / "link", os.O_RDWR | os.O_CREAT, follow_links=False)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", 10)


def test_the_limit_counts_what_is_read_not_what_the_file_claims(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 11)
    assert read_file(tmp_path / "file", 11) == b"x" * 11
    with pytest.raises(FileError, match="limit of 10 bytes"):
        read_file(tmp_path / "file", 10)
    if os.path.exists("/proc/self/maps"):  # reports a size of 0 bytes
        with pytest.raises(FileError, match="limit"):
            read_file("/proc/self/maps", 10)


def test_json_has_one_form_for_numbers_that_it_lacks():
    values = {"a": math.nan, "b": [math.inf, -math.inf], "c": (1, 2.5), "d": "x"}
    assert json.loads(json_text(values)) == {"a": None, "b": ["inf", "-inf"], "c": [1, 2.5], "d": "x"}


ARRAYS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
}
HEADER = {"name": 'with "quotes" and {"sha256": "' + "0" * 64 + '"}', "data": {"sha256": "1" * 64}, "values": [1, "ä"]}
KIND = "prunelab-test"


def pack(arrays=ARRAYS, header=HEADER, version=2):
    return pack_arrays(arrays, header, KIND, version)


def unpack(data):
    return unpack_arrays(data, KIND, 2, unverified=(1,))


def earlier(header):
    """A file without a checksum."""
    return save(ARRAYS, metadata={"prunelab": json.dumps(header)})


def test_arrays_are_read_back():
    file = unpack(pack())
    assert {name: file.header[name] for name in HEADER} == HEADER
    assert file.is_verified
    assert file.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert file.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(file.arrays[name], array)


def test_numbers_that_json_lacks_are_read_back():
    values = [math.inf, -math.inf, 1.5, 3]
    header = unpack(pack(header={"values": values, "nan": math.nan})).header
    assert [float_from_json(value) for value in header["values"]] == values
    assert math.isnan(float_from_json(header["nan"]))
    for other in ("1", True, [1], "nan", {}):
        with pytest.raises(TypeError, match="not a number"):
            float_from_json(other)


def test_the_same_content_gives_the_same_bytes():
    assert len({pack() for _ in range(20)}) == 1


def test_no_flipped_bit_goes_unnoticed():
    """Every bit of the file, also those of the name of the checksum and of the version."""
    data = pack()
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(ValueError, match=r"^its? "):
            unpack(bytes(flipped))


def test_files_of_earlier_versions_are_unverified():
    file = unpack(earlier({"format": KIND, "version": 1, **HEADER}))
    assert file.header["values"] == HEADER["values"]
    assert not file.is_verified


def test_only_earlier_versions_may_lack_a_checksum():
    with pytest.raises(ValueError, match="no checksum"):
        unpack(earlier({"format": KIND, "version": 2}))
    with pytest.raises(ValueError, match="no checksum"):
        unpack(earlier({"format": KIND, "version": 1, "sha256": ""}))
    with pytest.raises(ValueError, match="no checksum"):
        unpack(save(ARRAYS, metadata={"prunelab": json.dumps({"format": KIND, "version": 1}), "sha256": "0" * 64}))


@pytest.mark.parametrize("version", [0, 3, "2", None, [2]])
def test_other_versions_are_refused(version):
    with pytest.raises(ValueError, match="this prunelab reads 1 or 2"):
        unpack(pack(version=version))


def test_other_kinds_of_file_are_refused():
    with pytest.raises(ValueError, match="'prunelab-test', not 'prunelab-model'"):
        unpack_arrays(pack(), "prunelab-model", 2)


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"\xff" * 8 + b"{}", pack()[:-1], pack() + b"\0", save(ARRAYS)])
def test_other_files_are_refused(data):
    with pytest.raises(ValueError, match="it is not a safetensors file of prunelab"):
        unpack(data)
