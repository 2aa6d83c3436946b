"""The text of a chain as an entry of a model, and the inputs that it takes."""
from chain import BY_HAND, POINTWISE, keys_of, shape_of
from pieces import MASKS, STEPS, Input, Text


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
        if chain["keys"] in ("joined", "pieces"):
            self.dims["s"] = f"({' + '.join(keys_of(chain, {'p': 'P', 'own': self.own['s']}))})"
        elif chain["keys"] == "state":
            self.own["s"] = self.dims["t"]
            self.dims["s"] = f"(past + {self.dims['t']})"
        elif chain["keys"] == "sliced":
            self.dims["s"] = "3"
        self.c = Text(self.shape.axes, self.dims, chain["same"])
        self.inputs, self.lines, self.outputs, self.states = [], [], [], []
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
        text = f"f32({name})" if self.dtype(name[0]) != dtype else name
        return f"rearrange({text}, {pattern}{argument})" if pattern else text

    def dtype(self, name):
        """Of an operand where it is first used: it may be widened before all else."""
        widened = self.chain.get("widened") == "input" and self.chain["narrow"] == "cast"
        return "f32" if widened else self.chain["dtype"][name]

    def kept(self, name):
        """The type that keys or values have in memory."""
        return "f32" if self.chain["keys"] == "state" and self.chain.get("kept") != "own" else self.chain["dtype"][name]

    def let(self, text):
        name = f"v{len(self.lines)}"
        self.lines.append(f"let {name} = {text}")
        return name

    def cast(self, text, dtype):
        return text if dtype == "f32" else f"f32({text})"

    def keys(self, name, last):
        """Keys or values as they meet the queries: from the input, joined with others, from a state."""
        axes, source = self.key_axes(last), self.chain["keys"]
        dtype = self.dtype(name)
        text = self.operand(name, axes, self.own)
        if source in ("joined", "pieces"):
            old = self.operand(name + "_old", axes, {**self.own, "s": "P"})
            pieces = keys_of(self.chain, {"p": old, "own": text})
            if source == "pieces" and name == "k":
                return pieces, dtype
            text = f"concat([{', '.join(pieces)}], axis = {len(axes) - 2})"
        elif source == "sliced":
            text = f"{text}[{', '.join(':' for _ in axes[:-2])}{', ' if axes[:-2] else ''}: 3, :]"
        elif source == "state":
            state, items = f"{self.name}_{name}", ", ".join(":" for _ in axes[:-2])
            dims = ", ".join("limit" if a == "s" else self.own[a] for a in axes)
            kept = "f32" if dtype == "f32" else self.kept(name)
            self.states.append(f"state {state}: {kept}[{dims}]")
            self.lines.append(f"{state}[{items}, past : past + {self.dims['t']}, :] = {text if kept == dtype else self.cast(text, dtype)}")
            return f"{state}[{items}, : past + {self.dims['t']}, :]", kept
        return text, dtype

    def cast_keys(self, text, dtype):
        """Keys of fewer heads than queries, widened before they are repeated or after."""
        if self.chain.get("widened") == "heads" and self.shape.heads != "repeated":
            return self.cast(self.broadcast_keys(text), dtype)
        return self.broadcast_keys(self.cast(text, dtype))

    def broadcast_keys(self, text):
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
        s = self.piecewise(q, k, k_type) if chain["keys"] == "pieces" else self.scores(q, k, k_type)
        for step in chain["steps"]:
            s = self.let(STEPS[step["kind"]].text(step, s, self.c))
        s = self.hide(s)
        if chain["scale"] == "late":
            s = self.let(f"{s} * 0.375")
        self.final = s
        v = self.cast_keys(v, v_type) if chain["narrow"] == "cast" or self.shape.heads == "repeated" else self.broadcast_keys(v)
        is_narrow = v_type != "f32" and chain["narrow"] == "product" and self.shape.heads != "repeated"
        if chain["values"] == "scaled":
            v = f"({v} * 2)"
        y = self.weighted(s, v, v_type if is_narrow else None)
        self.finish(y)
        self.inputs += [i for i in self.c.inputs if i not in self.inputs]

    def scores(self, q, k, k_type):
        chain = self.chain
        q_type = self.dtype("q")
        is_narrow = chain["narrow"] == "product" and q_type == k_type != "f32" and self.shape.heads != "repeated" and chain["scale"] not in ("query", "key", "both")
        if not is_narrow:
            q, k = self.cast(q, q_type), self.cast_keys(k, k_type)
        else:
            k = self.broadcast_keys(k)
        d = self.dims["d"]
        factor = {"query": (f"(1 / sqrt({d}))", None), "key": (None, f"{d} ^ -0.5"), "both": (f"{d} ^ -0.25", f"{d} ^ -0.25")}.get(chain["scale"], (None, None))
        q, k = (f"({x} * {f})" if f else x for x, f in zip((q, k), factor))
        if chain["product"] == "einsum" and self.shape.heads in ("none", "plain", "repeated"):
            lead = " ".join(self.shape.axes[:-2])
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

    def piecewise(self, q, keys, k_type):
        """Scores of the pieces of keys, each with steps and a mask of its own."""
        pieces = []
        for piece, k, size in zip(self.chain["pieces"], keys, keys_of(self.chain, {"p": "P", "own": self.own["s"]})):
            dims = {**self.dims, "s": size}
            c = Text(self.shape.axes, dims, False)
            s = self.scores(q, k, k_type)
            for step in piece["steps"]:
                s = self.let(STEPS[step["kind"]].text(step, s, c))
            if piece["mask"]:
                seen = f"({MASKS[piece['mask']['kind']].text(piece['mask'], c)})"
                s = self.let(f"where({seen}, {s}, -inf)" if piece["hide"] == "where" else f"{s} + where({seen}, 0, -inf)")
            for input in c.inputs:
                sizes = [dims.get(a, a) for a in input.axes]
                self.types[input.name] = f"{input.dtype}[{', '.join(sizes)}]" if sizes else input.dtype
            self.inputs += c.inputs
            pieces.append(s)
        return self.let(f"concat([{', '.join(pieces)}], axis = -1)")

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
        w = {"softmax": f"softmax({s})", "over_queries": f"softmax({s}, axis = -2)", "log_softmax": f"exp(log_softmax({s}))",
             "log_sum": f"exp({s} - logsumexp({s}, keep = true))"}[kind]
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
        sink = self.c.input("sink", "f32", self.chain["sink"]) if kind.startswith("sink_") else "0.0"
        if kind.startswith("sinks"):
            self.c.inputs.append(Input("sink", "f32", tuple(self.chain["sink"]) + ("3",)))
            sink = self.c.at("sink", self.chain["sink"] + "s")
        if kind == "sinks_dropped":
            w = f"softmax(concat([broadcast({sink}, {column[:-2]}3]), {s}], axis = -1))[..., 3 :]"
        elif kind == "sinks_added":
            m = self.let(f"maximum(max({s}, axis = -1, keep = true), max({sink}, axis = -1, keep = true))")
            e = self.let(f"exp({s} - {m})")
            w = f"{e} / (sum({e}, axis = -1, keep = true) + sum(exp({sink} - {m}), axis = -1, keep = true))"
        elif kind == "sink_dropped":
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
