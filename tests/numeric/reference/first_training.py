"""The first networks that are trained: attention over five numbers, as one step and as five."""
import torch
from torch.nn import functional as F

NAMES = ("vector", "steps")
EPOCHS, HIDDEN = 1000, 10
INPUTS, TARGETS = [[1.0, 2, 3, 4, 5], [5.0, 4, 3, 2, 1]], [[3.0], [5.0]]


def weights(name, dtype=torch.float32):
    """PyTorch's own initial values of three linear layers."""
    torch.manual_seed(81)
    made = {}
    for part, inner, out in (("encoder", 5 if name == "vector" else 1, HIDDEN), ("score", HIDDEN, 1), ("decoder", HIDDEN, 1)):
        layer = torch.nn.Linear(inner, out)
        made |= {f"{part}.{key}": value.detach().to(dtype) for key, value in layer.named_parameters()}
    return made


def forward(name, w, x):
    linear = lambda x, part: F.linear(x, w[part + ".weight"], w[part + ".bias"])
    h = linear(x[:, None, :] if name == "vector" else x[:, :, None], "encoder")
    score = linear(h, "score")
    weight = score if name == "vector" else torch.softmax(score, dim=1)
    return linear((weight * h).sum(dim=1), "decoder")


def run(name, dtype=torch.float32):
    """The loss of every epoch, what [1, 1, 1, 1, 1] is taken for in the end, and the weights then."""
    w = {key: p.requires_grad_() for key, p in weights(name, dtype).items()}
    x, y = torch.tensor(INPUTS, dtype=dtype), torch.tensor(TARGETS, dtype=dtype)
    adam = torch.optim.Adam(w.values(), lr=1e-3)
    losses = []
    for _ in range(EPOCHS):
        adam.zero_grad()
        loss = F.mse_loss(forward(name, w, x), y)
        loss.backward()
        adam.step()
        losses.append(loss.detach())
    prediction = forward(name, w, torch.ones(1, 5, dtype=dtype)).detach()
    if name == "steps":
        del w["score.bias"]  # softmax does not see it: its gradient is rounding, which Adam makes steps of
    return {"losses": torch.stack(losses), "prediction": prediction} | {key: p.detach() for key, p in w.items()}
