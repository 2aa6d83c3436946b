#!/usr/bin/env python3
"""Checks that no tracked file names a place on somebody's machine (a home folder, a mount, a private work folder).

usage: machine_paths.py ROOT | machine_paths.py --self-test
"""
import pathlib
import re
import subprocess
import sys

PRIVATE = ["home", "root", "Users", "work", "mnt", "srv", "opt", "scratch"]
PATTERN = re.compile(rb"(?<![\w.$}/*-])/(?:" + "|".join(PRIVATE).encode() + rb")/[\w.+-]")


def offending(data):
    """Line numbers of `data` (bytes) that name a private path."""
    return [number for number, line in enumerate(data.split(b"\n"), 1) if PATTERN.search(line)]


def tracked(root):
    names = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True, capture_output=True).stdout
    return [root / name.decode() for name in names.split(b"\0") if name]


def self_test():
    slash = b"/"
    bad = [b'include "' + slash + b'home/ada/x.h"', b"see " + slash + b"work/project", slash + b"root/.cache"]
    good = [b"/usr/lib/llvm-22", b"frame/work/x", b"${prefix}" + slash + b"opt/x", b"a * b /home", b"docs/home/index"]
    return [f"missed {text}" for text in bad if not offending(text)] + [f"flagged {t}" for t in good if offending(t)]


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    if sys.argv[1] == "--self-test":
        found = self_test()
    elif not (pathlib.Path(sys.argv[1]) / ".git").exists():
        print("not a git checkout: nothing is tracked")
        sys.exit(77)  # ctest: skipped
    else:
        root = pathlib.Path(sys.argv[1])
        # Tensors are bytes, where a match means nothing.
        files = [p for p in tracked(root) if p.is_file() and p.suffix not in {".npy", ".npz", ".safetensors", ".png"}]
        found = [f"{p.relative_to(root)}:{n}: names a private path" for p in files for n in offending(p.read_bytes())]
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
