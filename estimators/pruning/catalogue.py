"""The choices of what to remove as data, with a line on each for lists and ``--help``. Loads no NumPy."""

from __future__ import annotations

import math

GRANULARITIES = ("weight", "unit")
SCOPES = ("layer", "global")
NORMS = (1, 2, math.inf)
ORDERS = ("smallest", "largest")

CRITERION_SUMMARIES = {
    "activation": "|w| times the mean activity of its input; of units, their own mean activity",
    "activity": "how active both ends of the connection are together, whatever its weight",
    "apoz": "|w| times how often its input is not zero; of units, how often they are not",
    "fisher": "rise of the loss to second order, by the empirical Fisher information",
    "grasp": "how much the gradients shrink without the weight (meant before training)",
    "lamp": "share of w^2 among the weights of its layer that are not smaller (meant for scope global)",
    "magnitude": "|w|; of units, the norm of their weights",
    "movement": "whether a further epoch moves the weight away from zero",
    "obd": "rise of the loss to second order, by the Hessian's diagonal (optimal brain damage)",
    "random": "none: the floor that every other criterion has to beat",
    "snip": "|w * gradient|, as taylor (meant before training)",
    "synflow": "flow through the network's paths, without any data (meant before training)",
    "taylor": "change of the loss to first order, |w * gradient|",
    "wanda": "|w| times the norm of its input over the samples",
}

NORMALIZATION_SUMMARIES = {
    "auto": "of units ranked across the network by the layer's mean, else none",
    "none": "scores as they are: across the network, layers with few inputs are emptied",
    "mean": "divide by the mean score of the layer",
    "max": "divide by the largest score of the layer",
}

REDUCTION_SUMMARIES = {
    "auto": "sum for taylor, snip, grasp, movement, obd and synflow, norm for the others",
    "norm": "the norm of the scores of a unit's weights",
    "sum": "the score of the unit's weights as a group, such as |sum of w * gradient|",
}

DISTRIBUTION_SUMMARIES = {
    "auto": "erk for set and rigl, else uniform",
    "uniform": "the same fraction of every layer",
    "erk": "less of small layers: density as (inputs + outputs) / (inputs * outputs)",
}

NORMALIZATIONS = tuple(NORMALIZATION_SUMMARIES)
REDUCTIONS = tuple(REDUCTION_SUMMARIES)
DISTRIBUTIONS = tuple(DISTRIBUTION_SUMMARIES)
