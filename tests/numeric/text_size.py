#!/usr/bin/env python3
"""Equal layers are compiled once: the code of a program does not grow with their number.

    text_size.py --fovea build/bin/fovea --model m.fov --set depth --few 6 --many 48 --work DIR

Builds the model twice and compares the sizes of `.text`; fails where they differ by more than 2%.
"""
import argparse
import os
import struct
import subprocess
import sys


def text_size(path):
    """Bytes of the section .text of a 64-bit little-endian ELF file."""
    with open(path, "rb") as file:
        data = file.read()
    offset, = struct.unpack_from("<Q", data, 0x28)
    entry_size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    section = lambda i: struct.unpack_from("<IIQQQQ", data, offset + i * entry_size)
    strings = section(names)[4]
    for i in range(count):
        name, _, _, _, _, size = section(i)
        end = data.index(b"\0", strings + name)
        if data[strings + name:end] == b".text":
            return size
    raise ValueError(f"{path} has no .text")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fovea", "model", "work", "set"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--few", type=int, default=6)
    parser.add_argument("--many", type=int, default=48)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    sizes = []
    for layers in (options.few, options.many):
        program = os.path.join(options.work, f"layers_{layers}")
        subprocess.run([options.fovea, "build", "--set", f"{options.set}={layers}", options.model, "-o", program], check=True,
                       stdout=subprocess.DEVNULL)
        sizes.append(text_size(program))
    growth = abs(sizes[1] - sizes[0]) / sizes[0]
    print(f".text: {sizes[0]} bytes with {options.few} layers, {sizes[1]} with {options.many} ({100 * growth:.2f}%)")
    return 0 if growth <= 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
