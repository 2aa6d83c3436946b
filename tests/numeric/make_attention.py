#!/usr/bin/env python3
"""Makes inputs, expected outputs and rows of cases.json for tests/numeric/attention.fov, attention_joined.fov, linear.fov and unfused.fov, with NumPy in float64.

usage: make_attention.py

The bound is what make_golden.py has. These are sums of at most 131 products of numbers up to 1 and weights that sum to at most 1, or,
where weights are no softmax's, of results up to 10: some 10 roundings of them.
"""
import inspect
import json
import pathlib

import numpy as np
from reference import attention, linear, unfused

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOLERANCE = 1e-5


def save(folder, name, value):
    np.save(ROOT / folder / f"{name}.npy", value)
    return f"{folder}/{name}.npy"


def source(kind, entry):
    """The file of this kind that has the entry."""
    return next(f"tests/numeric/{file.name}" for file in sorted(HERE.glob(f"{kind}*.fov")) if f"entry {entry}(" in file.read_text())


def cases(reference):
    kind = reference.__name__.split(".")[-1]
    folder = f"tests/numeric/golden/{kind}"
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(reference.SIZES):
        inputs = reference.inputs(size, seed=41 + number)
        doubles = {name: value.astype(float) if value.dtype == np.float32 else value for name, value in inputs.items()}
        for function in reference.ENTRIES:
            names = inspect.signature(function).parameters
            results = function(*(doubles[name] for name in names))
            if not isinstance(results, dict):
                results = {"result": results}
            entry = function.__name__
            yield {"name": f"{kind}_{entry}_{size}", "source": source(kind, entry), "entry": entry,
                   "inputs": [save(folder, f"{size}.{name}", inputs[name]) for name in names],
                   "outputs": {name: save(folder, f"{entry}.{size}.{name}", value if value.dtype == np.int64 else value.astype(np.float32))
                               for name, value in results.items()},
                   "via": ["program", "interpreter"], "tolerance": reference.TOLERANCES.get(entry, TOLERANCE)}


def main():
    rows = [*cases(attention), *cases(linear), *cases(unfused)]
    path = HERE / "cases.json"
    table = json.loads(path.read_text())
    table["cases"] = [case for case in table["cases"] if not case["name"].startswith(("attention_", "linear_", "unfused_"))] + rows
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


main()
