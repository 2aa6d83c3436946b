"""Importing this goes on where NumPy is (modules.need), or leaves."""
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2]))
from modules import need  # noqa: E402

need("numpy")
