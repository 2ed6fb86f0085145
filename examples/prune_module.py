"""Prune the filters of torchvision's ResNet-18 (random weights), and show what is left."""

import torch
from prunelab.estimators import prune_module
from prunelab.estimators.backend import import_torchvision

import_torchvision()
from torchvision.models import resnet18  # noqa: E402

module = resnet18(num_classes=10)
smaller, report = prune_module(module, torch.zeros(2, 3, 32, 32), sparsity=0.5)
print(report)
print(smaller.layer1[0])
