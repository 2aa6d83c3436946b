"""Gradients by autograd: of a small language model's parameters, of attention, of a gradient, and of what is read by index."""
import torch
from torch.nn import functional as F

VOCAB, DIM, HEADS, DEPTH = 11, 8, 2, 2


def weights(dtype=torch.float32):
    g = torch.Generator().manual_seed(61)
    made = {}

    def add(name, *shape, around=0.0):
        made[name] = (around + 0.4 * torch.randn(shape, generator=g)).to(dtype)

    def linear(name, inner, out):
        add(name + ".weight", out, inner)
        add(name + ".bias", out)

    def norm(name):
        add(name + ".weight", DIM, around=1.0)
        add(name + ".bias", DIM)

    add("words.weight", VOCAB, DIM)
    for i in range(DEPTH):
        for part in ("query", "key", "value", "out"):
            linear(f"layers.{i}.attention.{part}", DIM, DIM)
        linear(f"layers.{i}.feed_forward.up", DIM, 3 * DIM)
        linear(f"layers.{i}.feed_forward.down", 3 * DIM, DIM)
        norm(f"layers.{i}.norm1")
        norm(f"layers.{i}.norm2")
    norm("norm")
    linear("out", DIM, VOCAB)
    add("slopes", HEADS, around=0.5)
    return made


def slopes_of(value, *of):
    return torch.autograd.grad(value, of)


def loss(w, ids, visible):
    linear = lambda x, name: F.linear(x, w[name + ".weight"], w[name + ".bias"])
    norm = lambda x, name: F.layer_norm(x, (DIM,), w[name + ".weight"], w[name + ".bias"])
    heads = lambda x: x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    x = w["words.weight"][ids]
    for i in range(DEPTH):
        at = f"layers.{i}."
        n = norm(x, at + "norm1")
        q, k, v = (heads(linear(n, f"{at}attention.{part}")) for part in ("query", "key", "value"))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None, None, :])
        a = x + linear(y.transpose(1, 2).flatten(2), at + "attention.out")
        x = a + linear(F.gelu(linear(norm(a, at + "norm2"), at + "feed_forward.up")), at + "feed_forward.down")
    scores = linear(norm(x, "norm"), "out")
    each = F.cross_entropy(scores[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return torch.where(visible[:, 1:], each, 0).sum() / visible[:, 1:].sum()


def of_parameters(dtype):
    @torch.enable_grad()
    def run(ids, visible):
        w = {name: value.requires_grad_() for name, value in weights(dtype).items()}
        names = dict(words="words.weight", query="layers.0.attention.query.weight", up="layers.1.feed_forward.up.weight",
                     gain="norm.weight", bias="out.bias")
        return dict(zip(names, slopes_of(loss(w, ids, visible), *(w[name] for name in names.values()))))
    return run


def of_attention(dtype):
    @torch.enable_grad()
    def run(q, k, v):
        given = [x.clone().requires_grad_() for x in (q, k, v, weights(dtype)["slopes"])]
        q, k, v, slopes = given
        t, s = q.shape[-2], k.shape[-2]
        back = torch.arange(t)[:, None] + (s - t) - torch.arange(s)
        scores = 20 * torch.tanh(q @ k.transpose(-1, -2) / 8**0.5 / 20) - slopes[:, None, None] * back
        y = torch.where(back >= 0, scores, -torch.inf).softmax(-1) @ v
        return dict(zip(("q", "k", "v", "slopes"), slopes_of(0.05 * (y**3).sum(), *given)))
    return run


def cubed(y):
    return 0.05 * (y**3).sum()


@torch.enable_grad()
def of_bias(q, k, v, bias, temperature, sinks, visible):
    q, k, v, bias, temperature, sinks = given = [x.clone().requires_grad_() for x in (q, k, v, bias, temperature, sinks)]
    keys, values = (x.repeat_interleave(2, 1) for x in (k, v))
    scores = q @ keys.transpose(-1, -2) * temperature + bias
    scores = scores.masked_fill(~visible[:, None, None, :], -torch.inf)
    column = sinks[:, None, None].expand(*scores.shape[:-1], 1)
    y = torch.cat([scores, column], -1).softmax(-1)[..., :-1] @ values
    return dict(zip(("q", "k", "v", "bias", "temperature", "sinks"), slopes_of(cubed(y), *given)))


@torch.enable_grad()
def of_table(q, k, a, b, v, table):
    q, k, a, b, v, table = given = [x.clone().requires_grad_() for x in (q, k, a, b, v, table)]
    far = (torch.arange(q.shape[-2])[:, None] - torch.arange(k.shape[-2])).clamp(-8, 8) + 8
    scores = q @ k.transpose(-1, -2) / 8**0.5 + a @ b.transpose(-1, -2) + table[:, far]
    loss = cubed(scores.softmax(-1) @ v) + 0.01 * (scores.logsumexp(-1) ** 2).sum()
    return dict(zip(("q", "k", "a", "b", "v", "table"), slopes_of(loss, *given)))


@torch.enable_grad()
def of_sigmoid(q, k, v, bias):
    q, k, v, bias = given = [x.clone().requires_grad_() for x in (q, k, v, bias)]
    seen = torch.arange(q.shape[-2])[:, None] >= torch.arange(k.shape[-2])
    y = torch.where(seen, torch.sigmoid(q @ k.transpose(-1, -2) + bias), 0) @ v
    return dict(zip(("q", "k", "v", "bias"), slopes_of(cubed(y), *given)))


@torch.enable_grad()
def of_weights(q, k, v):
    q = q.clone().requires_grad_()
    weights = (q @ k.transpose(-1, -2)).softmax(-1)
    return dict(zip(("weights", "q"), slopes_of(cubed(weights @ v), weights, q)))


@torch.enable_grad()
def of_a_gradient(x):
    x = x.clone().requires_grad_()
    slope, = torch.autograd.grad((torch.tanh(x) * torch.exp(x)).sum(), x, create_graph=True)
    return slopes_of((slope**2).sum(), x)[0]


@torch.enable_grad()
def of_places(x, rows, columns):
    x = x.clone().requires_grad_()
    read = dict(rows=x[rows], columns=x[:, columns], both=x[rows, columns], largest=x.topk(2).values)
    return {name: slopes_of((value**3).sum(), x)[0] for name, value in read.items()}


def cases(dtype=torch.float32):
    g = torch.Generator().manual_seed(62)
    rand = lambda *shape: torch.randn(shape, generator=g)
    visible = torch.ones(3, 7, dtype=torch.bool)
    visible[1, 4:] = False
    yield "of_parameters", dict(ids=torch.randint(VOCAB, (3, 7), generator=g), visible=visible), of_parameters(dtype), {}
    yield "of_attention", dict(q=rand(2, HEADS, 19, 8), k=rand(2, HEADS, 21, 8), v=rand(2, HEADS, 21, 5)), of_attention(dtype), {}
    yield "of_a_gradient", dict(x=0.3 * rand(3, 5)), of_a_gradient, {}
    places = dict(x=0.3 * rand(6, 37), rows=torch.tensor([4, 0, 4, 1, 4]), columns=torch.tensor([36, 2, 36, 2, 0]))
    yield "of_places", places, of_places, {}
    hides = torch.rand(2, 53, generator=g) < 0.7
    hides[1, 30:] = False
    yield "of_bias", dict(q=rand(2, 4, 19, 8), k=rand(2, 2, 53, 8), v=rand(2, 2, 53, 8), bias=rand(4, 19, 53), temperature=torch.tensor(0.4),
                          sinks=rand(4), visible=hides), of_bias, {}
    heads_of = lambda rows, width: rand(2, HEADS, rows, width)
    yield "of_table", dict(q=heads_of(37, 8), k=heads_of(21, 8), a=heads_of(37, 3) / 2, b=heads_of(21, 3) / 2, v=heads_of(21, 5),
                           table=rand(HEADS, 17)), of_table, {}
    yield "of_sigmoid", dict(q=heads_of(19, 8), k=heads_of(21, 8), v=heads_of(21, 5), bias=rand(21)), of_sigmoid, {}
    yield "of_weights", dict(q=rand(2, 7, 8), k=rand(2, 9, 8), v=rand(2, 9, 5)), of_weights, {}
