#!/usr/bin/env python3
"""examples/char_gpt learns as the same network does in PyTorch: from the same first weights and over the same batches, the loss of the pieces held
out is the same within 0.01 after each epoch.

usage: char_gpt.py --fovea FOVEA --work FOLDER [--venv FOLDER] [--text policy.txt.gz] [--epochs N] [--batch N] [--threads N] [--set NAME=VALUE ...]

The network is small where nothing is set. Skipped (exit code 77) where neither this Python nor the environment has PyTorch, unless
FOVEA_REQUIRE_MODULES is set, and where the text can't be had, unless FOVEA_REQUIRE_WEIGHTS is set.
"""
import argparse
import json
import math
import pathlib
import sys
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "numeric/reference"), str(TESTS)]
from examples import Example, require  # noqa: E402
from modules import need  # noqa: E402
from training import expect  # noqa: E402

SMALL = dict(dim=32, heads=2, depth=2, context=64, peak=4e-3)
WITHIN = 0.01


def shuffled(count, seed, epoch):
    """The order of rows in an epoch (docs/runtime.md): Fisher and Yates', by the blocks (i, epoch) under the key `seed`."""
    from philox import philox

    order = list(range(count))
    for i in reversed(range(1, count)):
        low, high, *_ = philox([seed & 0xFFFFFFFF, seed >> 32], [i, 0, epoch, 0])
        j = (high << 32 | low) * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return order


def network(dim, heads, depth, **_):
    import torch
    from torch import nn
    from torch.nn import functional

    def rope(x):
        """Pairs (i, i + half) of x [.., T, D] turn by the position times 10000^(-i / half)."""
        half = x.shape[-1] // 2
        angle = torch.arange(x.shape[-2])[:, None] * 10000.0 ** (-torch.arange(half) / half)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
            self.out = nn.Linear(dim, dim)

        def forward(self, x):
            q, k, v = (part(x).unflatten(-1, (heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
            y = functional.scaled_dot_product_attention(rope(q), rope(k), v, is_causal=True)
            return self.out(y.transpose(1, 2).flatten(-2))

    class FeedForward(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

        def forward(self, x):
            return self.down(functional.gelu(self.up(x), approximate="tanh"))

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.attention, self.norm2, self.feed_forward = nn.LayerNorm(dim), Attention(), nn.LayerNorm(dim), FeedForward()

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            return x + self.feed_forward(self.norm2(x))

    class CharGpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(128, dim) * 0.02)
            self.layers = nn.ModuleList(Layer() for _ in range(depth))
            self.norm = nn.LayerNorm(dim)

        def forward(self, text):
            """The loss of a batch of pieces."""
            x = self.table[text[:, :-1]]
            for layer in self.layers:
                x = layer(x)
            return functional.cross_entropy((self.norm(x) @ self.table.T).flatten(0, 1), text[:, 1:].flatten())

    torch.manual_seed(1)
    return CharGpt()


def losses(model, train, valid, settings, epochs, batch, seed):
    """The loss over the pieces held out after each epoch, as `train --drop-last` does it; and the seconds."""
    import torch

    matrices, others = ([p for p in model.parameters() if (p.ndim >= 2) == big] for big in (True, False))
    groups = [dict(params=matrices, weight_decay=0.1), dict(params=others, weight_decay=0.0)]
    adamw = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)
    steps, found, step, seconds = settings["steps"], [], 0, 0
    for epoch in range(epochs):
        order = torch.tensor(shuffled(len(train), seed, epoch))
        begun = time.monotonic()
        for rows in order.split(batch)[: len(train) // batch]:
            cosine = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
            for group in adamw.param_groups:
                group["lr"] = settings["peak"] * min((step + 1) / 100, 1) * cosine
            adamw.zero_grad()
            model(train[rows]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adamw.step()
            step += 1
        with torch.no_grad():
            found.append(sum(model(rows).item() * len(rows) for rows in valid.split(batch)) / len(valid))
        seconds += time.monotonic() - begun
        print(f"PyTorch, epoch {epoch + 1}: {found[-1]:.4f}", flush=True)
    return found, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fovea", "work", "venv", "text"):
        parser.add_argument(f"--{name}", type=lambda text: pathlib.Path(text).resolve(), required=name in ("fovea", "work"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", help="the example's own network where this is given, but for what it sets")
    options = parser.parse_args()
    need("torch", options.venv)
    require(options.text is None or options.text.exists(), f"no {options.text} (./dev policy fetches it)")
    import numpy
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(options.threads)
    settings = dict(dim=128, heads=4, depth=4, context=128, peak=2e-3, steps=2100)
    given = SMALL if options.set is None else {name: json.loads(value) for name, value in (pair.split("=") for pair in options.set)}
    settings |= given
    data = ["--context", str(settings["context"]), *(["--text", options.text] if options.text else [])]
    example = Example("char_gpt", options.fovea, options.work, data, [part for name, value in given.items() for part in ("--set", f"{name}={value}")])
    train, valid = (torch.tensor(numpy.load(options.work / f"data/{name}.npz")["text"]) for name in ("train", "valid"))
    model = network(**settings)
    save_file(model.state_dict(), options.work / "first.safetensors")
    begun = time.monotonic()
    example.train(1, options.epochs, options.batch, "--weights", "first.safetensors", threads=options.threads)
    ours_seconds = time.monotonic() - begun
    wanted, seconds = losses(model, train, valid, settings, options.epochs, options.batch, 1)
    found = [valid["loss"] for valid in example.epochs(1)]
    for epoch, (ours, theirs) in enumerate(zip(found, wanted, strict=True), 1):
        print(f"epoch {epoch}: {ours:.4f}, PyTorch {theirs:.4f}, {ours - theirs:+.5f}")
    print(f"{ours_seconds:.0f} s, PyTorch {seconds:.0f} s, with {options.threads} threads")
    expect(all(abs(ours - theirs) <= WITHIN for ours, theirs in zip(found, wanted, strict=True)), f"PyTorch's losses within {WITHIN}")
    expect(found[-1] < 2.6, f"a network that learns, not {found}")


if __name__ == "__main__":
    main()
