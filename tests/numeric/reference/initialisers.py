"""First values of params: Philox4x32-10 and quantiles, as docs/runtime.md says; fans and gains from torch.nn.init."""
import math
from statistics import NormalDist

import torch

from .philox import philox

SEED = 2**40 + 7
SHAPES = {"zeros": (3,), "ones": (3,), "constant": (3,), "uniform": (7,), "normal": (7,), "truncated": (9,), "xavier_uniform": (6, 5),
          "xavier_normal": (6, 5), "kaiming_uniform": (4, 3, 5), "kaiming_normal": (4, 3, 5)}


def probabilities(name, count, seed):
    """Numbers of (0, 1), one an element."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    halves = lambda x: (x % 2**32, x >> 32)
    return [(philox(halves(key), (*halves(i // 4), *halves(seed)))[i % 4] + 0.5) / 2**32 for i in range(count)]


def deviation(name, shape, gain):
    inside, outside = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    return gain * math.sqrt(2 / (inside + outside)) if name.startswith("xavier") else gain / math.sqrt(inside)


def quantile(name, shape):
    normal = NormalDist()
    if name in ("zeros", "ones", "constant"):
        return lambda u: {"zeros": 0.0, "ones": 1.0, "constant": 0.3}[name]
    if name == "uniform":
        return lambda u: -2 + 2.5 * u
    if name == "normal":
        return lambda u: 1 + 0.02 * normal.inv_cdf(u)
    if name == "truncated":
        least = normal.cdf(-2)
        return lambda u: 3 * normal.inv_cdf(least + (1 - 2 * least) * u)
    gain = {"xavier_uniform": 1, "xavier_normal": 2, "kaiming_uniform": torch.nn.init.calculate_gain("relu"), "kaiming_normal": 1}[name]
    std = deviation(name, shape, gain)
    if name.endswith("normal"):
        return lambda u: std * normal.inv_cdf(u)
    return lambda u: math.sqrt(3) * std * (2 * u - 1)


def drawn():
    return {name: torch.tensor([quantile(name, shape)(u) for u in probabilities(f"module_params.{name}", math.prod(shape), SEED)],
                               dtype=torch.float64).reshape(shape).float() for name, shape in SHAPES.items()}
