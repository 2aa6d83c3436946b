#!/usr/bin/env python3
"""The page of `--explain-attention` as a browser builds it: chains, tokens, weights, entropies and column masses are those of the model's
formulas in Python, results keep their bits, long sequences are pooled, and programs without maps say how to have them.

usage: attention.py --fovea FOVEA --work FOLDER

Skipped (exit code 77) without Chromium; with FOVEA_REQUIRE_BROWSER set that is a failure.
"""
import argparse
import base64
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys

from page import browser, dom, expect, run

MODEL = pathlib.Path(__file__).resolve().parent / "attention.fov"
HEADS, DIM = 2, 4
VOCABULARY = ["[PAD]", "the", "<b>cat</b>", "sat & \"slept\"", "on", "mats", "übermat"]


def write_npy(path, shape, letter, values):
    kind = {"q": "<i8", "f": "<f4"}[letter]
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                     struct.pack(f"<{len(values)}{letter}", *values))


def layers(ids):
    """Weights [layer][head][query][key] of one sequence."""
    x, result = [[math.sin(i * (d + 1)) for d in range(DIM)] for i in ids], []
    width = DIM // HEADS
    for _ in range(2):
        heads, y = [], [list(row) for row in x]
        for h in range(HEADS):
            part = [row[h * width:(h + 1) * width] for row in x]
            weights = []
            for t, q in enumerate(part):
                e = [math.exp(3 * sum(a * b for a, b in zip(q, k))) if j <= t else 0 for j, k in enumerate(part)]
                weights.append([one / sum(e) for one in e])
                for d in range(width):
                    y[t][h * width + d] += sum(w * v[d] for w, v in zip(weights[-1], part))
            heads.append(weights)
        x = y
        result.append(heads)
    return result


def entropy(row):
    return -sum(w * math.log(w) for w in row if w)


def floats(text):
    data = base64.b64decode(text)
    return struct.unpack(f"<{len(data) // 4}f", data)


def close(found, wanted, what):
    worst = max((abs(a - b) for a, b in zip(found, wanted, strict=True)), default=0)
    expect(worst < 1e-5, f"{what} within 1e-5, not {worst}")


def data_of(page):
    text = page.read_text()
    begin = text.index('type="application/json">') + len('type="application/json">')
    return json.loads(text[begin:text.index("</script>", begin)])


def check_head(head, weights, what):
    close(floats(head["weights"]), [w for row in weights for w in row], f"weights of {what}")
    close(floats(head["sums"]), [entropy(row) for row in weights], f"entropies of {what}")
    close(floats(head["mass"]), [sum(column) for column in zip(*weights)], f"column masses of {what}")


def check_shown(root, ids, weights):
    """What the first chain's first head shows."""
    sections = list(root.all("section", "chain"))
    expect([s.attributes["data-path"].split(".")[:2] for s in sections] == [["layers", "0"], ["layers", "1"]], "a chain a layer, in order")
    tokens = [VOCABULARY[i] for i in ids]
    for axis in ("query", "key"):
        shown = [label.text() for label in sections[0].all("text", axis)]
        expect(shown == tokens, f"tokens along the {axis} axis: {tokens}, not {shown}")
    cells = {(int(c.attributes["data-query"]), int(c.attributes["data-key"])): float(c.attributes["fill-opacity"])
             for c in sections[0].all("rect")}
    high = max(map(max, weights))
    for t, row in enumerate(weights):
        for j, w in enumerate(row):
            expect(abs(cells.get((t, j), 0) - w / high) < 1 / 200, f"the cell of {t}, {j} as dark as {w / high}")
    rows = [[cell.text() for cell in row.all("td")] for row in list(next(sections[0].all("table", "queries")).all("tr"))[1:]]
    close([float(row[1]) for row in rows], [float(f"{entropy(row):.4g}") for row in weights], "entropies that are shown")
    most = [max(range(len(row)), key=lambda j: row[j]) for row in weights]
    expect(all(row[2].startswith(f"{tokens[j]} {float(f'{w[j]:.4g}'):g}"[:len(tokens[j]) + 4]) for row, w, j in zip(rows, weights, most)),
           f"the key that each query looks at most, not {[row[2] for row in rows]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    chromium = browser(drawing=False)
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    program, page, vocabulary = work / "look", work / "attention.html", work / "vocabulary.txt"
    vocabulary.write_text("\n".join(VOCABULARY) + "\n")
    run(arguments.fovea, "build", MODEL, "--attention-maps", "-o", program)
    ids = [[1, 2, 3, 4, 5, 6], [6, 5, 5, 1, 1, 0]]
    write_npy(work / "ids.npy", (2, 6), "q", sum(ids, []))

    # Tokens, numbers, the sequence that was chosen, and the results themselves.
    run(program, "look", work / "ids.npy", "-o", work / "plain.npy")
    run(program, "look", work / "ids.npy", "-o", work / "with.npy", "--explain-attention", page, "--vocabulary", vocabulary)
    expect((work / "plain.npy").read_bytes() == (work / "with.npy").read_bytes(), "the same results with the page")
    data, oracle = data_of(page), layers(ids[0])
    expect(data["model"] == "Look" and data["entry"] == "look" and len(data["chains"]) == 2, "two chains of Look.look")
    for chain, heads in zip(data["chains"], oracle):
        expect(chain["sum"] == "entropy" and [h["head"] for h in chain["heads"]] == [0, 1], "entropies of two heads")
        for head, weights in zip(chain["heads"], heads):
            check_head(head, weights, chain["path"])
    check_shown(dom(chromium, page, work), ids[0], oracle[0][0])
    run(program, "look", work / "ids.npy", "--explain-attention", page, "--attention-sequence", "1", "--attention-heads", "1",
        "--attention-rows", "4,1:3")
    chain, weights = data_of(page)["chains"][1], layers(ids[1])[1][1]
    expect(chain["rows"] == [4, 1, 2] and chain["query_tokens"] == ["6", "5", "5", "1", "1", "0"], "rows and numbers of tokens")
    close(floats(chain["heads"][0]["weights"]), weights[4] + weights[1] + weights[2], "chosen rows")
    close(floats(chain["heads"][0]["mass"]), [sum(column) for column in zip(*weights)], "masses over all rows")

    # Long sequences: cells of keys, rows of queries, never all pairs.
    long = [(7 * i) % 5 for i in range(300)]
    write_npy(work / "long.npy", (1, 300), "q", long)
    run(program, "look", work / "long.npy", "--explain-attention", page)
    chain, weights = data_of(page)["chains"][0], layers(long)[0][0]
    expect((chain["width"], chain["cells"], chain["together"]) == (3, 100, 3), "columns of 3 keys and rows of 3 queries")
    pooled = [sum(weights[3 * r + i][3 * c + j] for i in range(3) for j in range(3)) / 3 for r in range(100) for c in range(100)]
    close(floats(chain["heads"][0]["weights"]), pooled, "pooled weights")
    note = next(next(dom(chromium, page, work).all("section", "chain")).all("p")).text()
    expect("a column is the sum over 3 keys" in note and "a row is the mean of 3 queries" in note, f"what is pooled, not {note}")
    expect(page.stat().st_size < 300 * 300 * 4, "a page without all pairs")

    # Weights that are no softmax's, without tokens; and what is missing.
    values = [((i * 37 + 11) % 64 - 32) / 32 for i in range(20)]
    write_npy(work / "x.npy", (3, 2), "f", values[:6])
    write_npy(work / "memory.npy", (7, 2), "f", values[6:])
    run(program, "gates", work / "x.npy", work / "memory.npy", "--explain-attention", page)
    (chain,) = data_of(page)["chains"]
    gates = [[1 / (1 + math.exp(-sum(values[2 * t + d] * values[6 + 2 * j + d] for d in range(2)))) for j in range(7)] for t in range(3)]
    expect(chain["sum"] == "sum" and "key_tokens" not in chain, "sums, and no tokens")
    close(floats(chain["heads"][0]["weights"]), sum(gates, []), "gates")
    close(floats(chain["heads"][0]["sums"]), map(sum, gates), "sums of gates")
    close(floats(chain["heads"][0]["mass"]), map(sum, zip(*gates)), "masses of gates")
    run(arguments.fovea, "build", MODEL, "-o", work / "without")
    page.unlink()
    for command, message in (([program, "plain", work / "x.npy"], "`plain` has no attention that --explain-attention could show"),
                             ([work / "without", "look", work / "ids.npy"], "needs a program from `fovea build --attention-maps`"),
                             ([program, "look", work / "ids.npy", "--attention-heads=2"], "--attention-heads: 2 is not one of 2"),
                             ([program, "look", work / "ids.npy", "--attention-rows=1:x"], "--attention-rows takes numbers and ranges")):
        result = subprocess.run([*map(str, command), "--explain-attention", str(page)], capture_output=True, text=True, timeout=60)
        expect(result.returncode in (1, 2) and message in result.stderr, f"`{message}`, not {result.stderr}")
        expect(not page.exists(), "no page after an error")
    text_of = lambda path: subprocess.run(["strings", str(path)], capture_output=True, text=True).stdout if shutil.which("strings") else ""
    expect("What ${maps" not in text_of(work / "without"), "nothing of the page in a program without maps")
    print(f"{len(data['chains'])} chains")


main()
