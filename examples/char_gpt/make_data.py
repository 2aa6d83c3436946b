#!/usr/bin/env python3
"""Writes the text that examples/char_gpt learns from: Debian's policy manual, 480,000 letters of English.

    make_data.py FOLDER [--text policy.txt.gz] [--context 128]

gives train.npz and valid.npz with `text` i64[N, context + 1]: codes of ASCII, each row the `context` letters of a piece and the one after them.
A tenth of the pieces, runs of 16 that lie all over the text, is in valid.npz alone. Without --text, what the package debian-policy has installed is
taken, or else the package is fetched (apt-get download, not installed). Needs nothing but Python.
"""
import argparse
import gzip
import hashlib
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "debian-policy"
INSIDE = "usr/share/doc/debian-policy/policy.txt.gz"
SHA256 = "89dba06600463ed858b4ccd3bdf4e72452c512589f1029548346e5284eb71374"  # of the text in version 4.6.2.0, Debian 12's
ASCII = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "--", "…": "...", "×": "x", "©": "(c)", "π": "pi"})
RUN = 16


def fetch():
    """The file as the package has it."""
    installed = pathlib.Path("/") / INSIDE
    if installed.exists():
        return installed.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "--quiet", PACKAGE], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        subprocess.run(["dpkg", "--extract", next(pathlib.Path(folder).glob("*.deb")), "unpacked"], check=True, cwd=folder)
        return (pathlib.Path(folder) / "unpacked" / INSIDE).read_bytes()


def pieces(text, context):
    """Rows to learn from, and rows held out. The letter after a row is a piece's first one, so no letter is to be told in both."""
    rows = [text[i : i + context + 1] for i in range(0, len(text) - context, context)]
    held_out = [number // RUN % 10 == 9 for number in range(len(rows))]
    return [row for row, out in zip(rows, held_out) if not out], [row for row, out in zip(rows, held_out) if out]


def npy(rows):
    """Rows of letters as the bytes of an .npy file."""
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {(len(rows), len(rows[0]))}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    letters = b"".join(rows)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(letters)}q", *letters)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--context", type=int, default=128)
    options = parser.parse_args()
    text = gzip.decompress(options.text.read_bytes() if options.text else fetch())
    if hashlib.sha256(text).hexdigest() != SHA256:
        print("make_data.py: this is another version of the manual than the one that README.md's figures are of", file=sys.stderr)
    train, valid = pieces(text.decode().translate(ASCII).encode("ascii", "replace"), options.context)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ("train", train), ("valid", valid):
        with zipfile.ZipFile(options.folder / f"{name}.npz", "w") as archive:  # stored as it is, so that the program can map it
            archive.writestr(zipfile.ZipInfo("text.npy"), npy(rows))
    print(f"{len(train)} pieces to learn from, {len(valid)} held out")


if __name__ == "__main__":
    main()
