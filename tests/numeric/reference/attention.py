"""What NumPy says, in float64, to the entries of tests/numeric/attention.fov and attention_joined.fov: every formula with the whole scores."""
import numpy as np

SIZES = {"many": (2, 3, 37, 70), "few": (2, 2, 3, 131)}  # B, H, T, S: queries in the lanes, keys in the lanes
D, E, C = 9, 18, 5


def inputs(size, seed):
    """Arguments by name. The second half of the first batch's keys is hidden, and all of the last batch's but one."""
    generator = np.random.default_rng(seed)
    b, h, t, s = SIZES[size]

    def uniform(*shape, largest=1.0):
        return generator.uniform(-largest, largest, shape).astype(np.float32)

    seen = np.ones((b, s), bool)
    seen[0, s // 2:] = False
    seen[-1, 1:] = False
    return {"q": uniform(b, h, t, D), "k": uniform(b, h, s, D), "v": uniform(b, h, s, E), "seen": seen,
            "sinks": uniform(h, largest=3), "query_sinks": uniform(b, h, t, largest=3),
            "rows": np.array([t - 1, 0, t // 2, 0]), "heads": np.array([h - 1, 0]),
             "a": uniform(b, h, t, C), "b": uniform(b, s, C), "places": uniform(h, s + t - 1, D), "near": uniform(h, 80, D),
            "pairs": uniform(b, 2 * h, t, D), "gates": uniform(2 * h),
            "biases": uniform(h, t, s), "shown": uniform(t, s) < 0.5}


def scores(q, k):
    return np.einsum("bhtd,bhsd->bhts", q, k)


def apply(weights, v):
    return np.einsum("bhts,bhse->bhte", weights, v)


def gap(q, k):
    t, s = q.shape[-2], k.shape[-2]
    return np.arange(t)[:, None] + s - t - np.arange(s)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, sink=None):
    m = x.max(-1, keepdims=True)
    if sink is not None:
        m = np.maximum(m, sink)
    e = np.exp(x - m)
    return e / (e.sum(-1, keepdims=True) + (0 if sink is None else np.exp(sink - m)))


def hide(seen, x, by=-np.inf):
    return np.where(seen[:, None, None, :], x, by)


def sigmoid_causal(q, k, v):
    return apply(sigmoid(scores(q, k) / np.sqrt(D)) * (gap(q, k) >= 0), v)


def sigmoid_padded(q, k, v, seen):
    return apply(hide(seen, sigmoid(scores(q, k) / np.sqrt(D)), 0), v)


def squared_relu(q, k, v, seen):
    return apply(hide(seen, np.maximum(scores(q, k), 0) ** 2, 0), v) / k.shape[-2]


def relu_normalised(q, k, v, seen):
    w = hide(seen, np.maximum(scores(q, k), 0) ** 2, 0)
    return apply(w, v) / (w.sum(-1, keepdims=True) + 0.125)


def multiplied(q, k, v, seen):
    return apply(softmax(hide(seen, scores(q, k))), v)


def retention(q, k, v, seen):
    return apply(hide(seen, scores(q, k) * np.where(gap(q, k) >= 0, 0.9 ** gap(q, k).astype(float), 0), 0), v)


def sink(q, k, v, sinks):
    return apply(softmax(scores(q, k), sinks[:, None, None]), v)


def sink_by_hand(q, k, v, sinks, seen):
    return apply(softmax(hide(seen, scores(q, k)), sinks[:, None, None]), v)


def sink_of_query(q, k, v, query_sinks):
    return apply(softmax(scores(q, k), query_sinks[..., None]), v)


def off_by_one(q, k, v):
    return apply(softmax(scores(q, k), 0.0), v)


def logsumexp(x):
    m = x.max(-1)
    return m + np.log(np.exp(x - m[..., None]).sum(-1))


def log_sums(q, k, v, seen):
    s = scores(q, k) / np.sqrt(D)
    return {"y": apply(softmax(hide(seen, s)), v), "l": logsumexp(hide(seen, s)), "u": logsumexp(s)}


def log_sum_alone(q, k):
    return logsumexp(8 * scores(q, k))


def weights_too(q, k, v, seen):
    w = softmax(hide(seen, scores(q, k)))
    return {"y": apply(w, v), "w": w, "mean": w.mean(1), "last": w[..., -1, :]}


def nothing_seen(q, k, v):
    """The first query sees the first key, the others none."""
    w = np.zeros(scores(q, k).shape)
    w[..., 0, 0] = 1
    sums = np.full(q.shape[:-1], -np.inf)
    sums[..., 0] = scores(q, k)[..., 0, 0]
    return {"y": apply(w, v), "w": w, "l": sums}


def entropy(w):
    return -np.where(w == 0, 0, w * np.log(np.where(w == 0, 1, w))).sum(-1)


def top_k(x, count):
    """The largest along the last axis, of equal ones the first, and their places."""
    order = np.argsort(-x, axis=-1, kind="stable")[..., :count]
    return np.take_along_axis(x, order, -1), order


def sums(q, k, v, seen):
    w = softmax(hide(seen, 8 * scores(q, k)))
    return {"y": apply(w, v), "entropy": entropy(w), "mass": w.sum(-2), "heads": w.mean((1, 2)), "squares": (w * w).sum(-1)}


def causal(x):
    t, s = x.shape[-2:]
    return np.where(np.arange(t)[:, None] + s - t >= np.arange(s), x, -np.inf)


def sums_alone(q, k):
    w = softmax(causal(8 * scores(q, k)))
    return {"entropy": entropy(w), "mass": w.sum(-2)}


def sums_of_sinks(q, k, v, sinks, query_sinks):
    w, u = softmax(scores(q, k), sinks[:, None, None]), softmax(scores(q, k), query_sinks[..., None])
    return {"y": apply(w, v), "entropy": entropy(w), "mass": u.sum(-2), "largest": top_k(u, 2)[0]}


def largest(q, k, v, seen):
    w = softmax(causal(hide(seen, 8 * scores(q, k))))
    values, keys = top_k(w, 5)
    return {"y": apply(w, v), "values": values, "keys": keys, "most": w.max(-1), "place": w.argmax(-1)}


def joined_sums(pairs, k, v, gates):
    k, v = np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1)
    w = softmax(causal(4 * scores(pairs, k)))
    return {"y": apply(w, v), "heads": w.mean(1), "gated": np.einsum("bhts,h->bts", w, gates), "mass": w.mean((1, 2), keepdims=True),
            "squares": (w * w).sum((2, 3)), "summed": apply(w, v).sum(1)}


def extremes(pairs, k):
    w = softmax(4 * scores(pairs, np.repeat(k, 2, axis=1)))
    return {"heads": w.max(1), "columns": w.max(-2), "least": w.min(-1, keepdims=True), "doubled": 2 * w.max(-1), "rows": w.max((1, 3)),
            "all": w.max((1, 2, 3))}


def nearest(q, k):
    values, indices = top_k(-scores(q, k), k.shape[-2])
    return {"values": values, "indices": indices}


def chosen(q, k, v, rows, heads):
    w = softmax(causal(scores(q, k)))
    return {"y": apply(w, v), "w": w[:, heads][..., rows, :]}


def differential(q, k, v, sinks):
    one, other = (softmax(np.where(gap(q, k) >= 0, scores(x, k), -np.inf)) for x in (q, q[..., ::-1]))
    return apply(one - sinks[:, None, None] * other, v) / 2


def renormalised(q, k, v, seen):
    return apply(softmax(hide(seen, scores(q, k))), v)


def chosen_after(q, k, v, seen):
    return apply(hide(seen, softmax(np.where(gap(q, k) >= 0, scores(q, k), -np.inf)), 0), v)


def over_queries(q, k, v):
    return apply(softmax(scores(q, k).swapaxes(-1, -2)).swapaxes(-1, -2), v) / k.shape[-2]


def narrow_weights(q, k, v):
    """Without the rounding of the weights: see TOLERANCES."""
    return apply(softmax(scores(q, k)), v)


def eight_keys(q, k, v):
    return apply(softmax(scores(q, k[..., :8, :])), v[..., :8, :])


def cached(q, k, v):
    return apply(softmax(scores(q, np.concatenate([k, 2 * k], 2))), np.concatenate([v, -v], 2))


def cached_apart(q, k, v):
    return apply(softmax(scores(q, np.concatenate([k, 2 * k], 2)) / 3), np.concatenate([v, -v / 2], 2))


def shared_scores(a, b):
    return np.einsum("bhtc,bsc->bhts", a, b)


def joined_products(q, k, v, a, b):
    return apply(softmax(scores(q, k) / np.sqrt(D) + shared_scores(a, b)), v)


def joined_amid(q, k, v, a, b, sinks, seen):
    s = (scores(q, k) - sinks[:, None, None] * shared_scores(a, b)) / 3 + 0.01 * gap(q, k)
    return apply(softmax(hide(seen, s + shared_scores(q[..., :C], 2 * b))), v)


def joined_weights(q, k, v, a, b):
    return apply(sigmoid(scores(q, k) + shared_scores(a, b)), v) / k.shape[-2]


def joined_features(q, k, v, a, b):
    return apply(softmax(scores(q, k) + shared_scores(a, b)), v)


def joined_queries(q, k, v, a, b):
    return {"y": apply(softmax(scores(q, k) + shared_scores(a, b)), v), "l": logsumexp(scores(q, k) + shared_scores(a, b))}


def latent(q, b):
    """All heads share keys, and values that are a part of them."""
    return np.einsum("bhts,bsc->bhtc", softmax(shared_scores(q[..., :C], b) + shared_scores(q[..., C:C + 2], b[..., :2] ** 2)), b)


def wide_heads(q, k, v):
    """576 features."""
    return apply(softmax(scores(q, k) * 64 / 576), v)


def narrow_heads(q, k, v):
    return apply(softmax(scores(q[..., :1], k[..., :1])), v[..., :1])


def rotated_pairs(q, k, v):
    """Pairs as complex numbers, of which the scores see the difference of the angles."""
    t, s = q.shape[-2], k.shape[-2]
    frequencies = 10000.0 ** (-np.arange(4) / 4)
    turned = lambda x, places: (x[..., 0:8:2] + 1j * x[..., 1:8:2]) * np.exp(1j * places[:, None] * frequencies)
    products = turned(q, np.arange(t) + s - t) @ np.conj(turned(k, np.arange(s))).swapaxes(-1, -2)
    return apply(softmax(products.real / np.sqrt(8)), v)


def relative_positions(q, k, v, places):
    """As in Transformer-XL: content and positions, each with a bias for all queries."""
    positions = np.einsum("bhtd,hpd->bhtp", q - 0.25, places)
    t = q.shape[-2]
    shifted = np.take_along_axis(positions, np.broadcast_to(gap(q, k) + t - 1, (*q.shape[:2], t, k.shape[-2])), -1)
    return apply(softmax((scores(q + 0.5, k) + shifted) / np.sqrt(D)), v)


def at_places(product, of, places):
    """product[b, h, of[t, s], places[t, s]]"""
    return product[:, :, of, places]


def transformer_xl(q, k, v, places):
    t, s = q.shape[-2], k.shape[-2]
    rows, columns = np.arange(t)[:, None], np.arange(s)
    x = scores(q, k) + at_places(np.einsum("bhtd,hpd->bhtp", q - 0.25, places), rows, rows - columns + s - 1)
    return apply(softmax(np.where(rows + s - t >= columns, x / np.sqrt(D), -np.inf)), v)


def disentangled(q, k, v, near, seen):
    rows, columns = np.arange(q.shape[-2])[:, None], np.arange(k.shape[-2])
    gap = np.clip(rows - columns + 40, 0, 79)
    x = scores(q, k) + at_places(np.einsum("bhtd,hpd->bhtp", q, near), rows, gap)
    x = x + at_places(np.einsum("bhsd,hpd->bhsp", k, near), columns + 0 * rows, 79 - gap)
    return apply(softmax(np.where(seen[:, None, None, :], x / np.sqrt(3 * D), -np.inf)), v)


def disentangled_shared(q, k, v, near):
    k, v = (np.repeat(x[:, :1], q.shape[1], 1) for x in (k, v))
    rows, columns = np.arange(q.shape[-2])[:, None], np.arange(k.shape[-2])
    gap = np.clip(columns - rows + 40, 0, 79)
    x = scores(q, k) + at_places(np.einsum("bhtd,hpd->bhtp", q, near), rows, gap) / 2
    return apply(softmax(x - at_places(np.einsum("bhsd,hpd->bhsp", k, near), columns + 0 * rows, gap)), v)


def narrow_distances(q, k, v, near):
    rows, columns = np.arange(q.shape[-2])[:, None], np.arange(k.shape[-2])
    narrow = [x.astype(np.float16).astype(float) for x in (q, near)]
    products = np.einsum("bhtd,hpd->bhtp", *narrow).astype(np.float16).astype(float)
    return apply(sigmoid(scores(q, k) + at_places(products, rows, np.minimum(abs(rows - columns), 79))), v) / k.shape[-2]


def cached_causal(q, k, v):
    s = np.concatenate([scores(q, k), causal(2 * scores(q, k))], -1) / np.sqrt(D)
    return apply(softmax(s), np.concatenate([v, -v], 2))


def cached_biased(q, k, v, seen, b, sinks, places):
    t = q.shape[-2]
    far = hide(seen, (scores(q, k) + b[:, None, None, :, 0]) / 3)
    near = causal(scores(q, k) + sinks[:, None, None] * gap(q, k) / 10 + places[:, :t, :1] * places[:, None, t - 1:, 1])
    return apply(softmax(np.concatenate([far, near], -1)), np.concatenate([v, -v], 2))


def cached_tensors(q, k, v, seen, biases, shown):
    x = scores(q, k) / np.sqrt(D)
    pieces = [np.where(shown, x + biases, -np.inf), hide(seen, 2 * x + biases[0, 0]), x + 2 * biases]
    return apply(softmax(np.concatenate(pieces, -1)), np.concatenate([v, -v, v], 2))


def beside(s, others, v):
    """Weights of which those of the others, which come first, are left out."""
    others = np.broadcast_to(others, (*s.shape[:-1], others.shape[-1]))
    return apply(softmax(np.concatenate([others, s], -1))[..., others.shape[-1]:], v)


def sinks_by_hand(q, k, v, sinks, query_sinks, seen):
    ones = np.ones_like(query_sinks)
    return beside(hide(seen, scores(q, k)), np.stack([ones * sinks[:, None], query_sinks, 1.5 * ones], -1), v)


def sinks_left_out(q, k, v, places):
    return beside(scores(q, k), places[:, None, 0], v)


def bucketed(q, k, v, near):
    n = -gap(q, k)
    large = 8 + np.floor(np.log(np.maximum(abs(n), 1) / 8) / np.log(16) * 8 + 0.01).astype(int)
    return apply(softmax(scores(q, k) + near[:, 16 * (n > 0) + np.where(abs(n) < 8, abs(n), np.minimum(large, 15)), 0]), v)


ENTRIES = [sigmoid_causal, sigmoid_padded, squared_relu, relu_normalised, multiplied, retention, sink, sink_by_hand, sink_of_query, off_by_one, log_sums,
           log_sum_alone, weights_too, nothing_seen, sums, sums_alone, sums_of_sinks, largest, joined_sums, extremes, nearest, chosen, differential, renormalised, chosen_after,
           over_queries, narrow_weights, eight_keys, cached, cached_apart, joined_products, joined_amid, joined_weights, joined_features,
           joined_queries, latent, wide_heads, narrow_heads, rotated_pairs, relative_positions, transformer_xl, disentangled, disentangled_shared,
           narrow_distances, cached_causal, cached_biased, cached_tensors, sinks_by_hand, sinks_left_out, bucketed]

# Weights in bf16 are off by half a unit in the last of 8 places, 2^-9 of themselves, and sum to 1; the values are up to 1.
# Weights from a log-sum-exp are off by three roundings of scores up to 24, 4e-6 of themselves; columns sum to at most 37, entropies are at most 5.
# A product of 16 bits may be rounded to either side: at most 2^-9 of it, of which a sigmoid passes on a quarter.
TOLERANCES = {"narrow_distances": 2**-11, "narrow_weights": 2**-9, "sums": 1e-4, "sums_alone": 1e-4, "joined_sums": 1e-4}
