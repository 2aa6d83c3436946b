"""A case for each function and module of the library through which gradients go: its call in the language, its inputs and results, and what it
means (oracle.py).

Inputs and results are written as types are, "f32 B T 8"; "i64 B T < 9" has numbers below 9, "offsets M N" the M + 1 borders of M segments of N rows, "segments M N"
the segment of each of these rows, "permutation B P" the numbers below B*P in any order. A gradient is asked for of each f32 input and each param.
"""
import dataclasses
import re

import numpy as np

import oracle as o


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    call: str  # an expression over the inputs, and `m` where there is a module
    inputs: dict
    results: dict  # by the names of the call's results; by "" where it is one tensor
    value: object  # over the inputs by name, and `m`, params by path: a number with bounds, or several
    module: str = ""
    params: dict = dataclasses.field(default_factory=dict)
    fill: dict = dataclasses.field(default_factory=dict)  # by input: what to do with normally distributed numbers
    sizes: tuple = ()
    host: dict = dataclasses.field(default_factory=dict)  # sizes of states, which the host chooses
    # Gradients of gradients as well: for programs, by the interpreter only (each is a dozen kernels of attention), or by neither.
    twice: str = "program"
    scale: float = 0.5  # of params, which keeps bounds of what has many layers small


SMALL = dict(B=2, T=5, S=7, D=6, E=5, H=2, N=11, M=4, C=5, W=3, P=3)
WIDE = dict(B=3, T=37, S=70, D=24, E=17, H=3, N=67, M=9, C=19, W=4, P=11)
TABLE = []
COMPILED_TWICE = ("attention_masked", "linear_attention_plain")


def case(name, call, inputs, result, value, **options):
    results = result if isinstance(result, dict) else {"": result}
    options.setdefault("sizes", (SMALL, WIDE))
    if re.search("attention|attend|MultiHead", call + options.get("module", "")) and name not in COMPILED_TWICE:
        options.setdefault("twice", "interpreter")
    TABLE.append(Case(name, call, inputs, results, value, **options))


def positive(x): return abs(x) + 0.5
def spaced(x): return np.where(abs(x) < 0.05, 0.05, x)
def zero_rows(x): return np.where(np.arange(x.shape[1])[:, None] % 3 == 1, 0, x)


def hidden(x):
    """Some elements are -inf, and all of every fourth row."""
    rows = np.arange(x.shape[1])[:, None] % 4 == 1
    return np.where((x > 0.8) | rows, -np.inf, x)


def last_unknown(x):
    """The last element of the batch, of which `draw` shows nothing, is NaN."""
    return np.where(np.arange(len(x))[:, None, None] == len(x) - 1, np.nan, x)


def linear_params(name, inner, out): return {f"{name}.weight": f"{out} {inner}", f"{name}.bias": f"{out}"}
def norm_params(name): return {f"{name}.weight": "6", f"{name}.bias": "6"}


def heads_params(name):
    return {key: dims for part in ("query", "key", "value", "out") for key, dims in linear_params(f"{name}{part}", 6, 6).items()}


X, XD = {"x": "f32 B T D"}, {"x": "f32 B T 6"}
QKV = {"q": "f32 B H T D", "k": "f32 B H S D", "v": "f32 B H S E"}
CAUSAL = {"q": "f32 B H T D", "k": "f32 B H T D", "v": "f32 B H T E"}

# ---- layers
case("linear_biased", "m(x)", XD, "B T 5", lambda m, x: o.dense(m, x), module="Linear(6, 5)", params={"weight": "5 6", "bias": "5"})
case("linear_unbiased", "m(x)", XD, "B T 5", lambda m, x: o.dense(m, x), module="Linear(6, 5, bias = false)", params={"weight": "5 6"})
case("linear_function", "linear(x, w, b)", {"x": "f32 B T D", "w": "f32 E D", "b": "f32 E"}, "B T E", lambda x, w, b: o.linear(x, w, b))
case("embedding_layer", "m(ids)", {"ids": "i64 B T < 9"}, "B T 6", lambda m, ids: m["weight"][ids], module="Embedding(9, 6)", params={"weight": "9 6"})
case("embedding_function", "embedding(ids, table)", {"ids": "i64 B T < 9", "table": "f32 9 D"}, "B T D", lambda ids, table: table[ids])
case("layer_norm_layer", "m(x)", XD, "B T 6", lambda m, x: o.norm(m, x), module="LayerNorm(6)", params={"weight": "6", "bias": "6"})
case("rms_norm_layer", "m(x)", XD, "B T 6", lambda m, x: o.rms_norm(x) * m["weight"], module="RmsNorm(6)", params={"weight": "6"})
case("layer_norm_function", "layer_norm(x)", X, "B T D", lambda x: o.layer_norm(x))
case("layer_norm_eps", "layer_norm(x, 0.1)", X, "B T D", lambda x: o.layer_norm(x, 0.1))
case("rms_norm_function", "rms_norm(x)", X, "B T D", lambda x: o.rms_norm(x))
case("dropped", "dropout(x, 0.25, seed)", {"x": "f32 B T D", "seed": "i64 < 1000"}, "B T D",
     lambda x, seed: o.where(o.kept_by_dropout(x.shape, 0.25, int(seed)), x / 0.75, 0))

# ---- activations
for name in ("relu", "silu", "gelu", "gelu_tanh"):
    case(f"{name}_function", f"{name}(x)", X, "B T D", lambda x, f=getattr(o, name): f(x), fill={"x": spaced})
case("softmax_last", "softmax(x)", X, "B T D", lambda x: o.softmax(x))
case("softmax_middle", "softmax(x, axis = 1)", X, "B T D", lambda x: o.softmax(x, 1))
case("softmax_hidden", "softmax(where(seen, x, -inf))", {"x": "f32 B T D", "seen": "bool B T D"}, "B T D", lambda x, seen: o.softmax(x, seen=seen))
case("softmax_of_infinities", "softmax(x)", X, "B T D", lambda x: o.softmax(x, seen=np.isfinite(x.value)), fill={"x": hidden})
case("log_softmax_last", "log_softmax(x)", X, "B T D", lambda x: o.log_softmax(x))
case("log_softmax_middle", "log_softmax(x, axis = 1)", X, "B T D", lambda x: o.log_softmax(x, 1))
case("logsumexp_last", "logsumexp(x)", X, "B T", lambda x: o.logsumexp(x))
case("logsumexp_kept", "logsumexp(x, axis = 1, keep = true)", X, "B 1 D", lambda x: o.logsumexp(x, 1, True))
case("logsumexp_of_infinities", "logsumexp(x)", X, "B T", lambda x: o.logsumexp(x, seen=np.isfinite(x.value)), fill={"x": hidden})
case("logsumexp_of_nothing", "where(logsumexp(x) == -inf, 0, logsumexp(x))", X, "B T", lambda x: o.logsumexp(x, seen=np.isfinite(x.value)), fill={"x": hidden})
case("entropy_of_weights", "entropy(x)", X, "B T", lambda x: o.entropy(x), fill={"x": lambda x: 0.02 + 0.9 * (x - x.min()) / (x.max() - x.min() + 1e-9)})
case("entropy_of_sparse_weights", "entropy(x)", X, "B T", lambda x: o.entropy(x), fill={"x": lambda x: np.where(x < 0, 0, x + 0.1)})
case("unit_vectors_and_zeros", "normalize(x, eps = 0.01)", X, "B T D", lambda x: o.normalize(x, eps=0.01), fill={"x": zero_rows})
case("unit_vectors", "normalize(x)", X, "B T D", lambda x: o.normalize(x))
case("unit_columns", "normalize(x, axis = 1)", X, "B T D", lambda x: o.normalize(x, 1))

# ---- attention
case("attention_full", "attention(q, k, v)", QKV, "B H T E", lambda q, k, v: o.attend(q, k, v))
case("attention_causal", "causal_attention(q, k, v)", CAUSAL, "B H T E", lambda q, k, v: o.attend(q, k, v, o.causal(q.shape[2], k.shape[2])))
case("attention_causal_longer", "causal_attention(q, k, v)", QKV, "B H T E", lambda q, k, v: o.attend(q, k, v, o.causal(q.shape[2], k.shape[2])))
case("attention_masked", "masked_attention(q, k, v, visible)", QKV | {"visible": "bool B S"}, "B H T E",
     lambda q, k, v, visible: o.attend(q, k, v, visible[:, None, None, :]))
case("attention_dropped", "dropout(softmax(q @ k.T / sqrt(D)), 0.25, seed) @ v", QKV | {"seed": "i64 < 1000"}, "B H T E",
     lambda q, k, v, seed: o.attend(q, k, v, factor=lambda shape: o.kept_by_dropout(shape, 0.25, int(seed)) / 0.75), twice="interpreter")
case("attention_gated", "(softmax(q @ k.T / sqrt(D)) * gates) @ v", QKV | {"gates": "f32 H T S"}, "B H T E",
     lambda q, k, v, gates: o.attend(q, k, v, factor=lambda shape: gates), twice="interpreter")
PIECES = QKV | {"old": "f32 B H P D", "older": "f32 B H P E"}
case("attention_of_pieces", "softmax(concat([q @ old.T / sqrt(D) + far, q @ k.T / sqrt(D) + near[:, None]], axis = -1)) @ concat([older, v], axis = 2)",
     PIECES | {"far": "f32 T P", "near": "f32 H S"}, "B H T E",
     lambda q, k, v, old, older, far, near: o.attend_to_pieces(q, (old, k), (older, v), (far, o.reshape(near, (near.shape[0], 1, near.shape[1])))),
     twice="interpreter")
case("attention_of_hidden_pieces",
     "softmax(concat([where(seen[:, None, None], q @ old.T / sqrt(D) + far, -inf), q @ old.T / sqrt(D), q @ k.T / sqrt(D) + near], axis = -1)) "
     "@ concat([older, older, v], axis = 2)",
     PIECES | {"far": "f32 B H T P", "near": "f32 H T S", "seen": "bool B P"}, "B H T E",
     lambda q, k, v, old, older, far, near, seen: o.attend_to_pieces(
         q, (old, old, k), (older, older, v), (far, far * 0, near),
         np.concatenate([seen, np.ones((len(seen), old.shape[2] + k.shape[2]), bool)], 1)[:, None, None]), twice="interpreter")
case("heads_split", "split_heads(x, 2)", XD, "B 2 T 3", lambda x: o.split_heads(x, 2))
case("heads_merged", "merge_heads(x)", {"x": "f32 B H T D"}, "B T H*D", lambda x: o.merge_heads(x))
case("heads_repeated", "repeat_heads(x, 3)", {"x": "f32 B H T D"}, "B 3*H T D", lambda x: o.repeat_heads(x, 3))
case("attention_of_repeated_heads", "attention(q, repeat_heads(k, 3), repeat_heads(v, 3))", QKV | {"q": "f32 B 3*H T D"}, "B 3*H T E",
     lambda q, k, v: o.attend(q, o.repeat_heads(k, 3), o.repeat_heads(v, 3)))
case("multi_head_masked", "m(x, memory, visible)", XD | {"memory": "f32 B S 6", "visible": "bool B S"}, "B T 6",
     lambda m, x, memory, visible: o.multi_head(m, x, memory, 2, visible[:, None, None, :]), module="MultiHeadAttention(6, 2)", params=heads_params(""))
case("multi_head_causal", "m.causal(x)", XD, "B T 6", lambda m, x: o.multi_head(m, x, x, 2, o.causal(x.shape[1], x.shape[1])),
     module="MultiHeadAttention(6, 2, bias = false)", params={f"{name}.weight": "6 6" for name in ("query", "key", "value", "out")})

# ---- transformer layers
FEED = linear_params("feed_forward.up", 6, 9) | linear_params("feed_forward.down", 9, 6)
ENCODER = heads_params("attention.") | FEED | norm_params("norm1") | norm_params("norm2")
DECODER = ENCODER | heads_params("cross_attention.") | norm_params("norm3")
VISIBLE = {"visible": "bool B T"}
MEMORY = {"memory": "f32 B S 6", "visible": "bool B S"}
case("feed_forward", "m(x)", XD, "B T 6", lambda m, x: o.feed_forward(m, x, o.gelu), module="FeedForward(6, 9)",
     params={path.removeprefix("feed_forward."): dims for path, dims in FEED.items()})
case("feed_forward_silu", "m(x)", XD, "B T 6", lambda m, x: o.feed_forward(m, x, o.silu), module="FeedForward(6, 9, silu)",
     params={path.removeprefix("feed_forward."): dims for path, dims in FEED.items()})
for name, pre_norm in (("post", False), ("pre", True)):
    options = f"6, 2, 9, pre_norm = {str(pre_norm).lower()}, activation = gelu_tanh"
    case(f"encoder_{name}_norm", "m(x, visible)", XD | VISIBLE, "B T 6",
         lambda m, x, visible, pre=pre_norm: o.encoder_layer(m, x, 2, visible, pre, o.gelu_tanh), module=f"TransformerEncoderLayer({options})", params=ENCODER,
         twice="", scale=0.1)
    case(f"decoder_{name}_norm", "m(x, memory, visible)", XD | MEMORY, "B T 6",
         lambda m, x, memory, visible, pre=pre_norm: o.decoder_layer(m, x, memory, 2, visible, pre, o.gelu_tanh),
         module=f"TransformerDecoderLayer({options})", params=DECODER, twice="",
         scale=0.1)

# ---- pooling
case("pool_mean", "mean_pool(x)", X, "B D", lambda x: o.mean(x, 1))
case("pool_max", "max_pool(x)", X, "B D", lambda x: o.largest(x, 1))
case("pool_masked", "masked_mean(x, visible)", X | VISIBLE, "B D", lambda x, visible: o.masked_mean(x, visible))
case("pool_masked_unknown", "masked_mean(x, visible)", X | VISIBLE, "B D", lambda x, visible: o.masked_mean(x, visible), fill={"x": last_unknown})
case("pool_first", "cls_pool(x)", X, "B D", lambda x: x[:, 0])

# ---- losses
CLASSES = {"x": "f32 B T C", "classes": "i64 B T < C"}
case("squared_error", "mse(x, y)", {"x": "f32 B T D", "y": "f32 B T D"}, "", lambda x, y: o.mse(x, y))
case("losses_by_class", "class_losses(x, classes)", CLASSES, "B T", lambda x, classes: o.class_losses(x, classes))
case("losses_smoothed", "class_losses(x, classes, 0.1)", CLASSES, "B T", lambda x, classes: o.class_losses(x, classes, 0.1))
case("cross_entropy_mean", "cross_entropy(x, classes)", CLASSES, "", lambda x, classes: o.mean(o.class_losses(x, classes)))
case("cross_entropy_smoothed", "cross_entropy(x, classes, smoothing = 0.2)", CLASSES, "", lambda x, classes: o.mean(o.class_losses(x, classes, 0.2)))
for name, smoothing in (("ignored", 0.0), ("ignored_smoothed", 0.1)):
    ignoring = lambda x, classes, visible, s=smoothing: o.total(
        o.where(visible, o.class_losses(o.where(visible[..., None], x, 0), classes, s), 0)) / max(visible.sum(), 1)
    call = f"masked_cross_entropy(x, classes, visible, {smoothing})"
    case(f"cross_entropy_{name}", call, CLASSES | VISIBLE, "", ignoring)
    case(f"cross_entropy_{name}_unknown", call, CLASSES | VISIBLE, "", ignoring, fill={"x": last_unknown})

# ---- positions
TURNED = {"x": "f32 B H T D", "c": "f32 B 1 T 2", "s": "f32 B 1 T 2"}
case("rope_halves", "rope(x)", {"x": "f32 B T D"}, "B T D", lambda x: o.rope(x))
case("rope_offset", "rope(x, offset = 3)", {"x": "f32 B T D"}, "B T D", lambda x: o.rope(x, 3))
case("rope_pairs", "rope_interleaved(x)", {"x": "f32 B T D"}, "B T D", lambda x: o.rope(x, pairs=True))
case("halves_turned", "turn_halves(x, c, s)", {"x": "f32 B H T 4", "c": "f32 B 1 T 2", "s": "f32 B 1 T 2"}, "B H T 4", lambda x, c, s: o.turn(x, c, s, False))
case("rotated_halves", "rotate(x, c, s)", TURNED, "B H T D", lambda x, c, s: o.turn(x, c, s, False))
case("rotated_pairs", "rotate_interleaved(x, c, s)", TURNED, "B H T D", lambda x, c, s: o.turn(x, c, s, True))
case("learned_rotations", "rotations(places, f)", {"places": "i64 B T < 50", "f": "f32 D"}, {"cosines": "B T D", "sines": "B T D"},
     lambda places, f: (o.cos(o.angles(places, f)), o.sin(o.angles(places, f))))
case("scaled_rotations", "rotations(places, f, 1.25)", {"places": "i64 B T < 50", "f": "f32 D"}, {"cosines": "B T D", "sines": "B T D"},
     lambda places, f: (1.25 * o.cos(o.angles(places, f)), 1.25 * o.sin(o.angles(places, f))))
case("learned_axial_rotations", "axial_rotations(rows, columns, f)", {"rows": "i64 B T < 9", "columns": "i64 B T < 9", "f": "f32 3"},
     {"cosines": "B T 6", "sines": "B T 6"},
     lambda rows, columns, f: [o.concat([wave(o.angles(at, f)) for at in (rows, columns)], -1) for wave in (o.cos, o.sin)])
case("searched_frequencies", "longrope_frequencies(factors)", {"factors": "f32 6"}, "6", lambda factors: o.frequencies(12) / factors, fill={"factors": positive})

# ---- windows
case("windows_of_rows", "windows(x, 3, 2)", {"x": "f32 B T D"}, "B (T-3)//2+1 3 D", lambda x: o.windows(x, 3, 2))
case("rows_padded", "pad_rows(x, 2)", {"x": "f32 B T D"}, "B T+4 D", lambda x: o.pad_rows(x, 2))
case("convolution", "m(x)", XD, "B T-2 5", lambda m, x: o.conv1d(m, x, 3), module="Conv1d(6, 5, width = 3)", params={"weight": "5 6 3", "bias": "5"})
case("convolution_strided", "m(x)", XD, "B (T+4-4)//3+1 5", lambda m, x: o.conv1d(m, x, 4, 3, 2),
     module="Conv1d(6, 5, width = 4, stride = 3, padding = 2, bias = false)", params={"weight": "5 6 4"})
case("convolution_causal", "causal_conv(x, w, past)", {"x": "f32 B T C", "w": "f32 C W", "past": "f32 B W-1 C"}, {"y": "B T C", "past": "B W-1 C"},
     lambda x, w, past: o.causal_conv(x, w, past))
case("patch_embedding", "m(x)", {"x": "f32 B 2 6 9"}, "B 6 5", lambda m, x: o.patches(m, x, 3), module="PatchEmbedding(2, 3, 5)",
     params={"weight": "5 2 3 3", "bias": "5"})

# ---- attention without softmax
STATE = {"state": "f32 B H D E", "k": "f32 B H D", "v": "f32 B H E"}
case("sums_so_far", "cumulative_sum(x)", {"x": "f32 B H T"}, "B H T", lambda x: o.cumulative_sum(x))
case("linear_attention_plain", "linear_attention(q, k, v)", CAUSAL, "B H T E", lambda q, k, v: o.linear_attention(q, k, v))
case("linear_attention_normalised", "normalised_linear_attention(q, k, v)", CAUSAL, "B H T E", lambda q, k, v: o.linear_attention(q, k, v, True),
     fill={"q": positive, "k": positive})
case("linear_attention_gated", "gated_linear_attention(q, k, v, keep, state)", CAUSAL | {"keep": "f32 B H T", "state": "f32 B H D E"},
     {"y": "B H T E", "state": "B H D E"}, lambda q, k, v, keep, state: o.gated_linear_attention(q, k, v, keep, state),
     fill={"keep": lambda x: -0.1 * abs(x)})
case("linear_attention_forgetting", "gated_linear_attention(q, k, v, keep, state).y", CAUSAL | {"keep": "f32 B H T", "state": "f32 B H D E"},
     "B H T E", lambda q, k, v, keep, state: o.gated_linear_attention(q, k, v, keep, state)[0],
     fill={"keep": lambda x: -300 * abs(x)}, sizes=(SMALL,))  # what comes later has a factor that is infinite
case("state_written", "linear_write(state, k, v)", STATE, "B H D E", lambda state, k, v: o.linear_write(state, k, v))
case("state_by_delta_rule", "delta_write(state, k, v, rate)", STATE | {"rate": "f32 B H"}, "B H D E",
     lambda state, k, v, rate: o.delta_write(state, k, v, rate))

# ---- segments
RAGGED = {"segment": "segments M N", "offsets": "offsets M N"}
BORDERS = {"offsets": "offsets M N"}
case("segments_attend", "segment_attention(q, k, v, segment, offsets)", {"q": "f32 H N D", "k": "f32 H N D", "v": "f32 H N E"} | RAGGED, "H N E",
     lambda q, k, v, segment, offsets: o.reshape(o.attend(*(o.reshape(x, (1, *x.shape)) for x in (q, k, v)), segment[:, None] == segment), v.shape))
case("segments_are_asked", "segment_cross_attention(q, k, v, offsets)", {"q": "f32 H M D", "k": "f32 H N D", "v": "f32 H N E"} | BORDERS, "H M E",
     lambda q, k, v, offsets: o.attend(*(o.reshape(x, (1, *x.shape)) for x in (q, k, v)), o.segment_rows(offsets, k.shape[1]))[0])
case("segments_summed", "segment_sum(x, offsets)", {"x": "f32 N D"} | BORDERS, "M D", lambda x, offsets: o.segment_sum(x, offsets))
case("segments_averaged", "segment_mean(x, offsets)", {"x": "f32 N D"} | BORDERS, "M D", lambda x, offsets: o.segment_mean(x, offsets))
case("segments_by_heads", "segment_heads(m, x, segment, offsets)", {"x": "f32 N 6"} | RAGGED, "N 6",
     lambda m, x, segment, offsets: o.segment_heads(m, x, segment, 2), module="MultiHeadAttention(6, 2)", params=heads_params(""))

# ---- caches: rows before the first call's are zeros
NEW = {"q": "f32 B 4 T 6", "k": "f32 B 2 T 6", "v": "f32 B 2 T 6"}


def after(past, k, v):
    """Keys and values behind `past` rows of zeros, for twice as many heads."""
    zeros = np.zeros((*k.shape[:2], past, k.shape[3]))
    return (o.repeat_heads(o.concat([zeros, x], 2), 2) for x in (k, v))


case("cache_contiguous", "m.attend(q, k, v, past)", NEW | {"past": "i64 < 4"}, "B 4 T 6",
     lambda m, q, k, v, past: o.attend(q, *after(past, k, v), o.causal(q.shape[2], past + q.shape[2])), module="ContiguousCache(2, 6)", host={"limit": "T+4"})
case("cache_ring", "m.attend(q, k, v, past)", NEW | {"past": "i64 < 40"}, "B 4 T 6",
     lambda m, q, k, v, past: o.attend(q, *after(past, k, v), o.within(3, q.shape[2], past + q.shape[2])), module="RingCache(2, 6, 3)", host={"slots": "T+5"})
case("cache_of_pages", "m.attend(q, k, v, table, past)", NEW | {"table": "permutation B P", "past": "i64 B < 4"}, "B 4 T 6",
     lambda m, q, k, v, table, past: o.paged_attention(q, k, v, past), module="PagedCache(2, 6, 4)", host={"pages": "B*P"})
case("cache_rows_of_pages", "m.rows(x, table)", {"table": "permutation B P", "x": "f32 B*P 2 4 6"}, "B 2 4*P 6",
     lambda m, table, x: o.rows_of_pages(x, table), module="PagedCache(2, 6, 4)")
for name, circular in (("straight", False), ("circular", True)):
    case(f"cache_written_{name}", f"write_rows(cache, rows, at, circular = {str(circular).lower()})",
         {"cache": "f32 B S D", "rows": "f32 B W D", "at": "i64 B < S"}, "B S D",
         lambda cache, rows, at, c=circular: o.write_rows(cache, rows, at, c))

# What gradients are not asked for, and why.
NOT_ASKED = {
    "functions of integers and of constants alone": """seen_before segment_rows uniform next_seed sinusoids frequencies linear_frequencies ntk_frequencies dynamic_frequencies
        yarn_frequencies yarn_scale llama3_frequencies longrope_scale proportional_frequencies everything matrices next_step warm_up cosine step_decay
        bias_correction""",
    "what takes gradients (programs/optimisers.fov)": "global_norm clip_by_norm accumulate sgd momentum nesterov adam adamw lion adafactor ema",
    "what moves states between calls": "ContiguousCache.reorder RingCache.reorder",
}
