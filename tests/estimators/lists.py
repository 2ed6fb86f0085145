"""Tensors by name as lists: the weights, then the biases, each from the first layer to the output."""

from __future__ import annotations

from prunelab.estimators.networks.mlp import name_tensors


def listed(tensors):
    """The values of a mapping of tensors, or masks, in the order of lists."""
    return [array for kind in ("weight", "bias") for name, array in tensors.items() if name.endswith(kind)]


def named(arrays):
    """The inverse of `listed`; matrices are weights."""
    weights = [array for array in arrays if array.ndim == 2]
    return name_tensors(weights, arrays[len(weights) :])


def weight_masks(classifier):
    """The masks of the weights, a layer each."""
    return [mask for name, mask in classifier.masks_.items() if name.endswith("weight")]


def unit_masks(classifier):
    """Which units are kept, a layer each: by the mask of the bias, or by those of the incoming weights without one."""
    masks = classifier.masks_
    return [
        masks.get(name.replace("weight", "bias"), masks[name].any(axis=0)) for name in masks if name.endswith("weight")
    ]
