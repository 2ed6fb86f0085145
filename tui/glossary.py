"""What the names of the criteria and schedules stand for, in a line each: for lists and `--help`."""

from __future__ import annotations

CRITERIA = {
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

SCHEDULES = {
    "one-shot": "once, after training",
    "iterative": "a part, training again, the next part, ...",
    "rewind": "a part, weights back to their first values, training again, ...: lottery tickets",
    "rewind-reinit": "short for rewind with control reinit",
    "rewind-shuffle": "short for rewind with control shuffle",
    "gradual": "more and more while training",
    "before-training": "before training, by gradients at the first values or by their size",
    "set": "from the start; while training, the smallest weights make room for random new ones",
    "rigl": "from the start; while training, the smallest make room for those with large gradients",
    "l1": "by a penalty on |w| in the loss",
    "l0": "by a penalty on how many weights there are in the loss (hard concrete gates)",
    "synaptic": "while training: connections of little activity are tagged, then cut, as microglia do",
}

CONTROLS = {
    "none": "the result itself",
    "shuffle": "as many in each layer, but random ones",
    "reinit": "the same mask, trained from other initial weights",
    "invert": "remove what ranks highest instead",
}

NORMALIZATIONS = {
    "auto": "of units ranked across the network by the layer's mean, else none",
    "none": "scores as they are: across the network, layers with few inputs are emptied",
    "mean": "divide by the mean score of the layer",
    "max": "divide by the largest score of the layer",
}

REDUCTIONS = {
    "auto": "sum for taylor, snip, grasp, movement, obd and synflow, norm for the others",
    "norm": "the norm of the scores of a unit's weights",
    "sum": "the score of the unit's weights as a group, such as |sum of w * gradient|",
}

FINE_TUNE_SCHEDULES = {
    "auto": "as in training, from its beginning",
    "constant": "the same step size throughout",
    "cosine": "falls to zero",
    "rewind": "the step sizes of the last epochs of training",
}
