#!/usr/bin/env python3
"""Uses the installed package as a stranger would: nothing of the build or source tree but the examples.

usage: run.py --build BUILD --work FOLDER --cc C --cxx C++ prefix|custom_pass|embed|generate
"""
import argparse
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests/numeric/golden/minilm_small"
GPT = ROOT / "tests/numeric/golden/gpt"
SMALL = ["vocab=61", "dim=32", "heads=4", "depth=2", "ffn=48"]
CLAMP = """model M {
  entry clamped(x: f32[N]) -> f32[N] { max(min(x, 6), 0) }
  entry reversed(x: f32[N]) -> f32[N] { max(min(x, 0), 6) }
}
"""

sys.path.insert(0, str(ROOT / "tests/numeric"))
import tensors  # noqa: E402


def run(*command):
    """Runs a command and returns its output; where it fails, shows it and ends."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode:
        print("+", *command)
        print(result.stdout + result.stderr)
        sys.exit(f"exit code {result.returncode}")
    return result.stdout


def expect(condition, what, text):
    if not condition:
        print(text)
        sys.exit(f"expected: {what}")


def cmake(source, build, prefix, arguments, *definitions):
    shutil.rmtree(build, ignore_errors=True)
    run("cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_COMPILER={arguments.cc}",
        f"-DCMAKE_CXX_COMPILER={arguments.cxx}", "-DCMAKE_BUILD_TYPE=Release", *definitions)
    run("cmake", "--build", build)


def install(arguments, prefix):
    shutil.rmtree(prefix, ignore_errors=True)
    run("cmake", "--install", arguments.build, "--prefix", prefix)
    run(prefix / "bin/fovea", "--help")


def custom_pass(arguments, prefix):
    """The pass and its pattern run at a named point of `fovea build`, and in fovea-opt; and only where they are asked for."""
    build, model = arguments.work / "custom_pass", arguments.work / "clamp.fov"
    cmake(ROOT / "examples/custom_pass", build, prefix, arguments)
    plugin = next(build.glob("*CustomPass.so"))
    model.write_text(CLAMP)
    graph = arguments.work / "clamp.mlir"
    run(prefix / "bin/fovea", "build", model, "--emit=graph", "-o", graph)
    expect("custom.attentions" not in graph.read_text(), "no pass that was not asked for", graph.read_text())
    text = run(prefix / "bin/fovea-opt", f"--load-pass-plugin={plugin}", "--pass-pipeline=builtin.module(custom-clamp)", graph)
    expect("custom.attentions = 0" in text, "the pass to run in fovea-opt", text)
    first, second = text.split("reversed")[0], text.split("reversed")[1]
    expect(first.rindex("graph.max") < first.rindex("graph.min"), "min(max(x, 0), 6) where low <= high", first)
    expect(second.rindex("graph.min") < second.rindex("graph.max"), "no change where low > high", second)
    text = run(prefix / "bin/fovea", "build", model, "--emit=fused", "-o", "-", f"--load-pass={plugin}:custom-clamp@before-fusion")
    expect("custom.attentions = 0" in text, "the pass to run at before-fusion", text)
    run(prefix / "bin/fovea", "build", model, "-o", arguments.work / "clamp", f"--load-pass={plugin}:custom-clamp@before-fusion")


def embed(arguments, prefix):
    """The C program gives PyTorch's vector, and an error with a sentence where the weights are not a model's."""
    build, library = arguments.work / "embed", arguments.work / "libminilm.so"
    settings = [part for setting in SMALL for part in ("--set", setting)]
    run(prefix / "bin/fovea", "build", ROOT / "examples/minilm/minilm.fov", "--emit=lib", "-o", library, *settings)
    cmake(ROOT / "examples/embed", build, prefix, arguments, f"-DMINILM_LIBRARY={library}")
    ids, mask = tensors.read(GOLDEN / "ids.npy")[""], tensors.read(GOLDEN / "mask.npy")[""]
    want = tensors.read(GOLDEN / "embed.npy")[""]
    tokens, dim = ids.shape[1], want.shape[1]
    for row in range(ids.shape[0]):
        length = sum(mask.values[row * tokens : (row + 1) * tokens])
        words = ids.values[row * tokens : row * tokens + length]
        got = [float(word) for word in run(build / "embed", GOLDEN / "model.safetensors", *words).split()]
        expect(len(got) == dim and all(abs(a - b) <= 1e-5 for a, b in zip(got, want.values[row * dim :])),
               f"sentence {row} as PyTorch has it", got)
    broken = subprocess.run([build / "embed", ROOT / "README.md", "1"], capture_output=True, text=True)
    expect(broken.returncode == 1 and "safetensors" in broken.stderr and not broken.stdout, "an error", broken)


def generate(arguments, prefix):
    """The C program goes on as PyTorch does from whole sequences, in whatever pieces the prompt is read, up to the last place."""
    build, library = arguments.work / "generate", arguments.work / "libgpt.so"
    settings = ["--set", "vocab=61", "--set", "dim=32", "--set", "heads=4", "--set", "depth=2", "--set", "positions=24"]
    run(prefix / "bin/fovea", "build", ROOT / "examples/gpt/gpt.fov", "--emit=lib", "-o", library, *settings)
    cmake(ROOT / "examples/gpt", build, prefix, arguments, f"-DGPT_LIBRARY={library}")
    prompt, tokens, scores = (tensors.read(GPT / f"generate.{name}.npy")[""].values for name in ("prompt", "tokens", "scores"))
    command = [build / "generate", GPT / "weights.safetensors"]
    for piece in (1, 2, 4, len(prompt), 100):
        lines = [line.split() for line in run(*command, len(tokens), piece, *prompt).splitlines()]
        expect([int(token) for token, _ in lines] == list(tokens), f"PyTorch's tokens, {piece} at a time", lines)
        expect(all(abs(float(got) - want) <= 1e-5 for (_, got), want in zip(lines, scores)), f"PyTorch's scores, {piece} at a time", lines)
    beyond = subprocess.run([str(part) for part in (*command, 24, 4, *prompt)], capture_output=True, text=True)
    expect(beyond.returncode == 1 and "24" in beyond.stderr, "an error behind the last position", beyond)
    expect(len(beyond.stdout.split()) == 2 * (24 - len(prompt) + 1), "all tokens up to there", beyond.stdout)


def main():
    parser = argparse.ArgumentParser()
    for option in ("--build", "--work", "--cc", "--cxx"):
        parser.add_argument(option, type=pathlib.Path, required=True)
    steps = {"prefix": install, "custom_pass": custom_pass, "embed": embed, "generate": generate}
    parser.add_argument("step", choices=steps)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    steps[arguments.step](arguments, arguments.work / "prefix")


main()
