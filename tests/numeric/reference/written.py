"""Params that are changed by hand: the first layer's times 0.35, the second one's and the head's weight times 0.7, the head's bias halved."""
import torch
from torch.nn import functional as F


def weights(dtype=torch.float32):
    g = torch.Generator().manual_seed(91)
    shapes = {"layers.0.a.weight": (4, 4), "layers.0.a.bias": (4,), "layers.0.s": (4,), "layers.1.a.bias": (4,), "layers.1.s": (4,),
              "head.weight": (4, 4), "head.bias": (4,)}
    return {name: torch.randn(shape, generator=g).to(dtype) for name, shape in shapes.items()}


def rows(dtype=torch.float32):
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(92)).to(dtype)


def step(dtype=torch.float32):
    w, x = weights(dtype), rows(dtype)
    factors = {"layers.0": 0.35, "layers.1": 0.7, "head.weight": 0.7, "head.bias": 0.5}
    w = {name: p * next(by for start, by in factors.items() if name.startswith(start)) for name, p in w.items()}
    x = F.linear(x, w["layers.0.a.weight"], w["layers.0.a.bias"]) * w["layers.0.s"]
    x = F.linear(x, w["head.weight"], w["layers.1.a.bias"]) * w["layers.1.s"]
    return {"y": F.linear(x, w["head.weight"], w["head.bias"]), "first": w["layers.0.a.weight"], "head": w["head.weight"], "bias": w["head.bias"]}
