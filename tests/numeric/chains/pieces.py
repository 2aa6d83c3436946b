"""What a chain's scores can pass through, and what can hide keys: each as text of the language and as numbers.

A piece is a function of a draw (a dict that JSON holds, so that a chain can be repeated and shrunk) and of a context. `text`
gives the language's expression for the whole of the scores' axes, `value` the same from NumPy arrays in double precision.
Both speak of axes by letters: b batch, h heads (or g groups of r heads), t queries, s keys.
"""
import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Input:
    """A tensor that an entry takes: axes are letters, or numbers as text; `fill` says what it holds."""
    name: str
    dtype: str
    axes: tuple
    fill: str = "normal"


class Text:
    """The scores' axes as the text of one chain sees them; collects the inputs that its pieces ask for."""

    def __init__(self, axes, dims, same):
        self.axes, self.dims, self.same, self.inputs = axes, dims, same, []

    def at(self, name, axes):
        """A tensor with these of the scores' axes, so that it broadcasts."""
        left = list(axes)
        items = []
        for axis in self.axes:
            if axis in left:
                left.remove(axis)
                items.append(":")
            elif items or not axes:
                items.append("None")
        assert not left, (name, axes, self.axes)
        if not axes or "None" not in items:
            return name
        return f"{name}[{', '.join(items)}]"

    def input(self, name, dtype, axes, fill="normal"):
        """Asks for an input; its text, broadcast and widened."""
        self.inputs.append(Input(name, dtype, tuple(axes), fill))
        text = self.at(name, axes)
        return f"f32({text})" if dtype in ("f16", "bf16") else text

    @property
    def t(self):
        return f"index({self.dims['t']})[:, None]"

    @property
    def s(self):
        return f"index({self.dims['s']})"

    @property
    def shift(self):
        """How far the last query stands behind the first keys: queries end where keys end."""
        return "" if self.same else f" + ({self.dims['s']} - {self.dims['t']})"

    @property
    def back(self):
        return f"({self.t}{self.shift} - {self.s})"


class Numbers:
    """The same as arrays of the scores' rank."""

    def __init__(self, axes, sizes, tensors, u):
        self.axes, self.sizes, self.tensors, self.u = axes, sizes, tensors, u

    def at(self, name, axes):
        array = self.tensors[name]
        return array.reshape([array.shape[list(axes).index(a)] if a in axes else 1 for a in self.axes])

    def places(self, axis):
        shape = [1] * len(self.axes)
        shape[self.axes.index(axis)] = self.sizes[axis]
        return np.arange(self.sizes[axis], dtype=np.int64).reshape(shape)

    @property
    def t(self):
        return self.places("t")

    @property
    def s(self):
        return self.places("s")

    @property
    def back(self):
        return self.t + (self.sizes["s"] - self.sizes["t"]) - self.s


# ---- scores: a value with a bound of its error, elementwise


@dataclasses.dataclass
class Bounded:
    v: np.ndarray
    e: np.ndarray  # |computed - v| is at most this, for a unit roundoff u an operation

    def rounded(self, u, steps=1):
        return Bounded(self.v, self.e + steps * u * (np.abs(self.v) + self.e))

    def plus(self, x, u):
        return Bounded(self.v + x, self.e + np.zeros_like(x)).rounded(u)

    def times(self, x, u):
        return Bounded(self.v * x, self.e * np.abs(x)).rounded(u)

    def apply(self, f, slope, u, steps):
        """f of slope at most `slope` near v (an array or a number)."""
        return Bounded(f(self.v), self.e * slope).rounded(u, steps)


def subset(random, axes, always=()):
    return tuple(a for a in axes if a in always or random.random() < 0.45)


class Step:
    """One step of the scores. `draw`: its choices. Slopes and roundings of each are said beside it."""

    def draw(self, random, shape):
        return {}

    def fits(self, shape):
        return True


class Bias(Step):
    def draw(self, random, shape):
        return {"axes": "".join(subset(random, shape.axes)), "dtype": random.choice(["f32", "f32", "f32", "f16", "bf16"])}

    def text(self, p, s, c):
        return f"{s} + {c.input(p['name'], p['dtype'], p['axes'])}"

    def value(self, p, s, n):
        return s.plus(n.at(p["name"], p["axes"]), n.u)


class Alibi(Step):
    """- slope |t - s|; the slope is a number, or each head's."""

    def draw(self, random, shape):
        return {"axes": "".join(a for a in shape.axes if a in "hgr") if random.random() < 0.7 else "", "shifted": random.random() < 0.5}

    def distance(self, p, c):
        return f"abs({c.back})" if p["shifted"] else f"abs({c.t} - {c.s})"

    def text(self, p, s, c):
        slope = c.input(p["name"], "f32", p["axes"], "slope") if p["axes"] else "0.0625"
        return f"{s} - {slope} * f32({self.distance(p, c)})"

    def value(self, p, s, n):
        slope = n.at(p["name"], p["axes"]) if p["axes"] else 0.0625
        x = -slope * np.abs(n.back if p["shifted"] else n.t - n.s)
        return Bounded(s.v + x, s.e + n.u * np.abs(x)).rounded(n.u)


class Relative(Step):
    """A table of biases by the clipped distance, for all heads or each."""

    def draw(self, random, shape):
        heads = [a for a in shape.axes if a in "hgr"]
        return {"axes": heads[0] if len(heads) == 1 and random.random() < 0.5 else "", "reach": random.choice([1, 3, 8, 40])}

    def text(self, p, s, c):
        place = f"clamp({c.t} - {c.s} + {p['reach']}, 0, {2 * p['reach']})"
        c.inputs.append(Input(p["name"], "f32", tuple(p["axes"]) + (str(2 * p["reach"] + 1),)))
        return f"{s} + {p['name']}[{':, ' if p['axes'] else ''}{place}]"

    def value(self, p, s, n):
        place = np.clip(n.t - n.s + p["reach"], 0, 2 * p["reach"])
        place = place.reshape(place.shape[-2:])
        x = n.tensors[p["name"]][..., place]
        return s.plus(x.reshape([1] * (len(n.axes) - x.ndim) + list(x.shape)), n.u)


class Buckets(Step):
    """T5's table: distances below 8 have a bias each, larger ones share those of logarithmic buckets."""

    def draw(self, random, shape):
        heads = [a for a in shape.axes if a in "hgr"]
        return {"axes": heads[0] if len(heads) == 1 and random.random() < 0.5 else "", "both": random.random() < 0.5}

    def text(self, p, s, c):
        n = f"abs({c.t} - {c.s})" if p["both"] else f"max({c.t} - {c.s}, 0)"
        # The hundredth keeps powers away from the edges of their buckets.
        bucket = f"where({n} < 8, {n}, min(8 + i64(log(f32({n}) / 8) / log(16.0) * 8 + 0.01), 15))"
        if p["both"]:
            bucket = f"where({c.t} < {c.s}, 16, 0) + {bucket}"
        c.inputs.append(Input(p["name"], "f32", tuple(p["axes"]) + ("32",)))
        return f"{s} + {p['name']}[{':, ' if p['axes'] else ''}{bucket}]"

    def value(self, p, s, n):
        gap = n.t - n.s
        far = abs(gap) if p["both"] else np.maximum(gap, 0)
        large = 8 + np.floor(np.log(np.maximum(far, 1) / 8) / np.log(16) * 8 + 0.01).astype(int)
        bucket = np.where(far < 8, far, np.minimum(large, 15)) + (16 * (gap < 0) if p["both"] else 0)
        x = n.tensors[p["name"]][..., bucket.reshape(bucket.shape[-2:])]
        return s.plus(x.reshape([1] * (len(n.axes) - x.ndim) + list(x.shape)), n.u)


class Softcap(Step):
    def draw(self, random, shape):
        return {"cap": random.choice([2.0, 5.0, 20.0, 50.0])}

    def text(self, p, s, c):
        return f"{p['cap']} * tanh(({s}) / {p['cap']})"

    def value(self, p, s, n):
        return s.times(1 / p["cap"], n.u).apply(np.tanh, 1, n.u, 4).times(p["cap"], n.u)


class ScaleBy(Step):
    """Times a tensor of some of the axes: a temperature of heads or queries, a gate of keys."""

    def draw(self, random, shape):
        return {"axes": "".join(subset(random, shape.axes)), "divides": random.random() < 0.3}

    def text(self, p, s, c):
        by = c.input(p["name"], "f32", p["axes"], "positive")
        return f"({s}) {'/' if p['divides'] else '*'} {by}"

    def value(self, p, s, n):
        by = n.at(p["name"], p["axes"])
        return s.times(1 / by if p["divides"] else by, 2 * n.u)


class Constant(Step):
    """Times or plus a number."""

    def draw(self, random, shape):
        return {"by": random.choice([0.5, 2.0, 0.125, 1.7, -0.5]), "adds": random.random() < 0.4}

    def text(self, p, s, c):
        return f"{s} + {p['by']}" if p["adds"] else f"({s}) * {p['by']}"

    def value(self, p, s, n):
        by = float(np.float32(p["by"]))
        return s.plus(np.float64(by), n.u) if p["adds"] else s.times(by, n.u)


class Places(Step):
    """A formula of the places, as numbers."""

    FORMS = {"pattern": ("f32(({t} + 2 * {s}) % 5) * 0.25", lambda t, s, b: ((t + 2 * s) % 5) * 0.25),
             "blocks": ("f32({t} // 4 - {s} // 4) * 0.125", lambda t, s, b: (t // 4 - s // 4) * 0.125),
             "near": ("exp(-0.5 * f32(abs({back})))", lambda t, s, b: np.exp(-0.5 * np.abs(b))),
             "log": ("-log(f32(abs({back})) + 1)", lambda t, s, b: -np.log(np.abs(b) + 1)),
             "wave": ("sin(f32({s}) * 0.5)", lambda t, s, b: np.sin(s * 0.5) + 0 * t),
             "square": ("-0.0078125 * f32(clamp({back}, -20, 20)) ^ 2", lambda t, s, b: -0.0078125 * np.clip(b, -20, 20) ** 2.0)}

    def draw(self, random, shape):
        return {"form": random.choice(sorted(self.FORMS))}

    def text(self, p, s, c):
        return f"{s} + {self.FORMS[p['form']][0].format(t=c.t, s=c.s, back=c.back)}"

    def value(self, p, s, n):
        x = self.FORMS[p["form"]][1](n.t, n.s, n.back)
        # An elementary function's rounding, and its argument's where that is not exact (below 2^11 all are).
        return Bounded(s.v + x, s.e + n.u * (6 * np.abs(x) + (0.5 * np.abs(n.s) if p["form"] == "wave" else 1))).rounded(n.u)


class LengthScale(Step):
    """Times the logarithm of the number of keys up to the query."""

    def text(self, p, s, c):
        return f"({s}) * log(f32({c.t} + 2))"

    def value(self, p, s, n):
        return s.times(np.log(n.t + 2.0), 4 * n.u)


class Low(Step):
    """A finite large negative number where a tensor says so: an addend, no mask."""

    def draw(self, random, shape):
        return {"axes": "".join(subset(random, shape.axes, "s")), "low": random.choice([-10000.0, -1000000000.0])}

    def text(self, p, s, c):
        return f"{s} + where({c.input(p['name'], 'bool', p['axes'], 'seen')}, 0, {p['low']})"

    def value(self, p, s, n):
        seen = n.at(p["name"], p["axes"]).astype(bool)
        return s.plus(np.where(seen, 0.0, p["low"]), n.u)


class Unary(Step):
    FORMS = {"tanh": ("tanh({s})", np.tanh, lambda v: 1, 4), "sigmoid": ("4 * sigmoid({s})", lambda v: 4 / (1 + np.exp(-v)), lambda v: 1, 8),
             "abs": ("abs({s})", np.abs, lambda v: 1, 0), "relu": ("max({s}, 0)", lambda v: np.maximum(v, 0), lambda v: 1, 0),
             "clamp": ("clamp({s}, -3, 2.5)", lambda v: np.clip(v, -3, 2.5), lambda v: 1, 0),
             "erf": ("erf({s})", np.vectorize(math.erf, otypes=[float]), lambda v: 1.13, 4),
             "negative": ("-({s})", lambda v: -v, lambda v: 1, 0), "least": ("min({s}, 1.5)", lambda v: np.minimum(v, 1.5), lambda v: 1, 0)}

    def draw(self, random, shape):
        return {"form": random.choice(sorted(self.FORMS))}

    def text(self, p, s, c):
        return self.FORMS[p["form"]][0].format(s=s)

    def value(self, p, s, n):
        _, f, slope, steps = self.FORMS[p["form"]]
        return s.apply(f, slope(s.v), n.u, steps)


class Square(Step):
    def text(self, p, s, c):
        return f"0.125 * ({s}) ^ 2"

    def value(self, p, s, n):
        return Bounded(0.125 * s.v * s.v, 0.125 * s.e * (2 * np.abs(s.v) + s.e)).rounded(n.u, 3)


class Second(Step):
    """Another product of queries and keys, held or joined."""

    def draw(self, random, shape):
        return {"left": "".join(subset(random, [a for a in shape.axes if a not in "ts"])),
                "right": "".join(subset(random, [a for a in shape.axes if a not in "ts"])), "inner": random.choice([1, 3, 8])}

    def factor(self, p, side, axis, c):
        """The text of one factor, an input of the entry, so that it broadcasts."""
        name = f"{p['name']}_{side}"
        c.inputs.append(Input(name, "f32", tuple(p[side]) + (axis, str(p["inner"]))))
        items = ["None" if a not in p[side] else ":" for a in c.axes[:-2]]
        while items and items[0] == "None":
            items.pop(0)
        return f"{name}[{', '.join(items + [':', ':'])}]" if "None" in items else name

    def text(self, p, s, c):
        return f"{s} + {self.factor(p, 'left', 't', c)} @ {self.factor(p, 'right', 's', c)}.T"

    def product(self, p, n):
        """It, and the product of the factors' magnitudes."""
        def full(side):
            array = n.tensors[f"{p['name']}_{side}"]
            return array.reshape([array.shape[p[side].index(a)] if a in p[side] else 1 for a in n.axes[:-2]] + list(array.shape[-2:]))

        a, b = full("left"), np.swapaxes(full("right"), -1, -2)
        return a @ b, np.abs(a) @ np.abs(b)

    def value(self, p, s, n):
        x, norm = self.product(p, n)
        return Bounded(s.v + x, s.e + (p["inner"] + 1) * n.u * norm).rounded(n.u)


class Distances(Second):
    """A product of queries or keys with a row for each clipped distance, read where it is: as in Transformer-XL and DeBERTa."""

    def draw(self, random, shape):
        return super().draw(random, shape) | {"of": random.choice("ts"), "reach": random.choice([3, 40, 70]), "step": random.choice([1, 1, 1, 2, -3]),
                                              "scale": random.choice([1.0, 1.0, 0.5])}

    def text(self, p, s, c):
        of = f"{c.t}" if p["of"] == "t" else c.s
        gap = f"clamp(({c.t} - {c.s}) * {p['step']} + {p['reach']}, 0, {2 * p['reach']})"
        product = f"({self.factor(p, 'left', p['of'], c)} @ {self.factor(p, 'right', str(2 * p['reach'] + 1), c)}.T)"
        scaled = product if p["scale"] == 1 else f"({product} * {p['scale']})"
        return f"{s} + {scaled}[..., {of}, {gap}]"

    def value(self, p, s, n):
        x, norm = self.product(p, n)
        rows, columns = np.arange(n.sizes["t"])[:, None], np.arange(n.sizes["s"])
        gap = np.clip((rows - columns) * p["step"] + p["reach"], 0, 2 * p["reach"])
        of = (rows if p["of"] == "t" else columns) + 0 * gap
        x, norm = x[..., of, gap] * p["scale"], norm[..., of, gap]
        return Bounded(s.v + x, s.e + (p["inner"] + 1) * n.u * norm).rounded(n.u)


class Gate(Step):
    """Another factor where a formula holds."""

    def text(self, p, s, c):
        return f"where({c.t} < {c.s}, ({s}) * 0.5, {s})"

    def value(self, p, s, n):
        return s.times(np.where(n.t < n.s, 0.5, 1.0), n.u)


STEPS = {"bias": Bias(), "alibi": Alibi(), "relative": Relative(), "buckets": Buckets(), "softcap": Softcap(), "scale_by": ScaleBy(), "constant": Constant(),
         "places": Places(), "length_scale": LengthScale(), "low": Low(), "unary": Unary(), "square": Square(), "second": Second(), "distances": Distances(), "gate": Gate()}


# ---- masks: which keys a query sees


class Formula:
    """A mask of the places: text and value of one formula over t, s and back, with drawn numbers."""

    def __init__(self, text, value, numbers=None):
        self.form, self.of, self.numbers = text, value, numbers or {}

    def draw(self, random, shape):
        return {name: random.choice(values) for name, values in self.numbers.items()}

    def text(self, p, c):
        return self.form.format(t=c.t, s=c.s, back=c.back, ends=f"({c.dims['s']} - {c.dims['t']})", **p)

    def value(self, p, n):
        return self.of(n.t, n.s, n.back, p)


class Seen:
    """A tensor of bools over keys and some of the other axes."""

    def __init__(self, always):
        self.always = always

    def draw(self, random, shape):
        return {"axes": "".join(a for a in shape.axes if a in self.always or a in "bhgr" and random.random() < 0.5),
                "runs": random.random() < 0.4}

    def text(self, p, c):
        return c.input(p["name"], "bool", p["axes"], "runs" if p["runs"] else "seen")

    def value(self, p, n):
        return n.at(p["name"], p["axes"]).astype(bool)


class Lengths:
    """The first keys of each sequence; or a prefix of its own and what is causal behind it."""

    def __init__(self, prefix):
        self.prefix = prefix

    def draw(self, random, shape):
        return {"axes": "".join(a for a in shape.axes if a in "bt" and (a == "b" or random.random() < 0.3) and not (a == "t" and self.prefix))}

    def text(self, p, c):
        text = f"{c.s} < {c.input(p['name'], 'i64', p['axes'], 'length')}" if p["axes"] else f"{c.s} < 9"
        return f"{c.back} >= 0 or {text}" if self.prefix else text

    def value(self, p, n):
        seen = n.s < (n.at(p["name"], p["axes"]) if p["axes"] else 9)
        return (n.back >= 0) | seen if self.prefix else seen


class Documents:
    """Keys with the query's document number."""

    def draw(self, random, shape):
        return {"axes": "".join(a for a in shape.axes if a == "b" and random.random() < 0.7), "dtype": random.choice(["i64", "i32"])}

    def text(self, p, c):
        key = c.input(p["name"], p["dtype"], p["axes"] + "s", "documents")
        if c.same:
            query = c.at(p["name"], p["axes"] + "t")
        else:
            query = c.input(p["name"] + "_query", p["dtype"], p["axes"] + "t", "documents")
        return f"{query} == {key}"

    def value(self, p, n):
        key = n.at(p["name"], p["axes"] + "s")
        query = n.tensors.get(p["name"] + "_query", n.tensors[p["name"]])
        axes = p["axes"] + "t"
        return query.reshape([query.shape[axes.index(a)] if a in axes else 1 for a in n.axes]) == key


class Above:
    """A comparison of floats that tensors hold."""

    def draw(self, random, shape):
        return {"axes": "".join(subset(random, shape.axes, "s"))}

    def text(self, p, c):
        return f"{c.input(p['name'], 'f32', p['axes'])} > -0.5"

    def value(self, p, n):
        return n.at(p["name"], p["axes"]) > -0.5


def clipped(t, s, p):
    """A square of keys around the query in a picture `width` wide, moved so that it lies within the width."""
    w, r = p["width"], p["reach"]
    centre = np.maximum(np.minimum(t % w, w - 1 - r), r)
    return (np.abs(t // w - s // w) <= r) & (np.abs(centre - s % w) <= r)


MASKS = {
    "causal": Formula("{t} >= {s}", lambda t, s, b, p: t >= s),
    "causal_ends": Formula("{back} >= 0", lambda t, s, b, p: b >= 0),
    "ahead": Formula("{t} + {by} >= {s}", lambda t, s, b, p: t + p["by"] >= s, {"by": [1, 3, 64]}),
    "future": Formula("{t} <= {s}", lambda t, s, b, p: t <= s),
    "window": Formula("{back} >= 0 and {back} < {reach}", lambda t, s, b, p: (b >= 0) & (b < p["reach"]), {"reach": [1, 3, 16, 33, 100]}),
    "band": Formula("abs({t} - {s}) <= {reach}", lambda t, s, b, p: np.abs(t - s) <= p["reach"], {"reach": [0, 1, 5, 17, 64]}),
    "dilated": Formula("{back} % {step} == 0", lambda t, s, b, p: b % p["step"] == 0, {"step": [2, 3, 7]}),
    "dilated_window": Formula("{back} >= 0 and {back} < 24 and {back} % {step} == 0",
                              lambda t, s, b, p: (b >= 0) & (b < 24) & (b % p["step"] == 0), {"step": [2, 3]}),
    "blocks": Formula("{t} // {size} == {s} // {size}", lambda t, s, b, p: t // p["size"] == s // p["size"], {"size": [1, 5, 16, 64]}),
    "block_causal": Formula("{t} // {size} >= {s} // {size}", lambda t, s, b, p: t // p["size"] >= s // p["size"], {"size": [3, 16, 64]}),
    "neighbours": Formula("abs({t} // {width} - {s} // {width}) <= {reach} and abs({t} % {width} - {s} % {width}) <= {reach}",
                          lambda t, s, b, p: (np.abs(t // p["width"] - s // p["width"]) <= p["reach"]) & (np.abs(t % p["width"] - s % p["width"]) <= p["reach"]),
                          {"width": [4, 7, 16], "reach": [1, 2]}),
    "clipped": Formula("abs({t} // {width} - {s} // {width}) <= {reach} and "
                       "abs(maximum(minimum({t} % {width}, {width} - 1 - {reach}), {reach}) - {s} % {width}) <= {reach}",
                       lambda t, s, b, p: clipped(t, s, p), {"width": [5, 8, 16], "reach": [1, 2]}),
    "diagonal": Formula("{t} != {s}", lambda t, s, b, p: t != s),
    "global": Formula("{s} < {first} or abs({t} - {s}) <= {reach}", lambda t, s, b, p: (s < p["first"]) | (np.abs(t - s) <= p["reach"]),
                      {"first": [1, 4], "reach": [2, 8]}),
    "prefix": Formula("{s} < {first} or {t} >= {s}", lambda t, s, b, p: (s < p["first"]) | (t >= s), {"first": [1, 10, 70]}),
    "pattern": Formula("({t} * 3 + {s} * 5) % 7 != 0", lambda t, s, b, p: (t * 3 + s * 5) % 7 != 0),
    "padding": Seen("s"), "tensor": Seen("ts"), "lengths": Lengths(False), "prefix_lengths": Lengths(True), "documents": Documents(), "above": Above(),
}


# ---- what inputs hold


def fill(random, input, shape, sizes):
    """The numbers of an input, from NumPy's generator."""
    if input.fill == "normal":
        x = random.uniform(-2, 2, shape)
        return np.where(random.random(shape) < 0.05, random.choice([0.0, 1.0, -1.0], shape), x)
    if input.fill == "slope":
        return 2.0 ** -random.integers(1, 9, shape)
    if input.fill == "positive":
        return random.uniform(0.5, 1.5, shape)
    if input.fill == "seen":
        return random.random(shape) < random.choice([0.1, 0.6, 0.9, 1.0])
    if input.fill == "runs":  # long stretches, so that tiles are empty or full
        return np.cumsum(random.random(shape) < 0.03, axis=-1) % 2 == 0 if shape else np.array(True)
    if input.fill == "length":
        return random.integers(0, sizes["s"] + 2, shape)
    if input.fill == "documents":
        return np.cumsum(random.random(shape) < 0.05, axis=-1)
    raise KeyError(input.fill)
