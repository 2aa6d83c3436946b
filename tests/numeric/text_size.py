#!/usr/bin/env python3
"""What a program weighs: equal layers are compiled once, the file is small, and it needs no library but libc and libm.

    text_size.py --fovea build/bin/fovea --model m.fov --set depth --few 6 --many 48 --work DIR

Builds the model twice and compares the sizes of `.text`; fails where they differ by more than 2%, where the program is larger than
1.5 MB, or needs another library.
"""
import argparse
import os
import struct
import subprocess
import sys

LARGEST = 1_500_000
LIBRARIES = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}


def sections(data):
    """{name: (offset, size)} of a 64-bit little-endian ELF file."""
    offset, = struct.unpack_from("<Q", data, 0x28)
    entry_size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", data, offset + i * entry_size) for i in range(count)]
    return {text_at(data, headers[names][4] + name): (start, size) for name, _, _, _, start, size in headers}


def text_at(data, offset):
    return data[offset : data.index(b"\0", offset)].decode()


def needed(data):
    """Names of the libraries that the loader must find."""
    offset, size = sections(data)[".dynamic"]
    strings, _ = sections(data)[".dynstr"]
    entries = (struct.unpack_from("<QQ", data, at) for at in range(offset, offset + size, 16))
    return {text_at(data, strings + value) for tag, value in entries if tag == 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fovea", "model", "work", "set"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--few", type=int, default=6)
    parser.add_argument("--many", type=int, default=48)
    options = parser.parse_args()
    os.makedirs(options.work, exist_ok=True)
    programs = []
    for layers in (options.few, options.many):
        path = os.path.join(options.work, f"layers_{layers}")
        subprocess.run([options.fovea, "build", "--set", f"{options.set}={layers}", options.model, "-o", path], check=True,
                       stdout=subprocess.DEVNULL)
        with open(path, "rb") as file:
            programs.append(file.read())
    few, many = (sections(program)[".text"][1] for program in programs)
    growth = abs(many - few) / few
    print(f".text: {few} bytes with {options.few} layers, {many} with {options.many} ({100 * growth:.2f}%)")
    print(f"program: {len(programs[0])} bytes, needs {', '.join(sorted(needed(programs[0])))}")
    return 0 if growth <= 0.02 and len(programs[0]) < LARGEST and needed(programs[0]) <= LIBRARIES else 1


if __name__ == "__main__":
    sys.exit(main())
