"""The operators around attention, written as a user would write them."""
from source import Entry, Unsupported, number


def softmax(node):
    entry, x = Entry(), node.input(0)
    axis = node.attribute("axis", -1)
    sizes = [f"N{place}" for place in range(len(x.shape))]
    entry.result(node.output(0), sizes, f"softmax({entry.floats(x, sizes)}, axis = {axis})")
    return entry


def rms_normalization(node):
    entry, x, weight = Entry(), node.input(0), node.input(1)
    axis, epsilon = node.attribute("axis", -1), node.attribute("epsilon", 1e-5)
    if node.attribute("stash_type", 1) != 1:
        raise Unsupported("stash_type")
    sizes = [f"N{place}" for place in range(len(x.shape))]
    text, scale = entry.floats(x, sizes), entry.floats(weight, sizes[axis:])
    axes = ", ".join(str(place) for place in range(axis % len(sizes), len(sizes)))
    mean = f"mean({text} ^ 2, axis = ({axes},), keep = true)"
    entry.result(node.output(0), sizes, f"{text} / sqrt({mean} + {number(epsilon)}) * {scale}")
    return entry


def rotary_embedding(node):
    """The first places of each head turn, by the table's row of their position; pairs of places share an angle."""
    entry, (x, cosines, sines, positions) = Entry(), (node.input(place) for place in range(4))
    heads, turned = node.attribute("num_heads", 0), node.attribute("rotary_embedding_dim", 0)
    turn = "rotate_interleaved" if node.attribute("interleaved", 0) else "rotate"
    joined = len(x.shape) == 3
    sizes = ["B", "T", f"{heads} * D"] if joined else ["B", "H", "T", "D"]
    text = entry.floats(x, sizes)
    text = f"split_heads({text}, {heads})" if joined else text
    pairs = str(turned // 2) if turned else "D / 2"
    tables = [entry.floats(table, ["P", pairs] if positions else ["B", "T", pairs]) for table in (cosines, sines)]
    places = f"[{entry.argument(positions, ['B', 'T'])}]" if positions else ""
    value = f"{turn}({text}, {', '.join(f'{table}{places}[:, None]' for table in tables)})"
    entry.result(node.output(0), sizes, f"merge_heads({value})" if joined else value)
    return entry


def tensor_scatter(node):
    """Writes the rows of an update into a cache, for each row of the batch from its own place on."""
    entry, (cache, update, at) = Entry(), (node.input(place) for place in range(3))
    circular = node.attribute("mode", "linear") == "circular"
    rank = len(cache.shape)
    if node.attribute("axis", -2) not in (-2, rank - 2) or rank not in (3, 4):
        raise Unsupported(f"axis or rank {rank}")
    sizes = ["B", "S", "D"] if rank == 3 else ["B", "H", "S", "D"]
    tensors = [entry.floats(cache, sizes), entry.floats(update, ["N" if size == "S" else size for size in sizes])]
    if rank == 4:
        tensors = [f'rearrange({tensor}, "b h s d -> b s (h d)")' for tensor in tensors]
    places = entry.argument(at, ["B"]) if at else "broadcast(i64(0), [B])"
    value = f"write_rows({', '.join(tensors)}, {places}{', circular = true' if circular else ''})"
    entry.result(node.output(0), sizes, value if rank == 3 else f'rearrange({value}, "b s (h d) -> b h s d", h = H)')
    return entry


def causal_conv(node):
    entry, (x, weight, bias, past) = Entry(), (node.input(place) for place in range(4))
    activation, state = node.attribute("activation", "none"), node.output(1)
    rows = f'rearrange({entry.floats(x, ["B", "C", "T"])}, "b c t -> b t c")'
    taps = f'{entry.floats(weight, ["C", "1", "W"])}[:, 0]'
    shift = entry.floats(bias, ["C"]) if bias else None
    before = (f'rearrange({entry.floats(past, ["B", "C", "W - 1"])}, "b c t -> b t c")' if past
              else "broadcast(0.0, [B, W - 1, C])")
    entry.line(f"let y, last = causal_conv({rows}, {taps}, {before})")
    value = f"y + {shift}" if shift else "y"
    if activation in ("silu", "swish"):
        value = f"silu({value})"
    elif activation != "none":
        raise Unsupported(activation)
    entry.result(node.output(0), ["B", "C", "T"], f'rearrange({value}, "b t c -> b c t")')
    if state:
        entry.result(state, ["B", "C", "W - 1"], 'rearrange(last, "b t c -> b c t")')
    return entry


def by_chunks(entry, node, rows, query_heads, heads, start, log_keep):
    """Without the delta rule, and with one decay for a row: the whole sequence at once."""
    group = query_heads // heads

    def grouped(value, *sizes):
        return f"broadcast({value}[:, :, None], [B, {heads}, {group}, {', '.join(map(str, sizes))}])"

    keep = grouped(log_keep, rows) if log_keep else f"broadcast(0.0, [B, {heads}, {group}, {rows}])"
    entry.let("start", start)
    entry.line(f"let y, last = gated_linear_attention(q, {grouped('k', rows, 'D')}, {grouped('v', rows, 'E')}, {keep}, "
               f"{grouped('start', 'D', 'E')})")
    entry.result(node.output(0), ["B", str(rows), f"{query_heads} * E"], 'rearrange(y, "b h g t e -> b t (h g e)")')
    if node.output(1):
        entry.result(node.output(1), ["B", str(heads), "D", "E"], "last[:, :, 0]")
    return entry


def linear_attention(node):
    """The recurrence, row by row where it has to be: a state fades, takes what a key and a value say, and answers the queries of its group."""
    entry, (query, key, value, past, decay, beta) = Entry(), (node.input(place) for place in range(6))
    rule, scale = node.attribute("update_rule", "gated_delta"), node.attribute("scale", 0)
    query_heads, heads = node.attribute("q_num_heads"), node.attribute("kv_num_heads")
    node.attribute("chunk_size")  # a hint on speed
    if rule not in ("linear", "gated", "delta", "gated_delta") or ("gated" in rule) != (decay is not None) or \
            ("delta" in rule) != (beta is not None):
        raise Unsupported(f"update_rule {rule} with these inputs")
    rows = query.shape[1]

    def split(tensor, count, width):
        return f"split_heads({entry.floats(tensor, ['B', str(rows), f'{count} * {width}'])}, {count})"

    queries = split(query, query_heads, "D")
    by = f"* {number(scale)}" if scale else "/ sqrt(D)"
    entry.let("q", f'rearrange({queries} {by}, "b (h g) t d -> b h g t d", h = {heads})')
    entry.let("k", split(key, heads, "D"))
    entry.let("v", split(value, heads, "E"))
    start = entry.floats(past, ["B", str(heads), "D", "E"]) if past else f"broadcast(0.0, [B, {heads}, D, E])"
    if decay:
        one = decay.shape[2] == heads
        fade = split(decay, heads, "1" if one else "D")
        entry.let("fade", f"{fade}[..., 0]" if one and not beta else f"exp({fade})")
    if beta:
        entry.let("rate", split(beta, beta.shape[2], "1") + "[..., 0]")
    if not beta and (not decay or one):
        return by_chunks(entry, node, rows, query_heads, heads, start, "fade" if decay else None)
    entry.let("state", start)
    entry.let("y", f"broadcast(0.0, [B, {heads}, {query_heads // heads}, {rows}, E])")
    entry.line(f"for t in range({rows}) {{")
    if decay:
        entry.line("  state = state * fade[:, :, t, :, None]")
    write = f"delta_write(state, k[:, :, t], v[:, :, t], rate[:, :, t])" if beta else "linear_write(state, k[:, :, t], v[:, :, t])"
    entry.line(f"  state = {write}")
    entry.line("  y[:, :, :, t] = q[:, :, :, t] @ state")
    entry.line("}")
    entry.result(node.output(0), ["B", str(rows), f"{query_heads} * E"], 'rearrange(y, "b h g t e -> b t (h g e)")')
    if node.output(1):
        entry.result(node.output(1), ["B", str(heads), "D", "E"], "state")
    return entry
