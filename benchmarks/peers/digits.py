#!/usr/bin/env python3
"""Trains the network of examples/digits with PyTorch; prints {"seconds": ..., "loss": ..., "accuracy": ...} as JSON.

    digits.py DATA --epochs N --batch N --seed N --threads N [--compile]     DATA: the folder that examples/digits/make_data.py wrote

The same layers, sizes, batches, dots left out, AdamW, rates and evaluations as examples/digits/digits.fov has; written for speed: one product for
queries, keys and values, PyTorch's own attention, its fused AdamW. What is timed begins with the first step: imports, reading the data and,
with --compile, a first step and evaluation are not counted. Exits with 77 and a line that says so where a package is missing.
"""
import argparse
import json
import math
import pathlib
import sys
import time


def network():
    dim, heads, depth = 64, 4, 3

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
            self.project, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
            self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

        def forward(self, x):
            q, k, v = self.project(self.norm1(x)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
            x = x + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))
            return x + self.down(functional.gelu(self.up(self.norm2(x))))

    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Linear(4, dim)
            self.positions = nn.Parameter(torch.randn(16, dim) * 0.02)
            self.layers = nn.Sequential(*(Layer() for _ in range(depth)))
            self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)
            for name, p in self.named_parameters():
                if p.ndim == 2 and name != "positions":
                    nn.init.xavier_uniform_(p)
                elif name.endswith("bias"):
                    nn.init.zeros_(p)

        def forward(self, pictures):
            squares = pictures.unflatten(1, (4, 2)).unflatten(3, (4, 2)).transpose(2, 3).reshape(-1, 16, 4)
            x = self.layers(self.patches(squares) + self.positions)
            return self.head(self.norm(x.mean(1)))

    return Digits()


def train(model, data, valid, options):
    """The lowest loss of the pictures held out, and how many were right then."""
    count, peak, total = len(data["digits"]), 2e-3, 1800
    matrices, others = ([p for p in model.parameters() if (p.ndim >= 2) == big] for big in (True, False))
    adamw = torch.optim.AdamW([dict(params=matrices, weight_decay=0.1), dict(params=others, weight_decay=0.0)], fused=True)
    step, best = 0, (math.inf, 0)
    for epoch in range(options.epochs):
        for rows in torch.randperm(count).split(options.batch)[: count // options.batch]:
            for group in adamw.param_groups:
                group["lr"] = peak * min((step + 1) / 100, 1) * 0.5 * (1 + math.cos(math.pi * min(step / total, 1)))
            pictures, digits = data["pictures"][rows], data["digits"][rows]
            scores = model(pictures * (torch.rand_like(pictures) >= 0.15))
            adamw.zero_grad()
            loss = functional.cross_entropy(scores, digits, label_smoothing=0.1)
            loss.backward()
            adamw.step()
            loss.item(), (scores.detach().argmax(1) == digits).float().mean().item()  # what a step tells
            step += 1
        with torch.no_grad():
            scores = torch.cat([model(pictures) for pictures in valid["pictures"].split(options.batch)])
        best = min(best, (functional.cross_entropy(scores, valid["digits"]).item(), (scores.argmax(1) == valid["digits"]).float().mean().item()))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    for name in ("epochs", "batch", "seed", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    data, valid = ({name: torch.tensor(values) for name, values in numpy.load(options.data / f"{part}.npz").items()} for part in ("train", "valid"))
    model = network()
    if options.compile:
        first = argparse.Namespace(**vars(options) | {"epochs": 1})
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        step = torch.compile(model)
        train(step, data, valid, first)
        model.load_state_dict(kept)
    else:
        step = model
    begun = time.perf_counter()
    loss, accuracy = train(step, data, valid, options)
    print(json.dumps({"seconds": time.perf_counter() - begun, "loss": loss, "accuracy": accuracy}))


try:
    import numpy
    import torch
    from torch import nn
    from torch.nn import functional

    main()
except ImportError as error:
    print(f"{error.name} is not installed", file=sys.stderr)
    sys.exit(77)
