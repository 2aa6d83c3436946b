"""What NumPy says, in float64, to the entries of tests/numeric/linear.fov: recurrences row by row, segments one by one."""
import numpy as np

from .attention import D, SIZES, apply, inputs, scores, sigmoid, softmax  # noqa: F401 (SIZES and inputs are make_attention's)


def recurrence(q, k, v, keep):
    """y and the last state; `keep` [B, H, S] is what the state keeps of itself before each row."""
    state, rows = np.zeros((*k.shape[:2], k.shape[-1], v.shape[-1])), []
    for t in range(k.shape[2]):
        state = state * keep[..., t, None, None] + k[..., t, :, None] * v[..., t, None, :]
        rows.append(np.einsum("bhd,bhde->bhe", q[..., t, :], state))
    return np.stack(rows, 2), state


def ones(k):
    return np.ones(k.shape[:-1])


def reordered(q, k, v, seen):
    return apply(scores(q, k) / 3 * seen[:, None, None, :], v)


def normalised(q, k, v):
    w = scores(np.exp(q), np.exp(k))
    return apply(w / w.sum(-1, keepdims=True), v)


def causal(k, v):
    return recurrence(k[..., ::-1], k, v, ones(k))[0]


def causal_normalised(k, v):
    q, k = np.exp(k[..., ::-1]), np.exp(k)
    return recurrence(q, k, v, ones(k))[0] / recurrence(q, k, ones(k)[..., None], ones(k))[0]


def retention(k, v, sinks):
    return recurrence(k[..., ::-1], k, v, ones(k) * sigmoid(sinks)[:, None])[0]


def halves(k, v):
    k, v = (x.astype(np.float16).astype(float) for x in (k, v))
    return recurrence(k[..., ::-1], k, v, ones(k))[0]


def gated(k, v):
    y, state = recurrence(k[..., ::-1], k, v, np.exp(-abs(k[..., 0])))
    return {"y": y, "state": state}


def sums(v):
    return v.cumsum(2).swapaxes(-1, -2)


def segments(k):
    return np.arange(k.shape[2]) ** 2 // 1000


def within_segments(k, v):
    segment = segments(k)
    s = np.where(segment[:, None] == segment, scores(k[..., ::-1], k) / np.sqrt(D), -np.inf)
    return apply(softmax(s), v)


def of_segments(k, v):
    segment, rows = segments(k), v[0, 0]
    results = {name: np.zeros((20, v.shape[-1])) for name in ("cross", "sum", "mean")}
    for i in range(20):
        mine = segment == i
        if mine.any():
            w = softmax(k[0, 0, i] @ k[0, 0, mine].T / np.sqrt(D))
            results["cross"][i], results["sum"][i], results["mean"][i] = w @ rows[mine], rows[mine].sum(0), rows[mine].mean(0)
    return results


ENTRIES = [reordered, normalised, causal, causal_normalised, retention, halves, gated, sums, within_segments, of_segments]

# Sums of up to 131 values of size 3, where the bound of the others is for results around 1; 16-bit results are off by 2^-11 of
# themselves, up to 60.
TOLERANCES = {"causal": 1e-4, "halves": 2**-5}
