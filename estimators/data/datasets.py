"""Data to prune on: `load_dataset` by name, or from a file of the user's own.

The names are the digits that ship with scikit-learn, the sequences of MNIST-1D, which are generated, and three sets of
28x28 images that torchvision knows how to download. The modules `idx` and `userfiles` do the reading.
All errors are `DatasetError`: one sentence that names the problem and a remedy.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..messages import as_text
from .cifar import IMAGE_SHAPE, CifarDataset, cifar_state, load_cifar
from .errors import DatasetError
from .idx import IdxDataset, State, idx_folder, idx_state, load_idx
from .mnist1d import LENGTH, N_CLASSES, N_TRAIN, PER_CLASS, make_mnist1d
from .noise import with_label_noise
from .scaling import stratified_split
from .source import FILE_SUFFIXES, PIXELS, DataOptions, DataSource

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from sklearn.utils import Bunch

__all__ = [
    "DatasetError",
    "DatasetInfo",
    "data_folder",
    "data_home",
    "dataset_names",
    "describe_datasets",
    "load_dataset",
    "one_per_class",
]

# What there is ------------------------------------------------------------------------------------------


_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat")
_CLOTHES += ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

_IDX_DATASETS = {
    "mnist": IdxDataset(
        name="mnist",
        folder="MNIST",
        description="handwritten digits, 28x28",
        download_mb=11,
        class_names=_DIGITS,
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion-mnist": IdxDataset(
        name="fashion-mnist",
        folder="FashionMNIST",
        description="photos of clothes, 28x28",
        download_mb=30,
        class_names=_CLOTHES,
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    "kmnist": IdxDataset(
        name="kmnist",
        folder="KMNIST",
        description="Japanese characters, 28x28",
        download_mb=21,
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        verified="archive",
        sha256=(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
}


_CIFAR = CifarDataset()


@dataclass(frozen=True)
class DatasetInfo:
    """The description of one data set by `describe_datasets`.

    Attributes
    ----------
    name : str
        What to pass to `load_dataset`.
    description : str
        A few words about what the images show.
    n_train, n_test : int
        How many images there are.
    image_shape : tuple of int
        Height and width of an image; the length of a sequence.
    n_classes : int
        How many classes there are.
    state : {"ready", "not downloaded", "damaged"}
        Whether `load_dataset` would find it.
    where : str
        The folder that was looked into.
    checked : str
        What the state rests on, and what is wrong if something is.
    download_mb : int
        About how many megabytes a download takes; 0 where none is needed.
    """

    name: str
    description: str
    n_train: int
    n_test: int
    image_shape: tuple[int, ...]
    n_classes: int
    state: State
    where: str
    checked: str
    download_mb: int


def dataset_names() -> list[str]:
    """List the names that `load_dataset` knows."""
    return ["digits", *_IDX_DATASETS, _CIFAR.name, "mnist1d"]


def describe_datasets(root: str | os.PathLike[str] | None = None) -> list[DatasetInfo]:
    """Describe every named data set, and whether it is on this machine.

    This looks at the files' existence and sizes only, which is cheap; `load_dataset` verifies the content.

    Parameters
    ----------
    root : path-like, optional
        The folder that holds the data; see `data_folder`.

    Returns
    -------
    list of DatasetInfo
    """
    infos = [
        DatasetInfo(
            name="digits",
            description="handwritten digits, 8x8",
            n_train=1437,
            n_test=360,
            image_shape=(8, 8),
            n_classes=10,
            state="ready",
            where="inside scikit-learn",
            checked="nothing to check",
            download_mb=0,
        ),
    ]
    for dataset in _IDX_DATASETS.values():
        folder = idx_folder(dataset, data_folder(root))
        state, checked = idx_state(dataset, folder)
        infos.append(
            DatasetInfo(
                name=dataset.name,
                description=dataset.description,
                n_train=dataset.n_train,
                n_test=dataset.n_test,
                image_shape=dataset.image_shape,
                n_classes=len(dataset.class_names),
                state=state,
                where=str(folder),
                checked=checked,
                download_mb=dataset.download_mb,
            )
        )
    folder = data_folder(root)
    state, checked = cifar_state(_CIFAR, folder)
    infos.append(
        DatasetInfo(
            name=_CIFAR.name,
            description=_CIFAR.description,
            n_train=_CIFAR.n_train,
            n_test=_CIFAR.n_per_file,
            image_shape=IMAGE_SHAPE,
            n_classes=len(_CIFAR.class_names),
            state=state,
            where=str(folder),
            checked=checked,
            download_mb=_CIFAR.download_mb,
        )
    )
    infos.append(
        DatasetInfo(
            name="mnist1d",
            description="sequences of 40 numbers",
            n_train=N_TRAIN,
            n_test=N_CLASSES * PER_CLASS - N_TRAIN,
            image_shape=(LENGTH,),
            n_classes=N_CLASSES,
            state="ready",
            where="generated",
            checked="nothing to check",
            download_mb=0,
        )
    )
    return infos


# Where the data are -------------------------------------------------------------------------------------


def data_home() -> Path:
    """Return prunelab's own folder: the environment variable `PRUNELAB_HOME`, else the platform's for user data.

    Raises
    ------
    DatasetError
        If neither `PRUNELAB_HOME` nor a home directory is there.
    """
    import platformdirs

    try:
        home = os.path.expanduser(os.environ.get("PRUNELAB_HOME") or platformdirs.user_data_dir("prunelab"))
    except RuntimeError:  # of platformdirs; `expanduser` leaves the ~
        home = "~"
    if home.startswith("~"):
        raise DatasetError("there is no home directory to keep files in: set PRUNELAB_HOME to a folder")
    return Path(home)


def data_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds the named data sets, in torchvision's layout; it need not exist.

    It is `root` if that is given, else the environment variable `PRUNELAB_DATA`, else `data` in `data_home`.
    """
    chosen = root or os.environ.get("PRUNELAB_DATA")
    return Path(os.path.expanduser(chosen)) if chosen else data_home() / "data"


# Loading ------------------------------------------------------------------------------------------------


def load_dataset(
    name: str | os.PathLike[str] = "digits",
    root: str | os.PathLike[str] | None = None,
    *,
    pixels: str = "auto",
    label: str | int | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | str = "auto",
    index: bool | str = "auto",
    test: float | str | os.PathLike[str] | None = None,
    label_noise: float = 0.0,
    download: bool = False,
    progress: Callable[[str], object] | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> Bunch:
    """Load a data set, split into training and test data and scaled.

    What a file leaves open is inferred where it is clear, and then listed in `assumptions`; where it is not clear, the
    file is refused with the name of the parameter that decides.

    Parameters
    ----------
    name : str or path-like, default="digits"
        One of `dataset_names()`, or the path of a `.npz` or `.csv` file.

        A `.npz` file holds the arrays `X_train`, `y_train`, `X_test` and `y_test` (or `x_train`, ..., or
        `train_images`, `train_labels`, ...), or `X` and `y` (or `images` and `labels`, ...), which are then split. A
        `.csv` file holds a line for each sample; all columns but the label are numbers.
    root : path-like, optional
        The folder that holds the named data sets; see `data_folder`.
    pixels : {"auto", "signed", "unit", "standard"}, default="auto"
        How pixels are scaled: to [-1, 1] as in the original experiment ("signed"); to [0, 1], where the background of
        MNIST's digits is zero and moves no weight, as in the lottery tickets' paper ("unit"); or all together to mean 0
        and standard deviation 1 on the training data, as in SNIP's ("standard"). These three are refused for values
        that are not from 0 to 255 or from 0 to 1. "auto" is "signed" for pixels, and standardises every feature of
        other data by itself.
    label : str or int, optional
        The column of class labels of a `.csv` file. By default it is called `label`, `target` or `class` (or `y`, if no
        column is called `x`), or is the only one that does not hold numbers. Columns without a header line are called
        1, 2, ... Class names are read as they are written: NA, None and null are names.
    delimiter : str, optional
        The character between cells, or "comma", "semicolon", "tab", "space" or "pipe". By default, the one of comma,
        semicolon, tab and pipe that fits all lines.
    decimal : {".", ","}, optional
        The decimal mark. By default a point, unless numbers have commas and the delimiter is another.
    header : "auto" or bool, default="auto"
        Whether the first line of a `.csv` file names the columns.
    index : "auto", bool or str, default="auto"
        The column of row names, which is left out: the first (True), the one with this name, or none (False). By
        default, a first column of increasing whole numbers without a name.
    test : float, str or path-like, optional
        The fraction of the samples to set aside for testing (by default 0.2 of a file without a test part; the split is
        stratified and always the same), or the path of a file with test samples.
    label_noise : float, default=0
        The fraction of the training labels to replace by those of other classes, always in the same way; test labels
        stay as they are. See `prunelab.estimators.data.noise.with_label_noise`.
    download : bool, default=False
        Download a named data set that is missing or damaged. Files that were damaged are replaced.
    progress : callable, optional
        Called with one sentence before a download starts.
    on_bytes : callable, optional
        Called with the number of bytes that have arrived, several times a second while a download lasts, in
        another thread.

    Returns
    -------
    sklearn.utils.Bunch
        With the attributes

        X_train, X_test : ndarray of shape (n_samples, n_features), float32
            `pixels` determines the scaling of pixels. Other features are standardised on the training data.
        y_train, y_test : ndarray of shape (n_samples,)
            The codes 0 to 9 as int64 for the named data sets, else the labels in the file.
        image_shape : tuple of int, or None
            The shape of one sample; None where the data are not images.
        sequence_shape : (int, int), or None
            Steps, and features of each, of one sample; None where the data are not sequences. Sequences are ``mnist1d``
            and the samples of a `.npz` file with the shape (n_samples, steps, features) that are not images.
        class_names : list of str
            The names of the classes, in the order of the sorted labels.
        name : str
            The name asked for; for a file, its name without the folder.
        source : str
            One sentence: where the data came from and what was done to them.
        assumptions : list of str
            What was inferred from a file, a sentence each that begins with the parameter which decides otherwise.
        content : str or None
            The SHA-256 of the file, in hexadecimal (of two files, with a "+" between); None for the named data sets,
            whose content is verified.
        preprocessing : Preprocessing
            The fitted scikit-learn transformer that scales samples as they are in the file.

        and for files also

        feature_names : list of str, or None
            The columns of a `.csv` file without the label.
        feature_mean, feature_scale : ndarray of shape (n_features,), or None
            Mean and standard deviation of the training data in the file, where the features were standardised.

    Raises
    ------
    DatasetError
        The data are unknown, missing, damaged, ambiguous or not usable. The message names a remedy.
    """
    options = DataOptions(
        label=str(label) if isinstance(label, int) else label,
        delimiter=delimiter,
        decimal=decimal,
        header=header,
        index=index,
        test=os.fspath(test) if isinstance(test, os.PathLike) else test,
        label_noise=label_noise,
    )
    source = DataSource(os.fspath(name), None if root is None else os.fspath(root), pixels, options)
    return load_source(source, download=download, progress=progress, on_bytes=on_bytes)


def load_source(
    source: DataSource,
    *,
    download: bool = False,
    progress: Callable[[str], object] | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> Bunch:
    """Load what a `DataSource` describes; see `load_dataset`."""
    bunch = _load_clean(source, download, progress, on_bytes)
    if noise := source.options.label_noise:
        bunch.y_train = with_label_noise(bunch.y_train, noise)
        bunch.source += f"; {100 * noise:g} % of the training labels are wrong"
    return bunch


def _load_clean(
    source: DataSource,
    download: bool,
    progress: Callable[[str], object] | None,
    on_bytes: Callable[[int], object] | None,
) -> Bunch:
    """Load a data set with the labels that it has."""
    name, pixels = source.dataset, source.pixels
    if pixels not in PIXELS:
        raise DatasetError(f"pixels must be one of {', '.join(map(repr, PIXELS))}, got {as_text(pixels)}")
    source.options.check()
    try:
        if name in dataset_names():
            for option in source.options.for_files:
                raise DatasetError(f"{option} is for files, and {name} is a named data set: leave it out")
            if name == "mnist1d":
                return _load_mnist1d(pixels)
            scaling = "signed" if pixels == "auto" else pixels
            if name == "digits":
                bunch = _load_digits(scaling)
            elif name == _CIFAR.name:
                bunch = load_cifar(_CIFAR, data_folder(source.root), scaling, download, progress, on_bytes)
            else:
                bunch = load_idx(_IDX_DATASETS[name], data_folder(source.root), scaling, download, progress, on_bytes)
            if scaling != "signed":
                bunch.source += f"; pixels scaled to {PIXELS[scaling]}"
            return bunch
        path = Path(os.path.expanduser(name))
        if path.name == name and path.suffix.lower() not in FILE_SUFFIXES:
            raise DatasetError(_unknown_name(name))
        from .userfiles import load_file

        return load_file(source, dataset_names())
    except OSError as error:
        raise DatasetError(
            f"{error.filename or name} cannot be read ({error.strerror or error}): check the file and that "
            "you may read it"
        ) from error


def one_per_class(X: ArrayLike, y: ArrayLike) -> NDArray[np.intp]:
    """Find one sample of every class, to show what the data look like.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        The samples.
    y : array-like of shape (n_samples,)
        Their labels.

    Returns
    -------
    ndarray of shape (n_classes,), intp
        The index of the first sample of each class, in the order of the sorted labels.
    """
    if np.shape(X)[:1] != np.shape(y)[:1]:
        raise ValueError(f"X and y must have the same length, got shapes {np.shape(X)} and {np.shape(y)}")
    return np.unique(np.asarray(y), return_index=True)[1]


def _unknown_name(name: str) -> str:
    names = dataset_names()
    close = difflib.get_close_matches(name.casefold(), names, n=1)
    suggestion = f" (did you mean {close[0]!r}?)" if close else ""
    return (
        f"there is no data set {name!r}{suggestion}: choose one of {', '.join(names)}, or give the path of a "
        ".npz or .csv file"
    )


def _load_digits(scaling: str) -> Bunch:
    """Load scikit-learn's digits; always the same stratified 1437 training and 360 test images."""
    from sklearn.datasets import load_digits
    from sklearn.utils import Bunch

    from .preprocessing import Preprocessing

    X, y = load_digits(return_X_y=True)
    X, y = np.asarray(X), np.asarray(y, dtype=np.int64)
    train, test = stratified_split(y, 360)
    preprocessing = Preprocessing(scaling, largest=16).fit(X[train])
    preprocessing.sample_shape_ = (8, 8)
    preprocessing.class_names_ = list(_DIGITS)
    return Bunch(
        X_train=preprocessing.scale(X[train]),
        y_train=y[train],
        X_test=preprocessing.scale(X[test]),
        y_test=y[test],
        image_shape=(8, 8),
        class_names=list(_DIGITS),
        name="digits",
        source="the digits that ship with scikit-learn, 360 of the 1797 set aside for testing",
        assumptions=[],
        content=None,
        preprocessing=preprocessing,
    )


def _load_mnist1d(pixels: str) -> Bunch:
    """Generate MNIST-1D, which is standardised as a whole."""
    from sklearn.utils import Bunch

    from .preprocessing import Preprocessing

    if pixels != "auto":
        raise DatasetError(f"pixels={as_text(pixels)} is for images, and mnist1d holds sequences: leave pixels out")
    X, y = make_mnist1d()
    preprocessing = Preprocessing("features").fit(X[:N_TRAIN])
    preprocessing.mean_, preprocessing.scale_ = np.zeros(LENGTH), np.ones(LENGTH)
    preprocessing.class_names_ = list(_DIGITS)
    scaled = preprocessing.scale(X)
    return Bunch(
        X_train=scaled[:N_TRAIN],
        y_train=y[:N_TRAIN],
        X_test=scaled[N_TRAIN:],
        y_test=y[N_TRAIN:],
        image_shape=None,
        sequence_shape=(LENGTH, 1),
        class_names=list(_DIGITS),
        name="mnist1d",
        source="MNIST-1D, generated: 4,000 training and 1,000 test sequences of 40 numbers",
        assumptions=[],
        content=None,
        preprocessing=preprocessing,
    )
