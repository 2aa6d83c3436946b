#!/usr/bin/env python3
"""Tests of the fuzzer of chains: its meaning against laws of attention, and that it finds and shrinks what is wrong.

usage: test_chains.py FOVEA LIBRARY
"""
import argparse
import copy
import ctypes
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import unittest

import numpy_or_leave  # first: the others need NumPy
import numpy as np

import programs
import run
import shrink
from chain import draw, draw_sizes, make
from entry import Entry
from meaning import Data, Meaning
from pieces import MASKS, STEPS

FOVEA, LIBRARY = sys.argv[1:3]

PLAIN = {"batch": True, "heads": "plain", "same": False, "keys": "plain", "literal": {"r": 1}, "layout": dict.fromkeys("qkvy", "plain"),
         "dtype": dict.fromkeys("qkv", "f32"), "narrow": "cast", "scale": "root", "product": "matmul", "steps": [], "normaliser": "softmax",
         "masks": [], "hidden_after": "no", "sink": "", "summed": "matmul", "values": "plain", "extras": ["weights", "log_sum"], "ends": "no",
         "peaky": False, "poison": False}
SIZES = {"b": 2, "h": 3, "g": 1, "r": 1, "t": 5, "s": 7, "own": 7, "p": 1, "d": 4, "e": 6}
BACK = {"kind": "causal_ends", "name": "m0", "hide": "where", "or": False}


def options(folder, **changes):
    fields = dict(fovea=FOVEA, library=LIBRARY, work=pathlib.Path(folder), seed=1, chains=4, seconds=0, together=4, sizes=2, targets="x86-64",
                  work_a_case=20000, tries=40, shrink=True, verbose=False, broken=None)
    return argparse.Namespace(**fields | changes)


def meaning(chain, sizes=SIZES, change=lambda data: None):
    data = Data(Entry(chain, "e"), sizes, 7)
    change(data)
    return Meaning(data)


class TheMeaning(unittest.TestCase):
    def test_rows_of_weights_sum_to_one(self):
        weights = meaning(PLAIN).results["weights"][0]
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-12)

    def test_one_key_returns_its_value(self):
        one = meaning(PLAIN, {**SIZES, "s": 1, "own": 1})
        np.testing.assert_allclose(one.results["y"][0], np.broadcast_to(one.data.real("v"), (2, 3, 5, 6)), rtol=1e-12)

    def test_the_order_of_keys_changes_nothing(self):
        def turn(data):
            for name in "kv":
                data.stored[name] = data.stored[name][:, :, ::-1]
        np.testing.assert_allclose(meaning(PLAIN).results["y"][0], meaning(PLAIN, change=turn).results["y"][0], rtol=1e-12)

    def test_a_query_that_sees_nothing_gets_zeros(self):
        shorter = {**SIZES, "s": 3, "own": 3}  # queries end where keys end: the first two see none
        results = meaning({**PLAIN, "masks": [BACK]}, shorter).results
        self.assertTrue(np.all(results["y"][0][:, :, :2] == 0) and np.all(results["y"][0][:, :, 2:] != 0))
        self.assertTrue(np.all(np.isneginf(results["log_sum"][0][:, :, :2])))

    def test_what_is_added_to_all_scores_of_a_query_changes_nothing(self):
        shifted = {"kind": "bias", "name": "a0", "axes": "bht", "dtype": "f32"}
        np.testing.assert_allclose(meaning(PLAIN).results["weights"][0], meaning({**PLAIN, "steps": [shifted]}).results["weights"][0], rtol=1e-9)

    def test_bounds_grow_with_the_unit_roundoff_and_hold_for_f32(self):
        small, large = (Meaning(Data(Entry(PLAIN, "e"), SIZES, 7), u).results["y"][1] for u in (2.0**-50, 2.0**-24))
        self.assertTrue(np.all(small < large) and np.all(large < 1e-4))


class WhatItDraws(unittest.TestCase):
    def test_a_seed_is_a_chain_and_every_kind_comes(self):
        self.assertEqual(make(5), make(5))
        chains = [make(seed) for seed in range(2000)]
        self.assertEqual(len({json.dumps(chain) for chain in chains}), 2000)
        for kinds, name in ((STEPS, "steps"), (MASKS, "masks")):
            self.assertEqual({piece["kind"] for chain in chains for piece in chain[name]}, set(kinds))

    def test_sizes_hold_ones_primes_and_several_spans(self):
        source = random.Random(1)
        keys = [draw_sizes(draw(source), source, 1_500_000)["s"] for _ in range(2000)]
        self.assertTrue(1 in keys and 127 in keys and 0 in keys and sum(s > 1024 for s in keys) >= 10)


class ADifference(unittest.TestCase):
    def test_is_outside_of_the_bound_nan_or_of_another_shape(self):
        bound, known = np.full(3, 0.1), np.zeros(3, bool)
        meant = np.array([1.0, np.nan, -np.inf])
        self.assertIsNone(run.difference(np.array([1.05, np.nan, -np.inf]), meant, bound, known, "y"))
        self.assertIn("at (0,)", run.difference(np.array([1.2, np.nan, -np.inf]), meant, bound, known, "y"))
        self.assertIn("at (1,)", run.difference(np.array([1.0, 1.0, -np.inf]), meant, bound, known, "y"))
        self.assertIn("at (0,)", run.difference(np.array([np.nan, np.nan, -np.inf]), meant, bound, known, "y"))
        self.assertIn("shape", run.difference(np.zeros(2), meant, bound, known, "y"))
        self.assertIsNone(run.difference(np.zeros(3), meant, bound, ~known, "y"))


class AProcess(unittest.TestCase):
    def test_that_ends_or_throws_is_told(self):
        self.assertEqual(run.in_child(lambda: {"a": 1}), {"a": 1})
        self.assertIn("signal 11", run.in_child(lambda: os.kill(os.getpid(), signal.SIGSEGV))["crash"])
        self.assertIn("ZeroDivisionError", run.in_child(lambda: 1 / 0)["crash"])

    def test_that_reads_behind_an_operand_ends(self):
        memory = programs.guarded(np.arange(5, dtype=np.float32))
        read = lambda i: ctypes.c_float.from_address(memory.address + 4 * i).value
        self.assertEqual(run.in_child(lambda: read(4)), 4.0)
        self.assertIn("crash", run.in_child(lambda: read(5)))


class Broken(run.Fuzzer):
    """A compiler that takes one text for another where it fuses."""
    read, taken = ">= 0", "> 0"

    def build(self, folder, name, entries, target, fuses):
        fuzzer = self

        class Wrong:
            def __init__(self, entry):
                self.text = lambda: entry.text().replace(fuzzer.read, fuzzer.taken)
        return super().build(folder, name, [Wrong(e) for e in entries] if fuses else entries, target, fuses)


class Declining(Broken):
    """One that no longer fuses: softmax doesn't see what is taken from all scores of a query, but no kernel of attention sums them."""
    read, taken = "softmax(v0)", "softmax(v0 - sum(v0, axis = -1, keep = true))"


class WhatIsWrong(unittest.TestCase):
    def find(self, fuzzer, ways, wanted):
        """The first finding among many chains, in the ways given."""
        for first in range(1, 400, 8):
            chains = fuzzer.batch(first)
            if not any(mask["kind"] == wanted for chain, _ in chains for mask in chain["masks"]):
                continue
            found = fuzzer.check(fuzzer.options.work / "chains", chains, "x86-64", ways)
            if found:
                i, case, way, why = found[0]
                fuzzer.report(first + i, chains[i][0], case, "x86-64", way, why)
                return json.loads((fuzzer.findings[0] / "finding.json").read_text()), fuzzer.findings[0]
        self.fail("nothing found")

    def test_in_the_meaning_is_found_and_shrunk(self):
        with tempfile.TemporaryDirectory() as folder:
            fuzzer = run.Fuzzer(options(folder, together=8, broken=("window", "causal_ends"), tries=200))
            finding, left = self.find(fuzzer, ("interpreted",), "window")
            chain, (sizes, _) = finding["chain"], finding["case"]
            self.assertEqual([mask["kind"] for mask in chain["masks"]], ["window"])
            self.assertEqual((chain["steps"], chain["extras"], chain["ends"], chain["heads"]), ([], [], "no", "none"))
            self.assertLessEqual(sizes["s"], chain["masks"][0]["reach"] + 2)
            self.assertTrue((left / "chain.fov").exists() and (left / "q.npy").exists() and "--repeat" in (left / "README").read_text())
            # The text that is left runs as it is.
            inputs = [left / f"{name}.npy" for name in "qkv"]
            done = subprocess.run([FOVEA, "run", "--interpret", left / "chain.fov", "chain", *inputs], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_in_the_program_is_found_and_shrunk(self):
        with tempfile.TemporaryDirectory() as folder:
            fuzzer = Broken(options(folder, tries=12))
            chain = copy.deepcopy({**PLAIN, "extras": [], "masks": [BACK], "normaliser": "by_hand", "steps": [{"kind": "gate", "name": "a0"}]})
            found = fuzzer.check(pathlib.Path(folder) / "chains", [(chain, [(SIZES, 3)])], "x86-64")
            self.assertEqual([(i, way) for i, _, way, _ in found], [(0, "fused")])
            fuzzer.report(0, chain, found[0][1], "x86-64", "fused", found[0][3])
            finding = json.loads((fuzzer.findings[0] / "finding.json").read_text())
            self.assertEqual((finding["chain"]["steps"], finding["chain"]["normaliser"]), ([], "softmax"))
            self.assertIsNone(run.Fuzzer(options(folder)).again(finding))  # a right compiler

    def test_with_fusion_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            found = Declining(options(folder)).check(pathlib.Path(folder) / "chains", [({**PLAIN, "extras": []}, [(SIZES, 3)])], "x86-64")
            self.assertEqual(found[0][2], "fused")
            self.assertIn("not-fused", found[0][3])


class Shrinking(unittest.TestCase):
    def test_ends_where_nothing_smaller_shows_the_same(self):
        chain = {**copy.deepcopy(PLAIN), "masks": [BACK, {**BACK, "name": "m1"}], "peaky": True}
        seen = []

        def again(finding):
            seen.append(finding)
            return "wrong" if finding["chain"]["masks"] and finding["case"][0]["t"] >= 3 else None

        finding = shrink.shrink({"chain": chain, "case": [SIZES, 1], "why": "wrong"}, again, 500)
        self.assertEqual((len(finding["chain"]["masks"]), finding["chain"]["peaky"], finding["case"][0]["t"], finding["case"][0]["s"]), (1, False, 3, 1))
        self.assertLess(len(seen), 200)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
