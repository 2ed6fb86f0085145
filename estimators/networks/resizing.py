"""Modules with tensors of other sizes: the attributes of layers follow."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .inspecting import named_tensors
from .sources import ModuleError

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONVOLUTIONS = nn.modules.conv._ConvNd
_BATCH_NORMS = nn.modules.batchnorm._NormBase


def resized(skeleton: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> nn.Module:
    """A copy of a module without numbers, with tensors of these shapes."""
    memo: dict[int, Tensor] = {}
    for name, tensor in named_tensors(skeleton).items():
        if tuple(tensor.shape) != shapes[name]:
            empty = torch.empty(shapes[name], dtype=tensor.dtype, device=tensor.device)
            is_parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(empty, requires_grad=tensor.requires_grad) if is_parameter else empty
    module = copy.deepcopy(skeleton, memo)
    return _with_attributes(module)


def _with_attributes(module: nn.Module) -> nn.Module:
    """The module with its attributes set to what its tensors are; attention with fewer heads is another class."""
    for name, child in list(module.named_children()):
        replaced = _with_attributes(child)
        if replaced is not child:
            setattr(module, name, replaced)
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _CONVOLUTIONS) and not module.transposed:
        multiplier = module.out_channels // module.groups
        is_depthwise = 1 < module.groups == module.in_channels
        module.out_channels = module.weight.shape[0]
        if is_depthwise:
            module.groups = module.out_channels // multiplier
        module.in_channels = module.weight.shape[1] * module.groups
    elif isinstance(module, _BATCH_NORMS):
        vector = module.running_mean if module.running_mean is not None else module.weight
        module.num_features = module.num_features if vector is None else len(vector)
    elif isinstance(module, nn.GroupNorm) and module.affine:
        if module.num_groups == module.num_channels:
            module.num_groups = len(module.weight)
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.RNNBase):
        module.input_size = cast("Tensor", module.weight_ih_l0).shape[1]
    elif isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        if len(module.in_proj_weight) != 3 * module.embed_dim:
            return NarrowAttention(module)
    elif isinstance(module, NarrowAttention):
        module.num_heads = len(module.in_proj_weight) // (3 * module.head_dim)
    return module


class NarrowAttention(nn.Module):
    """`MultiheadAttention` that has lost heads: the others have the dimension that they had.

    The heads together are then narrower than what they read and write, which `MultiheadAttention` cannot be. The names
    of its parameters, and how it is called, stay.

    Parameters
    ----------
    attention : MultiheadAttention
        Its `in_proj_weight` and `in_proj_bias` are those of the heads that are left.
    """

    #: Read by `TransformerEncoderLayer`, whose fast path knows `MultiheadAttention` alone.
    _qkv_same_embed_dim = False

    def __init__(self, attention: nn.MultiheadAttention):
        super().__init__()
        if attention.bias_k is not None or attention.add_zero_attn:
            raise ModuleError("attention with add_bias_kv or add_zero_attn cannot lose heads")
        self.embed_dim, self.head_dim = attention.embed_dim, attention.head_dim
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj
        self.num_heads = len(attention.in_proj_weight) // (3 * attention.head_dim)
        self.dropout, self.batch_first = attention.dropout, attention.batch_first
        self.train(attention.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,  # noqa: ARG002 (a hint: the mask is there)
    ) -> tuple[Tensor, Tensor | None]:
        """See `torch.nn.MultiheadAttention.forward`."""
        parts = (query, key, value)
        if not self.batch_first and query.ndim == 3:
            parts = tuple(part.transpose(0, 1) for part in parts)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        rows = zip(parts, self.in_proj_weight.chunk(3), biases, strict=True)
        heads = [
            functional.linear(part, weight, bias).unflatten(-1, (self.num_heads, self.head_dim)).transpose(-3, -2)
            for part, weight, bias in rows
        ]
        mask = self._mask(attn_mask, key_padding_mask, query)
        dropout = self.dropout if self.training else 0.0
        outputs = functional.scaled_dot_product_attention(*heads, attn_mask=mask, dropout_p=dropout)
        outputs = self.out_proj(outputs.transpose(-3, -2).flatten(-2))
        if not self.batch_first and query.ndim == 3:
            outputs = outputs.transpose(0, 1)
        if not need_weights:
            return outputs, None
        scores = heads[0] @ heads[1].mT / self.head_dim**0.5
        weights = (scores if mask is None else scores + mask).softmax(-1)
        return outputs, weights.mean(-3) if average_attn_weights else weights

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor) -> Tensor | None:
        """What is added to the scores (n, heads, queries, keys)."""
        if attn_mask is not None and attn_mask.ndim == 3:  # (n * heads, queries, keys) of all heads that there were
            raise ModuleError("attention that has lost heads takes no mask for each head")
        masks = [_added(mask, query) for mask in (attn_mask, key_padding_mask) if mask is not None]
        if key_padding_mask is not None and query.ndim == 3:
            masks[-1] = masks[-1][:, None, None]
        return sum(masks[1:], masks[0]) if masks else None


def _added(mask: Tensor, query: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill(mask, float("-inf"))
