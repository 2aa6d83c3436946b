"""Translates a graph of ONNX nodes over one tensor (FlexAttention's `score_mod` and `prob_mod`) into an expression."""
import dataclasses

from source import TYPES, Unsupported, number

INFIX = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "Pow": "^"}
COMPARISONS = {"Greater": ">", "GreaterOrEqual": ">=", "Less": "<", "LessOrEqual": "<=", "Equal": "==", "And": "and", "Or": "or"}
# operator -> (function, number of operands)
CALLS = {"Tanh": ("tanh", 1), "Exp": ("exp", 1), "Log": ("log", 1), "Sqrt": ("sqrt", 1), "Abs": ("abs", 1), "Sigmoid": ("sigmoid", 1),
         "Erf": ("erf", 1), "Sin": ("sin", 1), "Cos": ("cos", 1), "Floor": ("floor", 1), "Ceil": ("ceil", 1), "Relu": ("relu", 1),
         "Where": ("where", 3), "Max": ("max", 2), "Min": ("min", 2)}


@dataclasses.dataclass
class Text:
    """An expression: `loose` where it needs parentheses inside another, `whole` where its elements are integers."""
    text: str
    loose: bool = False
    whole: bool = False

    def tight(self):
        return f"({self.text})" if self.loose else self.text


@dataclasses.dataclass
class Sizes:
    """What `Shape` gives: the names of a tensor's sizes."""
    names: list


def constant(initializer):
    """A number, or a list of integers."""
    from onnx import numpy_helper
    values = numpy_helper.to_array(initializer)
    whole = values.dtype.kind == "i"
    if values.ndim == 0:
        return Text(str(values.item()) if whole else number(values), loose=bool(values < 0), whole=whole)
    if values.ndim == 1 and whole:
        return [int(value) for value in values]
    raise Unsupported(f"initializer {initializer.name} of rank {values.ndim}")


def along(row, sizes):
    """A row put along the axis of -1, beside axes of size 1."""
    if sorted(sizes) != [-1] + [1] * (len(sizes) - 1):
        raise Unsupported(f"Reshape to {sizes}")
    return Text(f"{row.tight()}[{', '.join(':' if size == -1 else 'None' for size in sizes)}]", whole=row.whole)


def expression(operator, operands, attributes):
    """A node whose operands are expressions."""
    if operator == "Cast":
        from onnx import helper
        type = TYPES[helper.tensor_dtype_to_np_dtype(attributes.pop("to")).name]
        return Text(f"{type}({operands[0].text})", whole=type in ("i64", "i32", "i8"))
    whole = all(operand.whole for operand in operands)
    # ONNX's division of integers drops the fraction; ours is exact.
    if operator in INFIX and not attributes and not (operator == "Div" and whole):
        return Text(f" {INFIX[operator]} ".join(operand.tight() for operand in operands), loose=True, whole=whole)
    if operator in COMPARISONS and not attributes:
        return Text(f" {COMPARISONS[operator]} ".join(operand.tight() for operand in operands), loose=True)
    if operator in CALLS and not attributes and len(operands) == CALLS[operator][1]:
        return Text(f"{CALLS[operator][0]}({', '.join(operand.text for operand in operands)})", whole=operands[-1].whole)
    if operator in ("Neg", "Not"):
        return Text(("-" if operator == "Neg" else "not ") + operands[0].tight(), loose=True, whole=whole)
    raise Unsupported(f"{operator} {attributes or ''} in a subgraph")


def translate(graph, operand, sizes):
    """The expression that `graph` makes of `operand`, a tensor with sizes of these names."""
    from onnx import helper
    values = {initializer.name: constant(initializer) for initializer in graph.initializer}
    (source,), (output,) = graph.input, graph.output
    values[source.name] = operand
    for node in graph.node:
        operator, inputs = node.op_type, [values[name] for name in node.input]
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        if operator == "Shape" and list(node.input) == [source.name]:
            value = Sizes(sizes)
        elif operator == "Gather" and isinstance(inputs[0], Sizes):
            value = Text(inputs[0].names[int(inputs[1].text)], loose=True, whole=True)
        elif operator == "Range" and (inputs[0].text, inputs[2].text) == ("0", "1"):
            value = Text(f"index({inputs[1].text})", whole=True)
        elif operator == "Reshape":
            value = along(*inputs)
        else:
            value = expression(operator, inputs, attributes)
        values[node.output[0]] = value
    return values[output.name]
