"""Translates a graph of ONNX nodes over one tensor (FlexAttention's `score_mod` and `prob_mod`) into an expression.

A value is one of: the text of a tensor, a number (what an initializer of rank 0 holds), a list of integers (an initializer of rank 1),
a `Shape` (the names of a tensor's sizes) or the name of one of them.
"""
import dataclasses

from source import TYPES, Unsupported, number

INFIX = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Greater": ">", "GreaterOrEqual": ">=", "Less": "<", "LessOrEqual": "<=",
         "Equal": "==", "And": "and", "Or": "or", "Pow": "^", "Mod": "%"}
CALLS = {"Tanh": "tanh", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Abs": "abs", "Sigmoid": "sigmoid", "Erf": "erf", "Sin": "sin",
         "Cos": "cos", "Floor": "floor", "Ceil": "ceil", "Relu": "relu", "Where": "where", "Max": "max", "Min": "min"}
PREFIX = {"Neg": "-", "Not": "not "}


@dataclasses.dataclass
class Text:
    """An expression; `loose` where it needs parentheses inside another."""
    text: str
    loose: bool = False

    def tight(self):
        return f"({self.text})" if self.loose else self.text


@dataclasses.dataclass
class Shape:
    names: list


def constant(initializer):
    from onnx import numpy_helper
    values = numpy_helper.to_array(initializer)
    if values.ndim == 0:
        return Text(number(values) if values.dtype.kind == "f" else str(values.item()), loose=values < 0)
    if values.ndim == 1 and values.dtype.kind == "i":
        return [int(value) for value in values]
    raise Unsupported(f"initializer {initializer.name} of rank {values.ndim}")


def reshaped(text, sizes):
    """A row (rank 1) put along the axis of -1, beside axes of size 1."""
    if sorted(sizes) != [-1] + [1] * (len(sizes) - 1):
        raise Unsupported(f"Reshape to {sizes}")
    return Text(f"{text.tight()}[{', '.join(':' if size == -1 else 'None' for size in sizes)}]")


class Translation:
    def __init__(self, graph, text, sizes):
        self.values = {initializer.name: constant(initializer) for initializer in graph.initializer}
        source, = graph.input
        self.source, self.values[source.name] = source.name, Text(text, loose=True)
        self.sizes = sizes
        for node in graph.node:
            self.values[node.output[0]] = self.node(node)

    def node(self, node):
        from onnx import helper
        operator = node.op_type
        inputs = [self.values[name] for name in node.input]
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if operator == "Shape" and node.input[0] == self.source:
            return Shape(self.sizes)
        if operator == "Gather" and isinstance(inputs[0], Shape):
            return Text(inputs[0].names[int(inputs[1].text)])
        if operator == "Range" and (inputs[0].text, inputs[2].text) == ("0", "1"):
            return Text(f"index({inputs[1].text})")
        if operator == "Reshape":
            return reshaped(*inputs)
        if operator == "Cast":
            return Text(f"{TYPES[helper.tensor_dtype_to_np_dtype(attributes['to']).name]}({inputs[0].text})")
        if not attributes and operator in INFIX:
            return Text(f" {INFIX[operator]} ".join(value.tight() for value in inputs), loose=True)
        if not attributes and operator in CALLS:
            return Text(f"{CALLS[operator]}({', '.join(value.text for value in inputs)})")
        if not attributes and operator in PREFIX:
            return Text(f"{PREFIX[operator]}{inputs[0].tight()}", loose=True)
        raise Unsupported(f"{operator} {attributes or ''} in a subgraph")


def translate(graph, text, sizes):
    """The expression that `graph` makes of the tensor `text` with sizes of these names."""
    output, = graph.output
    return Translation(graph, text, sizes).values[output.name].text
