"""Importing this goes on in the Python of FOVEA_VENV where only that has NumPy, and skips (exit code 77) where neither has."""
import importlib.util
import os
import pathlib
import sys

if not importlib.util.find_spec("numpy"):
    venv = pathlib.Path(os.environ.get("FOVEA_VENV", ""))
    if os.environ.get("FOVEA_VENV") and (venv / "bin/python").exists() and pathlib.Path(sys.prefix).resolve() != venv.resolve():
        os.execv(venv / "bin/python", [str(venv / "bin/python"), *sys.argv])
    print("NumPy is not here: skipped")
    sys.exit(77)
