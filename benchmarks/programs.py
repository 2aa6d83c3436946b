"""What the rows run: their models compiled to libraries, and weights of the right shapes."""
import array
import hashlib
import json
import os
import random
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def output(command):
    """What a command prints; its own words end this program where it fails."""
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {finished.returncode}\n{finished.stderr.strip()}")
    return finished.stdout


def write_random(path, shapes):
    """Random numbers in [-0.05, 0.05): a block of prime length, again and again, so that no two rows are equal."""
    generator = random.Random(1)
    block = array.array("f", (generator.uniform(-0.05, 0.05) for _ in range(65521))).tobytes()
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, size = end, 4
        for axis in shape:
            size *= axis
        end = begin + size
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for begin in range(0, end, len(block)):
            file.write(block[: end - begin])
    os.rename(path + ".part", path)


def weights(build, row):
    """The path of the row's weights, made on the spot where they are random; None where there are none."""
    if row.weights == "minilm":
        path = os.path.join(build, "downloads", "minilm", "model.safetensors")
        return path if os.path.exists(path) else None
    if not row.weights:
        return None
    key = hashlib.sha256(json.dumps(row.weights).encode()).hexdigest()[:12]
    path = os.path.join(build, "bench", f"weights-{key}.safetensors")
    if not os.path.exists(path):
        write_random(path, row.weights)
    return path


def library(build, row, fuses=True):
    """The row's model as a library, attention fused or not; one for each model and setting, built again where the compiler is newer."""
    stem = os.path.basename(row.model)[:-4]
    narrow = ("" if row.weights_dtype == "f32" else f"_{row.weights_dtype}") + ("" if fuses else "_unfused")
    narrow += "" if row.matmul_precision == "f32" else f"_{row.matmul_precision}_products"
    folder = os.path.join(build, "bench", stem + "".join(f"_{key}{value}" for key, value in row.sets.items()) + narrow)
    os.makedirs(folder, exist_ok=True)
    path, source = os.path.join(folder, f"lib{stem}.so"), os.path.join(ROOT, row.model)
    newest = max(os.path.getmtime(source), os.path.getmtime(os.path.join(build, "lib", "libFovea.so")))
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        sets = [word for key, value in row.sets.items() for word in ("--set", f"{key}={value}")]
        narrows = [f"--weights-dtype={row.weights_dtype}"] if row.matmul_precision == "f32" else [f"--matmul-precision={row.matmul_precision}"]
        output([os.path.join(build, "bin", "fovea"), "build", source, "--emit=lib", "-o", path, *narrows, *sets] + ["--no-fuse"] * (not fuses))
    return path
