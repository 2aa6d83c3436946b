"""A chain: product, scores, masks, normaliser, product, drawn at random; and sizes to run it at.

A chain is a dict that JSON holds. Everything else follows from it: the entry's text and inputs (entry.py), and for given sizes the results in
double precision with a bound of their error (meaning.py).
"""
import dataclasses
import itertools
import math
import random as randoms

from pieces import MASKS, STEPS

SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 67, 97, 127, 128, 129, 131)
LONG = (257, 521, 1023, 1024, 1025, 1031, 1100, 2053)
INNER = (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 31, 32, 33, 40, 64, 65)

# Normalisers that give zeros where a query sees nothing, as softmax does; of others such rows are not looked at.
SAFE = ("softmax", "guarded", "log_sum", "sink_dropped", "sinks_dropped", "off_by_column", "sigmoid", "relu", "relu_squared", "linear", "over_queries")
POINTWISE = ("sigmoid", "relu", "relu_squared", "linear")
BY_HAND = ("by_hand", "guarded", "divided_late", "reciprocal", "unstable", "powers")
# Steps and masks of the scores of one piece of the keys alone: sums and factors, and masks that need no other piece.
OF_PIECES = (("alibi", "bias", "bias", "bias", "buckets", "constant", "low", "places", "relative", "scale_by"),
             ("above", "band", "causal_ends", "documents", "lengths", "padding", "padding", "pattern", "tensor", "tensor", "window"))
SUMS = ("alibi", "bias", "buckets", "distances", "low", "places", "relative", "second")
NORMALISERS = ("softmax",) * 6 + BY_HAND + ("log_softmax", "log_sum", "sink_dropped", "sink_added", "sinks_dropped", "sinks_added", "off_by_one", "off_by_column", "over_queries") + POINTWISE


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


def draw_pieces(random, shape):
    """What is done to the scores of the old and of the new keys before they are joined; the old ones may be there twice."""
    pieces = []
    for name in ("old", "new") if random.random() < 0.65 else ("old", "again", "new"):
        piece = {"name": name, "steps": [], "mask": None, "hide": random.choice(["where", "where", "added"])}
        for number in range(random.choice([0, 0, 1, 1, 2])):
            kind = random.choice(OF_PIECES[0])
            piece["steps"].append({"kind": kind, "name": f"p{number}_{name}", **STEPS[kind].draw(random, shape)})
        if random.random() < 0.6:
            kind = random.choice(OF_PIECES[1])
            piece["mask"] = {"kind": kind, "name": f"pm_{name}", **MASKS[kind].draw(random, shape)}
        pieces.append(piece)
    return pieces


def draw(random):
    """A chain."""
    chain = {"batch": random.random() < 0.85, "heads": random.choice(["none", "plain", "plain", "plain", "grouped", "shared", "repeated"])}
    if not chain["batch"] and chain["heads"] == "repeated":
        chain["heads"] = "plain"
    shape = shape_of(chain)
    chain["same"] = random.random() < 0.35
    chain["keys"] = "plain" if chain["same"] else random.choice(["plain"] * 7 + ["joined", "pieces", "pieces", "state", "sliced"])
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
    if chain["keys"] == "pieces" and chain["normaliser"] in POINTWISE:
        chain["keys"] = "joined"
    if chain["keys"] == "pieces":
        chain["pieces"] = draw_pieces(random, shape)
        if any(piece["mask"] for piece in chain["pieces"]):  # -inf stays so
            chain["steps"] = [step for step in chain["steps"] if step["kind"] in SUMS]
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
    if random.random() < 0.3:  # as a cache holds them
        chain["dtype"] |= {"q": "f32", **{name: random.choice(["f16", "bf16"]) for name in random.choice(["k", "v", "kv", "kv"])}}
    chain["widened"] = random.choice(["product", "input", "heads"])
    chain["kept"] = random.choice(["f32", "own"])
    return chain


def keys_of(chain, sizes):
    """How many keys each piece of them has."""
    return [sizes["p"]] * (len(chain["pieces"]) - 1 if chain["keys"] == "pieces" else 1) + [sizes["own"]]


def make(seed):
    """The chain of a seed."""
    return draw(randoms.Random(f"chain {seed}"))


# ---- sizes and numbers


def draw_sizes(chain, random, most):
    """Values for all axes, of which the work is at most `most` multiply-adds."""
    axes = shape_of(chain).axes
    for attempt in itertools.count(1):
        if attempt % 100 == 0:  # literal sizes alone are too much work
            del chain["literal"][max(set(chain["literal"]) - {"r"}, key=chain["literal"].get)]
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
        if chain["keys"] in ("joined", "pieces"):
            sizes["s"] = sum(keys_of(chain, sizes))
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
