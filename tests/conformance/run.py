#!/usr/bin/env python3
"""Runs ONNX's own node tests of attention and what surrounds it through Fovea.

usage: run.py --fovea FOVEA --work FOLDER [--python PYTHON] [--required] [OPERATOR...]

For each case a `.fov` entry is written from the node's attributes and its inputs' types and shapes; one program an operator is built, run
on the case's inputs, and its outputs are compared by ONNX's own comparison at the case's own tolerance. Cases in excluded.json are
left out, with a reason. Without the package `onnx` this is skipped (exit code 77), or fails with --required.
"""
import argparse
import concurrent.futures
import importlib.util
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
VERSION = "1.23.2"  # whose cases are counted; .ci/run installs it
IMPORTS = ["positions", "windows", "recurrent", "caches"]

# operator -> (what translates it, how many cases ONNX has, how many of them must agree)
OPERATORS = {
    "Attention": attention.attention,
    "FlexAttention": attention.flex_attention,
    "RotaryEmbedding": others.rotary_embedding,
    "RMSNormalization": others.rms_normalization,
    "LinearAttention": others.linear_attention,
    "CausalConvWithState": others.causal_conv,
    "TensorScatter": others.tensor_scatter,
    "Softmax": others.softmax,
}


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
        text = OPERATORS[operator](case.node)
        case.node.finish()
        text = text.text("ENTRY")
        names[case.name] = entries.setdefault(text, case.name)
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


def check(operator, cases, fovea, work):
    """Builds and runs the cases of an operator: {case's name: None or what is wrong}."""
    text, entries = model_text(operator, cases)
    path, program = work / f"{operator}.fov", work / operator
    path.write_text(text)
    built = run([fovea, "build", path, "-o", program])
    if built.returncode:
        return {case.name: f"{path} can't be built: {built.stderr}" for case in cases}
    return {case.name: difference(outputs_of(program, entries[case.name], case, work), case) for case in cases}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--required", action="store_true")
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", default=list(OPERATORS))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    excluded = json.loads((HERE / "excluded.json").read_text())
    all = cases_of(arguments.operators)
    for operator, cases in all.items():
        chosen = [case for case in cases if case.name not in excluded]
        found = check(operator, chosen, arguments.fovea, arguments.work)
        for name, why in found.items():
            if why: print(f"{name}: {why}")
        print(operator, sum(why is None for why in found.values()), "of", len(cases))


main()
