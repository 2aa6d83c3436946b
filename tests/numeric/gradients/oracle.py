"""The library's functions, written from their definitions over numbers with bounds. Nothing here is derived from compiler/library."""
import math

import numpy as np

from bounded import (Bounded, bounded, broadcast, concat, cos, einsum, erf, exp, index, largest, log, maximum, mean, reshape, sigmoid, sin, sqrt, tanh,
                     total, transpose, where)

# ---- layers


def linear(x, weight, bias=None):
    letters = "abcdefgh"[: len(x.shape) - 1]
    y = einsum(f"{letters}i,oi->{letters}o", x, weight)
    return y if bias is None else y + bias


def layer_norm(x, eps=1e-5):
    centred = x - mean(x, -1, keep=True)
    return centred / sqrt(mean(centred * centred, -1, keep=True) + eps)


def rms_norm(x, eps=1e-6): return x / sqrt(mean(x * x, -1, keep=True) + eps)
def norm(m, x): return layer_norm(x) * m["weight"] + m["bias"]
def part(m, name): return {path[len(name) + 1:]: value for path, value in m.items() if path.startswith(name + ".")}
def dense(m, x): return linear(x, m["weight"], m.get("bias"))


def kept_by_dropout(shape, rate, seed):
    """The first word of Philox 4x32-10 for each place, as numbers in [0, 1): where they are at least `rate`."""
    count = math.prod(shape)
    mask = np.uint64(0xFFFFFFFF)
    c = [np.arange(count, dtype=np.uint64), np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.zeros(count, np.uint64)]
    k = [seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), b & mask, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), a & mask]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return ((c[0] >> np.uint64(8)).astype(np.float64) * 2.0**-24 >= rate).reshape(shape)


# ---- activations


def relu(x): return maximum(x, 0)
def silu(x): return x * sigmoid(x)
def gelu(x): return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))
def gelu_tanh(x): return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def shifted(x, axis):
    """Elements less the largest that is not hidden, which changes no softmax: a constant."""
    top = x.value.max(axis, keepdims=True)
    return x - Bounded(np.where(np.isfinite(top), top, 0))


def softmax(x, axis=-1, seen=True):
    """Weights of what is `seen` (bools); all 0 where nothing is."""
    seen = np.broadcast_to(seen, x.shape)
    e = where(seen, exp(shifted(where(seen, x, -30), axis)), 0)
    z = total(e, axis, keep=True)
    return e / where(seen.any(axis, keepdims=True), z, 1)


def logsumexp(x, axis=-1, keep=False, seen=True):
    """Of what is `seen`; 0 where nothing is."""
    seen = np.broadcast_to(seen, x.shape)
    shown = where(seen, x, -30)
    some, top = seen.any(axis, keepdims=True), Bounded(shown.value.max(axis, keepdims=True))
    z = total(where(seen, exp(shown - top), 0), axis, keep=True)
    y = where(some, log(where(some, z, 1)) + top, 0)
    return y if keep else reshape(y, y.value.squeeze(axis).shape)


def log_softmax(x, axis=-1): return x - logsumexp(x, axis, keep=True)
def entropy(w): return -total(w * log(where(w.value == 0, 1, w)), -1)
def normalize(x, axis=-1, eps=1e-12): return x / sqrt(maximum(total(x * x, axis, keep=True), eps**2))


# ---- attention


def scores(q, k): return einsum("bhtd,bhsd->bhts", q, k) / math.sqrt(q.shape[-1])
def attend(q, k, v, seen=True, factor=None, bias=0):
    """`factor`, of the weights' shape: what they are multiplied by, but not their sum."""
    weights = softmax(scores(q, k) + bias, seen=seen)
    return einsum("bhts,bhse->bhte", weights * factor(weights.shape) if factor else weights, v)


def attend_to_pieces(q, keys, values, biases, seen=True):
    """Keys of several tensors, each with a bias."""
    of_keys = lambda bias, k: broadcast(bias, (*q.shape[:3], k.shape[2]))
    return attend(q, concat(keys, 2), concat(values, 2), seen, bias=concat([of_keys(bias, k) for bias, k in zip(biases, keys)], 3))


def causal(t, s):
    return np.arange(t)[:, None] + (s - t) >= np.arange(s)


def split_heads(x, heads):
    b, t, d = x.shape
    return transpose(reshape(x, (b, t, heads, d // heads)), (0, 2, 1, 3))


def merge_heads(x):
    b, h, t, d = x.shape
    return reshape(transpose(x, (0, 2, 1, 3)), (b, t, h * d))


def repeat_heads(x, times): return index(x, (slice(None), np.arange(times * x.shape[1]) // times))


def multi_head(m, x, memory, heads, seen):
    q, k, v = (split_heads(dense(part(m, name), y), heads) for name, y in (("query", x), ("key", memory), ("value", memory)))
    return dense(part(m, "out"), merge_heads(attend(q, k, v, seen)))


def feed_forward(m, x, activation): return dense(part(m, "down"), activation(dense(part(m, "up"), x)))


def encoder_layer(m, x, heads, visible, pre_norm, activation):
    attention = lambda y: multi_head(part(m, "attention"), y, y, heads, visible[:, None, None, :])
    steps = [attention, lambda y: feed_forward(part(m, "feed_forward"), y, activation)]
    return residuals(m, x, steps, pre_norm)


def decoder_layer(m, x, memory, heads, visible, pre_norm, activation):
    t = x.shape[1]
    steps = [lambda y: multi_head(part(m, "attention"), y, y, heads, causal(t, t)),
             lambda y: multi_head(part(m, "cross_attention"), y, memory, heads, visible[:, None, None, :]),
             lambda y: feed_forward(part(m, "feed_forward"), y, activation)]
    return residuals(m, x, steps, pre_norm)


def residuals(m, x, steps, pre_norm):
    for i, step in enumerate(steps):
        n = part(m, f"norm{i + 1}")
        x = x + step(norm(n, x)) if pre_norm else norm(n, x + step(x))
    return x


# ---- pooling and losses


def masked_mean(x, mask):
    count = np.maximum(mask.sum(1, keepdims=True), 1).astype(float)
    return total(where(mask[..., None], x, 0), 1) / bounded(count)


def class_losses(x, classes, smoothing=0.0):
    right = np.arange(x.shape[-1]) == classes[..., None]
    weight = np.where(right, 1 - smoothing, 0) + smoothing / x.shape[-1]
    return -total(bounded(weight) * log_softmax(x), -1)


def mse(x, y):
    d = x - y
    return mean(d * d)


# ---- positions


def angles(positions, frequencies): return bounded(positions)[..., None] * frequencies


def frequencies(dim, base=10000.0):
    """Known to a relative error of that of their exponents, which a program computes in floats as well."""
    exponents = np.arange(dim // 2) * (-2 * math.log(base) / dim)
    return exp(bounded(exponents) * 1.0)


def turn(x, c, s, pairs):
    """Pairs of places (i, i + R), or (2i, 2i + 1), by angles of cosines c and sines s; what stands after them stays."""
    r = c.shape[-1]
    first, second = ((slice(0, 2 * r, 2), slice(1, 2 * r, 2)) if pairs else (slice(0, r), slice(r, 2 * r)))
    a, b = x[..., first], x[..., second]
    left, right = a * c - b * s, b * c + a * s
    if pairs:
        turned = reshape(concat([left[..., None], right[..., None]], -1), (*left.shape[:-1], 2 * r))
    else:
        turned = concat([left, right], -1)
    return concat([turned, x[..., 2 * r:]], -1)


def rope(x, offset=0, pairs=False):
    angle = angles(np.arange(x.shape[-2]) + offset, frequencies(x.shape[-1]))
    return turn(x, cos(angle), sin(angle), pairs)


# ---- windows


def windows(x, width, stride=1):
    count = (x.shape[-2] - width) // stride + 1
    rows = np.arange(count)[:, None] * stride + np.arange(width)
    return index(x, (*(slice(None),) * (len(x.shape) - 2), rows))


def pad_rows(x, count):
    zeros = np.zeros((x.shape[0], count, x.shape[2]))
    return concat([zeros, x, zeros], 1)


def conv1d(m, x, width, stride=1, padding=0):
    y = einsum("btwi,oiw->bto", windows(pad_rows(x, padding), width, stride), m["weight"])
    return y + m["bias"] if "bias" in m else y


def causal_conv(x, weight, past):
    rows = concat([past, x], 1)
    return einsum("btwc,cw->btc", windows(rows, weight.shape[1]), weight), rows[:, x.shape[1]:]


def patches(m, x, size):
    b, c, h, w = x.shape
    cut = transpose(reshape(x, (b, c, h // size, size, w // size, size)), (0, 2, 4, 1, 3, 5))
    y = einsum("bijcpq,dcpq->bijd", cut, m["weight"]) + m["bias"]
    return reshape(y, (b, h // size * (w // size), y.shape[-1]))


# ---- attention without softmax


def cumulative_sum(x):
    ones = np.tril(np.ones((x.shape[-1], x.shape[-1])))
    letters = "abcdefgh"[: len(x.shape) - 1]
    return einsum(f"{letters}j,tj->{letters}t", x, ones)


def linear_attention(q, k, v, normalised=False):
    w = where(causal(q.shape[-2], k.shape[-2]), einsum("bhtd,bhsd->bhts", q, k), 0)
    y = einsum("bhts,bhse->bhte", w, v)
    return y / total(w, -1, keep=True) if normalised else y


def gated_linear_attention(q, k, v, log_keep, state):
    c = cumulative_sum(log_keep)
    last = c[..., -1:]
    t = q.shape[-2]
    decay = where(np.tril(np.ones((t, t), bool)), exp(where(np.tril(np.ones((t, t), bool)), c[..., :, None] - c[..., None, :], 0)), 0)
    within = einsum("bhts,bhse->bhte", decay * einsum("bhtd,bhsd->bhts", q, k), v)
    before = einsum("bhtd,bhde->bhte", q * exp(c)[..., None], state)
    written = einsum("bhtd,bhte->bhde", k * exp(last - c)[..., None], v)
    return within + before, state * exp(last)[..., None] + written


def linear_write(state, k, v): return state + k[..., None] * v[..., None, :]


def delta_write(state, k, v, rate):
    known = einsum("bhd,bhde->bhe", k, state)
    return linear_write(state, k, rate[..., None] * (v - known))


# ---- segments


def segment_rows(offsets, n):
    return (np.arange(n) >= offsets[:-1, None]) & (np.arange(n) < offsets[1:, None])


def segment_sum(x, offsets): return einsum("mn,nd->md", segment_rows(offsets, x.shape[0]).astype(float), x)
def segment_mean(x, offsets): return segment_sum(x, offsets) / bounded(np.maximum(np.diff(offsets), 1)[:, None])


def segment_heads(m, x, segment, heads):
    return reshape(multi_head(m, reshape(x, (1, *x.shape)), reshape(x, (1, *x.shape)), heads, segment[:, None] == segment), x.shape)


# ---- caches


def within(window, t, s):
    distance = np.arange(t)[:, None] + (s - t) - np.arange(s)
    return (distance >= 0) & (distance < window)


def paged_attention(q, k, v, past):
    """Each sequence behind its own number of rows of zeros."""
    one = lambda x, b: x[b:b + 1]
    results = []
    for b, count in enumerate(past):
        zeros = np.zeros((1, k.shape[1], count, k.shape[3]))
        keys, values = (repeat_heads(concat([zeros, one(x, b)], 2), 2) for x in (k, v))
        results.append(attend(one(q, b), keys, values, causal(q.shape[2], count + q.shape[2])))
    return concat(results, 0)


def rows_of_pages(x, table):
    b, n = table.shape
    return reshape(transpose(x[table], (0, 2, 1, 3, 4)), (b, x.shape[1], n * x.shape[2], x.shape[3]))


def write_rows(cache, rows, at, circular):
    b, s, _ = cache.shape
    n = rows.shape[1]
    place = np.arange(s) - at[:, None]
    place = place % s if circular else place
    new = index(rows, (np.arange(b)[:, None], np.clip(place, 0, n - 1)))
    return where(((place >= 0) & (place < n))[..., None], new, cache)
