"""What PyTorch says to the entries of tests/numeric/halves.fov: from the narrow values, in float32 or float64, unrounded."""
import math

import torch
from torch.nn import functional as F

WORDS, DIM, HEADS = 29, 24, 3
HALF, BRAIN, DOUBLE = torch.float16, torch.bfloat16, torch.float64


def weights(seed=31):
    generator = torch.Generator().manual_seed(seed)

    def normal(dtype, *shape, scale=DIM**-0.5, mean=0.0):
        return (torch.randn(shape, generator=generator) * scale + mean).to(dtype)

    result = {"table": normal(BRAIN, WORDS, DIM, scale=0.5)}
    for name in ("query", "key", "value"):
        result |= {f"{name}.weight": normal(BRAIN, DIM, DIM), f"{name}.bias": normal(HALF, DIM)}
    return result | {"out.weight": normal(BRAIN, DIM, DIM), "out.bias": normal(HALF, DIM),
                     "norm.weight": normal(HALF, DIM, scale=0.1, mean=0.5), "norm.bias": normal(BRAIN, DIM)}


def inputs(seed=32):
    """The arguments of every entry, by name."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(dtype, *shape, largest):
        return ((torch.rand(shape, generator=generator, dtype=DOUBLE if dtype == DOUBLE else None) * 2 - 1) * largest).to(dtype)

    m, k, n = 5, 19, 35
    b, h, t, s, d, e = 2, 3, 7, 21, 9, 18
    return {
        "encode": {"ids": torch.randint(WORDS, (2, 11), generator=generator)},
        "products": {"a": uniform(HALF, m, k, largest=0.5), "b": uniform(HALF, k, n, largest=0.5),
                     "c": uniform(BRAIN, m, k, largest=0.5), "w": uniform(BRAIN, n, k, largest=0.5)},
        "attend": {"q": uniform(HALF, b, h, t, d, largest=2), "k": uniform(BRAIN, b, h, s, d, largest=2),
                   "v": uniform(HALF, b, h, s, e, largest=1), "bias": uniform(BRAIN, t, s, largest=1)},
        "norms": {"x": uniform(HALF, 4, 37, largest=1), "y": uniform(BRAIN, 4, 37, largest=1),
                  "scale": torch.tensor(1.5, dtype=HALF), "shift": torch.tensor(-0.75, dtype=BRAIN)},
        "doubles": {"x": uniform(DOUBLE, 5, 37, largest=3), "y": uniform(DOUBLE, 5, 19, largest=1),
                    "keep": torch.tensor([[True], [False], [True], [True], [False]]), "ids": torch.tensor([4, 0, 4]),
                    "scale": torch.tensor(0.75, dtype=DOUBLE)},
    }


def encode(w, /, ids):
    x = w["table"][ids]
    q, k, v = (F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"]).unflatten(-1, (HEADS, -1)).transpose(1, 2)
               for name in ("query", "key", "value"))
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
    return {"result": F.layer_norm(x + F.linear(y, w["out.weight"], w["out.bias"]), (DIM,), w["norm.weight"], w["norm.bias"])}


def products(_, /, a, b, c, w):
    return {"half": a @ b, "brain": c @ w.T, "mixed": a @ w.T}


def attend(_, /, q, k, v, bias):
    y = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]) + bias, -1) @ v
    return {"half": y, "brain": y}


def norms(_, /, x, y, scale, shift):
    return {"layer": F.layer_norm(x, x.shape[-1:]), "rms": F.rms_norm(y, y.shape[-1:], eps=1e-6),
            "weights": torch.softmax(x * scale, -1), "sums": x.sum(-1), "shifted": y + shift}


def doubles(_, /, x, y, keep, ids, scale):
    return {"joined": torch.cat([x, y], 1), "turned": x.T, "chosen": torch.where(keep, x, 0.1), "taken": x[ids],
            "weights": torch.softmax(x * scale, -1), "half": x, "brain": x, "whole": x.long(), "widened": x.float().half().to(x.dtype),
            "attended": torch.softmax(x @ x.T / 32 + x[:, :x.shape[0]], -1) @ y}


# Entry: function, and the type of each result where it isn't float32.
ENTRIES = {"encode": (encode, {}), "products": (products, {"half": HALF, "brain": BRAIN}),
           "attend": (attend, {"half": HALF, "brain": BRAIN}),
           "norms": (norms, {"layer": HALF, "rms": BRAIN, "weights": BRAIN, "sums": HALF, "shifted": BRAIN}),
           "doubles": (doubles, {"half": HALF, "brain": BRAIN, **dict.fromkeys(
               ["joined", "turned", "chosen", "taken", "weights", "widened", "attended"], DOUBLE)})}
