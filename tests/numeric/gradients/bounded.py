"""Numbers in double precision that know how far a computation in floats may be from them, and their gradients.

A `Bounded` is an array of values, and beside each a bound of the distance between the exact value and any computation of it that rounds
each operation by at most u (`UNIT.roundoff`). Operations give the bound of their result from those of their operands (the running error
analysis of Higham, "Accuracy and Stability of Numerical Algorithms", 3.3):

* an elementwise operation: what its operands' bounds come to by its slope, and one rounding of the result; STEPS of them for
  exp, log and other functions that are not exact to the last bit;
* a sum of n terms in any order: the sum of their bounds, and n roundings of the sum of their magnitudes.

Every operation knows its rule of the way back, which is written with the same operations. So a gradient has a bound that follows from the
rules, and is itself an expression that can be differentiated again.
"""
import math

import numpy as np
from types import SimpleNamespace

UNIT = SimpleNamespace(roundoff=2.0**-24)
TINY = 1e-37  # what may be flushed to zero, or lost below the least normal number
STEPS = 8  # roundings of a function that is approximated


class Bounded:
    """An array with a bound of its error. `parents` are pairs of an operand and the rule that gives its part of a gradient."""

    def __init__(self, value, error=None, parents=()):
        self.value = np.asarray(value, np.float64)
        self.error = np.zeros(self.value.shape) if error is None else np.broadcast_to(error, self.value.shape)
        self.parents = parents

    shape = property(lambda self: self.value.shape)
    __array_ufunc__ = None  # NumPy's arrays leave `array * bounded` to us

    def __add__(self, other): return add(self, other)
    def __radd__(self, other): return add(self, other)
    def __sub__(self, other): return add(self, -bounded(other))
    def __rsub__(self, other): return add(-self, other)
    def __mul__(self, other): return mul(self, other)
    def __rmul__(self, other): return mul(self, other)
    def __truediv__(self, other): return div(self, other)
    def __rtruediv__(self, other): return div(other, self)
    def __neg__(self): return Bounded(-self.value, self.error, [(self, lambda g: -g)])
    def __getitem__(self, key): return index(self, key)


def bounded(x):
    """A number of the formula: where it is no float, programs and the interpreter have the nearest one."""
    if isinstance(x, Bounded):
        return x
    value = np.asarray(x, np.float64)
    with np.errstate(over="ignore"):
        inexact = np.isfinite(value) & (value != value.astype(np.float32))
    return Bounded(value, np.where(inexact, 2.0**-24 * abs(value), 0))


def rounded(value, error, steps=1):
    """`error`, and so many roundings of the value."""
    return error + steps * (UNIT.roundoff * (abs(value) + error) + TINY)


def sum_to(g, shape):
    """A gradient of what was broadcast from `shape`."""
    if g.shape == shape:
        return g
    extra = len(g.shape) - len(shape)
    axes = tuple(range(extra)) + tuple(extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1)
    return reshape(total(g, axes), shape)


# ---- elementwise


def add(a, b):
    a, b = bounded(a), bounded(b)
    value = a.value + b.value
    return Bounded(value, rounded(value, a.error + b.error), [(a, lambda g: sum_to(g, a.shape)), (b, lambda g: sum_to(g, b.shape))])


def mul(a, b):
    a, b = bounded(a), bounded(b)
    value = a.value * b.value
    error = abs(a.value) * b.error + abs(b.value) * a.error + a.error * b.error
    return Bounded(value, rounded(value, error), [(a, lambda g: sum_to(g * b, a.shape)), (b, lambda g: sum_to(g * a, b.shape))])


def div(a, b):
    a, b = bounded(a), bounded(b)
    value = a.value / b.value
    least = abs(b.value) - b.error
    assert np.all(least > 0), "a divisor that may be 0 has no bound"
    error = (a.error + abs(value) * b.error) / least
    return Bounded(value, rounded(value, error, 2), [(a, lambda g: sum_to(g / b, a.shape)), (b, lambda g: sum_to(-(g * (a / b) / b), b.shape))])


def function(x, value, error, back, steps=STEPS):
    return Bounded(value, rounded(value, error, steps), [(x, back)])


def exp(x):
    value = np.exp(x.value)
    y = function(x, value, value * np.expm1(np.where(value == 0, 0, x.error)), lambda g: g * y)
    return y


def log(x):
    assert np.all(x.error < x.value), "a logarithm of what may be 0 has no bound"
    return function(x, np.log(x.value), -np.log1p(-x.error / x.value), lambda g: g / x)


def sqrt(x):
    assert np.all(x.error < x.value), "a root of what may be 0 has no bounded slope"
    y = function(x, np.sqrt(x.value), x.error / (2 * np.sqrt(x.value - x.error)), lambda g: g / (2 * y))
    return y


def tanh(x):
    value = np.tanh(x.value)
    y = function(x, value, (1 - value**2) * x.error + x.error**2, lambda g: g * (1 - y * y))  # |f''| < 1
    return y


def sigmoid(x):
    value = 1 / (1 + np.exp(-x.value))
    y = function(x, value, value * (1 - value) * x.error + x.error**2, lambda g: g * (y * (1 - y)))
    return y


def erf(x):
    slope = 2 / math.sqrt(math.pi)
    value = np.vectorize(math.erf, otypes=[float])(x.value)
    return function(x, value, slope * np.exp(-x.value**2) * x.error + x.error**2, lambda g: g * (slope * exp(-(x * x))))  # |f''| < 1


def sin(x): return function(x, np.sin(x.value), abs(np.cos(x.value)) * x.error + x.error**2, lambda g: g * cos(x))
def cos(x): return function(x, np.cos(x.value), abs(np.sin(x.value)) * x.error + x.error**2, lambda g: -(g * sin(x)))


def where(condition, a, b):
    """`condition` is an array of bools; what is not chosen has no gradient, whatever it is."""
    a, b = bounded(a), bounded(b)
    value, error = np.where(condition, a.value, b.value), np.where(condition, a.error, b.error)
    return Bounded(value, error, [(a, lambda g: sum_to(where(condition, g, 0), a.shape)), (b, lambda g: sum_to(where(condition, 0, g), b.shape))])


def maximum(x, least):
    """The larger of x and a number, where they are not so close that a program may choose the other one."""
    chosen = x.value > least
    assert np.all(abs(x.value - least) > x.error), "a choice that rounding may change"
    return where(chosen, x, least)


# ---- sums and products


def total(x, axis=None, keep=False):
    axes = tuple(range(len(x.shape))) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = tuple(a % len(x.shape) for a in axes)
    count = math.prod(x.shape[a] for a in axes)
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    value, error = x.value.sum(axes, keepdims=keep), x.error.sum(axes, keepdims=keep)
    error = error + count * UNIT.roundoff * (abs(x.value) + x.error).sum(axes, keepdims=keep)
    return Bounded(value, error, [(x, lambda g: broadcast(reshape(g, kept), x.shape))])


def mean(x, axis=None, keep=False):
    y = total(x, axis, keep)
    return y / (x.value.size // max(y.value.size, 1))


def largest(x, axis, keep=False):
    """Along an axis, where one is larger than all others by more than rounding may change."""
    value = x.value.max(axis, keepdims=True)
    chosen = x.value == value
    assert np.all(chosen.sum(axis) == 1), "equal largest elements"
    assert np.all(chosen | (x.value + x.error < value - x.error.max(axis, keepdims=True))), "a largest element that rounding may change"
    return total(where(chosen, x, 0), axis, keep)


def einsum(labels, a, b):
    a, b = bounded(a), bounded(b)
    operands, out = labels.replace(" ", "").split("->")
    left, right = operands.split(",")
    sizes = dict(zip(left + right, a.shape + b.shape))
    count = math.prod(n for label, n in sizes.items() if label not in out)
    contract = lambda x, y: np.einsum(f"{left},{right}->{out}", x, y, optimize=True)
    error = contract(abs(a.value), b.error) + contract(a.error, abs(b.value)) + contract(a.error, b.error)
    error = error + count * UNIT.roundoff * (contract(abs(a.value) + a.error, abs(b.value) + b.error)) + TINY
    return Bounded(contract(a.value, b.value), error,
                   [(a, lambda g: einsum(f"{out},{right}->{left}", g, b)), (b, lambda g: einsum(f"{out},{left}->{right}", g, a))])


# ---- places


def reshape(x, shape):
    return Bounded(x.value.reshape(shape), x.error.reshape(shape), [(x, lambda g: reshape(g, x.shape))])


def transpose(x, order):
    return Bounded(x.value.transpose(order), x.error.transpose(order), [(x, lambda g: transpose(g, np.argsort(order)))])


def broadcast(x, shape):
    return Bounded(np.broadcast_to(x.value, shape), np.broadcast_to(x.error, shape), [(x, lambda g: sum_to(g, x.shape))])


def index(x, key):
    return Bounded(x.value[key], x.error[key], [(x, lambda g: scatter(g, key, x.shape))])


def scatter(g, key, shape):
    """Zeros with g added at `key`, several times where it names a place several times."""
    value, error, magnitude, count = (np.zeros(shape) for _ in range(4))
    np.add.at(value, key, g.value)
    np.add.at(error, key, g.error)
    np.add.at(magnitude, key, abs(g.value) + g.error)
    np.add.at(count, key, 1)
    return Bounded(value, error + np.maximum(count - 1, 0) * UNIT.roundoff * magnitude, [(g, lambda h: index(h, key))])


def concat(parts, axis):
    parts = [bounded(p) for p in parts]
    axis %= len(parts[0].shape)
    ends = np.cumsum([p.shape[axis] for p in parts])
    at = [(slice(None),) * axis + (slice(end - p.shape[axis], end),) for p, end in zip(parts, ends)]
    return Bounded(np.concatenate([p.value for p in parts], axis), np.concatenate([p.error for p in parts], axis),
                   [(p, lambda g, key=key: index(g, key)) for p, key in zip(parts, at)])


# ---- the way back


def gradients(loss, wrt):
    """The gradient of a number by each of `wrt`; zeros where it does not depend on one."""
    order, seen, stack = [], set(), [(loss, False)]
    while stack:
        x, ready = stack.pop()
        if ready:
            order.append(x)
        elif id(x) not in seen:
            seen.add(id(x))
            stack.append((x, True))
            stack += [(parent, False) for parent, _ in x.parents]
    wanted, leads = {id(x) for x in wrt}, set()
    for x in order:  # parents first
        if id(x) in wanted or any(id(parent) in leads for parent, _ in x.parents):
            leads.add(id(x))
    adjoints = {id(loss): bounded(np.ones(loss.shape))}
    for x in reversed(order):
        if id(x) not in adjoints:
            continue
        for parent, rule in x.parents:
            if id(parent) in leads:
                part = rule(adjoints[id(x)])
                adjoints[id(parent)] = adjoints[id(parent)] + part if id(parent) in adjoints else part
    return [adjoints.get(id(x), Bounded(np.zeros(x.shape))) for x in wrt]
