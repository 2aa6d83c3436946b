"""Generated libraries and the interpreter through the C API, by ctypes (Programs.cpp).

Tensors lie so that they end where memory ends: a kernel that reads or writes behind its operand is a crash.
"""
import ctypes
import math
import mmap

import numpy as np

MAX_RANK, PAGE = 16, mmap.PAGESIZE
CODES = {"f32": 0, "f16": 1, "bf16": 2, "i64": 3, "i32": 4, "i8": 5, "bool": 6}
NUMPY = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16, "i64": np.int64, "i32": np.int32, "i8": np.int8, "bool": np.bool_}


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int32), ("message", ctypes.c_char * 1020)]


class Tensor(ctypes.Structure):
    _fields_ = [("dtype", ctypes.c_int32), ("rank", ctypes.c_int32), ("shape", ctypes.c_int64 * MAX_RANK), ("data", ctypes.c_void_p)]


class Failed(Exception):
    pass


def to_bf16(values):
    """The upper halves of the nearest numbers that bf16 holds (of two as near, the even one)."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    return np.where(np.isnan(values), 0x7FC0, (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(halves):
    return (halves.astype(np.uint32) << 16).view(np.float32)


def store(values, dtype):
    return to_bf16(values) if dtype == "bf16" else np.asarray(values).astype(NUMPY[dtype])


def real(stored, dtype):
    return (from_bf16(stored) if dtype == "bf16" else stored).astype(np.float64)


class Guarded:
    """Memory whose end no access may pass: a page without rights follows it."""

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def __init__(self, size):
        self.length = (size + PAGE - 1) // PAGE * PAGE + PAGE
        self.base = self.libc.mmap(None, self.length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if self.base in (None, ctypes.c_void_p(-1).value) or self.libc.mprotect(self.base + self.length - PAGE, PAGE, 0):
            raise MemoryError
        self.address = self.base + self.length - PAGE - size

    def __del__(self):
        self.libc.munmap(self.base, self.length)


def guarded(array):
    """A copy of the array, its memory's owner with it."""
    array = np.ascontiguousarray(array)
    memory = Guarded(array.nbytes)
    ctypes.memmove(memory.address, array.ctypes.data, array.nbytes)
    return memory


def tensor(dtype, shape, address):
    out = Tensor(CODES[dtype], len(shape), (ctypes.c_int64 * MAX_RANK)(*shape), address)
    return out


class Library:
    """The shared library of Programs.cpp."""

    def __init__(self, path):
        self.code = ctypes.CDLL(str(path))
        pointer, error = ctypes.c_void_p, ctypes.POINTER(Error)
        tensors = ctypes.POINTER(Tensor)
        for name, result, arguments in (("load", pointer, [ctypes.c_char_p] * 3 + [error]), ("unload", None, [pointer]),
                                        ("context", pointer, [pointer, ctypes.c_int32, ctypes.c_int64, error]), ("release", None, [pointer]),
                                        ("infer", ctypes.c_int32, [pointer, pointer, ctypes.c_char_p, tensors, ctypes.c_int32, tensors, ctypes.c_int32, error]),
                                        ("run", ctypes.c_int32, [pointer, pointer, ctypes.c_char_p, tensors, ctypes.c_int32, tensors, ctypes.c_int32, error])):
            function = getattr(self.code, "chains_" + name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)


class Program:
    """A library for one target, or (without a symbol) a model's text in the interpreter."""

    def __init__(self, library, path, symbol=None, target=None):
        self.library, error = library, Error()
        self.handle = library.load(str(path).encode(), symbol and symbol.encode(), target and target.encode(), error)
        if not self.handle:
            raise Failed(error.message.decode(errors="replace"))

    def close(self):
        self.library.unload(self.handle)

    def context(self, threads=1, limit=0):
        error = Error()
        context = self.library.context(self.handle, threads, limit, error)
        if not context:
            raise Failed(error.message.decode(errors="replace"))
        return context

    def run(self, entry, inputs, outputs, context):
        """Arrays of the outputs. `inputs`: (dtype, array in stored form); `outputs`: dtypes."""
        error, memory, given = Error(), [], (Tensor * max(len(inputs), 1))()
        for i, (dtype, array) in enumerate(inputs):
            memory.append(guarded(array))
            given[i] = tensor(dtype, array.shape, memory[-1].address)
        taken = (Tensor * len(outputs))()
        if self.library.infer(self.handle, context, entry.encode(), given, len(inputs), taken, len(outputs), error):
            raise Failed(error.message.decode(errors="replace"))
        arrays = []
        for out, dtype in zip(taken, outputs):
            if out.dtype != CODES[dtype]:
                raise Failed(f"an output has the type {out.dtype}, expected {dtype}")
            shape = tuple(out.shape[: out.rank])
            memory.append(guarded(np.full(math.prod(shape), 0xAB, NUMPY[dtype]) if dtype != "bool" else np.ones(math.prod(shape), bool)))
            out.data = memory[-1].address
            arrays.append((shape, dtype, memory[-1]))
        if self.library.run(self.handle, context, entry.encode(), given, len(inputs), taken, len(outputs), error):
            raise Failed(error.message.decode(errors="replace"))
        return [np.frombuffer(ctypes.string_at(m.address, math.prod(s) * np.dtype(NUMPY[d]).itemsize), NUMPY[d]).reshape(s) for s, d, m in arrays]
