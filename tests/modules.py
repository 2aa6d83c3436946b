"""Python packages that a test needs, in this Python or in a virtual environment of its own."""
import importlib.util
import os
import pathlib
import sys


def need(name, venv=None):
    """Goes on in the Python of `venv`, or of FOVEA_VENV, where only that has the module. Where neither has, the test is skipped (exit code 77), and
    fails with FOVEA_REQUIRE_MODULES."""
    if importlib.util.find_spec(name):
        return
    venv = venv or os.environ.get("FOVEA_VENV")
    python = pathlib.Path(venv) / "bin/python" if venv else None
    if python and python.exists() and pathlib.Path(sys.prefix).resolve() != pathlib.Path(venv).resolve():
        os.execv(python, [str(python), *sys.argv])
    required = "FOVEA_REQUIRE_MODULES" in os.environ
    print(f"{'FAILED' if required else 'skipped'}: no {name}")
    sys.exit(1 if required else 77)
