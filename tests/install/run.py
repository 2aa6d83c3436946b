#!/usr/bin/env python3
"""Uses the installed package as a stranger would: nothing of the build or source tree but the examples.

usage: run.py --build BUILD --work FOLDER --cc C --cxx C++ prefix|custom_pass|embed|generate|translate|paint|write|train
"""
import argparse
import math
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests/numeric/golden/minilm_small"
GPT = ROOT / "tests/numeric/golden/gpt"
TRANSLATION, PICTURES = ROOT / "tests/numeric/golden/translation", ROOT / "tests/numeric/golden/image_generation"
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


def expect_whole_number(*command):
    """That the command, whose last word is `7x`, asks for a number there."""
    refused = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    expect(refused.returncode == 2 and "`7x` is not a whole number" in refused.stderr and not refused.stdout, "no number to be made of `7x`", refused)


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
    expect_whole_number(build / "embed", GOLDEN / "model.safetensors", 1, "7x")


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
    expect_whole_number(*command, 3, 4, "7x")


def translate(arguments, prefix):
    """The C program finds the hypotheses that PyTorch finds from whole sequences, greedily and with several beams, in their order."""
    build, library = arguments.work / "translate", arguments.work / "libtranslation.so"
    settings = ["--set", "vocab=53", "--set", "dim=32", "--set", "heads=4", "--set", "depth=2", "--set", "ffn=48"]
    run(prefix / "bin/fovea", "build", ROOT / "examples/translation/translation.fov", "--emit=lib", "-o", library, *settings)
    cmake(ROOT / "examples/translation", build, prefix, arguments, f"-DTRANSLATION_LIBRARY={library}")
    for beams, last in (1, 43), (4, 43), (3, 22), (60, 43):
        words, lengths, scores = (tensors.read(TRANSLATION / f"{beams}.{name}.npy")[""].values for name in ("words", "lengths", "scores"))
        text = run(build / "translate", TRANSLATION / "weights.safetensors", beams, 11, 1, last, 7, 31, 2, 50, 18, 18, 40)
        lines = [line.split() for line in text.splitlines()]
        expect([len(line) - 1 for line in lines] == list(lengths), f"as many words as PyTorch has with {beams} beams", lines)
        expect([int(word) for line in lines for word in line[1:]] == list(words), f"PyTorch's words with {beams} beams", lines)
        expect(all(abs(float(line[0]) - want) <= 1e-5 for line, want in zip(lines, scores)), f"PyTorch's scores with {beams} beams", lines)
    expect_whole_number(build / "translate", TRANSLATION / "weights.safetensors", 4, 11, 1, 43, "7x")


def paint(arguments, prefix):
    """The C program draws the picture that is drawn from PyTorch's probabilities with the same numbers."""
    build, library = arguments.work / "paint", arguments.work / "libimage_generation.so"
    settings = ["shades=6", "width=7", "height=5", "dim=32", "heads=4", "depth=2"]
    run(prefix / "bin/fovea", "build", ROOT / "examples/image_generation/image_generation.fov", "--emit=lib", "-o", library,
        *(part for setting in settings for part in ("--set", setting)))
    cmake(ROOT / "examples/image_generation", build, prefix, arguments, f"-DIMAGE_GENERATION_LIBRARY={library}")
    for seed in (3, 4):
        given, pixels = (tensors.read(PICTURES / f"{name}.npy")[""].values for name in (f"paint{seed}.given", f"paint{seed}"))
        picture = run(build / "paint", PICTURES / "weights.safetensors", 7, 5, seed, *given).split()
        expect(picture[:4] == ["P2", "7", "5", "5"] and [int(shade) for shade in picture[4:]] == list(pixels), f"picture {seed}", picture)
    beyond = subprocess.run([build / "paint", PICTURES / "weights.safetensors", "7", "6", "3"], capture_output=True, text=True)
    expect(beyond.returncode == 1 and "outside" in beyond.stderr and not beyond.stdout, "an error below the model's last row", beyond)
    expect_whole_number(build / "paint", PICTURES / "weights.safetensors", 7, 5, "7x")


def drawn(scores, temperature, seed):
    """What examples/char_gpt's program chooses, and the next seed: splitmix64, and the letter in whose share of [0, 1) the number lies."""
    mask = 2**64 - 1
    seed = seed + 0x9E3779B97F4A7C15 & mask
    z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    if temperature == 0:
        return scores.index(max(scores)), seed
    shares = [math.exp((score - max(scores)) / temperature) for score in scores]
    number, letter = ((z ^ z >> 31) >> 11) * 2.0**-53 * sum(shares), 0
    while letter + 1 < len(shares) and number >= shares[letter]:
        number -= shares[letter]
        letter += 1
    return letter, seed


def write(arguments, prefix):
    """The C program goes on, over pieces and a window that slides, with the letters that are drawn from what the model says after the whole text."""
    source, work = ROOT / "examples/char_gpt", arguments.work / "write"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    settings = [part for setting in ("dim=32", "heads=2", "depth=2", "context=8", "peak=0.02") for part in ("--set", setting)]
    program, library, weights = work / "char_gpt", work / "libchar_gpt.so", work / "weights.safetensors"
    run(prefix / "bin/fovea", "build", source / "char_gpt.fov", "-o", program, *settings)
    run(prefix / "bin/fovea", "build", source / "char_gpt.fov", "--emit=lib", "-o", library, *settings)
    cmake(source, work / "build", prefix, arguments, f"-DCHAR_GPT_LIBRARY={library}")
    save = lambda name, shape, values: tensors.write_npy(work / name, tensors.Tensor("<i8", shape, values))
    save("text.npy", (128, 9), [letter for i in range(128) for letter in ("never odd or even " * 2)[i % 18 :][:9].encode()])
    run(program, "train", "--data", work / "text.npy", "--save", weights, "--epochs", 8, "--batch", 16)
    prompt = "was it a car or a cat I saw; " * 3
    for temperature, seed in ("0", 1), ("0.8", 3), ("0.8", 4):
        got = subprocess.run([work / "build/generate", weights, "30", temperature, str(seed), prompt], check=True, capture_output=True).stdout
        letters = list(prompt.encode())
        for _ in range(30):
            save("letters.npy", (1, len(letters)), letters)
            run(program, "next", work / "letters.npy", 0, "--size", f"slots={len(letters) + 7}", "--weights", weights, "-o", work / "scores.npy")
            letter, seed = drawn(list(tensors.read(work / "scores.npy")[""].values), float(temperature), seed)
            letters.append(letter)
        expect(got == bytes(letters) + b"\n", f"the text {bytes(letters)}", got)


def train(arguments, prefix):
    """The C program trains as PyTorch does from the same weights, in every epoch and at the end, and from a seed as well."""
    source, golden = ROOT / "examples/first_training", ROOT / "tests/numeric/golden/first_training"
    for name, model in ("vector", "VectorAttention"), ("steps", "StepAttention"):
        build, library = arguments.work / f"train-{name}", arguments.work / f"lib{model.lower()}.so"
        run(prefix / "bin/fovea", "build", source / "first_training.fov", "--model", model, "--emit=lib", "-o", library)
        cmake(source, build, prefix, arguments, f"-DFIRST_TRAINING_LIBRARY={library}", f"-DFIRST_TRAINING_PROGRAM={model.lower()}_program")
        want = tensors.read(golden / f"{name}.safetensors")
        lines = run(build / "train", 1000, 1, golden / f"{name}.weights.safetensors").splitlines()
        losses = [float(line.split()[-1]) for line in lines[:-1]]
        off = 16 * 5 * 2**-24  # what outputs of 5 may be off by: a loss of squares near 0 is known no better
        close = [abs(got - loss) <= 1e-4 * loss + 2 * off * loss**0.5 + off**2 for got, loss in zip(losses, want["losses"].values)]
        expect(len(losses) == 1000 and all(close), f"PyTorch's losses, {name}", lines[:: 100])
        prediction = want["prediction"].values[0]
        expect(abs(float(lines[-1].split()[-1]) - prediction) <= 1e-4 * abs(prediction), f"PyTorch's prediction {prediction}", lines[-1])
        seeds = [run(build / "train", 1000, 100, seed) for seed in ("3", "3", "4")]
        expect(seeds[0] == seeds[1] != seeds[2], "the same from the same seed alone", seeds)
        losses = [float(line.split()[-1]) for line in seeds[0].splitlines()[:-1]]
        expect(len(losses) == 10 and losses[-1] < losses[0], "a loss that falls", losses)
        expect_whole_number(build / "train", 10, "7x")


def main():
    parser = argparse.ArgumentParser()
    for option in ("--build", "--work", "--cc", "--cxx"):
        parser.add_argument(option, type=pathlib.Path, required=True)
    steps = {"prefix": install, "custom_pass": custom_pass, "embed": embed, "generate": generate, "translate": translate, "paint": paint, "write": write,
             "train": train}
    parser.add_argument("step", choices=steps)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    steps[arguments.step](arguments, arguments.work / "prefix")


main()
