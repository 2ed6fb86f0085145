"""Tables of any origin: read as they were meant, or refused with the name of the option that decides."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prunelab.estimators import DatasetError, load_dataset
from prunelab.estimators.data.datasets import load_source
from prunelab.estimators.data.source import DataOptions, DataSource

from .loading import assert_sound


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding, newline="")
    return path


def lines(*rows: str, repeat: int = 1) -> str:
    return "\n".join([*rows]) + "\n"


def flowers(separator: str = ",", decimal: str = ".", n: int = 20) -> list[str]:
    """Lines of two features and a class name, without a header line."""
    cells = [[f"{5 + i % 7 / 10:.1f}", f"{1 + i % 3 / 10:.1f}", ("setosa", "virginica")[i % 2]] for i in range(n)]
    return [separator.join(cell.replace(".", decimal) for cell in row) for row in cells]


def raw_rows(data: Any) -> np.ndarray:
    """All samples as they are in the file, in sorted order."""
    X = np.concatenate([data.X_train, data.X_test]) * data.feature_scale + data.feature_mean
    return np.array(sorted(map(tuple, np.round(X, 4).tolist())))


def refused(path: Path, *words: str, **options: Any) -> None:
    with pytest.raises(DatasetError) as caught:
        load_dataset(path, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert str(caught.value).isprintable()


def assumed(data: Any, option: str) -> str:
    """The only assumption about an option; empty if there is none."""
    (found,) = [line for line in data.assumptions if line.startswith(f"{option}=")] or [""]
    return found


# -- delimiters and decimal marks ------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("header", [True, False])
def test_delimiters_and_decimal_marks_are_found(tmp_path, separator, decimal, header):
    if separator == decimal:
        return
    head = [separator.join(["length", "width", "species"])] if header else []
    path = write(tmp_path / "d.csv", lines(*head, *flowers(separator, decimal)))
    data, expected = load_dataset(path), load_dataset(write(tmp_path / "e.csv", lines("a,b,label", *flowers())))
    assert_sound(data)
    np.testing.assert_array_equal(data.X_train, expected.X_train)
    assert data.class_names == ["setosa", "virginica"]
    assert bool(assumed(data, "decimal")) == (decimal == ",")
    assert bool(assumed(data, "delimiter")) == (separator != ",")
    assert bool(assumed(data, "header")) == (not header)
    named = load_dataset(path, delimiter=separator, decimal=decimal, header=header, label="species" if header else 3)
    np.testing.assert_array_equal(named.X_train, expected.X_train)
    assert [line for line in named.assumptions if not line.startswith(("test", "pixels"))] == []


def test_what_could_be_two_delimiters_or_thousands_is_refused(tmp_path):
    rows = ["a,b;c,label", *(f"{i % 5},{i % 3};{i % 4},{'xy'[i % 2]}" for i in range(12))]
    refused(write(tmp_path / "d.csv", lines(*rows)), "could be separated by ',' and ';'", "(delimiter)")
    rows = ["a;b;label", *(f"1,{100 + i};{i};{'xy'[i % 2]}" for i in range(12))]
    path = write(tmp_path / "d.csv", lines(*rows))
    refused(path, "thousands", "decimal")
    assert raw_rows(load_dataset(path, decimal=","))[0, 0] == 1.1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_part_of_the_first_name(tmp_path, encoding):
    rows = ["label\tlänge", *(f"{'ab'[i % 2]}\t{i * i}" for i in range(12))]
    data = load_dataset(write(tmp_path / "d.csv", lines(*rows), encoding))
    assert data.feature_names == ["länge"]
    assert data.class_names == ["a", "b"]


def test_text_of_another_encoding_is_refused(tmp_path):
    refused(write(tmp_path / "d.csv", lines("länge,label", "1,a"), "latin-1"), "UTF-8")


# -- header lines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        ["5.1,3.5,1.4,0.2,setosa", *(f"{i}.5,3.{i},1.4,0.2,{('setosa', 'other')[i % 2]}" for i in range(11))],
        ["5.1,5.1,1.4,setosa", *(f"{i}.5,3.{i},1.4,{('setosa', 'other')[i % 2]}" for i in range(11))],
    ],
)
def test_the_first_sample_of_a_table_without_header_is_a_sample(tmp_path, rows):
    data = load_dataset(write(tmp_path / "d.csv", lines(*rows)))
    assert len(data.y_train) + len(data.y_test) == len(rows)
    assert "header=False" in assumed(data, "header")


def test_a_first_line_that_may_be_either_is_refused(tmp_path):
    rows = ["400,402,kind", *(f"{i / 10},{i % 3},{'ab'[i % 2]}" for i in range(12))]
    path = write(tmp_path / "d.csv", lines(*rows))
    refused(path, "header=True or header=False")
    assert load_dataset(path, header=True).feature_names == ["400", "402"]


def test_the_names_of_a_frame_without_names_are_a_header_line(tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 6))).assign(target=np.arange(30) % 3)
    for index in (True, False):
        frame.to_csv(tmp_path / "d.csv", index=index)
        data = load_dataset(tmp_path / "d.csv")
        assert data.feature_names == list("012345")
        assert len(data.y_train) + len(data.y_test) == 30


# -- row names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["", '""'])
@pytest.mark.parametrize(("start", "step"), [(0, 1), (1, 1), (7, 3)])
def test_row_numbers_without_a_name_are_left_out(tmp_path, first, start, step):
    rows = [f"{first},a,label", *(f"{start + step * i},{i % 5},{'pq'[i // 10]}" for i in range(20))]
    path = write(tmp_path / "d.csv", lines(*rows))
    data = load_dataset(path)
    assert data.feature_names == ["a"]
    assert "left out" in assumed(data, "index")
    assert load_dataset(path, index=False).feature_names == ["Unnamed: 0", "a"]
    assert load_dataset(path, index=True).feature_names == ["a"]


def test_a_table_of_r_with_row_names(tmp_path):
    """`write.table(sep=",")` leaves out the name of the row names."""
    rows = ['"a","b","label"', *(f'"{i + 1}",{i % 5},{i % 3},"{"pq"[i % 2]}"' for i in range(20))]
    assert load_dataset(write(tmp_path / "d.csv", lines(*rows))).feature_names == ["a", "b"]


def test_first_columns_that_may_be_row_names_are_refused(tmp_path):
    order = np.random.default_rng(0).permutation(20)
    rows = [",a,label", *(f"{order[i]},{i % 5},{'pq'[i % 2]}" for i in range(20))]
    refused(write(tmp_path / "d.csv", lines(*rows)), "without a name", "index=True or index=False")
    rows = ["Id,a,Species", *(f"{i + 1},{i % 5},{'pq'[i // 10]}" for i in range(20))]
    path = write(tmp_path / "d.csv", lines(*rows))
    refused(path, "'Id'", "index='Id'", "index=False")
    assert load_dataset(path, index="Id").feature_names == ["a"]
    rows = [f"{i + 1},{i % 5},{'pq'[i // 10]}" for i in range(20)]
    refused(write(tmp_path / "d.csv", lines(*rows)), "index=True or index=False")


def test_row_names_that_stop_increasing_after_the_beginning_are_noticed(tmp_path):
    rows = [",a,label", *(f"{i % 1500},{i % 5},{'pq'[i % 2]}" for i in range(2000))]
    refused(write(tmp_path / "d.csv", lines(*rows)), "without a name", "index=True or index=False")


# -- labels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "column"),
    [("x,y,kind", "kind"), ("x,y,target", "target"), ("a,y,b", "y"), ("a,Class,b", "Class"), ("a,kind,b", "kind")],
)
def test_the_label_column_is_found(tmp_path, header, column):
    names = header.split(",")
    rows = [",".join("pq"[i % 2] if name == column else str(i * i % 7) for name in names) for i in range(20)]
    data = load_dataset(write(tmp_path / "d.csv", lines(header, *rows)))
    assert data.class_names == ["p", "q"]
    assert f"label={column!r}" in assumed(data, "label")


@pytest.mark.parametrize("header", ["x,y,count", "a,b,rings", "x,y", "a,label,target", ""])
def test_a_table_of_numbers_without_a_named_label_is_refused(tmp_path, header):
    width = header.count(",") + 1 if header else 3
    rows = [",".join(str((i + j) * 3 % 4) for j in range(width)) for i in range(20)]
    path = write(tmp_path / "d.csv", lines(*([header] if header else []), *rows))
    refused(path, "(label)")
    name = header.split(",")[0] or "1"
    assert load_dataset(path, label=name).class_names == ["0", "1", "2", "3"]


def test_several_columns_of_words_and_unknown_labels_are_refused(tmp_path):
    rows = ["site,species,size", *(f"{'mn'[i % 2]},{'pq'[i % 3 == 0]},{i}" for i in range(20))]
    path = write(tmp_path / "d.csv", lines(*rows))
    refused(path, "'site', 'species'", "(label)")
    refused(path, "no column 'specie'", "did you mean 'species'", label="specie")
    refused(path, "'site'", "not numeric", label="species")


def test_names_of_samples_are_not_taken_for_classes(tmp_path):
    rows = ["name,a,ill", *(f"patient {i},{i * i % 7},{i % 2}" for i in range(20))]
    refused(write(tmp_path / "d.csv", lines(*rows)), "(label)")


@pytest.mark.parametrize("names", [("NA", "None"), ("null", "nan"), ("NA", "1"), ("", "x"), ("01", "1"), ("é", "日本")])
def test_class_names_are_names_whatever_they_are(tmp_path, names):
    rows = ["a,label", *(f"{i * i},{names[i % 2]}" for i in range(20))]
    path = write(tmp_path / "d.csv", lines(*rows))
    if "" in names:
        refused(path, "10 empty or NA cells")
    else:
        assert load_dataset(path).class_names == sorted(names)


def test_a_column_of_nothing_but_words_for_missing_values_holds_class_names(tmp_path):
    rows = ["a,kind", *(f"{i * i},{('NA', ' None')[i % 2]}" for i in range(20))]
    assert load_dataset(write(tmp_path / "d.csv", lines(*rows))).class_names == ["NA", "None"]


def test_spaces_around_class_names_do_not_make_classes(tmp_path):
    rows = ["a,label", *(f"{i * i},{('fern', 'fern  ', ' moss', 'moss')[i % 4]}" for i in range(20))]
    data = load_dataset(write(tmp_path / "d.csv", lines(*rows)))
    assert data.class_names == ["fern", "moss"]
    assert any("spaces around class names" in line and "3 names 2" in line for line in data.assumptions)


def test_an_empty_last_column_is_left_out(tmp_path):
    for header in ("a,label,", "a,label"):
        rows = [header, *(f"{i * i},{'pq'[i % 2]}," for i in range(20))]
        data = load_dataset(write(tmp_path / "d.csv", lines(*rows)))
        assert (data.feature_names, data.class_names) == (["a"], ["p", "q"])
        assert any("last column, which is empty" in line for line in data.assumptions)


def test_two_columns_of_one_name_and_long_lines_are_refused(tmp_path):
    rows = ["a,a,label", *(f"{i},{i % 5},{'pq'[i % 2]}" for i in range(20))]
    refused(write(tmp_path / "d.csv", lines(*rows)), "several columns called 'a'")
    rows = ["a,b,label", *(f"{i % 3},{i % 5},{'pq'[i % 2]}" for i in range(600)), "1,2,p,4"]
    refused(write(tmp_path / "d.csv", lines(*rows)), "cannot be read", "saw 4")


# -- test data -------------------------------------------------------------------------------------------------


def test_a_fraction_or_a_file_of_test_samples(tmp_path):
    rows = flowers(n=40)
    path = write(tmp_path / "d.csv", lines("a,b,kind", *rows))
    assert len(load_dataset(path, test=0.5).y_test) == 20
    swapped = [",".join([row.split(",")[i] for i in (2, 1, 0)]) for row in rows[:8]]
    test = write(tmp_path / "t.csv", lines("kind,b,a", *swapped))
    data = load_dataset(path, test=test)
    assert (len(data.y_train), len(data.y_test)) == (40, 8)
    np.testing.assert_array_equal(data.X_test, data.X_train[:8])
    assert str(test) in data.source
    refused(path, "no column 'b'", test=write(tmp_path / "u.csv", lines("a,kind", "1.0,setosa")))
    refused(path, "column 'c'", test=write(tmp_path / "u.csv", lines("a,b,c,kind", "1.0,2,3,setosa")))
    refused(path, "there is no file", test=tmp_path / "none.csv")
    for wrong in (0, 1, 1.5, -0.1, True):
        refused(path, "test must be", test=wrong)


def test_npz_files_take_test_data_and_no_options_of_tables(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "d.npz", X=X, y=y)
    np.savez(tmp_path / "t.npz", X_test=X[:10], y_test=y[:10])
    np.savez(tmp_path / "both.npz", X_train=X, y_train=y, X_test=X, y_test=y)
    assert len(load_dataset(tmp_path / "d.npz", test=0.3).y_test) == 12
    data = load_dataset(tmp_path / "d.npz", test=tmp_path / "t.npz")
    np.testing.assert_array_equal(data.X_test, data.X_train[:10])
    refused(tmp_path / "both.npz", "test part of its own", test=0.3)
    refused(tmp_path / "d.npz", "label is for .csv files", label="y")
    with pytest.raises(DatasetError, match="delimiter is for files"):
        load_dataset("digits", delimiter=";")


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images_train", "labels_train", "images_test", "labels_test"),
        ("train_x", "train_y", "test_x", "test_y"),
    ],
)
def test_array_names_of_others(tmp_path, keys):
    X, y = np.random.default_rng(0).integers(0, 256, (30, 6, 6), dtype=np.uint8), (np.arange(30) % 3)[:, None]
    extra = {"val_images": X, "val_labels": y} if "images" in keys[0] else {}
    np.savez(tmp_path / "d.npz", **dict(zip(keys, (X, y, X[:12], y[:12]), strict=True)), **extra)
    data = load_dataset(tmp_path / "d.npz")
    assert_sound(data)
    assert (len(data.y_train), len(data.y_test), data.image_shape) == (30, 12, (6, 6))
    assert any("'val_images'" in line for line in data.assumptions) == bool(extra)


# -- identity --------------------------------------------------------------------------------------------------


def test_content_identifies_what_was_read(tmp_path):
    path = write(tmp_path / "d.csv", lines("a,b,kind", *flowers()))
    data, source = load_dataset(path), DataSource(str(path))
    assert data.content == source.content()
    os.utime(path, (0, 0))
    assert load_dataset(path).content == data.content
    write(path, lines("a,b,kind", *flowers()[::-1]))
    assert load_dataset(path).content == source.content() != data.content
    test = write(tmp_path / "t.csv", lines("a,b,kind", *flowers()))
    both = DataSource(str(path), options=DataOptions(test=str(test)))
    assert both.content() == load_source(both).content == f"{source.content()}+{data.content}"
    assert load_dataset("digits").content is DataSource("digits").content() is None


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_pipes_and_devices_are_refused_at_once(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name, kind in (("pipe", "pipe"), ("zero", "device")):
        refused(tmp_path / f"{name}{suffix}", kind)
        with pytest.raises(DatasetError, match=kind):
            DataSource(str(tmp_path / f"{name}{suffix}")).content()


# -- anything that pandas writes -------------------------------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from(
        ["NA", "None", "", "null", "nan", "1", "2", "01", "1.0", "0.5", "1e3", "True", 'a"b', "a,b", "a;b"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6),
)


#: A column without a name is called as pandas calls it, or is an index.
COLUMN_NAMES = st.text("abcx 012.;,\"'", min_size=1, max_size=5).filter(str.strip)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_table_of_pandas_is_read_back_or_refused(data: st.DataObject, tmp_path_factory: Any) -> None:
    """Given the delimiter, decimal mark and label, a table needs no other option."""
    n_classes, n_features = data.draw(st.integers(2, 3)), data.draw(st.integers(1, 4))
    names = data.draw(st.lists(NAMES, min_size=n_classes, max_size=n_classes, unique=True))
    kind = data.draw(st.sampled_from(["int", "float", "bool"]))
    values = {
        "int": st.integers(-(2**40), 2**40),
        "float": st.floats(-1e15, 1e15).map(lambda x: round(x, 6)),
        "bool": st.booleans(),
    }[kind]
    n = n_classes * 5
    columns = data.draw(st.lists(COLUMN_NAMES, min_size=n_features, max_size=n_features, unique=True))
    frame = pd.DataFrame(
        {name: data.draw(st.lists(values, min_size=n, max_size=n)) for name in columns if name.strip() != "label"}
    )
    place = data.draw(st.integers(0, len(frame.columns)))
    frame.insert(place, "label", [names[i % n_classes] for i in range(n)])
    header, index = data.draw(st.booleans()), data.draw(st.booleans())
    if index:
        frame.index = pd.Index(sorted(data.draw(st.sets(st.integers(-50, 99), min_size=n, max_size=n))))
    separator, decimal = data.draw(st.sampled_from([",", ";", "\t", "|", " "])), data.draw(st.sampled_from([".", ","]))
    path = tmp_path_factory.getbasetemp() / "any.csv"
    frame.to_csv(path, index=index, header=header, sep=separator, decimal=decimal)

    label = "label" if header else str(place + index + 1)
    if separator == decimal:
        return
    try:
        read = load_dataset(path, delimiter=separator, decimal=decimal, label=label)
    except DatasetError:
        return
    features = frame.drop(columns="label")
    expected = pd.DataFrame(features.to_numpy(dtype=np.float64))
    stripped = [name.strip() for name in names]
    order = {name: i for i, name in enumerate(read.class_names)}
    assert sorted(set(stripped)) == sorted(read.class_names)
    assert len(read.y_train) + len(read.y_test) == n
    assert read.preprocessing.n_features_in_ == features.shape[1]
    if header:
        assert read.feature_names == [name.strip() for name in features.columns]
    everything = read.preprocessing.scale(expected.to_numpy())
    labels = np.array([order[stripped[i % n_classes]] for i in range(n)])
    found = np.concatenate([read.X_train, read.X_test])
    codes = np.searchsorted(np.unique(read.y_train), np.concatenate([read.y_train, read.y_test]))
    assert sorted(map(tuple, np.column_stack([found, codes]).tolist())) == sorted(
        map(tuple, np.column_stack([everything, labels]).tolist())
    )


@settings(max_examples=100, deadline=None)
@given(
    names=st.lists(NAMES, min_size=2, max_size=3, unique=True),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
@example(names=["NA", "None"], quoting=csv.QUOTE_MINIMAL)
@example(names=["a\r\nb", "a\nb"], quoting=csv.QUOTE_MINIMAL)
def test_any_class_names_are_read_back_or_refused(names: list[str], quoting: int, tmp_path_factory: Any) -> None:
    n = 5 * len(names)
    frame = pd.DataFrame(
        {"a": np.arange(n) ** 2, "b": np.arange(n) / 4, "kind": [names[i % len(names)] for i in range(n)]}
    )
    path = tmp_path_factory.getbasetemp() / "names.csv"
    frame.to_csv(path, index=False, quoting=quoting)  # type: ignore[arg-type]
    try:
        read = load_dataset(path, label="kind")
    except DatasetError:
        return
    assert sorted({name.strip() for name in names}) == sorted(read.class_names)
    assert len(read.y_train) + len(read.y_test) == n
