"""Entries of a Fovea model, written piece by piece from an ONNX node."""
import dataclasses

# ONNX's element types -> the language's. A `double` is kept as one and computed in f32.
TYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "float64": "f64", "int64": "i64", "int32": "i32",
         "int8": "i8", "bool": "bool"}


# Those in which nothing is computed: `f32(x)` stands for such a tensor.
STORED = {"f16", "bf16", "f64"}


class Unsupported(Exception):
    """What a node asks for and the translation does not know."""


@dataclasses.dataclass
class Tensor:
    """An input or output of a node: its name there, type and shape."""
    name: str
    type: str
    shape: tuple


class Node:
    """An ONNX node with its attributes as Python values, and those inputs and outputs that are there.

    Every attribute and input must be asked for: what nobody asked for is refused, never left out in silence.
    """

    def __init__(self, operator, attributes, inputs, outputs):
        self.operator = operator
        self._attributes, self._inputs = dict(attributes), dict(inputs)
        self.outputs = outputs

    def attribute(self, name, default=None):
        value = self._attributes.pop(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def input(self, place):
        return self._inputs.pop(place, None)

    def output(self, place):
        return self.outputs.get(place)

    def finish(self):
        left = [*self._attributes, *(tensor.name for tensor in self._inputs.values())]
        if left:
            raise Unsupported(f"{self.operator}: {', '.join(left)}")


class Entry:
    """The text of an entry: `argument` and `result` write its head, `let` its body."""

    def __init__(self):
        self.arguments, self.results, self.lines = [], [], []

    def argument(self, tensor, dimensions):
        """Takes a tensor under its own name."""
        if len(dimensions) != len(tensor.shape):
            raise Unsupported(f"{tensor.name} of rank {len(tensor.shape)}")
        self.arguments.append(f"{tensor.name}: {tensor.type}[{', '.join(dimensions)}]")
        return tensor.name

    def floats(self, tensor, dimensions):
        """The same; what stands for it in the body is f32, in which everything is computed."""
        return widened(self.argument(tensor, dimensions), tensor.type)

    def result(self, tensor, dimensions, value, stored=False):
        """Gives a tensor back; `value` is f32, or of the tensor's own type where it is `stored`."""
        value = value if stored or tensor.type not in STORED else f"{tensor.type}({value})"
        self.results.append((tensor.name, f"{tensor.type}[{', '.join(dimensions)}]", value))

    def let(self, name, value):
        self.lines.append(f"let {name} = {value}")
        return name

    def line(self, text):
        self.lines.append(text)

    def text(self, name):
        if len(self.results) == 1:
            (_, results, last), = self.results
        else:
            results = "(" + ", ".join(f"{name}: {type}" for name, type, _ in self.results) + ")"
            last = "(" + ", ".join(f"{name} = {value}" for name, _, value in self.results) + ")"
        body = "".join(f"    {line}\n" for line in [*self.lines, last])
        return f"  entry {name}({', '.join(self.arguments)}) -> {results} {{\n{body}  }}\n"


def widened(text, type):
    return f"f32({text})" if type in STORED else text


def number(value):
    """A float32 attribute as a literal: the shortest one that is the same float32."""
    import numpy
    return str(numpy.float32(value))


def broadcastable(tensor, dimensions):
    """The last of `dimensions` for a tensor that broadcasts against them: axes of size 1 become the literal."""
    names = dimensions[len(dimensions) - len(tensor.shape):]
    return ["1" if size == 1 else name for size, name in zip(tensor.shape, names)]
