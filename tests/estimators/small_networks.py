"""Small networks of every kind, with random tensors and samples in float64."""

from __future__ import annotations

import numpy as np
from prunelab.estimators.networks.base import Network
from prunelab.estimators.networks.cnn import CNNNetwork
from prunelab.estimators.networks.mlp import MLPNetwork

CNNS = {
    "lenet": CNNNetwork((1, 14, 11), (4, 6), 3, 2, "valid", (8,), 3),
    "batch norm": CNNNetwork((2, 14, 11), (4, 6, 5), 3, 1, "valid", (8,), 3, "relu", True),
    "batch norm, same": CNNNetwork((2, 9, 12), (4, 6), 4, 2, "same", (8, 7), 3, "tanh", True),
    "same": CNNNetwork((2, 9, 12), (4, 6), 3, 2, "same", (), 3, "logistic"),
    "kernels of one": CNNNetwork((3, 4, 5), (4, 5), 1, 2, "same", (6,), 3, "logistic"),
    "no convolution": CNNNetwork((1, 4, 4), (), 3, 2, "same", (5,), 3),
}
NETWORKS: dict[str, Network] = {
    "mlp": MLPNetwork((12, 9, 7, 5, 3), "relu", True),
    "mlp, logistic": MLPNetwork((12, 9, 7, 5, 3), "logistic", False),
    **CNNS,
}


def random_tensors(network: Network, seed: int) -> dict[str, np.ndarray]:
    """Normal numbers; weights that keep the size of what comes in, and positive variances."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, record in network.records.items():
        tensor = rng.normal(size=record.shape)
        if record.kind == "weight":
            tensor /= record.fan_in**0.5
        tensors[name] = np.abs(tensor) + 0.5 if name.endswith("variance") else tensor
    return tensors


def random_samples(network: Network, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and class indices."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, network.n_features)), rng.integers(0, network.n_outputs, n)
