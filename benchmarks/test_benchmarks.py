#!/usr/bin/env python3
"""Tests of the benchmarks' own arithmetic: nothing is timed here."""
import json
import os
import tempfile
import sys
import unittest
import unittest.mock
import xml.etree.ElementTree as xml

import processes
import programs
import report
import rows
import run
import sweep
import variants


def figures(share, binds="FMA", **more):
    return dict(share=share, binds=binds, seconds=[1.0, 1.0, 1.0], limit_seconds=share, gflops=1, gbs=1) | more


class Sweep(unittest.TestCase):
    def test_a_straight_line_is_its_own_trend(self):
        self.assertEqual([round(r, 9) for r in sweep.ratios([(n, 3.0 + 2 * n) for n in range(1, 40)])], [1.0] * 39)

    def test_what_sticks_out_is_found_and_nothing_else(self):
        points = [(n, float(n)) for n in range(1, 60)]
        points[30] = (31, 31 * 1.3)
        self.assertEqual([size for size, _ in sweep.outliers(points)], [31])

    def test_what_sticks_out_once_is_timed_again(self):
        def take(first, last):
            return [(n, n * (1.4 if n == 31 else 1.0)) for n in range(first, last + 1)]

        self.assertEqual(sweep.again([(20, 1.5), (31, 1.3)], take, 33), [(31, 1.3)])

    def test_a_step_up_is_not_what_sticks_out(self):
        self.assertEqual(sweep.outliers([(n, 10.0 if n < 20 else 12.0) for n in range(1, 60)]), [])


class Programs(unittest.TestCase):
    def test_a_command_that_fails_is_told_with_its_own_words(self):
        with self.assertRaisesRegex(SystemExit, "ended with 3\nno such entry"):
            programs.output([sys.executable, "-c", "import sys; print('no such entry', file=sys.stderr); sys.exit(3)"])


class Variants(unittest.TestCase):
    def test_points_are_every_variant_at_every_size_once(self):
        points = variants.points()
        self.assertEqual(len(points), len(set(points)))
        self.assertEqual({(s, t) for v, s, t in points if v == "full"},
                         {(16, 1), (16, 16), (128, 1), (128, 16), (128, 128), (1024, 1), (1024, 16), (1024, 1024), (4096, 1), (4096, 16), (4096, 4096)})
        with open(os.path.join(run.ROOT, "benchmarks", "models", "variants.fov")) as file:
            text = file.read()
        self.assertEqual({line.split("(")[0].split()[-1] for line in text.splitlines() if "  entry " in line}, set(variants.MORE))
        self.assertEqual(text.count("@require_fused"), len(variants.MORE))

    def test_inputs_are_of_the_point(self):
        self.assertEqual(variants.inputs("biased", 128, 1), ["1,4,1,64", "1,4,128,64", "1,4,128,64", "4,1,128"])
        self.assertEqual(variants.inputs("grouped", 16, 2)[0], "1,1,4,2,64")

    def test_what_is_slower_fused_is_named_and_marked(self):
        rounds = [dict(seconds=2.0, beside=beside) for beside in (1.0, 3.0, 1.5)]
        results = {"full 16 1": variants.combined(rounds), "full 16 S": variants.combined([dict(seconds=1.0, beside=2.0)])}
        self.assertEqual((results["full 16 1"]["ratio"], results["full 16 1"]["spread"]), (0.75, [0.5, 1.5]))
        self.assertEqual(variants.slower(results), ["full 16 1"])
        self.assertIn("| full | 0.75 **slower** | 2.00 |", variants.table(results))

    def test_no_variant_that_was_measured_is_slower_fused(self):
        with open(os.path.join(run.HERE, "variants.json")) as file:
            results = json.load(file)["rows"]
        self.assertEqual(len(results), len(variants.points()))
        self.assertEqual(variants.slower(results), [])


class Rows(unittest.TestCase):
    def test_names_are_unique_and_sources_exist(self):
        names = [row.name for row in rows.table()]
        self.assertEqual(len(names), len(set(names)))
        for row in rows.table():
            self.assertTrue(os.path.exists(os.path.join(run.ROOT, row.model)), row.model)

    def test_work_of_known_shapes(self):
        known = {row.name: row for row in rows.table()}
        self.assertEqual(known["attention full 128"].flops, 4 * 12 * 64 * 128 * 128)
        self.assertEqual(known["attention causal 128"].flops, 4 * 12 * 64 * 128 * 129 // 2)
        self.assertEqual(known["attention gradients full 1024"].flops, 14 * 12 * 64 * 1024 * 1024)
        self.assertEqual(known["attention gradients sloped 1024"].flops, 14 * 12 * 64 * 1024 * 1025 // 2)
        self.assertEqual(known["matmul 1x768x768"].bytes, 4 * (768 * 768 + 2 * 768))
        # GPT-2 small has 124 439 808 parameters; a step reads all but the positions' table, of the words' one row twice.
        step = known["GPT-2 decode at 512"]
        count = sum(shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in step.weights.values())
        self.assertEqual(count, 124439808)
        cache, io = 2 * 12 * 513 * 768, 768 + 50257
        self.assertAlmostEqual(step.bytes, 4 * (count - 1024 * 768 + cache + io), delta=4 * 2 * 768)
        self.assertEqual(known["GPT-2 decode at 512"].inputs, ["1,1", "=512"])

    def test_every_two_thread_row_has_its_single_one(self):
        names = {row.name for row in rows.table()}
        for row in rows.table():
            if row.threads == 2:
                self.assertIn(row.name.removesuffix(", 2 threads"), names)

    def test_reference_names_rows(self):
        with open(os.path.join(run.HERE, "peers", "reference.json")) as file:
            reference = json.load(file)["rows"]
        names = {row.name for row in rows.table()}
        unknown = [name for name in reference if name not in names and not name.startswith(("build ", "start "))]
        self.assertEqual(unknown, [])
        for peers in reference.values():
            self.assertEqual(peers, sorted(peers, key=lambda p: -p["share"] if "share" in p else p["ms"]))


class Results(unittest.TestCase):
    def row(self, **more):
        return rows.Row("r", "m", "e", [], 1, 1, goal=0.8, **more)

    def test_median_and_spread_of_rounds(self):
        result = run.summary(self.row(), [figures(0.5), figures(0.9), figures(0.7)])
        self.assertEqual((result["share"], result["spread"], result["goal"], result["metric"]), (0.7, [0.5, 0.9], 0.8, "share"))

    def test_of_two_rounds_the_worse_one_counts(self):
        for order in ([0.9, 0.5], [0.5, 0.9]):
            self.assertEqual(run.summary(self.row(), [figures(share) for share in order])["share"], 0.5)

    def answering(self, seconds):
        """A command whose nth turn takes seconds(n); the first is 0."""
        return [sys.executable, "-c", f"import sys, json\nfor n, _ in enumerate(sys.stdin):\n print(json.dumps(dict(seconds=[0, {seconds}, 9])), flush=True)"]

    def test_a_peer_takes_turns_with_ours(self):
        found = run.turns(self.answering("n * 3.0"), self.answering("n"), 0)
        self.assertEqual([(peer["seconds"][1], ours["seconds"][1]) for peer, ours in found], [(3.0 * n, n) for n in range(1, run.TURNS + 1)])
        self.assertGreater(len(run.turns(self.answering("1"), self.answering("1"), 0.1)), run.TURNS)

    def test_a_peer_is_as_slow_as_its_turns_say(self):
        found = [(dict(seconds=[0, peer, 9], peak_kib=7), dict(seconds=[0, ours, 9])) for peer, ours in [(1, 1.0), (3, 1.0), (4, 4.0), (2, 1.0), (8, 2.0)]]
        self.assertEqual(run.beside(found, 0.5), dict(seconds=[0, 3, 9], peak_kib=7, share=0.25, times=2.0, turns=5, spread=[1.0, 3.0]))

    def test_a_close_peer_takes_turns_again(self):
        taken = []

        def take(options, row, peer):
            taken.append((row.name, peer))
            if peer == "openvino":
                raise run.TurnFailed([], 1, "no such operator")
            again = taken.count(taken[-1]) > 1
            if taken.count(taken[-1]) > 2:
                raise run.TurnFailed([], 1, "out of memory")
            return [] if peer == "torch.compile" else [(dict(seconds=[0, 3 if again or peer == "onnxruntime" else 1, 9]), dict(seconds=[0, 2, 9]))]

        results = {"r": dict(share=0.6)}
        with unittest.mock.patch.object(run, "peer_turns", take):
            run.measure_peers(None, [self.row()], results)
        self.assertEqual([peer for _, peer in taken], [*run.PEERS] + ["torch"] * run.AGAIN)
        self.assertEqual({peer: (p["times"], p["turns"]) for peer, p in results["r"]["peers"].items() if "times" in p}, {"torch": (1.0, 2), "onnxruntime": (1.5, 1)})
        self.assertEqual(results["r"]["peers"]["openvino"], {"failed": "no such operator"})

    def test_the_fastest_peer_is_that_of_the_turns(self):
        self.assertEqual(run.least_times(dict(peers=dict(A=dict(times=2.0, share=0.4), B=dict(times=1.5, share=0.3), C=dict(failed="why")))), 1.5)
        self.assertEqual(run.best_peer("r", dict(peers=dict(A=dict(times=2.0, share=0.4), B=dict(times=1.5, share=0.3))), {}), (0.3, "B"))
        self.assertIsNone(run.least_times({}))

    def test_a_peer_without_the_row_and_one_that_fails(self):
        self.assertEqual(run.turns([sys.executable, "-c", ""], [], 0), [])
        fails = [sys.executable, "-c", "import sys; sys.exit('no such operator')"]
        for peer, ours in ((fails, []), (self.answering("1"), fails)):
            with self.assertRaises(run.TurnFailed) as failed:
                run.turns(peer, ours, 0)
            self.assertEqual(failed.exception.args, (fails, 1, "no such operator"))

    def test_memory_is_looked_at_when_it_is_there(self):
        script = "import time; time.sleep(0.1); x = bytearray(64 << 20); time.sleep(60)"
        self.assertGreater(processes.start.anonymous_kib([sys.executable, "-c", script]), 64 << 10)

    def test_goals_of_two_threads_depend_on_what_binds(self):
        bound = run.summary(self.row(threads=2), [figures(0.9, speedup=1.8)])
        self.assertEqual((bound["metric"], bound["goal"], bound["speedup"]), ("speedup", 1.9, 1.8))
        bound = run.summary(self.row(threads=2), [figures(0.9, binds="DRAM", speedup=1.1)])
        self.assertEqual((bound["metric"], bound["goal"]), ("share", 0.85))

    def test_check_names_what_fell_by_more_than_the_noise(self):
        result = lambda share, low, high: dict(share=share, spread=[low, high])
        before = {"a": result(0.8, 0.8, 0.8), "b": result(0.8, 0.8, 0.8), "c": result(0.8, 0.6, 0.8)}
        now = {"a": result(0.77, 0.77, 0.77), "b": result(0.7, 0.7, 0.7), "c": result(0.7, 0.7, 0.7), "new": result(0.1, 0, 1)}
        self.assertEqual([line.split(":")[0] for line in run.check(now, before)], ["b"])

    def test_results_are_committed_by_machine(self):
        known = run.committed()
        self.assertIn("", known)
        processors = [document["processor"] for document in known.values()]
        self.assertEqual(len(processors), len(set(processors)))
        names = {row.name for row in rows.table()}
        measured = [{name for name, r in document["rows"].items() if "limit_seconds" in r} for document in known.values()]
        self.assertEqual(set().union(*measured), names)  # each row somewhere, and none that is no more

    def test_the_best_peer_is_that_of_this_run_where_there_is_one(self):
        reference = {"r": [dict(peer="A", share=0.7)]}
        self.assertEqual(run.best_peer("r", {}, reference), (0.7, "A*"))
        peers = {"B": dict(share=0.4), "C": dict(share=0.5), "D": dict(failed="why")}
        self.assertEqual(run.best_peer("r", dict(peers=peers), reference), (0.5, "C"))
        self.assertIsNone(run.best_peer("s", {}, reference))


class Report(unittest.TestCase):
    def results(self):
        row = rows.Row("full & whole", "m", "e", [], flops=10**9, bytes=10**6, goal=0.8)
        measured = dict(fma_gflops=100.0, read_gbs=50.0, level="L2", gflops=70.0, gbs=0.1, threads=1)
        good = run.summary(row, [figures(0.9, **measured)])
        bad = run.summary(row, [figures(0.7, binds="L2", **measured)])
        two = run.summary(rows.dataclasses.replace(row, threads=2), [figures(0.9, speedup=0.97, **measured | dict(threads=2))])
        return {"full & whole": good, "other": bad, "full & whole, 2 threads": two,
                "start": dict(ms=[9, 10, 11], goal_ms=5, yardstick_ms=10, share=1.0, spread=[0.9, 1.1])}

    def test_charts_are_well_formed_and_show_every_row(self):
        for chart in (report.shares_chart(self.results(), {}), report.roofline_chart(self.results())):
            self.assertIn("other", "".join(xml.fromstring(chart).itertext()))
            self.assertIn("full & whole", "".join(xml.fromstring(chart).itertext()))

    def test_what_misses_its_goal_is_marked(self):
        lines = report.tables(self.results(), {"start": [dict(peer="P", ms=100)]}).splitlines()
        marked = [line.split("|")[1].strip() for line in lines if "**below**" in line]
        self.assertEqual(marked, ["other", "full & whole", "start"])  # the second is that of two threads
        self.assertIn("100 P*", lines[-1])

    def test_the_results_text_is_json_again(self):
        document = {"processor": "p", "rows": self.results()}
        self.assertEqual(json.loads(run.as_text(document)), document)


class Weights(unittest.TestCase):
    def test_the_file_is_what_its_header_says(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "w.safetensors")
            programs.write_random(path, {"a": [300, 256], "b": [7]})
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
                data = file.read()
            self.assertEqual(header["b"]["data_offsets"], [4 * 300 * 256, 4 * (300 * 256 + 7)])
            self.assertEqual(len(data), 4 * (300 * 256 + 7))
            lines = {data[i : i + 1024] for i in range(0, 4 * 300 * 256, 1024)}
            self.assertEqual(len(lines), 300)  # no two rows are equal


if __name__ == "__main__":
    unittest.main()
