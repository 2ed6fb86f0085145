"""Answers requests of the Explore screen, in the service process: prune a trained network interactively.

======================  ============================================================================================
``explore.prune``       fields: ``model`` (the path of a model file), ``source`` (its data, a `DataSource`), ``content``
                        (the expected content hash; None if unknown), ``sparsity``, ``ways``, and ``first`` and
                        ``count`` (which pictures of the gallery). Answers: ``doing`` (a description of a step that
                        takes seconds), ``note`` (a sentence about the model file), ``network`` (the fields
                        of `Network`),
                        ``figures`` (of `Figures`: an estimate, if worthwhile, then the exact ones) and, with
                        the exact ones, ``gallery`` (of `Gallery`)
``explore.save``        fields: ``model, source, content, sparsity, ways, path``. Answers: ``doing``, then
                        ``saved``, the path of the file written
======================  ============================================================================================

The app reads the answers with the classes here, so heavy modules are imported only when needed.
"""

from __future__ import annotations

import base64
import os
import sys
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...estimators.data.datasets import load_source
from ...estimators.data.source import DataSource
from .pictures import Pictures

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray
    from sklearn.utils import Bunch

    from ...estimators.interactive import Cut, InteractivePruning, Scores
    from ...estimators.networks.base import Network as PrunedNetwork
    from .server import Answer, Request


@dataclass(frozen=True)
class Network:
    """The unpruned network, and its test data.

    Attributes
    ----------
    sizes : list of int
        Number of features, then of the units of each layer.
    widths : list of [int, int]
        For every layer, its input and output width.
    classes : list of str
    n_test : int
    has_images : bool
        Whether a sample can be drawn.
    device, precision : str
        Of the computation.
    accuracy, loss : float
    class_accuracy : list of float
        NaN for a class without test data.
    layer_names : list of str
        What the layers are called, if they are of different kinds; else empty.
    """

    sizes: list[int]
    widths: list[list[int]]
    classes: list[str]
    n_test: int
    has_images: bool
    device: str
    precision: str
    accuracy: float
    loss: float
    class_accuracy: list[float]
    layer_names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Figures:
    """The figures of the pruned network; see `prunelab.estimators.interactive.Cut` and `Scores`.

    Attributes
    ----------
    granularity : str
        What was removed: "weight" or "unit".
    n_samples : int
        The number of test samples used.
    is_connected : bool
        Whether a path leads from the input to the output.
    dead_units, disconnected_units, emptied_layers : list of int
        See `prunelab.estimators.pruning.connectivity.Connectivity`.
    """

    sparsity: float
    granularity: str
    achieved_sparsity: float
    is_estimate: bool
    n_samples: int
    accuracy: float
    loss: float
    class_accuracy: list[float]
    layers: list[list[int]]
    units: list[list[int]]
    parameters: int
    nonzero: int
    compression: float
    speedup: float
    effective_sparsity: float
    is_connected: bool
    dead_units: list[int]
    disconnected_units: list[int]
    emptied_layers: list[int]


@dataclass(frozen=True)
class Picture:
    """A test image: its class, the predictions before and after pruning, and its pixels as bytes in base 64."""

    truth: int
    before: int
    after: int
    shape: list[int]
    pixels: str

    @property
    def image(self) -> NDArray[np.uint8]:
        """The pixels, shape (height, width)."""
        return np.frombuffer(base64.b64decode(self.pixels), dtype=np.uint8).reshape(self.shape)


@dataclass(frozen=True)
class Gallery:
    """Test images: first those that pruning breaks, then those wrong before, then the others.

    Attributes
    ----------
    sparsity : float
        Of the pruned network.
    n_broken, n_wrong_before, n_right : int
        The number of images of each kind.
    n_corrected : int
        The number of images wrong before that are right after pruning.
    first : int
        The position of the first picture among all.
    pictures : list of Picture
        Empty if the data are not images.
    """

    sparsity: float
    n_broken: int
    n_wrong_before: int
    n_right: int
    n_corrected: int
    first: int
    pictures: list[Picture]


def gallery_of(answer: dict[str, Any]) -> Gallery:
    """Create a gallery from an answer."""
    return Gallery(**{**answer, "pictures": [Picture(**picture) for picture in answer["pictures"]]})


class Explorer:
    """Caches the data, network and measurements of the last request: the next request usually concerns the same.

    Every step is cached as soon as it is finished, so that the work of a replaced request is not lost.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, Any]] = {}

    def prune(self, request: Request) -> Iterator[Answer]:
        """Prune and measure: see the module."""
        subject = yield from self._subject(request)
        yield {"network": asdict(subject.network)}
        cut, scores = yield from self._measured(subject, request["sparsity"], request["ways"])
        gallery = subject.gallery(cut.sparsity, scores, request["first"], request["count"])
        yield {"figures": asdict(_figures(cut, scores)), "gallery": asdict(gallery)}

    def save(self, request: Request) -> Iterator[Answer]:
        """Write the pruned network to a model file: see the module."""
        subject = yield from self._subject(request)
        path = Path(os.path.expanduser(request["path"]))
        interactive = subject.interactive
        interactive.to_classifier(interactive.prune(request["sparsity"], **request["ways"])).save(path)
        yield {"saved": str(path.absolute())}

    def _measured(
        self, subject: _Subject, sparsity: float, ways: dict[str, Any]
    ) -> Generator[Answer, None, tuple[Cut, Scores]]:
        """Prune and measure, unless the result is cached."""
        key = subject.key, sparsity, ways
        known: tuple[Cut, Scores] | None = self._look_up("measured", key)
        if known is not None:
            return known
        cut = subject.interactive.prune(sparsity, **ways)
        if subject.interactive.estimates_pay:
            yield {"figures": asdict(_figures(cut, subject.interactive.estimate(cut)))}
        scores = None
        for scores in subject.interactive.iter_scores(cut):
            if scores is None:
                yield {}
        return self._keep("measured", key, (cut, scores))

    def _subject(self, request: Request) -> Generator[Answer, None, _Subject]:
        """The subject of a request, loaded unless it is cached."""
        path, source = request["model"], DataSource.from_json(request["source"])
        key = path, source, request["content"]
        subject: _Subject | None = self._look_up("subject", key)
        if subject is not None:
            return subject
        if "torch" not in sys.modules:
            yield {"doing": "loading PyTorch and scikit-learn"}
        from ...estimators.interactive import InteractivePruning
        from ...estimators.persistence import load_model

        yield {"doing": "reading the network"}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            classifier = load_model(path)
        for warning in caught:
            yield {"note": str(warning.message)}
        known: _Data | None = self._look_up("data", source)
        if known is None:
            yield {"doing": f"reading the data set {source.dataset}"}
        data: _Data = known or self._keep("data", source, _Data(load_source(source)))
        bunch = data.bunch
        if request["content"] not in (None, bunch.content):
            raise ValueError(
                f"{source.dataset} has changed since the network was trained on it: restore the file, or start a new "
                "run"
            )
        if not hasattr(classifier, "preprocessing_"):  # a model file of an earlier version
            classifier.preprocessing_ = bunch.preprocessing
        yield {"doing": f"measuring the network on {len(bunch.y_test):,} samples"}
        interactive = InteractivePruning(classifier, bunch.X_train, bunch.y_train, bunch.X_test, bunch.y_test)
        return self._keep("subject", key, _Subject(key, interactive, data))

    def _look_up(self, name: str, key: Any) -> Any:
        kept_for, value = self._kept.get(name, (None, None))
        return value if kept_for == key else None

    def _keep(self, name: str, key: Any, value: Any) -> Any:
        self._kept[name] = key, value
        return value


class _Data:
    """A data set and its test samples as images."""

    def __init__(self, bunch: Bunch):
        self.bunch = bunch
        self.classes = list(map(str, bunch.class_names))
        self._pictures = Pictures(bunch)
        self.has_images = self._pictures.exist

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """A sample as an image of bytes."""
        images = self._pictures.of(self.bunch.X_test[index : index + 1])
        assert images is not None
        return images[0]


class _Subject:
    """A network with its test data."""

    def __init__(self, key: Any, interactive: InteractivePruning, data: _Data):
        self.key, self.interactive, self._data = key, interactive, data
        classifier, before = interactive.classifier, interactive.before
        self.network = Network(
            sizes=classifier.network_.widths,
            widths=classifier.network_.layer_widths,
            layer_names=classifier.network_.layer_names,
            classes=data.classes,
            n_test=interactive.n_test,
            has_images=data.has_images,
            device=interactive.device,
            precision=interactive.precision,
            accuracy=before.accuracy,
            loss=before.loss,
            class_accuracy=before.class_accuracy,
        )

    def gallery(self, sparsity: float, scores: Scores, first: int, count: int) -> Gallery:
        """A part of the test images, in the order of the gallery."""
        outcome = self.interactive.outcome(scores)
        groups = outcome.broken, outcome.wrong_before, outcome.right
        chosen = np.concatenate(groups)[first : first + count] if self._data.has_images else []
        return Gallery(
            sparsity=sparsity,
            n_broken=len(groups[0]),
            n_wrong_before=len(groups[1]),
            n_right=len(groups[2]),
            n_corrected=outcome.n_corrected,
            first=first,
            pictures=[self._picture(int(index), scores) for index in chosen],
        )

    def _picture(self, index: int, scores: Scores) -> Picture:
        pixels = self._data.pixels(index)
        return Picture(
            truth=int(self.interactive.codes[index]),
            before=int(self.interactive.before.predictions[index]),
            after=int(scores.predictions[index]),
            shape=list(pixels.shape),
            pixels=base64.b64encode(pixels.tobytes()).decode("ascii"),
        )


def _units_of_layers(network: PrunedNetwork, units: list[list[int]]) -> list[list[int]]:
    """For every layer of weights, how many of the units that it writes are left, of how many."""
    of_layer = {record.name: [0, 0] for record in network.weights}
    for group, counts in zip(network.groups.values(), units, strict=True):
        for name in {part.tensor for part in group.of_role("producer")}:
            of_layer[name] = [total + more for total, more in zip(of_layer[name], counts, strict=True)]
    return list(of_layer.values())


def _figures(cut: Cut, scores: Scores) -> Figures:
    return Figures(
        sparsity=cut.sparsity,
        granularity=cut.estimator.granularity,
        achieved_sparsity=cut.achieved_sparsity,
        is_estimate=scores.is_estimate,
        n_samples=len(scores.predictions),
        accuracy=scores.accuracy,
        loss=scores.loss,
        class_accuracy=scores.class_accuracy,
        layers=cut.layers,
        units=_units_of_layers(cut.network, cut.units),
        parameters=cut.cost.parameters,
        nonzero=cut.cost.nonzero,
        compression=cut.cost.compression,
        speedup=cut.cost.speedup,
        effective_sparsity=cut.effective_sparsity,
        is_connected=cut.connectivity.is_connected,
        dead_units=cut.connectivity.dead_units,
        disconnected_units=cut.connectivity.disconnected_units,
        emptied_layers=cut.connectivity.emptied_layers,
    )


_explorer = Explorer()

OPERATIONS = {"prune": _explorer.prune, "save": _explorer.save}
