"""Small networks of every kind, with random tensors and samples in float64."""

from __future__ import annotations

import numpy as np
import torch
from prunelab.estimators.networks.base import Network
from prunelab.estimators.networks.cnn import CNNNetwork
from prunelab.estimators.networks.mlp import MLPNetwork
from prunelab.estimators.networks.resnet import ResNetNetwork
from prunelab.estimators.networks.rnn import RNNNetwork

CNNS = {
    "lenet": CNNNetwork((1, 14, 11), (4, 6), 3, 2, "valid", (8,), 3),
    "batch norm": CNNNetwork((2, 14, 11), (4, 6, 5), 3, 1, "valid", (8,), 3, "relu", True),
    "batch norm, same": CNNNetwork((2, 9, 12), (4, 6), 4, 2, "same", (8, 7), 3, "tanh", True),
    "same": CNNNetwork((2, 9, 12), (4, 6), 3, 2, "same", (), 3, "logistic"),
    "kernels of one": CNNNetwork((3, 4, 5), (4, 5), 1, 2, "same", (6,), 3, "logistic"),
    "no convolution": CNNNetwork((1, 4, 4), (), 3, 2, "same", (5,), 3),
}
RESNETS = {
    "resnet": ResNetNetwork((2, 6, 5), (3, 4, 5), (4, 3, 2), 3),
    "resnet, padding": ResNetNetwork((1, 5, 8), (3, 2, 4), (4, 5, 6), 3, "padding"),
}
RNNS = {
    "lstm": RNNNetwork((5, 4), "lstm", (4, 3, 5, 2), 3, bidirectional=True),
    "gru": RNNNetwork((5, 4), "gru", (5, 4), 3, input_size=6),
    "rnn": RNNNetwork((2, 5, 3), "rnn", (6, 5), 3, bidirectional=True, input_size=4),
}
FEED_FORWARD: dict[str, Network] = {
    "mlp": MLPNetwork((12, 9, 7, 5, 3), "relu", True),
    "mlp, logistic": MLPNetwork((12, 9, 7, 5, 3), "logistic", False),
    **CNNS,
    **RESNETS,
}
NETWORKS: dict[str, Network] = {**FEED_FORWARD, **RNNS}


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


def resnet_logits(network: ResNetNetwork, tensors, inputs, gates=None, states=None):
    """A residual network written anew, with torch's own operations in evaluation mode.

    `gates` has a factor for every unit, on what each convolution puts out after its normalisation. A dict of `states`
    is filled: what each normalisation is given ("stem"), and the units behind each layer of weights ("stem.weight").
    """
    functional = torch.nn.functional
    states = {} if states is None else states
    streams = [f"stream{stage + 1}" for stage in range(3)]
    parts = [[name] if network.shortcut == "projection" else streams[: i + 1] for i, name in enumerate(streams)]

    def gate(*groups):
        return 1 if gates is None else torch.cat([gates[group] for group in groups])[:, None, None]

    def convolution(layer, values, groups, stride=1):
        weight = tensors[f"{layer}.weight"]
        states[layer] = values = functional.conv2d(values, weight, stride=stride, padding=weight.shape[-1] // 2)
        scale, shift, mean, variance = (tensors[f"{layer}.{x}"] for x in ("scale", "shift", "mean", "variance"))
        return functional.batch_norm(values, mean, variance, scale, shift) * gate(*groups)

    stream = states["stem.weight"] = convolution("stem", inputs.reshape(-1, *network.sample_shape), parts[0]).relu()
    for i in range(len(network.blocks)):
        block, stage = f"block{i + 1}", i // (len(network.blocks) // 3)
        halves = stage > 0 and i % (len(network.blocks) // 3) == 0
        first, second = f"{block}.conv1", f"{block}.conv2"
        states[f"{first}.weight"] = convolution(first, stream, [first], 1 + halves).relu()
        written = convolution(second, states[f"{first}.weight"], parts[stage])
        if halves and network.shortcut == "projection":
            stream = convolution(f"{block}.projection", stream, parts[stage], 2)
        elif halves:
            more = written.shape[1] - stream.shape[1]
            stream = torch.cat([stream[..., ::2, ::2], torch.zeros_like(written[:, :more])], 1)
        stream = (written + stream).relu()
        states[f"{second}.weight"] = states[f"{block}.projection.weight"] = stream
    logits = stream.mean((2, 3)) @ tensors["output.weight"] + tensors["output.bias"]
    return logits * (1 if gates is None else gates["output"])
