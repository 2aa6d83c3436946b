"""What the entries of tests/numeric/language.fov mean, written in PyTorch's plain operations."""
import torch

DIM = 4


def weights(seed=5):
    """By the names that language.fov stores: `as` renames pieces, and the tied weight is stored once."""
    g = torch.Generator().manual_seed(seed)
    shapes = {"net.table": (7, DIM), "net.tied.weight": (DIM, DIM), "net.other.bias": (DIM,), "net.mixed.0.fc1.bias": (2 * DIM,),
              "net.mixed.0.gain.more.factor": (DIM,)}
    for block in ("net.layer.0", "net.layer.1", "net.layer.2", "net.mixed.0", "net.mixed.1"):
        shapes |= {f"{block}.fc1.weight": (2 * DIM, DIM), f"{block}.outer.weight": (DIM, 2 * DIM), f"{block}.outer.bias": (DIM,)}
    return {name: torch.randn(shape, generator=g) * 0.3 for name, shape in shapes.items()}


def layers(w, depth=2, gain=0.5, mode="sum"):
    def block(x, path, by, wide=False):
        hidden = x @ w[f"{path}.fc1.weight"].T + (w[f"{path}.fc1.bias"] if wide else 0)
        y = hidden.relu() @ w[f"{path}.outer.weight"].T + w[f"{path}.outer.bias"]
        return x + (y * w[f"{path}.gain.more.factor"] if wide else y * by)

    def run(x):
        for i in range(depth):
            x = block(x, f"net.layer.{i}", i + gain)
        x = block(block(x, "net.mixed.0", 2.0, wide=True), "net.mixed.1", 2.0)
        tied = x @ w["net.tied.weight"].T
        x = x + tied if mode == "sum" else x * (tied + w["net.other.bias"])
        return x @ w["net.tied.weight"].T + w["net.other.bias"]

    return run


def casts(x):
    byte = x.trunc().clamp(-128, 127).to(torch.int8)
    back = x.half().to(x.dtype) + x.bfloat16().to(x.dtype) + (x != 0).to(x.dtype)
    return {"f16": x.half(), "i64": x.long(), "i32": x.int(), "i8": byte, "bool": x != 0, "back": back,
            "whole": x.long() * (x != 0) + byte.long()}


def slices(x, p):
    n, back = len(x), x.flip(0)
    return dict(tail=x[1:], backwards=back, even=x[::2], last=x[-1], ends=x[:, -2:], at=x[p:p + 2], wide=x[:, None],
                thirds=back[::3])


def write(x, at):
    keys = torch.full((9, DIM), 0.25, dtype=x.dtype)
    before = keys[at:at + len(x)].clone()
    keys[at:at + len(x)] = x
    keys[0, 1:3] = x[0, :2]
    keys[-1] = 7
    mixed = keys * 2
    mixed[::2, -1] = 0
    return dict(now=keys, count=torch.tensor(3 + len(x)), before=before, mixed=mixed)


def places(x, i, j, lengths):
    a = torch.arange(len(x))
    return dict(both=x[i, j], apart=x[i, :, j], inner=x[:, i, j], last=x[a, lengths - 1], diagonal=x[a, 0, a][:, None],
                mixed=x[j[:, 0], 1:, j[:, 0]][..., None])


def scattered(x, v, i, j):
    """One row after the other, so that it is clear which comes last."""
    keys, part, turned, line = torch.full((9, DIM), 0.25, dtype=x.dtype), x.clone(), x.clone(), x[:, 0, 0].clone()
    for n in range(len(i)):
        keys[i[n] + 3] = v[n, :DIM]
        part[i[n], 1:3, j[n]] = v[n, :2]
        turned[i[n]] = x[j[n]]
        line[i[n]] = v[n, -1]
    for d in range(DIM):
        keys[(2 * d + 3) % 9, d] = 5
    return dict(now=keys, part=part, turned=turned, line=line)


def shapes(x):
    b, t, _ = x.shape
    return dict(heads=x.view(b, t, 2, 3).transpose(1, 2), joined=x.transpose(0, 1).reshape(t * b, 6), turned=x.permute(2, 1, 0),
                flat=x.reshape(b * t, 3, 2), ones=x[:, :, None], sizes=torch.arange(4) + b * 3 + 3)


def reshapes(x, q, k):
    turned = x.reshape(x.shape[1], x.shape[0])
    return dict(map=turned.exp().exp() / 2, weighted=(q @ k.mT + turned).softmax(-1) @ k)


def einsums(x, y, w):
    e = torch.einsum
    return dict(scores=e("btd,bsd->bts", x, y), sums=e("btd->tb", x), far=e("btd,de->e", x, w),
                three=e("btd,bsd,de->btes", x, y, w), dots=e("btd,bsd->b", x, y))


def products(x, w, v):
    return dict(plain=x @ w, self=x @ x.mT, vector=x @ v, dot=v @ v, outer=torch.einsum("btd,csd->bcts", x, x))


def reductions(x, m, n):
    return dict(two=x.sum((0, 2)), kept=x.amax((1, 2), keepdim=True), all=x.mean(), any=m.any(1), each=m.all(0), count=n.sum(-1),
                first=x.argmax(-1), product=x.prod(1), least=x.amin((0, 1)), floor=x.clamp(min=0.25), most=n.amax(1))


def largest(x, n, h, k):
    """Of equal numbers, which torch.topk gives in any order, the first comes first."""
    values, places = torch.topk(x, 3)
    ordered, order = torch.sort(n, descending=True, stable=True)
    few = torch.topk(h, k).values.half()
    return dict(values=values, places=places, sorted=ordered, order=order, few=few, columns=torch.sort(x.T, descending=True).values)


def comparisons(x, y, n):
    place = torch.arange(x.shape[1])
    return dict(logic=(x > y) & (x != y) | (x < -1), chosen=torch.where(x >= y, x, -y), equal=n == place,
                front=torch.where(place < 2, x, 0), whole=n * place % 3 - n.div(2, rounding_mode="floor"))


def numbers(x, k, s):
    limits = x.abs().clamp(0.5, 1.5) + x.clamp(min=0.1) - x.clamp(max=s)
    return dict(mixed=x * s + k, powers=x ** 3 + 2 ** x + 1 / x, places=torch.arange(len(x)) + k, scalar=torch.tensor(s * k, dtype=x.dtype),
                limits=limits, whole=torch.tensor(k // 2 * 7 % 5), constant=x * (4 - 4 + 3 + 8 - 3))


def cases(w):
    """(entry, inputs, function of the inputs giving a tensor or {output: tensor}, further columns of the row)."""
    for entry, inputs, function, extra in entries(w):
        yield entry, inputs, function, {"model": "Language", **extra}


def entries(w):
    g = torch.Generator().manual_seed(41)
    rand = lambda *shape: torch.randn(shape, generator=g)
    whole = lambda low, high, *shape: torch.randint(low, high, shape, generator=g)
    yield "results", dict(x=rand(2, 5, DIM), y=rand(2, 5, 3)), lambda x, y: dict(
        total=x.sum(-1) + y.sum(-1) + x.sum(-1) / 2, far=4 * x, result2=x.mean()), {}
    yield "layers", dict(x=rand(3, DIM)), layers(w), {}
    settings = dict(depth=3, gain=0.25, mode="product")
    yield "layers", dict(x=rand(3, DIM)), layers(w, **settings), {"name": "layers_set", "set": settings}
    # Exact in f16 and bf16, whose rounding the interpreter leaves out.
    yield "casts", dict(x=torch.tensor([0.0, 1.5, -2.75, 100.0, -0.0, 0.375, 127.5, -130.0, 240.0])), casts, {}
    yield "slices", dict(x=rand(7, 5), p=3), slices, {}
    yield "slices", dict(x=rand(2, 2), p=0), slices, {"name": "slices_small"}
    yield "write", dict(x=rand(2, DIM), at=3), write, {}
    yield "gathers", dict(x=rand(6, 7, 6), i=whole(0, 6, 2, 3), j=whole(0, 6, 4).int()), lambda x, i, j: dict(
        first=x[i], middle=x[:, i], last=x[..., j], rows=w["net.table"].to(x.dtype)[j]), {}
    yield "shapes", dict(x=rand(2, 5, 6)), shapes, {}
    yield "reshapes", dict(x=torch.rand((7, 5), generator=torch.Generator().manual_seed(3)), q=rand(5, 3), k=rand(7, 3)), reshapes, {}
    yield "einsums", dict(x=rand(2, 5, 6), y=rand(2, 3, 6), w=rand(6, 4)), einsums, {}
    yield "products", dict(x=rand(2, 5, 6), w=rand(6, 4), v=rand(6)), products, {}
    yield "reductions", dict(x=rand(2, 5, 6), m=rand(2, 5) > 0, n=whole(-9, 9, 2, 5)), reductions, {}
    more = torch.Generator().manual_seed(67)
    x = torch.randn((4, 300), generator=more)
    x[0, 250] = x[1, 7] = float("nan")
    n = torch.randint(-9, 9, (2, 41), generator=more).int()
    yield "largest", dict(x=x, n=n, h=torch.randn(300, generator=more).half(), k=17), largest, {}
    x, y = rand(3, 5), rand(5)
    x[0, :3] = y[:3]
    yield "comparisons", dict(x=x, y=y, n=whole(-3, 5, 3, 1)), comparisons, {}
    yield "numbers", dict(x=rand(6).abs() + 0.2, k=-7, s=0.5), numbers, {}
    yield "joins", dict(x=rand(2, 3), y=rand(2, 4)), lambda x, y: dict(
        wide=torch.cat([x, y, x], -1), tall=torch.cat([x, x]), more=x + 2, many=x.expand(3, *x.shape)), {}
    yield "halves", dict(x=rand(5, 6)), lambda x: x[:, :3], {}
    g = torch.Generator().manual_seed(42)
    yield "places", dict(x=rand(5, 6, 7), i=whole(0, 5, 3), j=whole(0, 5, 2, 1).int(), lengths=whole(1, 6, 5)), places, {}
    i, j = torch.tensor([4, 1, 4, 0, 1]), torch.tensor([2, 3, 2, 4, 0])
    yield "scattered", dict(x=rand(5, 6, 20), v=rand(5, 20), i=i, j=j), scattered, {}
    yield "double", dict(x=rand(4)), lambda x: x + x, {"model": "Small", "set": {"n": 4}}
