#!/usr/bin/env python3
"""The oracle of gradients itself: its gradients are those of differences, floats lie within its bounds, and bounds are not idle.

usage: test_bounded.py (exit codes: 0, 1, 77: NumPy is not here)
"""
import pathlib
import sys
import unittest

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "chains"))
import numpy_or_leave  # first: the others need NumPy
import numpy as np

import bounded
import cases
import check


def directional(numbers, twice, step):
    """The derivative along a random direction by the gradient, and by differences of the loss or of its first gradient."""
    random = np.random.default_rng(5)
    leaves = numbers.leaves()
    directions = [random.standard_normal(leaf.shape) * (leaf.value != 0) for leaf in leaves]  # kinks are at zeros that are given

    def loss(t):
        moved = [bounded.Bounded(leaf.value + t * d) for leaf, d in zip(leaves, directions)]
        value = numbers.loss(moved)
        if not twice:
            return value.value
        found = bounded.gradients(value, moved)
        return sum((g.value * h).sum() for g, h in zip(found, numbers.slopes))

    by_gradient = sum((g.value * d).sum() for g, d in zip(numbers.gradients(twice), directions))
    # Richardson's extrapolation: the error is of the fourth order in the step.
    one, two = ((loss(t) - loss(-t)) / (2 * t) for t in (step, 2 * step))
    return by_gradient, (4 * one - two) / 3


class Oracle(unittest.TestCase):
    def test_gradients_are_those_of_differences(self):
        bounded.UNIT.roundoff = 2.0**-53
        for case in cases.TABLE:
            numbers = check.Numbers(case, case.sizes[0], check.seed_of(case, 0))
            for twice in check.ways(case, "interpreter"):
                with self.subTest(case=case.name, twice=twice):
                    found, expected = directional(numbers, twice, 1e-4)
                    self.assertLess(abs(found - expected), 1e-7 * max(1, abs(expected)))

    def test_floats_lie_within_the_bounds_and_use_them(self):
        """Each operation in floats, in place of a program that rounds."""
        bounded.UNIT.roundoff = 2.0**-24
        random = np.random.default_rng(3)
        x, y = (np.float32(random.standard_normal((40, 30))) for _ in range(2))
        a, b = bounded.Bounded(x), bounded.Bounded(y)
        one = np.float32(1)
        pairs = {
            "add": (a + b, x + y), "mul": (a * b, x * y), "div": (a / (b * b + 1), x / (y * y + one)), "exp": (bounded.exp(a), np.exp(x)),
            "log": (bounded.log(a * a + 1), np.log(x * x + one)), "sqrt": (bounded.sqrt(a * a + 1), np.sqrt(x * x + one)),
            "tanh": (bounded.tanh(a), np.tanh(x)), "sin": (bounded.sin(a), np.sin(x)), "cos": (bounded.cos(a), np.cos(x)),
            "sum": (bounded.total(a, 1), np.cumsum(x, 1, dtype=np.float32)[:, -1]), "einsum": (bounded.einsum("ij,kj->ik", a, b), x @ y.T),
            "chain": (bounded.exp(bounded.sin(a * b) + a) / (1 + bounded.tanh(b) * bounded.tanh(b)),
                      np.exp(np.sin(x * y) + x) / (one + np.tanh(y) * np.tanh(y))),
        }
        for name, (value, got) in pairs.items():
            with self.subTest(name):
                self.assertEqual(got.dtype, np.float32)
                distance = abs(got - value.value)
                self.assertTrue(np.all(distance <= value.error))
                self.assertGreater((distance / value.error).max(), 0.01)

    def test_a_wrong_rule_is_noticed(self):
        case = next(c for c in cases.TABLE if c.name == "layer_norm_function")
        bounded.UNIT.roundoff = 2.0**-24
        numbers = check.Numbers(case, case.sizes[0], check.seed_of(case, 0))
        right = numbers.gradients(False)
        same = [np.float32(g.value) for g in right]
        self.assertEqual(check.differences(case, same, right, "", 0), [])
        self.assertEqual(len(check.differences(case, [g * np.float32(1.001) for g in same], right, "", 0)), 1)
        self.assertEqual(len(check.differences(case, [np.where(g == g.max(), np.nan, g) for g in same], right, "", 0)), 1)


if __name__ == "__main__":
    unittest.main()
