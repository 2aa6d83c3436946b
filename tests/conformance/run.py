#!/usr/bin/env python3
"""Runs ONNX's own node tests of attention and what surrounds it through Fovea.

usage: run.py --fovea FOVEA --work FOLDER [--venv FOLDER] [OPERATOR...]

For each case an entry is written from the node's attributes and its inputs' types and shapes (attention.py, others.py); one program an
operator is built and run on the cases' inputs; outputs are compared by ONNX's own comparison, at the case's own tolerance. Attention
must be fused wherever scores or weights aren't outputs. Cases in excluded.json are left out, each with its reason.

Without the package `onnx` (here or in --venv) this is skipped, exit code 77; with FOVEA_REQUIRE_MODULES set that is a failure.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import warnings

import attention
import others
import source

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
from modules import need  # noqa: E402

IMPORTS = ["positions", "windows", "recurrent", "caches"]

# operator -> (what translates it, how many cases ONNX 1.23.2 has)
OPERATORS = {
    "Attention": (attention.attention, 93),
    "FlexAttention": (attention.flex_attention, 11),
    "LinearAttention": (others.linear_attention, 14),
    "RotaryEmbedding": (others.rotary_embedding, 8),
    "RMSNormalization": (others.rms_normalization, 19),
    "CausalConvWithState": (others.causal_conv, 13),
    "TensorScatter": (others.tensor_scatter, 3),
    "Softmax": (others.softmax, 7),
}
# Operators whose chains are to be fused, and the output that shows scores or weights: a case that has it needs them in memory.
FUSED = {"Attention": "qk_matmul_output", "FlexAttention": None}


class Case:
    """A node test of ONNX: its node, inputs, outputs, and tolerance."""

    def __init__(self, test):
        from onnx import helper
        self.name = test.name.removeprefix("test_")
        self.rtol, self.atol = test.rtol, test.atol
        proto, = test.model.graph.node
        (inputs, outputs), = test.data_sets
        self.inputs = dict(zip((name for name in proto.input if name), inputs, strict=True))
        self.outputs = dict(zip((name for name in proto.output if name), outputs, strict=True))
        self.node = source.Node(
            proto.op_type, {attribute.name: helper.get_attribute_value(attribute) for attribute in proto.attribute},
            self.tensors(proto.input, self.inputs), self.tensors(proto.output, self.outputs))

    def tensors(self, names, values):
        return {place: source.Tensor(name, source.TYPES[values[name].dtype.name], values[name].shape)
                for place, name in enumerate(names) if name}


def cases_of(operators):
    """{operator: its base cases, in ONNX's order}; cases that write the operator out as a function of others are not among them."""
    from onnx.backend.test.loader import load_model_tests
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = load_model_tests(kind="node")
    result = {operator: [] for operator in operators}
    for test in tests:
        nodes = test.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in result:
            result[nodes[0].op_type].append(Case(test))
    return result


def model_text(operator, cases):
    """(the model's source, {case's name: entry}). Cases with the same text share an entry: sizes are names."""
    entries, names = {}, {}
    for case in cases:
        entry = OPERATORS[operator][0](case.node)
        case.node.finish()
        names[case.name] = entries.setdefault(entry.text("ENTRY"), case.name)
    body = "\n".join(text.replace("entry ENTRY", f"entry {name}") for text, name in entries.items())
    return "".join(f"import {name}\n" for name in IMPORTS) + f"\nmodel {operator}() {{\n{body}}}\n", names


def run(command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def outputs_of(program, entry, case, work):
    """The program's outputs, in the case's order and types; a string where it fails."""
    import numpy
    inputs, results = work / f"{case.name}.in.npz", work / f"{case.name}.out.npz"
    results.unlink(missing_ok=True)
    # npy has no bf16: those go in and come out as f32, which holds them exactly.
    numpy.savez(inputs, **{name: value.astype(numpy.float32) if value.dtype.name == "bfloat16" else value
                           for name, value in case.inputs.items()})
    said = run([program, entry, inputs, "-o", results])
    if said.returncode:
        return f"exit code {said.returncode}: {said.stderr.strip()}"
    with numpy.load(results) as found:
        got = [found[name if len(case.outputs) > 1 else found.files[0]] for name in case.outputs]
    return [value.astype(expected.dtype) if expected.dtype.name == "bfloat16" else value
            for value, expected in zip(got, case.outputs.values())]


def difference(got, case):
    """None where the outputs are the expected ones to ONNX's own comparison, else what it says."""
    from onnx.backend.test.runner import Runner
    if isinstance(got, str):
        return got
    try:
        Runner.assert_similar_outputs(list(case.outputs.values()), got, case.rtol, case.atol)
    except AssertionError as error:
        return str(error).strip()
    return None


def changed(case):
    """The expected outputs with one number that is off by twice what is allowed."""
    outputs = [value.copy() for value in case.outputs.values()]
    first = outputs[0].reshape(-1)[0].astype("float32")
    tolerance = max(case.rtol, 2**-6 if outputs[0].dtype.name == "bfloat16" else 0) * abs(first) + case.atol
    outputs[0].reshape(-1)[0] = first + 2 * tolerance
    return outputs


@dataclasses.dataclass
class Report:
    """What came out for one operator."""
    operator: str
    count: int                 # of ONNX's cases
    failures: dict             # case's name or a subject -> what is wrong
    agree: int = 0
    fused: int | None = None   # cases whose chains are all fused, where an operator has chains to be fused

    def line(self):
        fused = "" if self.fused is None else f" ({self.fused} fused)"
        return f"{self.operator} {self.agree} of {self.count}{fused}"


def fused_entries(fovea, path):
    """{entry: whether every chain in it is fused} of those that have a chain."""
    chains, result = [], {}
    json.loads(run([fovea, "explain", "--format=json", path]).stdout, object_hook=lambda o: chains.append(o) if "fused" in o else o)
    for chain in chains:
        entry = chain["function"].rpartition(".")[2]
        result[entry] = result.get(entry, True) and chain["fused"]
    return result


def check(operator, cases, excluded, fovea, work):
    """Builds and runs the cases of an operator."""
    report = Report(operator, len(cases), {})
    if len(cases) != OPERATORS[operator][1]:
        report.failures[operator] = f"{len(cases)} cases, expected {OPERATORS[operator][1]}: another version of onnx?"
    cases = [case for case in cases if case.name not in excluded]
    text, entries = model_text(operator, cases)
    path, program = work / f"{operator}.fov", work / operator
    path.write_text(text)
    built = run([fovea, "build", path, "-o", program])
    if built.returncode:
        report.failures[operator] = f"{path} can't be built:\n{built.stderr}"
        return report
    for case in cases:
        why = difference(outputs_of(program, entries[case.name], case, work), case)
        if why:
            report.failures[case.name] = why
        report.agree += why is None
        if not difference(changed(case), case):
            report.failures[case.name] = "the comparison doesn't notice a wrong number"
    if operator in FUSED:
        fused = fused_entries(fovea, path)
        report.fused = sum(fused.get(entries[case.name], False) for case in cases)
        for case in cases:
            if FUSED[operator] not in case.outputs and not fused.get(entries[case.name], False):
                report.failures[case.name] = f"not fused: `fovea explain {path}` says why"
    return report


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--venv", type=pathlib.Path)
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", default=list(OPERATORS))
    arguments = parser.parse_args()
    need("onnx", arguments.venv)
    arguments.work.mkdir(parents=True, exist_ok=True)
    excluded = json.loads((HERE / "excluded.json").read_text())
    cases = cases_of(arguments.operators)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        reports = list(pool.map(lambda operator: check(operator, cases[operator], excluded, arguments.fovea, arguments.work), cases))
    for report in reports:
        for name, why in report.failures.items():
            print(f"{name}: {why}\n")
    for name, why in excluded.items():
        print(f"excluded: {name}: {why}")
    for report in reports:
        print(report.line())
    sys.exit(any(report.failures for report in reports))


if __name__ == "__main__":
    main()
