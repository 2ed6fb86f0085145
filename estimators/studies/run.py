"""Whole experiments: a data set, a recipe, several seeds, and a tidy table of what came out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs

from ..data.datasets import load_source
from ..data.source import DataSource
from ..messages import as_text
from ..parameters import WAYS
from ..path import iter_sparsity_path
from ..presets import BOTH_GRANULARITIES, ORIGINAL_SPARSITIES, Preset, variants_of
from ..registry import estimator_class
from ..training.events import PointEnded
from ..validation import clone_with
from .catalogue import parts_of
from .networks import with_estimator
from .verdicts import Answer, analyse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sklearn.utils import Bunch

    from ..base import BasePrunedClassifier
    from ..path import PathPoint
    from ..training.events import Event
    from ..training.state import Checkpoint
    from .catalogue import Study


def sweep(
    estimator: BasePrunedClassifier,
    data: Bunch,
    *,
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES,
    variants: Sequence[Mapping[str, Any]] | None = None,
    seeds: Sequence[int] = (0,),
    on_seed: Callable[[int], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    done: Collection[tuple[int, int, float]] = (),
    checkpoint_of: Callable[[int], Checkpoint | None] | None = None,
    watch: bool = False,
) -> Iterator[PathPoint]:
    """Accuracy against sparsity for several ways of pruning and several seeds, point by point.

    Each seed trains one dense network, from which every variant is pruned to every sparsity.

    Parameters
    ----------
    estimator : PrunedMLPClassifier, PrunedCNNClassifier or another pruned classifier
        Its parameters define the training; it is not changed.
    data : Bunch
        From `load_dataset`: training and test data.
    sparsities : sequence of float
    variants : sequence of mappings
        Parameters of the pruning that replace those of `estimator`; by default, weights and units.
    seeds : sequence of int
        Each the `random_state` of one training.
    on_seed : callable, optional
        Called with each seed before it starts.
    on_event : callable, optional
        Told the progress of training and the points done.
    done : collection of (int, int, float), default=()
        Points that are known already and left out: the seed, the number of the variant, from 0, and the sparsity.
    checkpoint_of : callable, optional
        The checkpoint to go on from, of a seed whose training was interrupted; see `iter_sparsity_path`.
    watch : bool, default=False
        Whether to report the accuracy on the test data after every epoch.

    Yields
    ------
    PathPoint
        Its ``row`` has the columns of `prunelab.estimators.path.COLUMNS`.
    """
    variants = variants_of(BOTH_GRANULARITIES) if variants is None else variants
    estimator = with_sample_shape(estimator, data)
    for seed in seeds:
        skip = {(variant, sparsity) for of, variant, sparsity in done if of == seed}
        if len(skip) == len(variants) * len(sparsities):
            continue
        if on_seed is not None:
            on_seed(seed)
        for point in iter_sparsity_path(
            clone_with(estimator, random_state=seed),
            data.X_train,
            data.y_train,
            sparsities=sparsities,
            variants=variants,
            X_test=data.X_test,
            y_test=data.y_test,
            on_event=on_event,
            checkpoint=None if checkpoint_of is None else checkpoint_of(seed),
            skip=skip,
            watch=watch,
        ):
            if "preprocessing" in data:
                point.estimator.preprocessing_ = data.preprocessing
            yield point


def with_sample_shape(estimator: BasePrunedClassifier, data: Bunch) -> BasePrunedClassifier:
    """A copy of a classifier with the shape of the data's images or sequences as `sample_shape`, if that is None.

    Classifiers that take none are returned unchanged.

    Raises
    ------
    ValueError
        If the images have their channels last.
    """
    shape = data.get("sequence_shape") or data.get("image_shape")
    parameters = estimator.get_params(deep=False)
    if shape is None or parameters.get("sample_shape", ()) is not None:
        return estimator
    if len(shape) == 3 and shape[2] in (1, 3, 4) and shape[0] not in (1, 3, 4):
        raise ValueError(
            f"the images of {data.name} have the shape {as_text(tuple(shape))}, their channels last: save them with "
            "the channels first, np.moveaxis(X, -1, 1)"
        )
    return clone_with(estimator, sample_shape=tuple(shape))


def run_study(
    name: str,
    *,
    quick: bool = False,
    estimator: str = "mlp",
    seeds: int | None = None,
    dataset: str | DataSource | None = None,
    data_root: str | None = None,
    device: str = "auto",
    n_jobs: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Answer:
    """Run a whole study, and return its answer.

    Parameters
    ----------
    name : str
        One of `prunelab.estimators.studies.catalogue.STUDIES`.
    quick : bool, default=False
        On the digits, with a small network and few seeds.
    estimator : str, default="mlp"
        A name in `prunelab.estimators.registry`: the study with these networks, on their usual data.
    seeds : int, optional
        How many networks are trained, if not as many as the study asks for.
    dataset : str or DataSource, optional
        Other data than the study's: a name, a path, or a `prunelab.estimators.data.source.DataSource`, which also says
        how a file is read.
    data_root : str, optional
        Where the named data sets are; see `load_dataset`.
    device : str
    n_jobs : int, optional
        Seeds and parts at a time, each in a process, as in scikit-learn; the answer does not depend on it.
    on_event : callable, optional
        Told the progress; with several processes only the points, when a seed is done.

    Returns
    -------
    Answer
        With ``frame``, ``differences``, ``knees`` and ``verdict``.
    """
    from .catalogue import STUDIES

    if name not in STUDIES:
        raise ValueError(f"there is no study {name!r}; the studies are {', '.join(STUDIES)}")
    study = with_estimator(STUDIES[name], name, estimator)
    parts = parts_of(study, quick)
    n_seeds = seeds or (study.quick_seeds if quick else study.seeds)
    units = [(label, seed) for label in parts for seed in range(n_seeds)]
    in_this_process = n_jobs is None or effective_n_jobs(n_jobs) == 1
    listener = on_event if in_this_process else None
    data = {label: _source_of(preset, dataset, data_root) for label, preset in parts.items()}
    tasks = (delayed(_rows_of)(parts[label], seed, data[label], device, listener) for label, seed in units)
    rows: list[dict[str, Any]] = []
    found = cast("Iterator[list[dict[str, Any]]]", Parallel(n_jobs=n_jobs, return_as="generator")(tasks))
    for (label, _), of_seed in zip(units, found, strict=True):
        rows += label_rows(of_seed, label, parts[label].ways, study, data[label].dataset)
        if on_event is not None and not in_this_process:
            for point, row in enumerate(of_seed, 1):
                on_event(PointEnded(row, point, len(of_seed)))
    return analyse(study, pd.DataFrame(rows))


def _source_of(preset: Preset, dataset: str | DataSource | None, data_root: str | None) -> DataSource:
    """The data of an experiment, or other data with its label noise."""
    if not isinstance(dataset, DataSource):
        pixels = preset.pixels if dataset in (None, preset.dataset) else "auto"
        dataset = DataSource(dataset or preset.dataset, data_root, pixels)
    return replace(dataset, options=replace(dataset.options, label_noise=preset.label_noise))


def _rows_of(
    preset: Preset,
    seed: int,
    source: DataSource,
    device: str,
    on_event: Callable[[Event], None] | None,
) -> list[dict[str, Any]]:
    """The rows of one seed of an experiment, with the ways of pruning."""
    points = sweep(
        estimator_class(preset.estimator)(**{**preset.parameters, "device": device}),
        load_source(source),
        sparsities=preset.sparsities,
        variants=variants_of(preset.ways),
        seeds=(seed,),
        on_event=on_event,
    )
    return [{**point.row, **{way: getattr(point.estimator, way) for way in WAYS}} for point in points]


def label_rows(
    rows: Sequence[Mapping[str, Any]], part: str, ways: Mapping[str, Sequence[Any]], study: Study, dataset: str
) -> list[dict[str, Any]]:
    """Rows of a part, each with its data set, the name of its part and its method."""
    names = method_names(rows, ways, part, study)
    changes = {"sparsity": study.counts_as[part]} if part in study.counts_as else {}
    labels = {**changes, "dataset": dataset, "part": part}
    labelled = [{**row, **labels, "method": name} for row, name in zip(rows, names, strict=True)]
    if not study.shows_retraining or not any("accuracy_before_fine_tuning" in row for row in rows):
        return labelled
    return [
        *({**row, "accuracy": row["accuracy_before_fine_tuning"], "loss": float("nan")} for row in labelled),
        *({**row, "part": f"{part}, retrained"} for row in labelled),
    ]


def method_names(rows: Sequence[Mapping[str, Any]], ways: Mapping[str, Sequence], part: str, study: Study) -> list[str]:
    """What distinguishes the methods of a part: its label, and the values of the ways that vary in it."""
    if study.compares_sparsities:
        return [f"{row['sparsity']:g}" for row in rows]
    varying = [name for name in WAYS if len(ways.get(name, ())) > 1 and name not in study.within]
    texts = [", ".join(str(row[name]) for name in varying) for row in rows]
    label = "" if "part" in study.within else part
    return [": ".join(filter(None, (label, text))) for text in texts]
