#!/usr/bin/env python3
"""Gradients of every function and module of the library, and gradients of these gradients, beside their meaning in double precision.

usage: check.py --fovea FOVEA --work FOLDER [--part 1/3] program|interpreter|coverage [CASE…]

`program` compiles the cases for all targets and runs them on those of this machine, with one thread and with two, whose bits have to be equal.
`interpreter` runs the graph as it is before any pass, in double precision, where bounds are those of a unit roundoff of 2^-50: it finds wrong rules.
`coverage` runs nothing: it fails where the library has a function that no case calls and NOT_ASKED does not name. Exit codes: 0, 1, 77 (NumPy is not here).
"""
import argparse
import json
import math
import pathlib
import re
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "chains"))
import numpy_or_leave  # first: the others need NumPy
import numpy as np

import bounded
import cases

LIBRARY = HERE.parents[2] / "compiler" / "library"
IMPORTS = sorted(path.stem for path in LIBRARY.glob("*.fov"))
# Another formula of the same value, a norm's sums in one pass or what a row of attention gives in place of what its weights give, has other
# operations, but sums of terms that are as large.
FORMULAS = 2
TARGETS = {"x86-64": set(), "x86-64-v3": {"avx2", "fma", "f16c", "bmi2"}, "x86-64-v4": {"avx512f", "avx512bw", "avx512vl", "avx512dq"}}


# ---- a case as an entry


def kind_of(spec): return (spec.split() or ["f32"])[0]
def type_of(dims): return f"f32[{', '.join(dims.split())}]" if dims else "f32"


def input_type(spec):
    kind, *dims = spec.split()
    if kind in ("offsets", "segments"):
        return f"i64[{dims[0]} + 1]" if kind == "offsets" else f"i64[{dims[1]}]"
    if kind == "permutation":
        return f"i64[{', '.join(dims)}]"
    if "<" in dims:
        dims = dims[: dims.index("<")]
    return f"{kind}[{', '.join(dims)}]" if dims else kind


def wanted(case):
    """What a gradient is asked for: (how the entry names it, its dims), inputs first."""
    found = [(name, " ".join(spec.split()[1:])) for name, spec in case.inputs.items() if kind_of(spec) == "f32"]
    return found + [(f"{case.name}.{path}", dims) for path, dims in case.params.items()]


def result_name(name, case): return name.removeprefix(case.name + ".").replace(".", "_")


def entry(case, twice):
    """The text of the case's entry: gradients of its results times numbers that are given, or of these gradients times others."""
    given = [f"{name}: {input_type(spec)}" for name, spec in case.inputs.items()]
    given += [f"g_{name or 'result'}: {type_of(dims)}" for name, dims in case.results.items()]
    asked = wanted(case)
    loss = " + ".join(f"sum(result{name and '.' + name} * g_{name or 'result'})" for name in case.results)
    call = re.sub(r"\bm\b", case.name, case.call)
    first = f"let result = {call}\n    "
    tuple_of = lambda names: names[0] if len(names) == 1 else f"({', '.join(names)})"
    names = [name for name, _ in asked]
    if twice:
        given += [f"h_{result_name(name, case)}: {type_of(dims)}" for name, dims in asked]
        slopes = [f"d_{result_name(name, case)}" for name in names]
        first += f"let {', '.join(slopes)} = grad({loss}, {tuple_of(names)})\n    "
        loss = " + ".join(f"sum({slope} * h{slope[1:]})" for slope in slopes)
    returns = [f"{result_name(name, case)}: {type_of(dims)}" for name, dims in asked]
    returns = f"({', '.join(returns)})" if len(returns) > 1 else returns[0].partition(": ")[2]
    return f"  entry {case.name}{'_twice' if twice else '_once'}({', '.join(given)}) -> {returns} {{\n    {first}grad({loss}, {tuple_of(names)})\n  }}\n"


def ways(case, way): return (False, True) if case.twice in (("program", "interpreter") if way == "interpreter" else ("program",)) else (False,)


def model(chosen, way):
    members = [f"  {case.name}: {case.module}\n" for case in chosen if case.module]
    return "".join(f"import {name}\n" for name in IMPORTS) + "\nmodel Gradients() {\n" + "".join(members) + \
        "".join(entry(case, twice) for case in chosen for twice in ways(case, way)) + "}\n"


# ---- numbers


def shape_of(dims, sizes): return tuple(eval(d, {}, dict(sizes)) for d in dims.split())


def draw(case, name, spec, sizes, random):
    kind, *dims = spec.split()
    if kind in ("offsets", "segments"):
        m, n = (sizes[d] for d in dims)
        offsets = np.sort(np.concatenate([[0, n], np.random.default_rng(7).integers(0, n + 1, m - 1)]))
        return offsets if kind == "offsets" else np.repeat(np.arange(m), np.diff(offsets))
    if kind == "permutation":
        shape = shape_of(" ".join(dims), sizes)
        return random.permutation(math.prod(shape)).reshape(shape)
    if "<" in dims:
        return random.integers(0, shape_of(dims[-1], sizes)[0], shape_of(" ".join(dims[:-2]), sizes))
    shape = shape_of(" ".join(dims), sizes)
    if kind == "bool":  # a row that sees nothing among them
        seen = random.random(shape) < 0.7
        seen[-1:] = shape[0] == 1
        return seen
    return np.asarray(case.fill.get(name, lambda x: x)(random.standard_normal(shape)), np.float32)


class Numbers:
    """A case's inputs, params, and what results and gradients are multiplied by, at given sizes."""

    def __init__(self, case, sizes, seed):
        self.case, random = case, np.random.default_rng(seed)
        self.host = {name: shape_of(size, sizes)[0] for name, size in case.host.items()}
        self.inputs = {name: draw(case, name, spec, sizes, random) for name, spec in case.inputs.items()}
        self.params = {path: np.asarray(random.standard_normal(shape_of(dims, sizes)) * case.scale, np.float32) for path, dims in case.params.items()}
        self.results = [np.asarray(random.standard_normal(shape_of(dims, sizes)), np.float32) for dims in case.results.values()]
        self.slopes = [np.asarray(random.standard_normal(shape_of(dims, sizes)), np.float32) for _, dims in wanted(case)]

    def loss(self, leaves):
        case, floats = self.case, [name for name, spec in self.case.inputs.items() if kind_of(spec) == "f32"]
        given = dict(self.inputs) | dict(zip(floats, leaves))
        m = dict(zip(case.params, leaves[len(floats):]))
        values = case.value(m, *given.values()) if case.module else case.value(*given.values())
        values = values if isinstance(values, (tuple, list)) else [values]
        return sum((bounded.total(y * bounded.bounded(g)) for y, g in zip(values, self.results)), bounded.bounded(0.0))

    def leaves(self):
        floats = [self.inputs[name] for name, spec in self.case.inputs.items() if kind_of(spec) == "f32"]
        return [bounded.Bounded(x) for x in [*floats, *self.params.values()]]

    def gradients(self, twice):
        leaves = self.leaves()
        found = bounded.gradients(self.loss(leaves), leaves)
        if twice:
            loss = sum((bounded.total(d * bounded.bounded(h)) for d, h in zip(found, self.slopes)), bounded.bounded(0.0))
            found = bounded.gradients(loss, leaves)
        return found

    def files(self, folder, twice):
        """The entry's inputs as files, and the sizes of its states."""
        arrays = [*self.inputs.values(), *self.results, *(self.slopes if twice else [])]
        paths = [folder / f"{self.case.name}-{i}.npy" for i in range(len(arrays))]
        for path, array in zip(paths, arrays):
            np.save(path, np.asarray(array, order="C"))
        return paths + [option for name, size in self.host.items() for option in ("--size", f"{name}={size}")]


def write_weights(path, tensors):
    header, data = {}, b""
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


# ---- runs


def attempt(command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600)


def read(path, case):
    found = np.load(path)
    return [found] if isinstance(found, np.ndarray) else [found[result_name(name, case)] for name, _ in wanted(case)]


def differences(case, got, expected, what, slack):
    failures = []
    for (name, _), array, right in zip(wanted(case), got, expected):
        bound = FORMULAS * right.error + slack * abs(right.value) + bounded.TINY
        if array.shape != right.shape:
            failures.append(f"{what}: {name} is {array.shape} and not {right.shape}")
            continue
        wrong = ~(abs(array - right.value) <= bound)  # NaN is wrong
        if wrong.any():
            at = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(abs(array - right.value) / bound, nan=np.inf), 0)), wrong.shape)
            failures.append(f"{what}: {name}{list(map(int, at))} is {array[at]:.9g}, not {right.value[at]:.9g}, within {bound[at]:.3g} ({int(wrong.sum())} of {wrong.size} differ)")
    return failures


def seed_of(case, number): return [number, *case.name.encode()]


def run_all(chosen, way, work, sizes_of, runs, roundoff, slack):
    """`runs(case, entry, files, what)` gives the gradients by what ran; gives what differs."""
    failures, loosest = [], (0, "")
    bounded.UNIT.roundoff = roundoff
    for case in chosen:
        for number, sizes in enumerate(sizes_of(case)):
            numbers = Numbers(case, sizes, seed_of(case, number))
            for twice in ways(case, way):
                expected = numbers.gradients(twice)
                name = f"{case.name}{'_twice' if twice else '_once'}"
                for what, got in runs(case, name, numbers, numbers.files(work, twice)):
                    label = f"{name} at sizes {number}, {what}"
                    failures += [f"{label}: {got}"] if isinstance(got, str) else differences(case, got, expected, label, slack)
                largest, bound = (max(np.max(array, initial=0) for array in arrays) for arrays in ([abs(g.value) for g in expected], [g.error for g in expected]))
                loosest = max(loosest, (bound / max(largest, bounded.TINY), f"{name} at sizes {number}"))
    print(f"the loosest bound is {FORMULAS * loosest[0]:.2g} of the largest element: {loosest[1]}")
    if FORMULAS * loosest[0] > 0.02:  # it would hide everything
        failures.append(f"a bound that says nothing: {loosest[1]}")
    return failures


def programs(arguments, chosen):
    text, program = arguments.work / "gradients.fov", arguments.work / "gradients"
    text.write_text(model(chosen, "program"))
    built = attempt([arguments.fovea, "build", text, "-o", program, "--target=all"])
    if built.returncode:
        return [built.stdout + built.stderr]
    flags = set(re.findall(r"\S+", pathlib.Path("/proc/cpuinfo").read_text()))
    targets = [name for name, needs in TARGETS.items() if needs <= flags]

    def runs(case, name, numbers, files):
        weights = arguments.work / "weights.safetensors"
        everything = {f"{other.name}.{path}": np.zeros([eval(d) for d in dims.split()], np.float32) for other in chosen for path, dims in other.params.items()}
        write_weights(weights, everything | {f"{case.name}.{path}": array for path, array in numbers.params.items()})
        suffix = "npy" if len(wanted(case)) == 1 else "npz"
        for target in targets:
            outputs = [arguments.work / f"{name}-{threads}.{suffix}" for threads in (1, 2)]
            for threads, output in zip((1, 2), outputs):
                output.unlink(missing_ok=True)
                done = attempt([program, name, *files, "--weights", weights, "-o", output, "--target", target, "--threads", threads])
                yield f"{target}, {threads} threads", done.stdout + done.stderr if done.returncode else read(output, case)
            if all(output.exists() for output in outputs):
                one, two = (read(output, case) for output in outputs)
                if any(a.tobytes() != b.tobytes() for a, b in zip(one, two)):
                    yield target, "other bits with two threads"

    return run_all(chosen, "program", arguments.work, lambda case: case.sizes, runs, 2.0**-24, 0)


def interpreted(arguments, chosen):
    def runs(case, name, numbers, files):
        text, weights = arguments.work / f"{case.name}.fov", arguments.work / "weights.safetensors"
        text.write_text(model([case], "interpreter"))
        write_weights(weights, {f"{case.name}.{path}": array for path, array in numbers.params.items()})
        output = arguments.work / f"{name}.{'npy' if len(wanted(case)) == 1 else 'npz'}"
        output.unlink(missing_ok=True)
        done = attempt([arguments.fovea, "run", "--interpret", text, name, *files, *(["--weights", weights] if numbers.params else []), "-o", output])
        yield "interpreter", done.stdout + done.stderr if done.returncode else read(output, case)

    # Results are rounded to f32 once.
    return run_all(chosen, "interpreter", arguments.work, lambda case: case.sizes[:1], runs, 2.0**-50, 2.0**-24)


def coverage(arguments, _):
    """What the library exports and no case's entry calls itself."""
    text, typed = arguments.work / "coverage.fov", arguments.work / "coverage.typed"
    text.write_text(model(cases.TABLE, "program"))
    done = attempt([arguments.fovea, "build", "--emit=typed", text, "-o", typed])
    if done.returncode:
        return [done.stdout + done.stderr]
    called = set()
    for function in typed.read_text().split("\n\n"):
        if function.startswith("entry ") and " = grad(" in function:
            called |= {name.partition("$")[0] for name in re.findall(r" = call (\S+)\(", function)}
    exported, module = set(), ""
    for line in "\n".join(path.read_text() for path in LIBRARY.glob("*.fov")).splitlines():
        if found := re.match(r"( *)(module|fn) (\w+)", line):
            indent, kind, name = found.groups()
            module = name if kind == "module" else module if indent else ""
            exported |= {f"{module}.{name}" if module else name} if kind == "fn" else set()
    excused = {name for names in cases.NOT_ASKED.values() for name in names.split()}
    print(f"{len(exported)} functions and methods, {len(exported & called)} of them with gradients")
    return [f"{name} has no case" for name in sorted(exported - called - excused)] + \
        [f"NOT_ASKED names {name}, which {'has a case' if name in called else 'is not there'}" for name in sorted(excused & called | excused - exported)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--part", default="1/1", help="of so many parts of the cases")
    parser.add_argument("way", choices=["program", "interpreter", "coverage"])
    parser.add_argument("case", nargs="*")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    part, parts = map(int, arguments.part.split("/"))
    chosen = [case for case in cases.TABLE[part - 1::parts] if not arguments.case or case.name in arguments.case]
    failures = {"program": programs, "interpreter": interpreted, "coverage": coverage}[arguments.way](arguments, chosen)
    for failure in failures:
        print(failure)
    print(f"{len(chosen)} cases, {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
