"""The rows of the table: what is run, what it has to compute and to read, and how near the limit it is meant to come."""
import dataclasses

# Which two-thread rows come with which goal depends on what binds them: times as fast as one thread, or share of what two
# threads read.
TWO_THREADS_SPEEDUP = 1.90
TWO_THREADS_READING = 0.85


@dataclasses.dataclass
class Row:
    name: str
    model: str  # path of the source
    entry: str
    inputs: list  # as fovea-bench takes them
    flops: int
    bytes: int  # weights, inputs and outputs: each has to be read or written once
    goal: float | None = None  # share of the limit
    sets: dict = dataclasses.field(default_factory=dict)  # the model's parameters
    sizes: dict = dataclasses.field(default_factory=dict)  # of states
    weights: dict | str | None = None  # shapes of random ones; or the name of published ones
    threads: int = 1
    cold: bool = False
    weights_dtype: str = "f32"  # what constant matrices are kept in
    matmul_precision: str = "f32"  # what products with them round both operands to
    dot_flops: int = 0  # of `flops`, those of such products
    memory_goal: float | None = None  # of what PyTorch's process has resident at most
    peer: dict | None = None  # the same work in benchmarks/peers/peers.py's terms

    def with_threads(self, threads):
        return dataclasses.replace(self, name=f"{self.name}, {threads} threads", threads=threads, goal=None)

    def when_cold(self):
        return dataclasses.replace(self, name=self.name + ", cold", cold=True, goal=None)


SEEN = {"causal": None, "sloped": None, "window": 256, "mixed": 1024}  # keys up to the query's own that it sees; None: all of these

DOCUMENT = 256  # keys of each document


def attention(entry, s, goal=None):
    """B 1, H 12, D 64: two matmuls of S x S x D a head, of which pairs that a mask hides don't count."""
    heads, d = 12, 64
    pairs = s * s
    if entry in SEEN:
        n = min(s, SEEN[entry] or s)
        pairs = n * (n + 1) // 2 + (s - n) * n
    if entry == "documents":
        pairs = s * DOCUMENT
    shape = f"1,{heads},{s},{d}"
    biased = entry == "biased"
    captured = {"biased": [f"{heads},{s},{s}"], "mixed": [f"{heads}"], "documents": [f"{s}/{DOCUMENT}"]}.get(entry, [])
    return Row(f"attention {entry} {s}", "benchmarks/models/attention.fov", entry,
               [shape] * 3 + captured, flops=4 * heads * d * pairs,
               bytes=4 * heads * s * (4 * d + (s if biased else 0)), goal=goal,
               peer=dict(kind="attention", heads=heads, s=s, d=d, entry=entry))


def interleaved(s, heads):
    """Full attention between heads of 64 that lie side by side in a row."""
    d = 64
    return Row(f"attention interleaved {s}, {heads} heads", "benchmarks/models/heads.fov", "interleaved", [f"1,{s},{heads * d}"] * 3,
               flops=4 * heads * d * s * s, bytes=4 * heads * s * 4 * d, sets=dict(heads=heads),
               peer=dict(kind="attention", heads=heads, s=s, d=d, entry="interleaved"))


def gradients(entry, s, goal):
    """The same shapes forward and back: two products, then five, of which one is the forward's own scores again."""
    heads, d = 12, 64
    pairs = s * (s + 1) // 2 if entry in SEEN else s * s
    shape, biased = f"1,{heads},{s},{d}", entry == "biased"
    captured = {"biased": [f"1,{heads},{s},{s}"], "sloped": [f"{heads}"]}.get(entry, [])
    return Row(f"attention gradients {entry} {s}", "benchmarks/models/gradients.fov", entry, [shape] * 4 + captured,
               flops=14 * heads * d * pairs, bytes=4 * heads * s * (7 * d + (2 * s if biased else 0)), goal=goal,
               peer=dict(kind="gradients", heads=heads, s=s, d=d, entry=entry))


def decode(keys, goal):
    """One query of 32 heads in 8 groups, D 128: keys and values are read once."""
    heads, groups, d = 32, 8, 128
    shared = f"1,{groups},{keys},{d}"
    return Row(f"attention decode {keys}", "benchmarks/models/attention.fov", "grouped", [f"1,{groups},4,1,{d}", shared, shared],
               flops=4 * heads * keys * d, bytes=4 * (2 * groups * keys * d + 2 * heads * d), goal=goal,
               peer=dict(kind="decode", heads=heads, groups=groups, keys=keys, d=d))


def matmul(m, n, k, goal):
    return Row(f"matmul {m}x{n}x{k}", "benchmarks/models/matmul.fov", "run", [f"{m},{k}"], flops=2 * m * n * k,
               bytes=4 * (n * k + m * k + m * n), goal=goal, sets=dict(inner=k, outer=n), weights={"weight": [n, k]},
               peer=dict(kind="matmul", m=m, n=n, k=k))


def encoder_work(batch, tokens, layers, dim, hidden):
    """(flops, bytes) of a BERT encoder: matmuls and attention; the layers' matrices, biases and norms, the tokens' rows."""
    rows = batch * tokens
    matrices = layers * (4 * dim * dim + 2 * dim * hidden)
    vectors = layers * (9 * dim + hidden)
    flops = 2 * rows * matrices + layers * 4 * batch * tokens * tokens * dim
    return flops, 4 * (matrices + vectors + 2 * rows * dim) + 17 * rows


def minilm(batch, tokens, goal=None):
    flops, size = encoder_work(batch, tokens, 6, 384, 1536)
    ids = f"{batch},{tokens}"
    return Row(f"MiniLM {batch}x{tokens}", "examples/minilm/minilm.fov", "embed", [ids, ids], flops, size, goal, weights="minilm",
               peer=dict(kind="encoder", batch=batch, tokens=tokens, layers=6, dim=384, heads=12, hidden=1536))


def training(batch, tokens, goal, memory_goal):
    """MiniLM's step with a classifier of two classes and Adam: products forward, then as many for inputs and as many for weights. Params
    and both moments are read and written; gradients need not be in memory."""
    layers, dim, hidden, vocab, positions, classes = 6, 384, 1536, 30522, 512, 2
    flops, _ = encoder_work(batch, tokens, layers, dim, hidden)
    params = (layers * (4 * dim * dim + 2 * dim * hidden + 9 * dim + hidden) + (vocab + positions + 2 + 2) * dim + (dim + 1) * classes)
    ids = f"{batch},{tokens}"
    return Row(f"MiniLM {batch}x{tokens}, training step", "benchmarks/models/training.fov", "step", [f"{ids}%{vocab}", ids + "%2", ids, f"{batch}%2"],
               3 * flops, 6 * 4 * params, goal, memory_goal=memory_goal,
               peer=dict(kind="training", batch=batch, tokens=tokens, layers=layers, dim=dim, heads=12, hidden=hidden, classes=classes))


def bert_base(batch, tokens, goal):
    layers, dim, hidden = 12, 768, 3072
    flops, size = encoder_work(batch, tokens, layers, dim, hidden)
    linear = lambda path, out, inner: {path + ".weight": [out, inner], path + ".bias": [out]}
    norm = lambda path: {path + ".weight": [dim], path + ".bias": [dim]}
    weights = {f"embeddings.{name}_embeddings.weight": [count, dim]
               for name, count in (("word", 30522), ("position", 512), ("token_type", 2))} | norm("embeddings.LayerNorm")
    for i in range(layers):
        at = f"encoder.layer.{i}."
        for name in ("query", "key", "value"):
            weights |= linear(f"{at}attention.self.{name}", dim, dim)
        weights |= linear(at + "attention.output.dense", dim, dim) | norm(at + "attention.output.LayerNorm")
        weights |= linear(at + "intermediate.dense", hidden, dim) | linear(at + "output.dense", dim, hidden)
        weights |= norm(at + "output.LayerNorm")
    ids = f"{batch},{tokens}"
    return Row(f"BERT-base {batch}x{tokens}", "benchmarks/models/bert.fov", "encode", [ids, ids + "%2", ids], flops, size, goal,
               weights=weights, peer=dict(kind="encoder", batch=batch, tokens=tokens, layers=layers, dim=dim, heads=12, hidden=hidden))


def gpt2(name, tokens, past, goal, dtype="f32"):
    """GPT-2 small: `tokens` words after `past` others; the scores of one next word. int8 has a scale for each output."""
    layers, dim, vocab, limit = 12, 768, 50257, 1024
    matrices, vectors, head = layers * 12 * dim * dim, layers * 13 * dim, vocab * dim
    seen = tokens * past + tokens * (tokens + 1) // 2
    flops = 2 * tokens * matrices + 2 * head + layers * 4 * seen * dim
    cache = 2 * layers * (past + tokens) * dim
    kept = {"f32": 4, "bf16": 2, "int8": 1}[dtype] * (matrices + head) + (4 * (layers * 9 * dim + vocab) if dtype == "int8" else 0)
    weights = {"wte.weight": [vocab, dim], "wpe.weight": [limit, dim], "ln_f.weight": [dim], "ln_f.bias": [dim]}
    for i in range(layers):
        for norm in ("ln_1", "ln_2"):
            weights |= {f"h.{i}.{norm}.weight": [dim], f"h.{i}.{norm}.bias": [dim]}
        for path, inner, out in (("attn.c_attn", dim, 3 * dim), ("attn.c_proj", dim, dim), ("mlp.c_fc", dim, 4 * dim),
                                 ("mlp.c_proj", 4 * dim, dim)):
            weights |= {f"h.{i}.{path}.weight": [inner, out], f"h.{i}.{path}.bias": [out]}
    return Row(f"GPT-2 {name}", "benchmarks/models/gpt2.fov", "next", [f"1,{tokens}", f"={past}"], flops,
               kept + 4 * (vectors + cache + tokens * dim + vocab), goal, sizes=dict(limit=limit), weights=weights,
               weights_dtype=dtype, peer=dict(kind="decoder", tokens=tokens, past=past) if dtype == "f32" else None)


def rounded(row, precision, matrices, products):
    """The row with its products in bf16 or int8, of which `products` is the flops; so are the constant `matrices`, numbers."""
    kept = {"bf16": 2, "int8": 1}[precision]
    return dataclasses.replace(row, name=f"{row.name}, {precision} products", matmul_precision=precision, dot_flops=products,
                               bytes=row.bytes - (4 - kept) * matrices, goal=None, peer=None)


def rounded_rows():
    encoder = 6 * (4 * 384 * 384 + 2 * 384 * 1536)
    for precision in ("bf16", "int8"):
        for m, n, k in ((512, 3072, 768), (16, 768, 768), (1, 3072, 768)):
            yield rounded(matmul(m, n, k, None), precision, n * k, 2 * m * n * k)
        for batch, tokens in ((1, 16), (8, 128)):
            yield rounded(minilm(batch, tokens), precision, encoder, 2 * batch * tokens * encoder)


def one_thread():
    for s, goal in ((128, .80), (512, .83), (1024, .85), (2048, .85), (4096, .85)):
        yield attention("full", s, goal)
    for s, goal in ((128, .65), (512, .76), (1024, .80), (2048, .82), (4096, .83)):
        yield attention("causal", s, goal)
    yield interleaved(1024, 12)
    yield interleaved(1024, 16)
    yield attention("biased", 1024)
    yield attention("window", 4096)
    yield attention("mixed", 4096)
    yield attention("documents", 4096)
    for s in (1024, 2048, 4096):
        yield gradients("full", s, .80)
        yield gradients("causal", s, .76)
    yield gradients("sloped", 1024, .72)
    yield gradients("biased", 1024, .72)
    for keys, goal in ((1024, .60), (4096, .80), (16384, .85)):
        yield decode(keys, goal)
    for m, n, k in ((128, 384, 384), (128, 1536, 384), (128, 384, 1536), (512, 768, 768), (512, 3072, 768), (2048, 768, 768)):
        yield matmul(m, n, k, .91 if (m, n, k) == (512, 3072, 768) else .93)
    for m, n, k in ((1, 768, 768), (1, 3072, 768), (2, 768, 768), (3, 768, 768), (4, 768, 768), (6, 768, 768), (8, 768, 768), (16, 768, 768)):
        yield matmul(m, n, k, .95 if m <= 2 else .85)
    yield minilm(1, 16, .75)
    yield minilm(1, 127)
    yield minilm(1, 128, .84)
    yield minilm(1, 129)
    yield minilm(1, 128).when_cold()
    yield minilm(8, 128, .86)
    yield training(8, 128, .78, .6)
    yield bert_base(1, 128, .86)
    yield gpt2("prefill 512", 512, 0, .86)
    yield gpt2("decode at 512", 1, 512, .90)
    yield gpt2("decode at 512, bf16", 1, 512, None, "bf16")
    yield gpt2("decode at 512, int8", 1, 512, .75, "int8")
    yield from rounded_rows()


TWO_THREADS = ("attention full 4096", "attention causal 2048", "attention decode 16384", "matmul 2048x768x768", "matmul 1x3072x768",
               "MiniLM 1x16", "MiniLM 1x128", "MiniLM 8x128", "BERT-base 1x128", "GPT-2 prefill 512", "GPT-2 decode at 512")


def table():
    rows = list(one_thread())
    return rows + [row.with_threads(2) for row in rows if row.name in TWO_THREADS]
