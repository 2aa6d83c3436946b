"""Optimisers: torch.optim on a small network, and Lion's formula, which PyTorch does not have."""
import math

import torch
from torch.nn import functional as F

STEPS = 7


def weights(dtype=torch.float32):
    g = torch.Generator().manual_seed(71)
    made = {}
    for name, inner, out in (("hidden", 5, 8), ("out", 8, 3), ("average", 8, 3)):
        made[name + ".weight"] = (0.6 * torch.randn(out, inner, generator=g)).to(dtype)
        made[name + ".bias"] = (0.3 * torch.randn(out, generator=g)).to(dtype)
    return made


def data(dtype=torch.float32):
    """A batch of six rows for each step."""
    g = torch.Generator().manual_seed(72)
    return (torch.randn(STEPS, 6, 5, generator=g).to(dtype), torch.randint(3, (STEPS, 6), generator=g))


def logits(w, x):
    return F.linear(torch.tanh(F.linear(x, w["hidden.weight"], w["hidden.bias"])), w["out.weight"], w["out.bias"])


class Lion:
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, params, lr, weight_decay, b1=0.9, b2=0.99):
        self.params, self.lr, self.weight_decay, self.b1, self.b2 = params, lr, weight_decay, b1, b2
        self.m = [torch.zeros_like(p) for p in params]

    def step(self):
        with torch.no_grad():
            for p, m in zip(self.params, self.m):
                c = self.b1 * m + (1 - self.b1) * p.grad
                p -= self.lr * (c.sign() + self.weight_decay * p)
                m.mul_(self.b2).add_((1 - self.b2) * p.grad)


def groups(w, decay):
    """Matrices with weight decay, biases without."""
    trained = [p for name, p in w.items() if not name.startswith("average")]
    return [{"params": [p for p in trained if p.dim() >= 2], "weight_decay": decay},
            {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0}]


def optimiser(name, w):
    trained = [p for key, p in w.items() if not key.startswith("average")]
    optim = torch.optim
    return {"sgd": lambda: optim.SGD(trained, lr=0.2, weight_decay=0.03),
            "momentum": lambda: optim.SGD(groups(w, 0.03), lr=0.1, momentum=0.8),
            "nesterov": lambda: optim.SGD(trained, lr=0.1, momentum=0.9, nesterov=True),
            "adam": lambda: optim.Adam(trained, lr=0.02, weight_decay=0.1),
            "adamw": lambda: optim.AdamW(groups(w, 0.3), lr=0.02),
            "lion": lambda: Lion(trained, lr=0.01, weight_decay=0.3),
            "adafactor": lambda: optim.Adafactor(trained, lr=0.03, weight_decay=0.1, eps=(2.0**-23, 1e-3)),
            "scheduled": lambda: optim.SGD(trained, lr=0.5),
            "accumulated": lambda: optim.Adam(trained, lr=0.02),
            "averaged": lambda: optim.SGD(trained, lr=0.2)}[name]()


NAMES = ("sgd", "momentum", "nesterov", "adam", "adamw", "lion", "adafactor", "scheduled", "accumulated", "averaged")


def run(name, dtype=torch.float32, count=STEPS):
    """The loss of each step, and the weights after the last; the same batch again gives the loss `after`."""
    w = {key: p.requires_grad_() for key, p in weights(dtype).items()}
    trained = [p for key, p in w.items() if not key.startswith("average")]
    steps = optimiser(name, w)
    losses = []
    for step, (x, y) in enumerate(zip(*(part[:count] for part in data(dtype)))):
        smoothing, ignored = {"scheduled": (0.1, -100), "accumulated": (0.2, 2)}.get(name, (0.0, -100))
        loss = F.cross_entropy(logits(w, x), y, label_smoothing=smoothing, ignore_index=ignored)
        losses.append(loss.detach())
        (loss / 3 if name == "accumulated" else loss).backward()
        if name == "scheduled":
            cosine = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / 10))
            steps.param_groups[0]["lr"] = 0.5 * min((step + 1) / 4, 1) * cosine * 0.5 ** (step // 3)
            torch.nn.utils.clip_grad_norm_(trained, 0.1)
        if name == "accumulated" and step % 3 != 2:
            continue
        steps.step()
        for p in trained:
            p.grad = None
        if name == "averaged":
            with torch.no_grad():
                for part in ("weight", "bias"):
                    old, new = w[f"average.{part}"], w[f"out.{part}"]
                    old.copy_(new if step == 0 else 0.7 * old + 0.3 * new)
    after = F.cross_entropy(logits(w, x), y).detach()
    return {"losses": torch.stack(losses), "after": after} | {key: p.detach() for key, p in w.items()}
