#!/usr/bin/env python3
"""What docs/howto/train-your-first-attention-network.md says is so: its model, data and commands, taken from the page, learn to look at the mark.

usage: howto.py --fovea FOVEA --work FOLDER [--venv FOLDER]

Skipped (exit code 77) where neither this Python nor the environment has NumPy.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from modules import need  # noqa: E402
from training import expect  # noqa: E402

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/howto/train-your-first-attention-network.md"


def blocks(text):
    """Its indented blocks, in order."""
    return ["\n".join(line[4:] for line in block.splitlines()) + "\n" for block in re.findall(r"(?:^(?:    .*)?\n)+", text, re.M) if block.strip()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--venv", type=pathlib.Path)
    arguments = parser.parse_args()
    need("numpy", arguments.venv)
    work = arguments.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    found = blocks(PAGE.read_text())
    model, data = ([block for block in found if block.lstrip().startswith(start)] for start in ("import losses", "import numpy"))
    expect(len(model) == len(data) == 1, "a model and a script")
    (work / "pick.fov").write_text(model[0])
    (work / "data.py").write_text(data[0])
    environment = os.environ | {"PATH": f"{arguments.fovea.resolve().parent}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    outputs = []
    for command in re.findall(r"^\$ (.*)", "".join(found), re.M):
        result = subprocess.run(command, shell=True, cwd=work, env=environment, capture_output=True, text=True, timeout=120)
        expect(result.returncode == 0, f"success of {command}, not {result.stderr}")
        outputs.append(result.stdout)
    expect(len(outputs) == 6, "all commands")
    first, last = outputs[2].splitlines()[0], outputs[3].splitlines()[-1]
    shape = re.sub(r"[\d.e+-]+", "#", next(block for block in found if block.lstrip().startswith("epoch 1/30")).strip())
    expect(re.sub(r"[\d.e+-]+", "#", first) == shape, f"a line like the page's, not {first}")
    expect(float(last.split()[-1]) < 1e-3, f"a network that has learned, not {last}")
    import numpy
    x = numpy.load(work / "one.npy")
    mark = int(x[0, :, 1].argmax())
    answer, looks = ([float(n) for n in re.findall(r"-?[\d.]+(?:e-?\d+)?", text.splitlines()[1])] for text in outputs[4:])
    expect(abs(answer[0] - x[0, mark, 0]) < 0.1, f"the marked number {x[0, mark, 0]}, not {answer}")
    expect(len(looks) == 7 and max(range(7), key=lambda i: looks[i]) == mark and looks[mark] > 0.7, f"a look at step {mark}, not {looks}")
    print(last)


if __name__ == "__main__":
    main()
