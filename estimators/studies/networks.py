"""Studies with other networks than the one that they were made for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..parameters import conflicts
from ..presets import PRESETS, Preset, variants_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .catalogue import Study

#: For each estimator, the presets whose network and training a study takes, and a quick study.
NETWORKS = {"mlp": ("original", "quick"), "cnn": ("lenet-5", "small-cnn"), "rnn": ("lstm-128", "small-gru")}

#: The preset that the experiments of these studies vary.
_VARIED = "original"


def with_estimator(study: Study, name: str, estimator: str) -> Study:
    """The study with the networks of an estimator.

    Ways of pruning that the estimator refuses are left out.

    Parameters
    ----------
    study : Study
    name : str
        Its name, for messages.
    estimator : str
        A name in `prunelab.estimators.registry`.

    Raises
    ------
    ValueError
        If the study is about other networks.
    """
    if estimator == "mlp":
        return study
    if not study.takes_estimator:
        raise ValueError(f"the study {name} is about its own networks: leave the estimator out")
    if estimator not in NETWORKS:
        raise ValueError(f"no study knows the estimator {estimator!r}: choose one of {', '.join(NETWORKS)}")
    full, quick = (PRESETS[preset] for preset in NETWORKS[estimator])
    return replace(
        study,
        parts={label: _with_network(part, full) for label, part in study.parts.items()},
        quick_parts={label: _with_network(part, quick) for label, part in study.parts.items()},
    )


def _with_network(part: Preset, network: Preset) -> Preset:
    """The experiment with the network, training and data of another preset."""
    varied = PRESETS[_VARIED].parameters
    own = {key: value for key, value in part.parameters.items() if varied.get(key) != value}
    parameters = {**network.parameters, **own}
    return replace(
        part,
        dataset=network.dataset,
        estimator=network.estimator,
        parameters=parameters,
        ways=possible_ways(part.ways, parameters, network.estimator),
    )


def possible_ways(
    ways: Mapping[str, Sequence[Any]], parameters: Mapping[str, Any], estimator: str
) -> dict[str, Sequence[Any]]:
    """The ways without the values that the estimator refuses, be it only with one value of another way.

    Parameters
    ----------
    ways : mapping of str to sequence
    parameters : mapping of str to object
    estimator : str

    Returns
    -------
    dict of str to sequence
        All combinations of them are possible.
    """
    refused: set[tuple[str, Any]] = set()
    for variant in variants_of(ways):
        found = conflicts({**parameters, "sparsity": 0.5, **variant}, estimator)
        refused |= {(name, variant[name]) for name in found if name in variant}
    return {name: tuple(v for v in values if (name, v) not in refused) for name, values in ways.items()}
