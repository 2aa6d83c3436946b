"""Tensor files with nothing but the standard library: reads .npy, .npz and .safetensors, writes .npy."""
import ast
import dataclasses
import json
import math
import pathlib
import struct
import zipfile

# numpy's name of a type -> (struct's letter, safetensors' name)
TYPES = {"<f4": ("f", "F32"), "<f8": ("d", "F64"), "<i8": ("q", "I64"), "<i4": ("i", "I32"), "|i1": ("b", "I8"),
         "|b1": ("?", "BOOL"), "<f2": ("e", "F16")}


@dataclasses.dataclass
class Tensor:
    dtype: str  # as numpy names it: "<f4"
    shape: tuple
    values: tuple  # row-major

    def index(self, flat):
        """The multi-index of a flat one."""
        result = []
        for size in reversed(self.shape):
            flat, place = divmod(flat, size)
            result.append(place)
        return tuple(reversed(result))


def unpack(data, dtype, shape):
    count = math.prod(shape)
    return Tensor(dtype, tuple(shape), struct.unpack_from(f"<{count}{TYPES[dtype][0]}", data))


def parse_npy(data):
    if data[:6] != b"\x93NUMPY":
        raise ValueError("not an .npy file")
    size, start = (struct.unpack_from("<H", data, 8)[0], 10) if data[6] == 1 else (struct.unpack_from("<I", data, 8)[0], 12)
    header = ast.literal_eval(data[start : start + size].decode("latin1"))
    if header["fortran_order"] and len(header["shape"]) > 1:
        raise ValueError("Fortran order")
    return unpack(data[start + size :], header["descr"], header["shape"])


def read(path):
    """{name: Tensor}; an .npy file's only tensor is called ""."""
    path = pathlib.Path(path)
    if path.suffix == ".npy":
        return {"": parse_npy(path.read_bytes())}
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): parse_npy(archive.read(name)) for name in archive.namelist()}
    data = path.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + size])
    numpy_names = {safetensors: name for name, (_, safetensors) in TYPES.items()}
    return {name: unpack(data[8 + size + entry["data_offsets"][0] :], numpy_names[entry["dtype"]], entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def write_npy(path, tensor):
    header = repr({"descr": tensor.dtype, "fortran_order": False, "shape": tensor.shape})
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    body = struct.pack(f"<{len(tensor.values)}{TYPES[tensor.dtype][0]}", *tensor.values)
    pathlib.Path(path).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body)


def worst_difference(got, expected, tolerance):
    """None where every element is within `tolerance`, else what to tell about the worst. NaN agrees with NaN only."""
    if got.shape != expected.shape:
        return f"shape {got.shape}, expected {expected.shape}"
    if got.dtype != expected.dtype:
        return f"type {got.dtype}, expected {expected.dtype}"
    worst, place = -1.0, None
    for flat, (a, b) in enumerate(zip(got.values, expected.values)):
        if a == b or (a != a and b != b):
            continue
        error = abs(a - b)
        error = math.inf if error != error else error
        if error > worst:
            worst, place = error, flat
    if worst <= tolerance:
        return None
    return (f"worst at {expected.index(place)}: got {got.values[place]!r}, expected {expected.values[place]!r}, "
            f"difference {worst:.3g}, bound {tolerance:.3g}")
