"""What NumPy says, in float64, to the entries of tests/numeric/unfused.fov: hidden values are 0 here, and NaN there."""
import numpy as np

from .attention import SIZES, inputs, scores, softmax  # noqa: F401 (SIZES and inputs are make_attention's)


def masked(q, k, seen):
    return np.where(seen[:, None, None, :], scores(q, k), -np.inf)


def summed(w, v, seen):
    return np.einsum("bhts,bhse->bte", w, np.where(seen[:, None, :, None], v, 0))


def over_heads(q, k, v, seen):
    return summed(softmax(masked(q, k, seen)), v, seen)


def on_the_right(q, k, v, seen):
    return over_heads(q, k, v, seen).mT


def changed(q, k, v, seen):
    s = masked(q, k, seen)
    return summed(softmax(s).astype(np.float16).astype(float) * 2 - softmax(s / 2), v, seen)


def exponentials(q, k, v, seen):
    w = np.exp(masked(q, k, seen))
    with np.errstate(divide="ignore"):
        return {"y": summed(w, v, seen), "inverse": 1 / w[:, 0]}


def underflown(q, k, v, seen):
    s = np.where(seen[:, None, None, :], np.where(np.arange(k.shape[-2]) == 0, -1000, scores(q, k)), -np.inf)
    y = summed(softmax(s), v, seen)
    y[:, :, 1] = np.nan
    return y


def negative(q, k, v, seen):
    return -underflown(q, k, v, seen)


ENTRIES = [over_heads, on_the_right, changed, exponentials, underflown, negative]

# Weights rounded to 16 bits are off by 2^-12 of themselves, for each of three heads, and the same beside a neighbour in f32 and f64.
# Exponentials of scores up to 5, and their inverses, are up to 150, and some hundred are summed.
TOLERANCES = {"changed": 2**-9, "exponentials": 5e-3}
