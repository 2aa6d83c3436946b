"""Random valid models, each with inputs and a bound for the rounding of every result.

A value is an expression of the language together with what can be said about it without running it: its type, its
sizes, `mag`, a bound of its magnitude, and `err`, a bound of the distance between a computation in f32 and the exact
one. Each operation gives the bounds of its result from those of its operands (u = 2^-24 for one rounding in f32, 2^-11
in f16, 2^-8 in bf16; a sum of n terms: n errors and n roundings of at most the sum of magnitudes). Operations that jump
(comparisons, conversions to integers, argmax) take only exact values, whose err is 0.
"""
import dataclasses
import math

U = {"f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8}
TINY = {"f32": 1e-37, "f16": 2.0**-24, "bf16": 1e-37}  # f32 may flush what is smaller, f16 has steps of this size
FLOATS, INTEGERS = ("f32", "f16", "bf16"), ("i64", "i32", "i8")
LARGEST = {"i64": 1e12, "i32": 2.0**30, "i8": 100, "f16": 1e4, "bf16": 1e12, "f32": 1e12}
# What a size may be when the model runs; bounds are for MOST.
SIZES, MOST = (0, 1, 2, 3, 5, 7, 13, 16, 17, 31, 33), 33
SYMBOLS = ("A", "B", "C", "D")


@dataclasses.dataclass(frozen=True)
class Value:
    text: str
    dtype: str
    dims: tuple  # names of symbols, literals, or expressions of them, as text
    mag: float = 1.0
    err: float = 0.0

    @property
    def rank(self):
        return len(self.dims)

    @property
    def isFloat(self):
        return self.dtype in FLOATS


def most(dim):
    """The largest value of a size."""
    return eval(str(dim), {}, {name: MOST for name in SYMBOLS})


class Entry:
    """One entry: inputs, statements, and the values that can still be used."""

    def __init__(self, random, name):
        self.random, self.name = random, name
        self.inputs, self.lines, self.values, self.nonEmpty = [], [], [], set()
        self.limits = {}  # an integer input's values are below this size
        for _ in range(random.randint(3, 14)):
            getattr(self, random.choice(OPERATIONS))()
        if not self.lines:
            self.binary()

    # ---- values

    def dim(self):
        return self.random.choice(SYMBOLS) if self.random.random() < 0.7 else str(self.random.choice((1, 2, 3, 4, 6, 8, 17)))

    def input(self, dtype, dims, below=None):
        name = f"x{len(self.inputs)}"
        mag = {"bool": 1, "f32": 2, "f16": 2}.get(dtype, 9 if below is None else most(below))
        value = Value(name, dtype, tuple(dims), mag)
        self.inputs.append(value)
        self.limits[name] = below
        self.values.append(value)
        return value

    def let(self, text, like, dims=None, dtype=None, mag=None, err=None):
        """Binds an operation's result; one rounding of the type is added unless it is exact."""
        dtype = dtype or like.dtype
        mag = like.mag if mag is None else mag
        err = like.err if err is None else err
        if dtype not in FLOATS:
            err = 0.0
        name = f"v{len(self.lines)}"
        self.lines.append(f"let {name} = {text}")
        value = Value(name, dtype, tuple(like.dims if dims is None else dims), mag, err)
        self.values.append(value)
        return value

    def rounded(self, dtype, mag, err, steps=1):
        return err + steps * (U.get(dtype, 0) * (mag + err) + TINY.get(dtype, 0))

    def pick(self, accept=lambda value: True, fresh="f32", least=0, below=64):
        """A value that fits, most often a recent one; a new input where there is none."""
        able = [v for v in self.values if accept(v) and least <= v.rank and v.mag < LARGEST[v.dtype if v.dtype in LARGEST else "f32"]
                and v.mag < below and v.err < 0.02]
        if able and self.random.random() < 0.85:
            return able[-1 - min(int(self.random.expovariate(0.7)), len(able) - 1)]
        return self.input(fresh, [self.dim() for _ in range(max(least, self.random.randint(0, 4)))])

    def float(self, **options):
        return self.pick(lambda v: v.isFloat, **options)

    def f32(self, **options):
        return self.pick(lambda v: v.dtype == "f32", **options)

    def partner(self, x):
        """A value that broadcasts against x, and the shape of both together: as x itself, or with axes less or of size 1."""
        same = [v for v in self.values if v.dtype == x.dtype and v.dims == x.dims and v.err < 0.02 and v.mag < 64]
        if same and self.random.random() < 0.4:
            y = self.random.choice(same)
            return y.text, y
        kept = self.random.randint(0, x.rank)
        dims, item = [], []
        for dim in x.dims[kept:]:
            if self.random.random() < 0.25:
                item.append("None")
            else:
                dims.append(dim)
                item.append(":")
        # An i64 without axes is a size.
        if any(not d.isalnum() for d in dims) or (x.dtype == "i64" and not dims):
            return x.text, x
        y = self.input(x.dtype, dims) if x.dtype in ("f32", "f16", "i64", "i32", "i8", "bool") else None
        if y is None:
            return x.text, x
        return (f"{y.text}[{', '.join(item)}]" if "None" in item else y.text), y

    # ---- elementwise

    def unary(self):
        x = self.float()
        kind = self.random.choice(["exp", "tanh", "erf", "sin", "cos", "sigmoid", "abs", "-", "sqrt", "rsqrt", "log", "relu", "square", "clamp"])
        d = x.dtype
        if kind == "exp":
            m = math.e**3
            self.let(f"exp(clamp({x.text}, -3, 3))", x, mag=m, err=self.rounded(d, m, m * 1.1 * x.err, 4))
        elif kind in ("tanh", "erf", "sin", "cos", "sigmoid"):
            self.let(f"{kind}({x.text})", x, mag=1.0, err=self.rounded(d, 1.0, 1.2 * x.err, 6 + (x.mag if kind in ("sin", "cos") else 0)))
        elif kind in ("abs", "-"):
            self.let(f"abs({x.text})" if kind == "abs" else f"-{x.text}", x)
        elif kind in ("sqrt", "rsqrt", "log"):
            m = {"sqrt": math.sqrt(x.mag + 1), "rsqrt": 1.5, "log": math.log(x.mag + 1) + 1}[kind]
            inner = self.rounded(d, x.mag + 0.5, x.err)
            self.let(f"{kind}(abs({x.text}) + 0.5)", x, mag=m, err=self.rounded(d, m, 2.9 * inner, 4))
        elif kind == "relu":
            self.let(f"max({x.text}, 0)", x)
        elif kind == "square":
            self.let(f"{x.text} ^ 2" if d == "f32" else f"{x.text} * {x.text}", x, mag=x.mag**2,
                     err=self.rounded(d, x.mag**2, 2 * x.mag * x.err + x.err**2, 3))
        else:
            self.let(f"clamp({x.text}, -1, 0.5)", x, mag=1.0, err=self.rounded(d, 0.5, x.err))

    def binary(self):
        x = self.float()
        text, y = self.partner(x)
        sides = [x.text, text]
        self.random.shuffle(sides)
        kind, d = self.random.choice("+-*/mM"), x.dtype
        both = x.err + y.err
        if kind in "+-":
            self.let(f"{sides[0]} {kind} {sides[1]}", x, mag=x.mag + y.mag, err=self.rounded(d, x.mag + y.mag, both))
        elif kind == "*":
            m = x.mag * y.mag
            self.let(f"{sides[0]} * {sides[1]}", x, mag=m, err=self.rounded(d, m, x.err * y.mag + y.err * x.mag + x.err * y.err))
        elif kind == "/":
            m = 2 * x.mag
            inner = self.rounded(d, y.mag + 0.5, y.err)
            self.let(f"{x.text} / (abs({text}) + 0.5)", x, mag=m, err=self.rounded(d, m, 2 * x.err + 4 * (x.mag + x.err) * inner, 2))
        else:
            self.let(f"{'min' if kind == 'm' else 'max'}imum({sides[0]}, {sides[1]})", x, mag=max(x.mag, y.mag), err=max(x.err, y.err))

    def integers(self):
        x = self.pick(lambda v: v.dtype in INTEGERS, fresh=self.random.choice(INTEGERS), below=11)
        text, y = self.partner(x)
        if y.dtype != x.dtype:
            return
        kind = self.random.choice(["+", "-", "*", "//", "%", "minimum", "maximum", "abs"])
        if kind in "+-":
            self.let(f"{x.text} {kind} {text}", x, mag=x.mag + y.mag)
        elif kind == "*":
            if x.mag * y.mag < LARGEST[x.dtype]:
                self.let(f"{x.text} * {text}", x, mag=x.mag * y.mag)
        elif kind in ("//", "%"):
            sign = self.random.choice(["", "-"])
            self.let(f"{x.text} {kind} ({sign}(abs({text}) + 1))", x, mag=max(x.mag, y.mag) + 1)
        elif kind == "abs":
            self.let(f"abs({x.text})", x)
        else:
            self.let(f"{kind}({x.text}, {text})", x, mag=max(x.mag, y.mag))

    def compare(self):
        x = self.pick(lambda v: v.err == 0 and v.dtype != "bool", fresh=self.random.choice(("f32", "i64", "i32", "i8", "f16")))
        text, y = self.partner(x)
        if y.err == 0:
            self.let(f"{x.text} {self.random.choice(['==', '!=', '<', '<=', '>', '>='])} {text}", x, dtype="bool", mag=1)

    def logic(self):
        x = self.pick(lambda v: v.dtype == "bool", fresh="bool")
        text, y = self.partner(x)
        self.let(self.random.choice([f"{x.text} and {text}", f"{x.text} or not {text}", f"not {x.text}"]), x)

    def where(self):
        x = self.float()
        text, y = self.partner(x)
        if any(not d.isalnum() for d in x.dims):
            return
        c = self.input("bool", x.dims[self.random.randint(0, x.rank):])
        arms = [x.text, text if self.random.random() < 0.7 else "0.25"]
        self.random.shuffle(arms)
        self.let(f"where({c.text}, {arms[0]}, {arms[1]})", x, mag=max(x.mag, y.mag, 1), err=max(x.err, y.err))

    def triangle(self):
        """A mask from the places themselves."""
        x = self.f32(least=2)
        t, s = x.dims[-2:]
        less = self.random.choice([f"index({t})[:, None] >= index({s})[None, :]", f"index({t})[:, None] < index({s}) + 2",
                                   f"(index({t})[:, None] + index({s})[None, :]) % 3 == 0",
                                   f"index({t})[:, None] - index({s})[None, :] < 4"])
        self.let(f"where({less}, {x.text}, {self.random.choice(['0', '-1.5'])})", x, mag=max(x.mag, 1.5))

    def cast(self):
        x = self.pick(fresh=self.random.choice(("f32", "i32", "i8", "bool")))
        to = self.random.choice(FLOATS + INTEGERS + ("bool",))
        if to == x.dtype or (to not in FLOATS and x.isFloat and x.err > 0) or x.mag >= LARGEST.get(to, 2):
            if to != "bool" or (x.isFloat and x.err > 0):
                return
        if to in FLOATS:
            exact = x.dtype in ("bool", "i8", "i32", "i64") and x.mag <= 256 or (to == "f32" and x.isFloat)
            self.let(f"{to}({x.text})", x, dtype=to, err=x.err if exact else self.rounded(to, x.mag, x.err))
        else:
            self.let(f"{to}({x.text})", x, dtype=to, mag=1 if to == "bool" else x.mag)

    # ---- reductions

    def axes(self, x):
        count = self.random.randint(1, x.rank)
        return sorted(self.random.sample(range(x.rank), count))

    def reduce(self):
        x = self.pick(lambda v: v.isFloat, least=1)
        axes, keep = self.axes(x), self.random.random() < 0.5
        kind = self.random.choice(["sum", "mean", "max", "min"])
        n = math.prod(max(most(x.dims[a]), 1) for a in axes)
        if kind == "mean":
            for a in axes:
                self.needElement(x.dims[a])
        dims = [("1" if i in axes else d) for i, d in enumerate(x.dims) if keep or i not in axes]
        place = f"axis = {axes[0]}" if len(axes) == 1 else f"axis = ({', '.join(map(str, axes))})"
        m = n * x.mag if kind == "sum" else x.mag
        rounding = U["f32"] * n * (m + x.err)
        err = (n if kind == "sum" else 1) * x.err + (rounding if kind in ("sum", "mean") else 0)
        err = self.rounded(x.dtype, m, err, 2) if kind in ("sum", "mean") else x.err
        self.let(f"{kind}({x.text}, {place}{', keep = true' if keep else ''})", x, dims, mag=m, err=err)

    def anyAll(self):
        x = self.pick(lambda v: v.dtype == "bool", fresh="bool", least=1)
        if x.rank:
            axes = self.axes(x)
            self.let(f"{self.random.choice(['any', 'all'])}({x.text}, axis = {axes[0]})", x, [d for i, d in enumerate(x.dims) if i != axes[0]])

    def integerSum(self):
        x = self.pick(lambda v: v.dtype in ("i64", "i32"), fresh="i64", least=1)
        axis = self.random.randrange(x.rank)
        kind = self.random.choice(["sum", "max", "min"])
        if kind != "sum":
            self.needElement(x.dims[axis])
        n = max(most(x.dims[axis]), 1)
        self.let(f"{kind}({x.text}, axis = {axis})", x, [d for i, d in enumerate(x.dims) if i != axis], mag=x.mag * (n if kind == "sum" else 1))

    def argmax(self):
        x = self.pick(lambda v: v.err == 0 and v.dtype == "f32", least=1)
        if x.rank:
            axis = self.random.randrange(x.rank)
            self.needElement(x.dims[axis])
            self.let(f"argmax({x.text}, axis = {axis})", x, [d for i, d in enumerate(x.dims) if i != axis], dtype="i64", mag=most(x.dims[axis]))

    def softmax(self):
        x = self.f32(least=1, below=30)
        axis = self.random.randrange(x.rank)
        n = most(x.dims[axis])
        if self.random.random() < 0.3:
            self.let(f"log_softmax({x.text}, axis = {axis})", x, mag=2 * x.mag + 5, err=self.rounded("f32", 2 * x.mag + 5, 4 * x.err, n + 16))
            self.needElement(x.dims[axis])
        else:
            self.let(f"softmax({x.text}, axis = {axis})", x, mag=1.0, err=3 * x.err + (n + 16 + 2 * x.mag) * U["f32"])

    def norm(self):
        x = self.f32(least=1, below=20)
        d = x.dims[-1]
        self.needElement(d)
        n = most(d)
        # The variance is at least eps = 0.1: a change of x by err changes the result by at most (2 + |x| / eps) err / sqrt(eps).
        slope = (2 + 4 * x.mag * x.mag / 0.1) * 3.2
        m = 2 * x.mag * 3.2
        err = slope * (x.err + (n + 8) * U["f32"] * x.mag) + 8 * U["f32"] * m
        kind = self.random.choice(["layer_norm", "rms_norm"])
        if not d.isalnum() or self.random.random() < 0.5:
            self.let(f"{kind}({x.text}, 0.1)", x, mag=m, err=err)
        else:
            w = self.input("f32", [d])
            self.let(f"{kind}({x.text}, 0.1) * {w.text}", x, mag=2 * m, err=2 * err + U["f32"] * 2 * m)

    # ---- layout

    def needElement(self, dim):
        self.nonEmpty.update(name for name in SYMBOLS if name in dim)

    def transpose(self):
        x = self.pick(least=2)
        order = list(range(x.rank))
        self.random.shuffle(order)
        if self.random.random() < 0.3 and x.rank >= 2:
            self.let(f"{x.text}.T", x, x.dims[:-2] + (x.dims[-1], x.dims[-2]))
        else:
            self.let(f"transpose({x.text}, {order})", x, [x.dims[i] for i in order])

    def split(self):
        """An axis into two by rearrange, with permutation, and sometimes two into one."""
        x = self.pick(least=1)
        names = list("abcdefgh"[: x.rank])
        if self.random.random() < 0.5 and x.rank >= 2:
            order = names[:]
            self.random.shuffle(order)
            at = self.random.randrange(x.rank - 1)
            dims = {n: d for n, d in zip(names, x.dims)}
            merged = order[:at] + [f"({order[at]} {order[at + 1]})"] + order[at + 2:]
            sizes = [dims[n] for n in order[:at]] + [f"({dims[order[at]]}) * ({dims[order[at + 1]]})"] + [dims[n] for n in order[at + 2:]]
            if most(sizes[at]) > 1200:
                return
            self.let(f'rearrange({x.text}, "{" ".join(names)} -> {" ".join(merged)}")', x, sizes)
            return
        for i, d in enumerate(x.dims):
            if d in ("4", "6", "8"):
                inner = list(names)
                inner[i] = "(p q)"
                order = names[:i] + ["p", "q"] + names[i + 1:]
                self.random.shuffle(order)
                sizes = dict(zip(names, x.dims)) | {"p": str(int(d) // 2), "q": "2"}
                self.let(f'rearrange({x.text}, "{" ".join(inner)} -> {" ".join(order)}", q = 2)', x, [sizes[n] for n in order])
                return

    def slice(self):
        x = self.pick(least=1)
        axis = self.random.randrange(x.rank)
        d = x.dims[axis]
        items, sizes = [":"] * x.rank, list(x.dims)
        kind = self.random.choice(["one", "from", "to", "back", "step", "last", "new"])
        if kind == "new":
            items.insert(axis, "None")
            sizes.insert(axis, "1")
        elif kind in ("one", "last"):
            self.needElement(d)
            items[axis] = "0" if kind == "one" else "-1"
            del sizes[axis]
        elif kind == "back":
            items[axis] = "::-1"
        elif d.isdigit() and int(d) >= 3:
            items[axis], sizes[axis] = {"from": ("1:", str(int(d) - 1)), "to": (":2", "2"), "step": ("::2", str((int(d) + 1) // 2))}[kind]
        elif d in SYMBOLS and kind == "from":
            self.needElement(d)
            items[axis], sizes[axis] = "1:", f"{d} - 1"
        else:
            return
        self.let(f"{x.text}[{', '.join(items)}]", x, sizes)

    def concat(self):
        x = self.pick(lambda v: v.dtype in ("f32", "i64", "i32", "f16", "i8", "bool"), least=1)
        axis = self.random.randrange(x.rank)
        if any(not d.isalnum() for i, d in enumerate(x.dims) if i != axis):
            return
        other = list(x.dims)
        other[axis] = self.random.choice([self.dim(), "3"])
        parts = [x, self.input(x.dtype, other)]
        if self.random.random() < 0.2:
            parts.append(x)
        self.random.shuffle(parts)
        total = " + ".join(f"({p.dims[axis]})" for p in parts)
        self.let(f"concat([{', '.join(p.text for p in parts)}], axis = {axis})", x, x.dims[:axis] + (total,) + x.dims[axis + 1:],
                 mag=max(p.mag for p in parts), err=max(p.err for p in parts))

    def gather(self):
        x = self.pick(lambda v: v.dtype != "bool", least=1)
        axis = self.random.randrange(x.rank)
        if not x.dims[axis].isalnum():
            return
        self.needElement(x.dims[axis])
        rank = self.random.randint(0, 2)
        ids = self.input(self.random.choice(("i64", "i32")), [self.dim() for _ in range(rank)], below=x.dims[axis])
        items = [":"] * x.rank
        items[axis] = ids.text
        self.let(f"{x.text}[{', '.join(items)}]", x, x.dims[:axis] + ids.dims + x.dims[axis + 1:])

    def update(self):
        x = self.pick(lambda v: v.dtype in ("f32", "i64"), least=1)
        axis = self.random.randrange(x.rank)
        d = x.dims[axis]
        if not (d.isdigit() and int(d) >= 3) or any(not e.isalnum() for e in x.dims):
            return
        y = self.input(x.dtype, x.dims[:axis] + ("2",) + x.dims[axis + 1:])
        name = self.let(x.text, x, mag=max(x.mag, y.mag))
        self.lines.append(f"{name.text}[{', '.join([':'] * axis + ['1:3'])}] = {y.text}")

    # ---- contractions

    def matmul(self):
        x = self.f32(least=2, below=10)
        k, n = x.dims[-1], self.dim()
        if not k.isalnum():
            return
        w = self.input("f32", [n, k])
        text, terms = f"{x.text} @ {w.text}.T", most(k)
        m = terms * x.mag * w.mag
        err = terms * x.err * w.mag + (terms + 2) * U["f32"] * m
        if self.random.random() < 0.5:
            b = self.input("f32", [n])
            text, m = f"{text} + {b.text}", m + b.mag
            err += U["f32"] * m
        # Kept small, as a network would.
        self.let(f"({text}) / {max(terms, 1)}", x, x.dims[:-1] + (n,), mag=m / max(terms, 1), err=err / max(terms, 1) + 2 * U["f32"] * m)

    def einsum(self):
        b, h, i, j, k = (self.dim() for _ in range(5))
        form = self.random.choice([("b i k, b k j -> b i j", (b, i, k), (b, k, j), (b, i, j), k), ("i k, k j -> j i", (i, k), (k, j), (j, i), k),
                                   ("b h i k, b h j k -> b h i j", (b, h, i, k), (b, h, j, k), (b, h, i, j), k),
                                   ("b i h k, b j h k -> b h i j", (b, i, h, k), (b, j, h, k), (b, h, i, j), k),
                                   ("i, j -> i j", (i,), (j,), (i, j), "1"), ("b k, b k -> b", (b, k), (b, k), (b,), k),
                                   ("k, k -> ", (k,), (k,), (), k), ("b i k, k -> i b", (b, i, k), (k,), (i, b), k),
                                   ("b i k h, k h j -> b j i", (b, i, k, h), (k, h, j), (b, j, i), f"{k} * {h}")])
        x, y = self.input("f32", form[1]), self.input("f32", form[2])
        n = most(form[4])
        m = n * 4.0
        self.let(f'einsum("{form[0]}", {x.text}, {y.text}) / {n}', x, form[3], mag=m / n, err=(n + 3) * U["f32"] * m / n)

    def attention(self):
        r = self.random
        b, h, t, s, d, e = self.dim(), r.choice(("1", "2", "3", "B")), self.dim(), self.dim(), self.dim(), self.dim()
        if r.random() < 0.3:
            s = t
        groups = r.choice((1, 1, 2)) if h.isdigit() else 1
        # Queries are small, so that scores are: at most |q||k| D / sqrt(D).
        q = self.input("f32", [b, str(int(h) * groups) if h.isdigit() else h, t, d])
        k, v = self.input("f32", [b, h, s, d]), self.input("f32", [b, h, s, e])
        qt, kt, vt, lead = q.text, k.text, v.text, "b h"
        if groups == 2:
            qt = f'rearrange({q.text}, "b (g r) t d -> b g r t d", r = 2)'
            kt, vt, lead = f"{k.text}[:, :, None]", f"{v.text}[:, :, None]", "b g r"
        scale = r.choice([f"/ {max(4 * most(d), 1)}", "* 0.02", f"/ {4 * most(d)}.0"])
        score, m = f"{qt} @ {kt}.T {scale}", max(most(d) * 4 * 0.02, 1)
        lines, err = [], (most(d) + 8) * U["f32"] * m
        rows, columns = f"index({t})[:, None]", f"index({s})[None, :]"
        for kind in r.sample(["softcap", "bias", "alibi", "causal", "window", "padding", "additive", "offset"], r.randint(0, 3)):
            if kind == "softcap":
                score, err = f"5 * tanh(({score}) / 5)", err + 40 * U["f32"]
            elif kind == "bias":
                bias = self.input("f32", r.choice([[t, s], [s], [b, *(["1"] * (1 + (groups == 2))), t, s]]))
                score, m, err = f"{score} + {bias.text}", m + 2, err + U["f32"] * (m + 2)
            elif kind == "alibi":
                score, m, err = f"{score} - 0.125 * f32(abs({rows} - {columns}))", m + 5, err + 3 * U["f32"] * (m + 5)
            elif kind == "additive":
                visible = self.input("bool", [b, s])
                middle = ", ".join(["None"] * (2 + (groups == 2)))
                score = f"{score} + where({visible.text}[:, {middle}, :], 0.0, -10000.0)"
                m, err = m + 1e4, err + 1e4 * U["f32"]
            elif kind == "padding":
                visible = self.input("bool", [b, s])
                middle = ", ".join(["None"] * (2 + (groups == 2)))
                score = f"where({visible.text}[:, {middle}, :], {score}, -inf)"
            elif kind == "offset":
                score = f"where({rows} + ({s} - {t}) >= {columns}, {score}, -inf)"
            else:
                mask = f"{rows} >= {columns}" if kind == "causal" else f"abs({rows} - {columns}) < 3"
                score = f"where({mask}, {score}, -inf)"
        n = most(s)
        err = 2 * (3 * err + (n + 30 + min(m, 40)) * U["f32"])
        self.lines.append(f"let s{len(self.lines)} = {score}")
        name = f"s{len(self.lines) - 1}"
        y = f"softmax({name}) @ {vt}"
        if r.random() < 0.15:
            y = f"(exp({name} - max({name}, -1, keep = true)) / sum(exp({name} - max({name}, -1, keep = true)), -1, keep = true)) @ {vt}" \
                if "inf" not in score and "10000" not in score else y
            if y.startswith("(exp"):
                self.needElement(s)
        dims = (b, h, t, e)
        if groups == 2:
            dims = (b, h, "2", t, e)
        tail = r.random()
        if tail < 0.3:
            names = lead.split() + ["t", "d"]
            self.let(f'rearrange({y}, "{lead} t d -> {names[0]} t ({" ".join(names[1:-2])} d)")', v, [b, t, f"{str(int(h) * groups) if h.isdigit() else h} * {e}"], mag=2, err=err)
        elif tail < 0.5 and groups == 1:
            self.let(f"sigmoid({y})", v, dims, mag=1, err=err + 8 * U["f32"])
        else:
            self.let(y, v, dims, mag=2, err=err)

    # ---- text and data

    def results(self):
        """The last values and those that nothing used: at most 4, as the types that files have."""
        used = " ".join(self.lines)
        made = [v for v in self.values if v.text.startswith("v")]
        loose = [v for v in made if used.count(v.text + " ") + used.count(v.text + ")") + used.count(v.text + ",") + used.count(v.text + "[") + used.count(v.text + ".") <= 1]
        return (loose or made)[-4:]

    def text(self):
        self.lines = [line for line in self.lines]
        inputs = ", ".join(f"{v.text}: {v.dtype}[{', '.join(v.dims)}]" if v.dims else f"{v.text}: {v.dtype}[]" for v in self.inputs)
        body = "".join(f"    {line}\n" for line in self.lines)
        results = ", ".join(f"f32({v.text})" if v.dtype == "bf16" else v.text for v in self.results())
        return f"  entry {self.name}({inputs}) {{\n{body}    {results}\n  }}\n"


OPERATIONS = ([name for name in vars(Entry) if not name.startswith("_") and name not in (
    "dim", "input", "let", "rounded", "pick", "float", "f32", "partner", "axes", "needElement", "results", "text")]
    + ["attention"] * 3 + ["binary"] * 2 + ["einsum", "matmul", "reduce", "softmax"])


def sizes(entry, random, wide):
    """Values for the symbols; 0 only where the entry allows it."""
    result = {}
    for name in SYMBOLS:
        result[name] = random.choice(SIZES if wide else SIZES[:6])
        if name in entry.nonEmpty and result[name] == 0:
            result[name] = 1
    return result
