"""DETR behind its backbone, from torch.nn.MultiheadAttention, as the paper's appendix has it; the names are its checkpoints'."""
import math

import torch
from torch import nn

from .checkpoints import scramble

SMALL = dict(channels=6, dim=32, heads=4, depth=2, ffn=48, objects=9, classes=5)


class EncoderLayer(nn.Module):
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(dim, ffn), nn.Linear(ffn, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x, places, padding):
        x = self.norm1(x + self.self_attn(x + places, x + places, x, key_padding_mask=padding, need_weights=False)[0])
        return self.norm2(x + self.linear2(self.linear1(x).relu()))


class DecoderLayer(EncoderLayer):
    def __init__(self, dim, heads, ffn):
        super().__init__(dim, heads, ffn)
        self.multihead_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x, queries, memory, places, padding):
        x = self.norm1(x + self.self_attn(x + queries, x + queries, x, need_weights=False)[0])
        x = self.norm2(x + self.multihead_attn(x + queries, memory + places, memory, key_padding_mask=padding, need_weights=False)[0])
        return self.norm3(x + self.linear2(self.linear1(x).relu()))


class Detr(nn.Module):
    def __init__(self, channels, dim, heads, depth, ffn, objects, classes):
        super().__init__()
        self.input_proj = nn.Conv2d(channels, dim, 1)
        self.transformer = nn.Module()
        self.transformer.encoder, self.transformer.decoder = nn.Module(), nn.Module()
        self.transformer.encoder.layers = nn.ModuleList(EncoderLayer(dim, heads, ffn) for _ in range(depth))
        self.transformer.decoder.layers = nn.ModuleList(DecoderLayer(dim, heads, ffn) for _ in range(depth))
        self.transformer.decoder.norm = nn.LayerNorm(dim)
        self.query_embed = nn.Embedding(objects, dim)
        self.class_embed = nn.Linear(dim, classes + 1)
        self.bbox_embed = nn.Module()
        self.bbox_embed.layers = nn.ModuleList([nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, 4)])

    def places(self, visible):
        """Sines and cosines of the share of the visible rows above and columns to the left."""
        half, parts = self.query_embed.weight.shape[1] // 2, []
        for axis in (1, 2):
            count = visible.double().cumsum(axis)
            share = count / (count.select(axis, -1).unsqueeze(axis) + 1e-6) * 2 * math.pi
            angle = share[..., None] / 10000.0 ** (torch.arange(0, half, 2, dtype=torch.float64) / half)
            parts.append(torch.stack([angle.sin(), angle.cos()], -1).flatten(-2))
        return torch.cat(parts, -1).flatten(1, 2).to(self.query_embed.weight.dtype)

    def forward(self, features, visible):
        x = self.input_proj(features).flatten(2).transpose(1, 2)
        places, padding, queries = self.places(visible), ~visible.flatten(1), self.query_embed.weight
        for layer in self.transformer.encoder.layers:
            x = layer(x, places, padding)
        found = torch.zeros(len(x), *queries.shape, dtype=x.dtype)
        for layer in self.transformer.decoder.layers:
            found = layer(found, queries, x, places, padding)
        found = self.transformer.decoder.norm(found)
        first, second, third = self.bbox_embed.layers
        return dict(scores=self.class_embed(found), boxes=third(second(first(found).relu()).relu()).sigmoid())


def make():
    torch.backends.mha.set_fastpath_enabled(False)
    return scramble(Detr(**SMALL), 81)


def weights(model):
    return model.state_dict()


def cases(model):
    """Three pictures of different sizes, padded to 5 x 7."""
    features = torch.randn((3, SMALL["channels"], 5, 7), generator=torch.Generator().manual_seed(82))
    visible = torch.zeros((3, 5, 7), dtype=torch.bool)
    for picture, (height, width) in enumerate(((5, 7), (3, 7), (4, 2))):
        visible[picture, :height, :width] = True
    yield "detect", dict(features=features, visible=visible), model, dict(set=SMALL)
