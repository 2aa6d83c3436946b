"""Attention and FlexAttention of ONNX, written as a user would write them.

Names of sizes: B batch, H heads of keys and values, T queries, S keys, D and E the heads' widths, P keys of the past,
M keys that a mask knows.
"""
from source import Entry, Unsupported, broadcastable, number, widened
from subgraph import Text, translate

# What `softmax_precision` may ask for. The softmax is f32 for all of them: f16 and bf16 get more than that, double less.
PRECISIONS = {None, 1, 10, 11, 16}


class Operands:
    """Query, key and value as arguments, and as [B, heads, rows, width] in the body: q, k and v."""

    def __init__(self, node, entry):
        query, key, value = (node.input(place) for place in range(3))
        heads = node.attribute("q_num_heads"), node.attribute("kv_num_heads")
        self.entry, self.rank, self.type = entry, len(query.shape), query.type
        if {key.type, value.type} != {query.type}:
            raise Unsupported("operands of several types")
        if (self.rank == 3) != (None not in heads):
            raise Unsupported(f"rank {self.rank} with {heads} heads")
        self.key_count = key.shape[-2]
        self.query_count, count = heads if self.rank == 3 else (query.shape[1], key.shape[1])
        self.group, rest = divmod(self.query_count, count)
        if rest:
            raise Unsupported(f"{self.query_count} heads of queries for {count} of keys")
        self.heads = "H" if self.rank == 4 else str(count)
        self.query_heads = str(self.query_count) if self.rank == 3 else f"{self.group} * H" if self.group > 1 else "H"
        self.q = self.take(query, self.query_heads, "T", "D")
        self.k = self.take(key, self.heads, "S", "D")
        self.v = self.take(value, self.heads, "S", "E")

    def take(self, tensor, heads, rows, width):
        if self.rank == 4:
            return self.entry.argument(tensor, ["B", heads, rows, width])
        text = self.entry.argument(tensor, ["B", rows, f"{heads} * {width}"])
        return self.entry.let(tensor.name.lower(), f'rearrange({text}, "b t (h d) -> b h t d", h = {heads})')

    def join_past(self, key, value):
        """Puts the keys and values so far before the new ones."""
        past_key = self.entry.argument(key, ["B", self.heads, "P", "D"])
        past_value = self.entry.argument(value, ["B", self.heads, "P", "E"])
        self.k = self.entry.let("keys", f"concat([{past_key}, {self.k}], axis = 2)")
        self.v = self.entry.let("values", f"concat([{past_value}, {self.v}], axis = 2)")

    def repeated(self, text):
        """Keys or values, each for all query heads that share it."""
        text = widened(text, self.type)
        return f"repeat_heads({text}, {self.group})" if self.group > 1 else text

    def scores(self, scale):
        by = "/ sqrt(D)" if scale is None else f"* {number(scale)}"
        return f"{widened(self.q, self.type)} @ {self.repeated(self.k)}.T {by}"

    def output(self, weights):
        """The output, whose heads stand as the query's did: (sizes, value)."""
        text = f"{weights} @ {self.repeated(self.v)}"
        if self.rank == 3:
            return ["B", "T", f"{self.query_count} * E"], f"merge_heads({text})"
        return ["B", self.query_heads, "T", "E"], text


def take_mask(tensor, entry, axes, key_count):
    """The mask as an argument. One that knows fewer keys than there are hides the rest."""
    axes = broadcastable(tensor, axes)
    known = [*axes[:-1], axes[-1] if tensor.shape[-1] in (1, key_count) else "M"]
    text = entry.floats(tensor, known)
    if known == axes:
        return text
    rest = f"broadcast({'false' if tensor.type == 'bool' else '-inf'}, [{', '.join([*axes[:-1], f'{axes[-1]} - M'])}])"
    return entry.let("mask", f"concat([{text}, {rest}], axis = -1)")


def visibility(node, entry, keys, past):
    """Which keys a query sees: by order, within a window, within the length of its row of the batch."""
    causal = node.attribute("is_causal", 0)
    left, right = node.attribute("left_window_size", -1), node.attribute("right_window_size", -1)
    length, conditions, place = node.input(6), [], "index(T)[:, None]"
    if length is not None:
        lengths = f"{entry.argument(length, ['B'])}[:, None, None, None]"
        conditions.append(f"index({keys}) < {lengths}")
        place += f" + {lengths} - T"
    elif past:
        place += " + P"
    if causal or left >= 0 or right >= 0:
        back = entry.let("back", f"{place} - index({keys})")
        conditions += [f"{back} >= 0"] * (causal != 0) + [f"{back} <= {left}"] * (left >= 0) + [f"{back} >= {-right}"] * (right >= 0)
    return conditions


def attention(node):
    entry = Entry()
    operands = Operands(node, entry)
    mask, past_key, past_value = (node.input(place) for place in (3, 4, 5))
    keys, count = "S", operands.key_count
    if past_key:
        operands.join_past(past_key, past_value)
        keys, count = "P + S", past_key.shape[2] + count
    scale, softcap, shown_form = node.attribute("scale"), node.attribute("softcap", 0), node.attribute("qk_matmul_output_mode", 0)
    if node.attribute("softmax_precision") not in PRECISIONS:
        raise Unsupported("softmax_precision")
    shown, present_key, present_value = node.output(3), node.output(1), node.output(2)

    conditions, bias = visibility(node, entry, keys, past_key), None
    if mask:
        text = take_mask(mask, entry, ["B", operands.query_heads, "T", keys], count)
        conditions, bias = (([text] + conditions, None) if mask.type == "bool" else (conditions, text))

    def form(number, value):
        """A form of the scores, which gets a name where the node shows it."""
        return entry.let("shown", value) if shown and number == shown_form else value

    scores = form(0, operands.scores(scale))
    if softcap:
        scores = f"{number(softcap)} * tanh(({scores}) / {number(softcap)})"
    scores = form(1, scores)
    if bias:
        scores = f"{scores} + {bias}"
    if conditions:
        scores = f"where({' and '.join(conditions)}, {scores}, -inf)"
    weights = form(3, f"softmax({form(2, scores)})")

    entry.result(node.output(0), *operands.output(weights))
    if present_key:
        entry.result(present_key, ["B", operands.heads, keys, "D"], operands.k, stored=True)
    if present_value:
        entry.result(present_value, ["B", operands.heads, keys, "E"], operands.v, stored=True)
    if shown:
        entry.result(shown, ["B", operands.query_heads, "T", keys], "shown")
    return entry


def flex_attention(node):
    entry = Entry()
    operands = Operands(node, entry)
    sizes = ["B", operands.query_heads, "T", "S"]
    if node.attribute("softmax_precision") not in PRECISIONS:
        raise Unsupported("softmax_precision")
    score_mod, prob_mod = node.attribute("score_mod"), node.attribute("prob_mod")
    scores = Text(operands.scores(node.attribute("scale")), loose=True)
    if score_mod:
        scores = translate(score_mod, scores, sizes)
    weights = Text(f"softmax({scores.text})")
    if prob_mod:
        weights = translate(prob_mod, weights, sizes)
    entry.result(node.output(0), *operands.output(weights.tight()))
    return entry
