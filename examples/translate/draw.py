#!/usr/bin/env python3
"""Translates texts with a trained program, and draws which bytes of the text each byte of its answer looked at.

    draw.py PROGRAM WEIGHTS FOLDER TEXT...

PROGRAM is built with --attention-maps. FOLDER gets a picture for each text, 1.svg and so on: the last layer's cross-attention, the mean over its
heads, as --explain-attention gives it. Needs nothing but Python.
"""
import argparse
import base64
import html
import json
import pathlib
import struct
import subprocess
import tempfile

from make_data import BEGIN, END, SOURCE, TARGET, npy

CELL, LEFT, TOP = 18, 34, 30


def translate(program, weights, text, folder):
    """The answer, greedily, and for each of its bytes the weights of those of the text."""
    source, answer = text.encode(), [BEGIN]
    (folder / "source.npy").write_bytes(npy([[*source, *[0] * SOURCE][:SOURCE]]))
    command = [program, "next", folder / "source.npy", folder / "answer.npy", "--weights", weights, "-o", folder / "next.npy"]
    while answer[-1] != END and len(answer) < TARGET:
        (folder / "answer.npy").write_bytes(npy([answer]))
        subprocess.run([*command, "--explain-attention", folder / "page.html"], check=True)
        answer += struct.unpack("<q", (folder / "next.npy").read_bytes()[-8:])
    data = (folder / "page.html").read_text().split('type="application/json">')[1].split("</script>")[0]
    chain = [chain for chain in json.loads(data)["chains"] if "cross_attention" in chain["path"]][-1]
    heads = [struct.unpack(f"<{(len(answer) - 1) * SOURCE}f", base64.b64decode(head["weights"])) for head in chain["heads"]]
    mean = [sum(column) / len(heads) for column in zip(*heads)]
    return bytes(answer[1:-1]).decode("ascii", "replace"), [mean[i * SOURCE : i * SOURCE + len(source)] for i in range(len(answer) - 2)]


def letters(text):
    """One for each byte: that of a character at its first."""
    return [letter for character in text for letter in [character, *[""] * (len(character.encode()) - 1)]]


def picture(text, answer, weights):
    label = lambda x, y, letter: f'<text x="{x}" y="{y}">{html.escape(letter)}</text>' if letter.strip() else ""
    columns = [label(LEFT + CELL * i + CELL // 2, TOP - 8, letter) for i, letter in enumerate(letters(text))]
    rows = [label(LEFT - 14, TOP + CELL * i + 14, letter) for i, letter in enumerate(answer)]
    cells = [f'<rect x="{LEFT + CELL * j}" y="{TOP + CELL * i}" width="{CELL}" height="{CELL}" fill-opacity="{weight:.2f}"/>'
             for i, row in enumerate(weights) for j, weight in enumerate(row) if weight >= 0.01]
    width, height = LEFT + CELL * len(columns) + 10, TOP + CELL * len(weights) + 10
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="monospace" font-size="14" text-anchor="middle">',
                      f"<title>{html.escape(text)} → {html.escape(answer)}</title>", '<rect width="100%" height="100%" fill="#fff"/>',
                      *filter(None, [*columns, *rows]), '<g fill="#1d4f91">', *cells, "</g></svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("texts", nargs="+")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate(options.texts, 1):
            answer, weights = translate(options.program, options.weights, text, pathlib.Path(folder))
            (options.folder / f"{number}.svg").write_text(picture(text, answer, weights))
            print(f"{text}: {answer}")


if __name__ == "__main__":
    main()
