"""Makes a finding smaller: tries simpler chains and sizes as long as they show the same."""
import copy

from chain import keys_of


def candidates(chain, case):
    """Simpler (chain, case) pairs, those that leave out most first."""
    def changed(**fields):
        return {**copy.deepcopy(chain), **fields}

    for name, plain in (("extras", []), ("masks", []), ("steps", []), ("ends", "no"), ("hidden_after", "no"), ("poison", False), ("peaky", False)):
        if chain[name] != plain:
            yield changed(**{name: plain} | ({"hidden_after": "no"} if name == "masks" else {})), case
    for name in ("masks", "steps"):
        for i in range(len(chain[name])):
            if len(chain[name]) > 1:
                yield changed(**{name: chain[name][:i] + chain[name][i + 1:]}), case
    for name, plain in (("normaliser", "softmax"), ("scale", "none"), ("product", "matmul"), ("summed", "matmul"), ("values", "plain"),
                        ("narrow", "cast"), ("keys", "plain"), ("widened", "product"), ("kept", "f32")):
        if chain.get(name, plain) != plain:
            yield changed(**{name: plain}), replanned(changed(**{name: plain}), case)
    for i, piece in enumerate(chain.get("pieces", [])):
        rest = lambda **fields: changed(pieces=chain["pieces"][:i] + [{**piece, **fields}] + chain["pieces"][i + 1:])
        if piece["mask"]:
            yield rest(mask=None), case
        for j in range(len(piece["steps"])):
            yield rest(steps=piece["steps"][:j] + piece["steps"][j + 1:]), case
    for heads in ("none", "plain"):
        if chain["heads"] not in ("none", heads):
            yield reheaded(chain, heads), case
    for group, plain in (("layout", "plain"), ("dtype", "f32")):
        if any(value != plain for value in chain[group].values()):
            yield changed(**{group: {name: plain for name in chain[group]}}), case
        for name, value in chain[group].items():
            if value != plain:
                yield changed(**{group: {**chain[group], name: plain}}), case
    for i, mask in enumerate(chain["masks"]):
        for field, plain in (("hide", "where"), ("or", False)):
            if mask[field] != plain and chain["normaliser"] not in ("sigmoid", "relu", "relu_squared", "linear"):
                yield changed(masks=chain["masks"][:i] + [{**mask, field: plain}] + chain["masks"][i + 1:]), case
    if case:
        yield from smaller_sizes(chain, case)


def reheaded(chain, heads):
    """The same chain without groups: pieces lose the axes that are no more."""
    new = {**copy.deepcopy(chain), "heads": heads}
    keep = "bts" + ("h" if heads == "plain" else "")
    own = [part for piece in new.get("pieces", []) for part in piece["steps"] + ([piece["mask"]] if piece["mask"] else [])]
    for piece in new["steps"] + new["masks"] + own:
        for field in ("axes", "left", "right"):
            if isinstance(piece.get(field), str):
                piece[field] = "".join(a for a in piece[field] if a in keep)
    new["sink"] = "".join(a for a in new["sink"] if a in keep)
    return new


def replanned(chain, case):
    """Sizes for keys that come as they are."""
    if not case or chain["keys"] != "plain":
        return case
    sizes, seed = case
    return [{**sizes, "own": sizes["s"]}, seed]


def smaller_sizes(chain, case):
    sizes, seed = case
    for axis in "bhgrtsdep":
        value = sizes[axis] if axis in sizes else 1
        for less in dict.fromkeys((1, 2, value // 2, value - 1)):
            if 0 < less < value:
                yield resized(chain, sizes, axis, less, seed)


def resized(chain, sizes, axis, value, seed):
    sizes, chain = {**sizes, axis: value}, copy.deepcopy(chain)
    if axis in chain["literal"]:
        chain["literal"][axis] = value
    if chain["heads"] == "repeated":
        sizes["h"] = sizes["g"] * sizes["r"]
    if chain["same"]:
        sizes["s"] = sizes["t"]
    if chain["keys"] == "plain":
        sizes["own"] = sizes["s"]
    elif chain["keys"] in ("joined", "pieces"):
        sizes["s"] = sum(keys_of(chain, sizes))
    elif chain["keys"] == "state":
        sizes["own"], sizes["s"] = sizes["t"], sizes["p"] + sizes["t"]
    else:
        sizes["s"] = 3
    return chain, [sizes, seed]


def shrink(finding, again, tries):
    """The smallest finding that was seen. `again` says what a finding shows now, or None."""
    improved = True
    while improved and tries > 0:
        improved = False
        for chain, case in candidates(finding["chain"], finding["case"]):
            if tries <= 0:
                break
            tries -= 1
            smaller = {**finding, "chain": chain, "case": case}
            try:
                why = again(smaller)
            except (KeyError, IndexError, AssertionError, ValueError):
                continue  # a piece does not fit what is left
            if why:
                finding, improved = {**smaller, "why": why}, True
                break
    return finding
