"""kMaX-DeepLab's queries: cluster centres that k-means cross-attention moves, and the heads that read them.

Yu et al., k-means Mask Transformer (ECCV 2022, arXiv:2207.04044); the heads are MaX-DeepLab's (arXiv:2012.00759).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge.zoo._kmax_layers import HEADS, ConvNorm, batch_norm

_VOID_PRIOR = 0.9  # how likely a query stands for nothing, before it has seen a picture


class _Predictor(nn.Module):
    """Read a class and a mask off every query: (N, L, classes + 1) and (N, L, H, W)."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self._pixel_space_head_conv0bnact = ConvNorm(channels, channels, 5, groups=channels)
        self._pixel_space_head_conv1bnact = ConvNorm(channels, width)
        self._pixel_space_head_last_convbn = ConvNorm(width, width // 2, bias=True, activate=False)
        self._transformer_mask_head = ConvNorm(width, width // 2, axes=1, activate=False)
        self._transformer_class_head = ConvNorm(width, classes + 1, axes=1, bias=True, activate=False, normalise=False)
        self._pixel_space_mask_batch_norm = batch_norm(1, 2)
        self._void_bias = math.log(classes * _VOID_PRIOR / (1 - _VOID_PRIOR))

    def masks(self, queries: Tensor, pixels: Tensor) -> Tensor:
        """Return how near every pixel (N, C, H, W) lies to every query (N, width, L)."""
        count, _, height, width = pixels.shape
        x = self._pixel_space_head_conv1bnact(self._pixel_space_head_conv0bnact(pixels))
        features = F.normalize(self._pixel_space_head_last_convbn(x), dim=1).flatten(2)
        products = self._transformer_mask_head(queries).transpose(1, 2) @ features
        logits: Tensor = self._pixel_space_mask_batch_norm(products[:, None])
        return logits.reshape(count, -1, height, width)

    def classes(self, queries: Tensor) -> Tensor:
        """Return the class logits of every query (N, width, L), the last one for nothing, with the prior added."""
        logits = self._transformer_class_head(queries).transpose(1, 2)
        return torch.cat([logits[..., :-1], logits[..., -1:] + self._void_bias], dim=-1)


class _SelfAttention(nn.Module):
    """Let queries see each other: (N, heads, d, L) queries and keys, (N, heads, e, L) values to (N, heads·e, L)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._batch_norm_similarity = batch_norm(HEADS, 2)
        self._batch_norm_retrieved_value = batch_norm(width, 1)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        weights = self._batch_norm_similarity(query.transpose(2, 3) @ key).softmax(dim=-1)
        retrieved = (value @ weights.transpose(2, 3)).flatten(1, 2)
        return F.gelu(self._batch_norm_retrieved_value(retrieved))


class _KMeansLayer(nn.Module):
    """Give every pixel to the nearest query, move the queries by their pixels, by each other, and by themselves."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self._key = width // 2
        self._query_conv1_bn_act = ConvNorm(width, width, axes=1)
        self._pixel_conv1_bn_act = ConvNorm(channels, width)
        self._query_qkv_conv_bn = ConvNorm(width, 2 * width, axes=1, activate=False)
        self._pixel_v_conv_bn = ConvNorm(width, width, activate=False)
        self._query_self_attention = _SelfAttention(width)
        self._query_conv3_bn = ConvNorm(width, width, axes=1, activate=False)
        self._query_ffn_conv1_bn_act = ConvNorm(width, 8 * width, axes=1)
        self._query_ffn_conv2_bn = ConvNorm(8 * width, width, axes=1, activate=False)
        # Sic, as in the published keys. Its class head serves the training losses; it is loaded and not run.
        self._predcitor = _Predictor(width, width, classes)
        self._kmeans_query_batch_norm_retrieved_value = batch_norm(width, 1)
        self._kmeans_query_conv3_bn = ConvNorm(width, width, axes=1, activate=False)

    def forward(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """Take pixels (N, C, H, W) and queries (N, width, L); return the moved queries."""
        pixel_space = self._pixel_conv1_bn_act(F.gelu(pixels))
        query_space = self._query_conv1_bn_act(queries)
        queries = queries + self._by_pixels(pixel_space, query_space) + self._by_each_other(query_space)
        queries = F.gelu(queries)
        return F.gelu(queries + self._query_ffn_conv2_bn(self._query_ffn_conv1_bn_act(queries)))

    def _by_pixels(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """Sum the values of the pixels of every query: one step of k-means, with argmax in place of softmax."""
        nearest = self._predcitor.masks(queries, pixels).flatten(2).argmax(dim=1)
        clusters = torch.arange(queries.shape[2], device=queries.device)
        assigned = (nearest[:, None, :] == clusters[None, :, None]).to(queries.dtype)  # (N, L, H·W)
        update = self._pixel_v_conv_bn(pixels).flatten(2) @ assigned.transpose(1, 2)
        moved: Tensor = self._kmeans_query_conv3_bn(self._kmeans_query_batch_norm_retrieved_value(update))
        return moved

    def _by_each_other(self, queries: Tensor) -> Tensor:
        count, width, length = queries.shape
        parts = torch.split(self._query_qkv_conv_bn(queries), [self._key, self._key, width], dim=1)
        split = (part.reshape(count, HEADS, -1, length) for part in parts)
        moved: Tensor = self._query_conv3_bn(self._query_self_attention(*split))
        return moved


class QueryDecoder(nn.Module):
    """Return class logits (N, L, classes + 1) and mask logits (N, L, H/4, W/4).

    `channels` are those of the decoded features at stride 32, 16, 8 and 4, `layers` counts the k-means layers at the
    first three.
    """

    def __init__(
        self, channels: tuple[int, ...], layers: tuple[int, int, int], queries: int, width: int, classes: int
    ) -> None:
        super().__init__()
        self._layers = layers
        self._kmax_transformer_layers = nn.ModuleList(
            [
                _KMeansLayer(count, width, classes)
                for count, repeats in zip(channels, layers, strict=False)
                for _ in range(repeats)
            ]
        )
        self._cluster_centers = nn.Embedding(width, queries)
        self._class_embedding_projection = ConvNorm(width, width, axes=1)
        self._mask_embedding_projection = ConvNorm(width, width, axes=1)
        self._predcitor = _Predictor(channels[-1], width, classes)  # sic

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Take the decoded features from stride 32 to 4."""
        queries = self._cluster_centers.weight.expand(features[0].shape[0], -1, -1)
        layers = iter(self._kmax_transformer_layers)
        for feature, repeats in zip(features, self._layers, strict=False):
            for _ in range(repeats):
                queries = next(layers)(feature, queries)
        classes = self._predcitor.classes(self._class_embedding_projection(queries))
        return classes, self._predcitor.masks(self._mask_embedding_projection(queries), features[-1])
