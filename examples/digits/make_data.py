#!/usr/bin/env python3
"""Writes the handwritten digits that examples/digits learns to read: 1,797 pictures of 8 x 8 dots, from the package scikit-learn.

    make_data.py FOLDER [--csv digits.csv.gz]

gives train.npz and valid.npz with `pictures` f32[N, 8, 8] between 0 and 1 and `digits` i64[N]; a fifth, drawn once for all, is in
valid.npz. Without --csv the package is fetched (pip download, not installed). Needs nothing but Python.
"""
import argparse
import gzip
import hashlib
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zipfile

INSIDE = "sklearn/datasets/data/digits.csv.gz"
ROWS, HELD_OUT = 1797, 359
SPLIT = "407510b4922f6c3e6a908d0d82e022ce7b1ee7529d1ae0e9425456bb8da9e545"  # sha256 of the rows' numbers, those held out first


def fetch():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "scikit-learn"], check=True)
        with zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl"))) as wheel:
            return wheel.read(INSIDE)


def npy(values, shape, descr, letter):
    """Values in row-major order as the bytes of an .npy file."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}{letter}", *values)


def write(path, rows):
    with zipfile.ZipFile(path, "w") as archive:  # stored as it is, so that the program can map it
        dots = [dot / 16 for row in rows for dot in row[:64]]
        archive.writestr(zipfile.ZipInfo("pictures.npy"), npy(dots, (len(rows), 8, 8), "<f4", "f"))
        archive.writestr(zipfile.ZipInfo("digits.npy"), npy([int(row[64]) for row in rows], (len(rows),), "<i8", "q"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--csv", type=pathlib.Path)
    options = parser.parse_args()
    text = gzip.decompress(options.csv.read_bytes() if options.csv else fetch()).decode()
    rows = [[float(x) for x in line.split(",")] for line in text.split()]
    if len(rows) != ROWS or any(len(row) != 65 for row in rows):
        sys.exit(f"make_data.py: expected {ROWS} rows of 65 numbers, found {len(rows)}")
    order = list(range(ROWS))
    random.Random(7).shuffle(order)
    split = hashlib.sha256(" ".join(map(str, order)).encode()).hexdigest()
    if split != SPLIT:
        sys.exit(f"make_data.py: this Python draws another split: {split}")
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder / "valid.npz", [rows[i] for i in order[:HELD_OUT]])
    write(options.folder / "train.npz", [rows[i] for i in order[HELD_OUT:]])
    print(f"{ROWS - HELD_OUT} digits to learn from, {HELD_OUT} held out")


if __name__ == "__main__":
    main()
