"""Holds docs/explain.md to what `fovea explain` prints: its two examples word by word, and the kinds of masks.

usage: check_docs.py EXPLAIN.md GPT2.fov WORK
"""
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # nothing beside the sources
import check_schema  # noqa: E402


def blocks(text):
    """Indented blocks of the page, without their indentation."""
    for match in re.finditer(r"(?:^    .*\n|^\n(?=    ))+", text, re.M):
        yield re.sub(r"^    ", "", match[0], flags=re.M).strip("\n") + "\n"


def main():
    page, gpt2, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    work.mkdir(parents=True, exist_ok=True)
    (work / "gpt2.fov").write_text(gpt2.read_text())
    text = page.read_text()
    examples = 0
    for block in blocks(text):
        model, _, rest = block.partition("$ ")
        if not rest:
            continue
        if model.strip():
            (work / "m.fov").write_text(model)
        command, _, expected = rest.partition("\n")
        found = subprocess.run(command.split(), cwd=work, capture_output=True, text=True).stdout
        if re.sub(r"nn\.fov:[0-9:]+", "nn.fov", found) != re.sub(r"nn\.fov:[0-9:]+", "nn.fov", expected):
            sys.exit(f"{command}\n--- the page\n{expected}--- the program\n{found}")
        examples += 1
    kinds = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))))
    missing = check_schema.KINDS - kinds
    if examples != 2 or missing:
        sys.exit(f"{examples} examples, kinds that the page does not name: {missing}")


main()
