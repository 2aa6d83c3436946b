"""A chain: product, scores, masks, normaliser, product, drawn at random; its text in the language, and what it means.

A chain is a dict that JSON holds. Everything else follows from it: the entry's text, its inputs, and for given sizes the results in
double precision with a bound of their error (`Meaning`).
"""
import dataclasses
import math
import random as randoms

import numpy as np

from pieces import MASKS, STEPS, Bounded, Input, Numbers, Text, fill
from programs import real, store

U = {"f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8}
SMALLEST = {"f32": 2.0**-126, "f16": 2.0**-25, "bf16": 2.0**-126}  # what may be lost below: f32 may flush, f16 has such steps
SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 67, 97, 127, 128, 129, 131)
LONG = (257, 521, 1023, 1024, 1025, 1031, 1100, 2053)
INNER = (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 31, 32, 33, 40, 64, 65)

# Normalisers that give zeros where a query sees nothing, as softmax does; of others such rows are not looked at.
SAFE = ("softmax", "guarded", "log_sum", "sink_dropped", "off_by_column", "sigmoid", "relu", "relu_squared", "linear", "over_queries")
POINTWISE = ("sigmoid", "relu", "relu_squared", "linear")
BY_HAND = ("by_hand", "guarded", "divided_late", "reciprocal", "unstable", "powers")
NORMALISERS = ("softmax",) * 6 + BY_HAND + ("log_softmax", "log_sum", "sink_dropped", "sink_added", "off_by_one", "off_by_column", "over_queries") + POINTWISE


@dataclasses.dataclass
class Shape:
    axes: tuple
    heads: str


def shape_of(chain):
    """The scores' axes."""
    heads = {"none": (), "plain": ("h",), "shared": ("h",), "repeated": ("h",), "grouped": ("g", "r")}[chain["heads"]]
    return Shape((("b",) if chain["batch"] else ()) + heads + ("t", "s"), chain["heads"])


# ---- drawing


def draw_masks(random, shape, pointwise):
    masks = []
    for number in range(random.choice([0, 1, 1, 1, 2, 2, 3])):
        kind = random.choice(sorted(MASKS))
        hides = ["weights", "factor"] if pointwise else ["where"] * 4 + ["added", "logarithm"]
        masks.append({"kind": kind, "name": f"m{number}", "hide": random.choice(hides), "or": number > 0 and random.random() < 0.15,
                      **MASKS[kind].draw(random, shape)})
    return masks


def draw_steps(random, shape):
    steps = []
    for number in range(random.choice([0, 0, 1, 1, 1, 2, 2, 3, 4])):
        kind = random.choice(sorted(STEPS))
        steps.append({"kind": kind, "name": f"a{number}", **STEPS[kind].draw(random, shape)})
    return steps


def draw(random):
    """A chain."""
    chain = {"batch": random.random() < 0.85, "heads": random.choice(["none", "plain", "plain", "plain", "grouped", "shared", "repeated"])}
    if not chain["batch"] and chain["heads"] == "repeated":
        chain["heads"] = "plain"
    shape = shape_of(chain)
    chain["same"] = random.random() < 0.35
    chain["keys"] = "plain" if chain["same"] else random.choice(["plain"] * 7 + ["joined", "state", "sliced"])
    if chain["keys"] == "state" and not (chain["batch"] and chain["heads"] in ("plain", "grouped")):
        chain["keys"] = "plain"
    chain["literal"] = {axis: random.choice(INNER) for axis in "de" if random.random() < 0.5}
    chain["literal"] |= {axis: random.choice((1, 2, 3, 4)) for axis in ("b", "h", "g") if random.random() < 0.3}
    # A softmax over a literal 1 is none: sums over one key are no sums.
    chain["literal"] |= {axis: random.choice(SIZES[2:] if axis == "s" else SIZES) for axis in "ts"
                         if random.random() < 0.1 and not chain["same"] and chain["keys"] != "state"}
    chain["literal"] |= {"r": random.choice((1, 2, 3, 4, 8))}
    if chain["heads"] == "repeated":
        chain["literal"].pop("h", None)
    chain["layout"] = {name: random.choice(["plain", "plain", "heads_last", "merged", "turned"]) for name in "qkvy"}
    chain["dtype"] = {name: random.choice(["f32"] * 7 + ["f16", "bf16"]) for name in "qkv"}
    chain["narrow"] = random.choice(["cast", "product"])
    chain["scale"] = random.choice(["none", "root", "root", "root", "query", "key", "both", "number", "late"])
    chain["product"] = random.choice(["matmul"] * 3 + ["keys_first", "einsum"])
    chain["steps"] = draw_steps(random, shape)
    chain["normaliser"] = random.choice(NORMALISERS)
    chain["masks"] = draw_masks(random, shape, chain["normaliser"] in POINTWISE)
    chain["hidden_after"] = random.choice(["no"] * 4 + ["times", "chooses"]) if chain["normaliser"] in BY_HAND and chain["masks"] else "no"
    if chain["normaliser"] == "softmax" and chain["masks"] and random.random() < 0.2:
        chain["hidden_after"] = random.choice(["renormalised", "dropped"])
    chain["sink"] = "".join(a for a in shape.axes if a in "hgr" or a == "b" and random.random() < 0.3)
    chain["summed"] = random.choice(["matmul"] * 3 + ["turned", "einsum"])
    chain["values"] = random.choice(["plain"] * 4 + ["scaled"])
    extras = [x for x in ("log_sum", "weights", "row", "head_mean") if random.random() < 0.08]
    chain["extras"] = [] if chain["normaliser"] in POINTWISE + ("over_queries",) or chain["hidden_after"] != "no" else extras
    chain["ends"] = random.choice(["no"] * 5 + ["residual", "gate", "f16", "bf16"])
    chain["peaky"] = random.random() < 0.15
    chain["poison"] = random.random() < 0.5
    return chain


# ---- text


class Entry:
    """The entry of a chain."""

    def __init__(self, chain, name, require_fused=True):
        self.chain, self.name, self.shape = chain, name, shape_of(chain)
        self.dims = {a: str(chain["literal"].get(a, a.upper())) for a in "bhgrtsde"}
        if chain["heads"] == "repeated":
            self.dims["h"] = f"{self.dims['g']} * {self.dims['r']}"
        if chain["same"]:
            self.dims["s"] = self.dims["t"]
        self.own = dict(self.dims)  # sizes of the keys' tensors
        if chain["keys"] == "joined":
            self.dims["s"] = f"(P + {self.own['s']})"
        elif chain["keys"] == "state":
            self.own["s"] = self.dims["t"]
            self.dims["s"] = f"(past + {self.dims['t']})"
        elif chain["keys"] == "sliced":
            self.dims["s"] = "3"
        self.c = Text(self.shape.axes, self.dims, chain["same"])
        self.inputs, self.lines, self.outputs, self.states = [], [], [], []
        self.visible = []
        self.write()
        self.require_fused = require_fused

    # ---- operands

    def key_axes(self, last):
        heads = {"none": (), "plain": ("h",), "shared": (), "repeated": ("g",), "grouped": ("g",)}[self.shape.heads]
        return (("b",) if self.chain["batch"] else ()) + heads + ("s", last)

    def stored(self, name, axes, layout, dims):
        """(axes as they lie, merged ones together; the pattern that brings them to `axes`, or None; its argument)."""
        lying, inner = list(axes), axes[-1]
        heads = [a for a in axes if a in "hgr"]
        argument = ""
        if layout in ("heads_last", "merged") and heads:
            lying = [a for a in lying if a not in heads and a != inner] + heads + [inner]
            if layout == "merged" and all(dims[a].isdigit() for a in heads):
                lying = lying[: -len(heads) - 1] + [" ".join(heads + [inner])]
                argument = "".join(f", {a} = {dims[a]}" for a in heads)
        elif layout == "turned":
            lying[-1], lying[-2] = lying[-2], lying[-1]
        if lying == list(axes):
            return lying, None, ""
        left = " ".join(f"({a})" if " " in a else a for a in lying)
        return lying, f'"{left} -> {" ".join(axes)}"', argument

    def operand(self, name, axes, dims):
        """Declares q, k or v; its text in the order of `axes`, widened where it is cast first."""
        chain, dtype = self.chain, self.chain["dtype"][name[0]]
        lying, pattern, argument = self.stored(name, axes, chain["layout"][name[0]], dims)
        types = [" * ".join(dims[a] for a in axis.split()) for axis in lying]
        self.inputs.append(Input(name, dtype, tuple(lying), "operand"))
        self.types[name] = f"{dtype}[{', '.join(types)}]"
        return f"rearrange({name}, {pattern}{argument})" if pattern else name

    def let(self, text):
        name = f"v{len(self.lines)}"
        self.lines.append(f"let {name} = {text}")
        return name

    def cast(self, text, dtype):
        return text if dtype == "f32" else f"f32({text})"

    def keys(self, name, last):
        """Keys or values as they meet the queries: from the input, joined with others, from a state."""
        axes, source = self.key_axes(last), self.chain["keys"]
        dtype = self.chain["dtype"][name]
        text = self.operand(name, axes, self.own)
        if source == "joined":
            old = self.operand(name + "_old", axes, {**self.own, "s": "P"})
            text = f"concat([{old}, {text}], axis = {len(axes) - 2})"
        elif source == "sliced":
            text = f"{text}[{', '.join(':' for _ in axes[:-2])}{', ' if axes[:-2] else ''}: 3, :]"
        elif source == "state":
            state, items = f"{self.name}_{name}", ", ".join(":" for _ in axes[:-2])
            dims = ", ".join("limit" if a == "s" else self.own[a] for a in axes)
            self.states.append(f"state {state}: f32[{dims}]")
            self.lines.append(f"{state}[{items}, past : past + {self.dims['t']}, :] = {self.cast(text, dtype)}")
            return f"{state}[{items}, : past + {self.dims['t']}, :]", "f32"
        return text, dtype

    def broadcast_keys(self, text):
        """Keys of fewer heads than queries."""
        if self.shape.heads == "grouped":
            return f"{self.let(text)}[{':, ' if self.chain['batch'] else ''}:, None]"
        if self.shape.heads == "shared":
            return f"{self.let(text)}[{':, ' if self.chain['batch'] else ''}None]"
        if self.shape.heads == "repeated":
            return f"repeat_heads({text}, {self.dims['r']})"
        return text

    # ---- the chain

    def write(self):
        self.types = {}
        chain, axes = self.chain, self.shape.axes
        q = self.operand("q", axes[:-1] + ("d",), self.dims)
        k, k_type = self.keys("k", "d")
        v, v_type = self.keys("v", "e")
        s = self.scores(q, k, k_type)
        for step in chain["steps"]:
            s = self.let(STEPS[step["kind"]].text(step, s, self.c))
        s = self.hide(s)
        if chain["scale"] == "late":
            s = self.let(f"{s} * 0.375")
        self.final = s
        v = self.broadcast_keys(self.cast(v, v_type) if chain["narrow"] == "cast" or self.shape.heads == "repeated" else v)
        is_narrow = v_type != "f32" and chain["narrow"] == "product" and self.shape.heads != "repeated"
        if chain["values"] == "scaled":
            v = f"({v} * 2)"
        y = self.weighted(s, v, v_type if is_narrow else None)
        self.finish(y)
        self.inputs += [i for i in self.c.inputs if i not in self.inputs]

    def scores(self, q, k, k_type):
        chain = self.chain
        q_type = chain["dtype"]["q"]
        is_narrow = chain["narrow"] == "product" and q_type == k_type != "f32" and self.shape.heads != "repeated" and chain["scale"] not in ("query", "key", "both")
        if not is_narrow:
            q, k = self.cast(q, q_type), self.cast(k, k_type)
        k = self.broadcast_keys(k)
        d = self.dims["d"]
        factor = {"query": (f"(1 / sqrt({d}))", None), "key": (None, f"{d} ^ -0.5"), "both": (f"{d} ^ -0.25", f"{d} ^ -0.25")}.get(chain["scale"], (None, None))
        q, k = (f"({x} * {f})" if f else x for x, f in zip((q, k), factor))
        letters = [a for a in self.shape.axes[:-2]]
        if chain["product"] == "einsum" and self.shape.heads in ("none", "plain", "repeated"):
            lead = " ".join(letters)
            s = f'einsum("{lead} t d, {lead} s d -> {lead} t s", {q}, {k})'
        elif chain["product"] == "keys_first":
            s = f"({k} @ {q}.T).T"
        else:
            s = f"{q} @ {k}.T"
        if is_narrow:
            s = f"f32({s})"
        if chain["scale"] == "root":
            s = f"{s} / sqrt({d})"
        elif chain["scale"] == "number":
            s = f"{s} * 0.25"
        return self.let(s)

    def condition(self, masks):
        text = ""
        for mask in masks:
            one = f"({MASKS[mask['kind']].text(mask, self.c)})"
            text = one if not text else f"({text} {'or' if mask['or'] else 'and'} {one})"
        return text

    def hide(self, s):
        """Masks on the scores; those that hide weights come with them."""
        chain = self.chain
        self.after = ""
        if not chain["masks"]:
            return s
        if chain["hidden_after"] != "no" or chain["normaliser"] in POINTWISE:
            self.after = self.condition(chain["masks"])
            return s
        group = []
        for mask in chain["masks"] + [None]:
            if group and (mask is None or not mask["or"] and mask["hide"] != group[0]["hide"]):
                seen, how = self.condition(group), group[0]["hide"]
                s = self.let({"where": f"where({seen}, {s}, -inf)", "added": f"{s} + where({seen}, 0, -inf)",
                              "logarithm": f"{s} + log(f32({seen}))"}[how])
                group = []
            if mask:
                group.append(mask)
        return s

    def weighted(self, s, v, narrow):
        """The result, after the normaliser of the chain."""
        chain, kind = self.chain, self.chain["normaliser"]
        if kind in POINTWISE:
            w = {"sigmoid": f"sigmoid({s})", "relu": f"max({s}, 0)", "relu_squared": f"max({s}, 0) ^ 2 / 16", "linear": s}[kind]
            if self.after:
                w = f"where({self.after}, {w}, 0)" if chain["masks"][0]["hide"] == "weights" else f"({w}) * f32({self.after})"
            return self.sum(self.let(w), v, narrow)
        if kind in BY_HAND:
            return self.by_hand(s, v, narrow)
        if kind.startswith("sink") or kind.startswith("off"):
            return self.beside(s, v, narrow)
        w = {"softmax": f"softmax({s})", "over_queries": f"softmax({s}, axis = -2)", "log_softmax": f"exp(log_softmax({s}))", "log_sum": f"exp({s} - logsumexp({s}, keep = true))"}[kind]
        if kind == "log_sum":  # a row of -inf alone: softmax is meant
            w = f"softmax({s})" if chain["masks"] else w
        w = self.let(w)
        if self.after:
            drops = chain["masks"][0]["hide"] == "where" and chain["hidden_after"] == "dropped"
            w = self.let(f"where({self.after}, {w}, 0)" if drops else f"{w} * f32({self.after})")
        if chain["hidden_after"] == "renormalised":
            w = self.let(f"{w} / sum({w}, axis = -1, keep = true)")
        self.w = w
        return self.sum(w, v, narrow)

    def by_hand(self, s, v, narrow):
        chain, kind = self.chain, self.chain["normaliser"]
        if kind == "powers":
            s = self.let(f"{s} * 1.4426950408889634")
        m = None if kind == "unstable" else self.let(f"max({s}, axis = -1, keep = true)")
        if kind == "guarded":
            m = self.let(f"where({m} == -inf, 0, {m})")
        shifted = s if m is None else f"{s} - {m}"
        e = f"2 ^ ({shifted})" if kind == "powers" else f"exp({shifted})"
        if chain["hidden_after"] == "times":
            e = f"{e} * f32({self.after})"
        elif chain["hidden_after"] == "chooses":
            e = f"where({self.after}, {e}, 0)"
        e = self.let(e)
        z = self.let(f"sum({e}, axis = -1, keep = true)")
        if kind == "guarded":
            z = self.let(f"where({z} == 0, 1, {z})")
        if kind == "divided_late":
            return f"({self.sum(e, f'f32({v})' if narrow else v, None)}) / {z}"
        self.w = self.let(f"{e} * (1 / {z})" if kind == "reciprocal" else f"{e} / {z}")
        return self.sum(self.w, v, narrow)

    def beside(self, s, v, narrow):
        """A logit beside the scores takes part in the sum alone."""
        kind, axes = self.chain["normaliser"], self.shape.axes
        column = f"[{', '.join([self.dims[a] for a in axes[:-1]] + ['1'])}]"
        sink = self.c.input("sink", "f32", self.chain["sink"]) if kind.startswith("sink") else "0.0"
        if kind == "sink_dropped":
            w = f"softmax(concat([{s}, broadcast({sink}, {column})], axis = -1))[..., : {self.dims['s']}]"
        elif kind == "off_by_column":
            w = f"softmax(concat([broadcast(0.0, {column}), {s}], axis = -1))[..., 1 :]"
        else:
            m = self.let(f"max({s}, axis = -1, keep = true)")
            m = self.let(f"maximum({m}, {sink})") if kind == "sink_added" else m
            e = self.let(f"exp({s} - {m})")
            more = f"exp({sink} - {m})" if kind == "sink_added" else f"exp(-{m})"
            w = f"{e} / ({more} + sum({e}, axis = -1, keep = true))"
        self.w = self.let(w)
        return self.sum(self.w, v, narrow)

    def sum(self, w, v, narrow):
        if narrow:
            w = f"{narrow}({w})"
        chain = self.chain
        if chain["summed"] == "turned":
            y = f"(({v}).T @ ({w}).T).T"
        elif chain["summed"] == "einsum" and self.shape.heads in ("none", "plain", "repeated"):
            lead = " ".join(self.shape.axes[:-2])
            y = f'einsum("{lead} t s, {lead} s e -> {lead} t e", {w}, {v})'
        else:
            y = f"{w} @ {v}"
        return f"f32({y})" if narrow else y

    def finish(self, y):
        chain, axes = self.chain, self.shape.axes[:-1] + ("e",)
        y = self.let(y)
        if chain["ends"] in ("residual", "gate"):
            self.inputs.append(Input("x", "f32", axes))
            self.types["x"] = f"f32[{', '.join(self.dims[a] for a in axes)}]"
            y = self.let(f"{y} {'+' if chain['ends'] == 'residual' else '*'} x")
        elif chain["ends"] != "no":
            y = f"{chain['ends']}({y})"
        lying, pattern, _ = self.stored("y", axes, chain["layout"]["y"], self.dims)
        self.lying = lying
        if pattern:
            left, right = pattern.strip('"').split(" -> ")
            y = f'rearrange({y}, "{right} -> {left}")'
        self.outputs = [("y", chain["ends"] if chain["ends"] in ("f16", "bf16") else "f32", y)]
        for extra in chain["extras"]:
            if extra == "log_sum":
                self.outputs.append((extra, "f32", f"logsumexp({self.final})"))
            elif not hasattr(self, "w"):
                continue
            elif extra == "weights":
                self.outputs.append((extra, "f32", self.w))
            elif extra == "row":
                self.outputs.append((extra, "f32", f"{self.w}[..., {self.dims['t']} - 1, :]"))
            elif extra == "head_mean" and "h" in self.shape.axes:
                self.outputs.append((extra, "f32", f"mean({self.w}, axis = {self.shape.axes.index('h')})"))

    def type_of(self, input):
        if input.name in self.types:
            return self.types[input.name]
        dims = [self.dims.get(a, a) for a in input.axes]
        return f"{input.dtype}[{', '.join(dims)}]" if dims else input.dtype

    def text(self):
        parameters = [f"{i.name}: {self.type_of(i)}" for i in self.inputs]
        if self.states:
            parameters.insert(0, "past: i64")
        results = ", ".join(f"{name} = {text}" for name, _, text in self.outputs) if len(self.outputs) > 1 else self.outputs[0][2]
        result_text = f"({results})" if len(self.outputs) > 1 else results
        body = "".join(f"    {line}\n" for line in self.lines)
        states = "".join(f"  {line}\n" for line in self.states)
        required = "  @require_fused\n" if self.require_fused else ""
        return f"{states}{required}  entry {self.name}({', '.join(parameters)}) {{\n{body}    {result_text}\n  }}\n"


# ---- sizes and numbers


def draw_sizes(chain, random, most):
    """Values for all axes, of which the work is at most `most` multiply-adds."""
    axes = shape_of(chain).axes
    while True:
        sizes = {"b": random.choice((1, 1, 2, 3)) if "b" in axes else 1, "h": random.choice((1, 2, 3, 5)), "g": random.choice((1, 2, 3)),
                 "d": random.choice(INNER), "e": random.choice(INNER), "t": random.choice(SIZES), "s": random.choice(SIZES), "p": random.choice(SIZES)}
        if random.random() < 0.15:
            sizes[random.choice("ts")] = random.choice(LONG)
        if random.random() < 0.04:
            sizes[random.choice("bts")] = 0
        sizes |= chain["literal"]
        if chain["heads"] == "repeated":
            sizes["h"] = sizes["g"] * sizes["r"]
        if chain["same"]:
            sizes["s"] = sizes["t"]
        sizes["own"] = sizes["s"]
        if chain["keys"] == "joined":
            sizes["s"] = sizes["p"] + sizes["own"]
        elif chain["keys"] == "state":
            sizes["own"], sizes["s"] = sizes["t"], sizes["p"] + sizes["t"]
        elif chain["keys"] == "sliced":
            sizes["own"], sizes["s"] = max(sizes["own"], 3) if "s" not in chain["literal"] else sizes["own"], 3
            if sizes["own"] < 3:
                chain["literal"]["s"] = 3
                continue
        pairs = math.prod(max(sizes[a], 1) for a in axes)
        if pairs * (sizes["d"] + sizes["e"]) <= most:
            return sizes


def rows_exist(chain, sizes):
    """Whether a softmax over no keys, the last query and so on are defined as the chain is spelled."""
    if "row" in chain["extras"] and sizes["t"] == 0:
        return False
    return sizes["s"] > 0 or chain["normaliser"] == "softmax" and chain["hidden_after"] == "no" and not chain["extras"] or chain["normaliser"] in POINTWISE


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
            own = {**sizes, "s": sizes["own"]} if input.name in ("k", "v") else {**sizes, "s": sizes["p"]} if input.name.endswith("_old") else sizes
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

        self.poisoned = False
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
            self.poisoned |= bool(np.any(hidden))
            self.stored[name] = store(merge(array, self.entry.key_axes(last), input.axes), input.dtype)

    def real(self, name):
        input = next((i for i in self.entry.inputs if i.name == name), None) or next(i for i in self.entry.inputs if i.name == name[0])
        return real(self.stored[name], input.dtype)


# ---- meaning


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
        if self.chain["keys"] == "joined":
            array = np.concatenate([self.operand(name + "_old", axes, self.sizes["p"]), array], axis=-2)
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
        k_type = "f32" if self.chain["keys"] == "state" else chain["dtype"]["k"]
        if chain["narrow"] == "product" and chain["dtype"]["q"] == k_type != "f32":
            s = Bounded(s.v, s.e + U[k_type] * np.abs(s.v) + SMALLEST[k_type])
        scale = {"root": d**-0.5, "query": d**-0.5, "key": d**-0.5, "both": d**-0.5, "number": 0.25}.get(chain["scale"]) if d else 0.0
        # A number of compile time is an f32, for the interpreter as well.
        constant = U["f32"] if "d" in chain["literal"] and chain["scale"] != "number" else 0
        return s.times(scale, 3 * u + 2 * constant) if scale is not None else s

    def compute(self):
        chain, u = self.chain, self.u
        s = self.scores()
        for step in chain["steps"]:
            s = STEPS[step["kind"]].value(step, s, self.n)
        if chain["scale"] == "late":
            s = s.times(0.375, u)
        shape = tuple(self.sizes[a] for a in self.axes)
        s = Bounded(np.broadcast_to(s.v, shape), np.broadcast_to(s.e, shape))
        self.mask = seen_keys(chain, self.n, self.broken)
        v = self.keys("v", "e") * (2 if chain["values"] == "scaled" else 1)
        y, e = self.pointwise(s, v) if chain["normaliser"] in POINTWISE else self.softmax(s, v)
        v_type = "f32" if chain["keys"] == "state" else chain["dtype"]["v"]
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

    def softmax(self, s, v):
        chain, u, mask, keys = self.chain, self.u, self.mask, self.sizes["s"]
        over_queries, dropped = chain["normaliser"] == "over_queries", chain["hidden_after"] == "dropped"
        if over_queries:
            s, mask, keys = Bounded(*(np.swapaxes(x, -1, -2) for x in (s.v, s.e))), np.swapaxes(mask, -1, -2), self.sizes["t"]
        if dropped:
            mask = np.ones_like(mask)
        sink = None
        if chain["normaliser"].startswith("sink"):
            sink = self.n.at("sink", chain["sink"])[..., 0] if chain["sink"] else np.array(self.n.tensors["sink"])
        elif chain["normaliser"].startswith("off"):
            sink = np.array(0.0)
        hidden = np.where(mask, s.v, -np.inf)
        m = np.max(hidden, axis=-1, initial=-np.inf)
        m = m if sink is None else np.maximum(m, sink)
        m = np.where(np.isinf(m), 0, m)[..., None]
        w = np.where(mask, np.exp(s.v - m), 0)
        z = np.sum(w, axis=-1, keepdims=True) + (0 if sink is None else np.exp(sink - m[..., 0])[..., None])
        p = np.divide(w, z, out=np.zeros_like(w), where=z != 0)
        # The exponent: its own error, the roundings of log2(e) s, of the maximum and of the difference.
        largest = np.max(np.where(mask, np.abs(s.v), 0), axis=-1, initial=0)[..., None]
        constant = U["f32"] if chain["normaliser"] == "powers" else 0  # log2(e)
        ownError = np.where(mask, s.e + constant * np.abs(s.v), 0) + u * (4 * np.abs(s.v) + 3 * np.minimum(largest, 1e30))
        mean = np.sum(p * ownError, axis=-1, keepdims=True)
        # Exponentials and sums over the keys, twice; the division.
        relative = np.expm1(np.minimum(ownError + mean, 50)) + (2 * keys + 32) * u
        weight = np.where(p > 0, p * relative, 0) + np.where(mask, 2.0**-120, 0)
        nothing = ~np.any(mask, axis=-1)
        # Rows whose error can't be told from their value say nothing.
        self.unknown = mean[..., 0] > 0.05
        # Spelled by hand, rows of nothing are undefined, and exponentials without the maximum that is seen overflow or leave
        # nothing; fused such spellings gain what softmax has.
        self.undefined = np.zeros(nothing.shape, bool)
        if chain["normaliser"] not in SAFE or chain["hidden_after"] == "renormalised":
            self.undefined = self.undefined | nothing
        if chain["normaliser"] in ("unstable", "sink_added", "off_by_one") or chain["hidden_after"] not in ("no", "dropped"):
            self.undefined = self.undefined | (np.max(np.abs(s.v), axis=-1, initial=0) > 30)
        if over_queries:
            some = np.broadcast_to(np.any(self.unknown, axis=-1)[..., None], p.shape[:-2] + (self.sizes["t"],))
            self.unknown, self.undefined = some, np.zeros_like(some)
            p, weight = (np.swapaxes(x, -1, -2) for x in (p, weight + self.sizes["s"] * u * p))
        if dropped:
            p, weight = p * self.mask, weight * self.mask
        self.absolute = p @ np.abs(v)
        if over_queries or dropped:
            return p @ v, weight @ np.abs(v) + 2.0**-120
        total = np.log(np.sum(w, axis=-1)) + m[..., 0]  # of the scores alone
        own = np.sum(w * ownError, axis=-1) / np.maximum(np.sum(w, axis=-1), 1e-300)
        error = own + u * (keys + 16 + 4 * np.abs(total))
        self.results["log_sum"] = (np.where(nothing, -np.inf, total), np.where(nothing, 0, error), self.unknown, self.undefined)
        unknown, undefined = (np.broadcast_to(x[..., None], p.shape) for x in (self.unknown, self.undefined))
        # Weights from the log-sum-exp have its error as well.
        more = weight + p * 4 * u * np.where(np.isfinite(total), np.abs(total), 0)[..., None]
        self.results["weights"] = (p, more, unknown, undefined)
        if self.sizes["t"]:
            self.results["row"] = tuple(x[..., -1, :] for x in self.results["weights"])
        if "h" in self.axes:
            h, count = self.axes.index("h"), max(self.sizes["h"], 1)
            self.results["head_mean"] = (np.mean(p, axis=h), np.mean(more, axis=h) + (count + 2) * u * np.mean(p, axis=h),
                                         np.any(unknown, axis=h), np.any(undefined, axis=h))
        return p @ v, weight @ np.abs(v) + 2.0**-120


def make(seed):
    """The chain of a seed."""
    return draw(randoms.Random(f"chain {seed}"))
