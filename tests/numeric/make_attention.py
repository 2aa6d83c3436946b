#!/usr/bin/env python3
"""Makes inputs, expected outputs and rows of cases.json for tests/numeric/attention.fov, with NumPy in float64.

usage: make_attention.py

The bound is what make_golden.py has. These are sums of at most 131 products of numbers up to 1 and weights that sum to at most 1, or,
where weights are no softmax's, of results up to 10: some 10 roundings of them.
"""
import inspect
import json
import pathlib

import numpy as np
from reference import attention

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = "tests/numeric/golden/attention"
TOLERANCE = 1e-5


def main():
    rows = []
    (ROOT / FOLDER).mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(attention.SIZES):
        inputs = attention.inputs(size, seed=41 + number)
        for name, value in inputs.items():
            np.save(ROOT / FOLDER / f"{size}.{name}.npy", value)
        doubles = {name: value.astype(float) if value.dtype == np.float32 else value for name, value in inputs.items()}
        for function in attention.ENTRIES:
            names = inspect.signature(function).parameters
            results = function(*(doubles[name] for name in names))
            if not isinstance(results, dict):
                results = {"result": results}
            entry = function.__name__
            for name, value in results.items():
                np.save(ROOT / FOLDER / f"{entry}.{size}.{name}.npy", value if value.dtype == np.int64 else value.astype(np.float32))
            rows.append({"name": f"attention_{entry}_{size}", "source": "tests/numeric/attention.fov", "entry": entry,
                         "inputs": [f"{FOLDER}/{size}.{name}.npy" for name in names],
                         "outputs": {name: f"{FOLDER}/{entry}.{size}.{name}.npy" for name in results},
                         "via": ["program", "interpreter"], "tolerance": attention.TOLERANCES.get(entry, TOLERANCE)})
    path = HERE / "cases.json"
    table = json.loads(path.read_text())
    table["cases"] = [case for case in table["cases"] if not case["name"].startswith("attention_")] + rows
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


main()
