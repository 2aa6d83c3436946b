"""What a chain means at given sizes: inputs, and results in double precision with a bound of their error."""
import dataclasses
import math

import numpy as np

from chain import POINTWISE, SAFE, keys_of
from pieces import MASKS, STEPS, Bounded, Numbers, fill
from programs import real, store

U = {"f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8}
SMALLEST = {"f32": 2.0**-126, "f16": 2.0**-25, "bf16": 2.0**-126}  # what may be lost below: f32 may flush, f16 has such steps


def seen_keys(chain, n, broken=None):
    """The mask of a chain, over all of the scores' axes. `broken`: of a kind of mask the value of another kind."""
    groups, joined = [], chain["hidden_after"] != "no" or chain["normaliser"] in POINTWISE
    for mask in chain["masks"]:
        kind = broken[1] if broken and mask["kind"] == broken[0] else mask["kind"]
        one = MASKS[kind].value(mask, n)
        if not groups or not joined and not mask["or"] and mask["hide"] != groups[-1][1]:
            groups.append([one, mask["hide"]])
        else:
            groups[-1][0] = groups[-1][0] | one if mask["or"] else groups[-1][0] & one
    seen = np.ones([n.sizes[a] for a in n.axes], bool)
    for one, _ in groups:
        seen = seen & one
    return seen


class Data:
    """An entry's inputs as they are stored, at given sizes."""

    def __init__(self, entry, sizes, seed):
        self.entry, self.sizes, self.stored = entry, sizes, {}
        numbers = np.random.default_rng(seed)
        chain = entry.chain
        for input in entry.inputs:
            own = {**sizes, "s": sizes["p" if input.name.endswith(("_old", "_again")) else "own" if input.name in ("k", "v") or input.name.endswith("_new") else "s"]}
            shape = tuple(math.prod(own[a] for a in axis.split()) if not axis.isdigit() else int(axis) for axis in input.axes)
            kind = "normal" if input.fill == "operand" else input.fill
            values = fill(numbers, dataclasses.replace(input, fill=kind), shape, sizes)
            if input.name == "q" and chain["peaky"]:
                values = values * 8
            self.stored[input.name] = store(values, input.dtype)
        self.past = sizes["p"] if entry.states else None
        if entry.states:  # what the steps before have written
            for name in "kv":
                input = next(i for i in entry.inputs if i.name == name)
                shape = tuple(math.prod({**sizes, "s": sizes["p"]}[a] for a in axis.split()) for axis in input.axes)
                self.stored[name + "_old"] = store(fill(numbers, dataclasses.replace(input, fill="normal"), shape, sizes), input.dtype)

        if chain["poison"] and chain["masks"] and chain["normaliser"] == "softmax" and chain["hidden_after"] == "no" and chain["keys"] == "plain" \
                and chain["heads"] != "repeated" and all(mask["hide"] == "where" for mask in chain["masks"]):
            self.poison()

    def poison(self):
        """Keys and values that nobody sees are NaN: what a mask hides does not count."""
        axes = self.entry.shape.axes
        numbers = Numbers(axes, self.sizes, {i.name: self.real(i.name) for i in self.entry.inputs if i.fill != "operand"}, 0)
        hidden = ~np.any(seen_keys(self.entry.chain, numbers), axis=-2)
        if "r" in axes:
            hidden = np.all(hidden, axis=-2)
        elif self.entry.chain["heads"] == "shared":
            hidden = np.all(hidden, axis=-2)
        for name, last in (("k", "d"), ("v", "e")):
            input = next(i for i in self.entry.inputs if i.name == name)
            array = unmerge(self.real(name), input.axes, self.entry.key_axes(last), self.sizes).copy()
            array[hidden] = np.nan
            self.stored[name] = store(merge(array, self.entry.key_axes(last), input.axes), input.dtype)

    def real(self, name):
        input = next((i for i in self.entry.inputs if i.name == name), None) or next(i for i in self.entry.inputs if i.name == name[0])
        return real(self.stored[name], input.dtype)


def unmerge(array, lying, axes, sizes):
    """An array whose axes lie as `lying` ("h d" merged), in the order of `axes`."""
    letters = [a for axis in lying for a in axis.split()]
    array = array.reshape([sizes[a] for a in letters])
    return array.transpose([letters.index(a) for a in axes])


def merge(array, axes, lying):
    letters = [a for axis in lying for a in axis.split()]
    array = array.transpose([list(axes).index(a) for a in letters])
    sizes = dict(zip(letters, array.shape))
    return array.reshape([math.prod(sizes[a] for a in axis.split()) for axis in lying])


class Meaning:
    """The results of a chain in double precision, and what a computation with unit roundoff `u` may be away from them."""

    def __init__(self, data, u=U["f32"], broken=None):
        self.data, self.entry, self.chain, self.sizes, self.u = data, data.entry, data.entry.chain, data.sizes, u
        self.broken = broken  # (kind of a mask, another one's value): for tests of the fuzzer itself
        self.axes = self.entry.shape.axes
        tensors = {i.name: data.real(i.name) for i in self.entry.inputs if i.fill != "operand"}
        self.n = Numbers(self.axes, self.sizes, tensors, u)
        self.results = {}
        with np.errstate(all="ignore"):
            self.compute()

    def operand(self, name, axes, s=None):
        input = next(i for i in self.entry.inputs if i.name == name)
        array = self.data.real(name)
        array = np.where(np.isnan(array), 0, array)  # hidden
        return unmerge(array, input.axes, axes, {**self.sizes, "s": s if s is not None else self.sizes["own"]})

    def keys(self, name, last):
        axes = self.entry.key_axes(last)
        array = self.operand(name, axes)
        if self.chain["keys"] in ("joined", "pieces"):
            array = np.concatenate(keys_of(self.chain, {"p": self.operand(name + "_old", axes, self.sizes["p"]), "own": array}), axis=-2)
        elif self.chain["keys"] == "state":
            input = next(i for i in self.entry.inputs if i.name == name)
            old = unmerge(self.data.real(name + "_old"), input.axes, axes, {**self.sizes, "s": self.sizes["p"]})
            array = np.concatenate([old, array], axis=-2)
        elif self.chain["keys"] == "sliced":
            array = array[..., :3, :]
        heads = self.chain["heads"]
        if heads == "grouped":
            return np.expand_dims(array, -3)
        if heads == "shared":
            return np.expand_dims(array, -3)
        return np.repeat(array, self.sizes["r"], axis=-3) if heads == "repeated" else array

    def scores(self):
        u, chain, d = self.u, self.chain, self.sizes["d"]
        q, k = self.operand("q", self.axes[:-1] + ("d",)), np.swapaxes(self.keys("k", "d"), -1, -2)
        norm = np.abs(q) @ np.abs(k)
        # A chain of D multiply-adds of operands that were scaled before (one rounding each, two of the factor).
        s = Bounded(q @ k, (d + 6) * u * norm)
        k_type = self.entry.kept("k")
        if chain["narrow"] == "product" and chain["dtype"]["q"] == k_type != "f32":
            s = Bounded(s.v, s.e + U[k_type] * np.abs(s.v) + SMALLEST[k_type])
        scale = {"root": d**-0.5, "query": d**-0.5, "key": d**-0.5, "both": d**-0.5, "number": 0.25}.get(chain["scale"]) if d else 0.0
        # A number of compile time is an f32, for the interpreter as well.
        constant = U["f32"] if "d" in chain["literal"] and chain["scale"] != "number" else 0
        return s.times(scale, 3 * u + 2 * constant) if scale is not None else s

    def piecewise(self, s):
        """The scores after what is done to those of each piece of the keys alone, and what that hides."""
        parts, masks, sizes = [], [], keys_of(self.chain, self.sizes)
        for piece, begin, size in zip(self.chain["pieces"], np.cumsum([0] + sizes), sizes):
            n = Numbers(self.axes, {**self.sizes, "s": size}, self.n.tensors, self.u)
            part = Bounded(s.v[..., begin:begin + size], s.e[..., begin:begin + size])
            for step in piece["steps"]:
                part = STEPS[step["kind"]].value(step, part, n)
            shape = [self.sizes[a] for a in self.axes[:-1]] + [size]
            parts.append([np.broadcast_to(x, shape) for x in (part.v, part.e)])
            masks.append(np.broadcast_to(MASKS[piece["mask"]["kind"]].value(piece["mask"], n) if piece["mask"] else True, shape))
        v, e = (np.concatenate(x, axis=-1) for x in zip(*parts))
        return Bounded(v, e), np.concatenate(masks, axis=-1)

    def compute(self):
        chain, u = self.chain, self.u
        s = self.scores()
        s, seen = self.piecewise(s) if chain["keys"] == "pieces" else (s, True)
        for step in chain["steps"]:
            s = STEPS[step["kind"]].value(step, s, self.n)
        if chain["scale"] == "late":
            s = s.times(0.375, u)
        shape = tuple(self.sizes[a] for a in self.axes)
        s = Bounded(np.broadcast_to(s.v, shape), np.broadcast_to(s.e, shape))
        self.seen = np.broadcast_to(seen, shape)  # of the pieces alone
        self.mask = seen_keys(chain, self.n, self.broken) & seen
        v = self.keys("v", "e") * (2 if chain["values"] == "scaled" else 1)
        y, e = self.pointwise(s, v) if chain["normaliser"] in POINTWISE else self.softmax(s, v)
        v_type = self.entry.kept("v")
        if chain["narrow"] == "product" and v_type != "f32":  # of the weights, each product and the result
            norm = self.absolute + np.abs(y)
            e = e + 1.1 * U[v_type] * norm + SMALLEST[v_type] * (1 + np.sum(np.abs(v), axis=-2, keepdims=True))
        if chain["ends"] == "residual":
            x = self.n.tensors["x"]
            y, e = y + x, e + u * (np.abs(y) + np.abs(x))
        elif chain["ends"] == "gate":
            x = self.n.tensors["x"]
            y, e = y * x, e * np.abs(x) + u * np.abs(y * x)
        elif chain["ends"] != "no":
            e = e + U[chain["ends"]] * (np.abs(y) + e) + SMALLEST[chain["ends"]]
        axes = self.axes[:-1] + ("e",)
        unknown, undefined = (np.broadcast_to(x[..., None], y.shape) for x in (self.unknown, self.undefined))
        self.results["y"] = tuple(merge(x, axes, self.entry.lying) for x in (y, e, unknown, undefined))

    def pointwise(self, s, v):
        u = self.u
        f = {"sigmoid": lambda x: x.apply(lambda a: 1 / (1 + np.exp(-a)), 0.25, u, 6), "relu": lambda x: x.apply(lambda a: np.maximum(a, 0), 1, u, 1),
             "relu_squared": lambda x: Bounded(np.maximum(x.v, 0) ** 2 / 16, x.e * (2 * np.maximum(x.v, 0) + x.e) / 16).rounded(u, 3),
             "linear": lambda x: x}[self.chain["normaliser"]]
        w = f(s)
        w = Bounded(np.where(self.mask, w.v, 0), np.where(self.mask, w.e, 0))
        self.absolute = np.abs(w.v) @ np.abs(v)
        self.unknown = self.undefined = np.zeros(w.v.shape[:-1], bool)
        return w.v @ v, w.e @ np.abs(v) + (self.sizes["s"] + 4) * u * self.absolute + 2.0**-120

    def sink(self):
        """The logit beside the scores, for each row; None without."""
        kind, axes = self.chain["normaliser"], self.chain["sink"]
        if kind.startswith("sinks"):
            x = np.log(np.sum(np.exp(self.n.tensors["sink"]), axis=-1))
            return x.reshape([x.shape[axes.index(a)] if a in axes else 1 for a in self.axes])[..., 0]
        if kind.startswith("sink"):
            return self.n.at("sink", axes)[..., 0] if axes else np.array(self.n.tensors["sink"])
        return np.array(0.0) if kind.startswith("off") else None

    def softmax(self, s, v):
        chain, mask = self.chain, self.mask
        over_queries, dropped = chain["normaliser"] == "over_queries", chain["hidden_after"] == "dropped"
        if over_queries:
            s, mask = Bounded(*(np.swapaxes(x, -1, -2) for x in (s.v, s.e))), np.swapaxes(mask, -1, -2)
        if dropped:
            mask = self.seen
        p, e = self.weights(s, mask)
        self.look(s, mask)
        if over_queries:
            some = np.broadcast_to(np.any(self.unknown, axis=-1)[..., None], p.shape[:-2] + (self.sizes["t"],))
            self.unknown, self.undefined = some, np.zeros_like(some)
            p, e = (np.swapaxes(x, -1, -2) for x in (p, e + self.sizes["s"] * self.u * p))
        elif dropped:
            p, e = p * self.mask, e * self.mask
        else:
            self.extras(p, e, mask)
        self.absolute = p @ np.abs(v)
        return p @ v, e @ np.abs(v) + 2.0**-120

    def weights(self, s, mask):
        """Weights over the last axis, and bounds of their errors; leaves the log-sum-exp of the scores and the mean error of each row."""
        u, keys, sink = self.u, s.v.shape[-1], self.sink()
        m = np.max(np.where(mask, s.v, -np.inf), axis=-1, initial=-np.inf)
        m = m if sink is None else np.maximum(m, sink)
        m = np.where(np.isinf(m), 0, m)[..., None]
        w = np.where(mask, np.exp(s.v - m), 0)
        z = np.sum(w, axis=-1, keepdims=True) + (0 if sink is None else np.exp(sink - m[..., 0])[..., None])
        p = np.divide(w, z, out=np.zeros_like(w), where=z != 0)
        # The exponent: its own error, the roundings of log2(e) s, of the maximum and of the difference.
        largest = np.max(np.where(mask, np.abs(s.v), 0), axis=-1, initial=0)[..., None]
        constant = U["f32"] if self.chain["normaliser"] == "powers" else 0  # log2(e)
        own = np.where(mask, s.e + constant * np.abs(s.v), 0) + u * (4 * np.abs(s.v) + 3 * np.minimum(largest, 1e30))
        self.mean = np.sum(p * own, axis=-1)
        # Exponentials and sums over the keys, twice; the division.
        relative = np.expm1(np.minimum(own + self.mean[..., None], 50)) + (2 * keys + 32) * u
        # Of the scores alone, beside which a sink may be so large that their weights vanish.
        peak = np.max(np.where(mask, s.v, -np.inf), axis=-1, initial=-np.inf)
        peak = np.where(np.isinf(peak), 0, peak)
        alone = np.where(mask, np.exp(s.v - peak[..., None]), 0)
        self.total = np.log(np.sum(alone, axis=-1)) + peak
        self.total_error = np.sum(alone * own, axis=-1) / np.maximum(np.sum(alone, axis=-1), 1e-300) + u * (keys + 16 + 4 * np.abs(self.total))
        return p, np.where(p > 0, p * relative, 0) + np.where(mask, 2.0**-120, 0)

    def look(self, s, mask):
        """Which rows say nothing (`unknown`), and which are defined where they are fused only (`undefined`)."""
        kind, after = self.chain["normaliser"], self.chain["hidden_after"]
        # Of these the error can't be told from the value.
        self.unknown = self.mean > 0.05
        # Spelled by hand, rows of nothing are undefined, and exponentials without the maximum that is seen overflow or leave
        # nothing; fused such spellings gain what softmax has.
        self.undefined = np.zeros(self.mean.shape, bool)
        if kind not in SAFE or after == "renormalised":
            self.undefined = self.undefined | ~np.any(mask, axis=-1)
        if kind in ("unstable", "sink_added", "sinks_added", "off_by_one") or after not in ("no", "dropped"):
            self.undefined = self.undefined | (np.max(np.abs(s.v), axis=-1, initial=0) > 30)

    def extras(self, p, e, mask):
        """Results beside the weighted values."""
        u, nothing = self.u, ~np.any(mask, axis=-1)
        self.results["log_sum"] = (np.where(nothing, -np.inf, self.total), np.where(nothing, 0, self.total_error), self.unknown, self.undefined)
        unknown, undefined = (np.broadcast_to(x[..., None], p.shape) for x in (self.unknown, self.undefined))
        # Weights from the log-sum-exp have its error as well.
        more = e + p * 4 * u * np.where(np.isfinite(self.total), np.abs(self.total), 0)[..., None]
        self.results["weights"] = (p, more, unknown, undefined)
        if self.sizes["t"]:
            self.results["row"] = tuple(x[..., -1, :] for x in self.results["weights"])
        if "h" in self.axes:
            h, count = self.axes.index("h"), max(self.sizes["h"], 1)
            self.results["head_mean"] = (np.mean(p, axis=h), np.mean(more, axis=h) + (count + 2) * u * np.mean(p, axis=h),
                                         np.any(unknown, axis=h), np.any(undefined, axis=h))
