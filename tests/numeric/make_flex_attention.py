#!/usr/bin/env python3
"""Makes inputs, expected outputs and rows of cases.json for tests/numeric/flex_attention.fov: PyTorch's flex_attention itself.

usage: make_flex_attention.py

Stops where PyTorch's float64 is further from its float32 than a third of an example's tolerance.
"""
import inspect
import json
import pathlib

import numpy as np
import torch
from reference import flex_attention

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = "tests/numeric/golden/flex_attention"


def main():
    rows, inputs = [], flex_attention.inputs(seed=71)
    (ROOT / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, value in inputs.items():
        np.save(ROOT / FOLDER / f"{name}.npy", value.numpy())
    for function in flex_attention.EXAMPLES:
        entry, names = function.__name__, inspect.signature(function).parameters
        result = function(*(inputs[name] for name in names))
        doubles = (inputs[name].double() if inputs[name].is_floating_point() else inputs[name] for name in names)
        error, bound = (result.double() - function(*doubles)).abs().max().item(), flex_attention.tolerance(entry)
        print(f"{entry}: float32 is within {error:.1e} of float64, tolerance {bound:.1e}")
        if error > bound / 3:
            raise SystemExit(f"{entry}: too far to be compared")
        np.save(ROOT / FOLDER / f"{entry}.result.npy", result.numpy())
        rows.append({"name": f"flex_{entry}", "source": "tests/numeric/flex_attention.fov", "entry": entry,
                     "inputs": [f"{FOLDER}/{name}.npy" for name in names], "outputs": {"result": f"{FOLDER}/{entry}.result.npy"},
                     "via": ["program", "interpreter"], "tolerance": float(f"{bound:.1e}")})
    path = HERE / "cases.json"
    table = json.loads(path.read_text())
    table["cases"] = [case for case in table["cases"] if not case["name"].startswith("flex_")] + rows
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


with torch.no_grad():
    main()
