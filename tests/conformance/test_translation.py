#!/usr/bin/env python3
"""What entries are written for nodes; nothing is built, and neither onnx nor numpy is needed."""
import types
import unittest
from unittest import mock

import attention
import others
import source
import subgraph
from source import Node, Tensor


def node(operator, inputs, outputs, **attributes):
    """A node whose inputs are (name, type, shape) or None."""
    tensors = [{place: Tensor(*tensor) for place, tensor in enumerate(given) if tensor} for given in (inputs, outputs)]
    return Node(operator, attributes, *tensors)


def written(translate, node):
    entry = translate(node)
    node.finish()
    return entry.text("e").strip()


def operands(queries=3, keys=3, type="f32"):
    return [("Q", type, (2, queries, 4, 8)), ("K", type, (2, keys, 6, 8)), ("V", type, (2, keys, 6, 8))]


OUTPUT = ("Y", "f32", (2, 3, 4, 8))


class AttentionTest(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(written(attention.attention, node("Attention", operands(), [OUTPUT])), """\
entry e(Q: f32[B, H, T, D], K: f32[B, H, S, D], V: f32[B, H, S, E]) -> f32[B, H, T, E] {
    softmax(Q @ K.T / sqrt(D)) @ V
  }""")

    def test_half_and_groups(self):
        given = node("Attention", operands(9, 3, "f16"), [("Y", "f16", (2, 9, 4, 8))])
        self.assertEqual(written(attention.attention, given), """\
entry e(Q: f16[B, 3 * H, T, D], K: f16[B, H, S, D], V: f16[B, H, S, E]) -> f16[B, 3 * H, T, E] {
    f16(softmax(f32(Q) @ repeat_heads(f32(K), 3).T / sqrt(D)) @ repeat_heads(f32(V), 3))
  }""")

    def test_causal_with_past(self):
        past = [None, ("past_key", "f32", (2, 3, 5, 8)), ("past_value", "f32", (2, 3, 5, 8))]
        outputs = [OUTPUT, ("present_key", "f32", (2, 3, 11, 8))]
        self.assertEqual(written(attention.attention, node("Attention", operands() + past, outputs, is_causal=1)), """\
entry e(Q: f32[B, H, T, D], K: f32[B, H, S, D], V: f32[B, H, S, E], past_key: f32[B, H, P, D], past_value: f32[B, H, P, E]) -> \
(Y: f32[B, H, T, E], present_key: f32[B, H, P + S, D]) {
    let keys = concat([past_key, K], axis = 2)
    let values = concat([past_value, V], axis = 2)
    let back = index(T)[:, None] + P - index(P + S)
    (Y = softmax(where(back >= 0, Q @ keys.T / sqrt(D), -inf)) @ values, present_key = keys)
  }""")

    def test_short_mask_and_lengths(self):
        rest = [("mask", "bool", (2, 1, 4, 4)), None, None, ("lengths", "i64", (2,))]
        self.assertEqual(written(attention.attention, node("Attention", operands() + rest, [OUTPUT])), """\
entry e(Q: f32[B, H, T, D], K: f32[B, H, S, D], V: f32[B, H, S, E], lengths: i64[B], mask: bool[B, 1, T, M]) -> f32[B, H, T, E] {
    let mask = concat([mask, broadcast(false, [B, 1, T, S - M])], axis = -1)
    softmax(where(mask and index(S) < lengths[:, None, None, None], Q @ K.T / sqrt(D), -inf)) @ V
  }""")

    def test_scores_are_shown_at_their_stage(self):
        outputs = [OUTPUT, None, None, ("scores", "f32", (2, 3, 4, 6))]
        bias = [("bias", "f32", (4, 6))]
        for mode, shown, last in [(0, "Q @ K.T / sqrt(D)", "softmax(shown + bias)"), (2, "Q @ K.T / sqrt(D) + bias", "softmax(shown)"),
                                  (3, "softmax(Q @ K.T / sqrt(D) + bias)", "shown")]:
            given = node("Attention", operands() + bias, outputs, qk_matmul_output_mode=mode)
            text = written(attention.attention, given)
            self.assertIn(f"let shown = {shown}\n    (Y = {last} @ V, scores = shown)", text)

    def test_heads_must_be_said_for_rank_3_alone(self):
        with self.assertRaises(source.Unsupported):
            attention.attention(node("Attention", operands(), [OUTPUT], q_num_heads=3, kv_num_heads=3))

    def test_nothing_is_left_out_in_silence(self):
        for given in (node("Attention", operands(), [OUTPUT], unheard_of=1),
                      node("FlexAttention", operands() + [("mask", "f32", (4, 6))], [OUTPUT])):
            with self.assertRaises(source.Unsupported):
                written(attention.attention if given.operator == "Attention" else attention.flex_attention, given)


class SubgraphTest(unittest.TestCase):
    def translated(self, nodes, **initializers):
        """The text for a graph over `x`, whose nodes are (operator, inputs, output)."""
        graph = types.SimpleNamespace(
            input=[types.SimpleNamespace(name="x")], output=[types.SimpleNamespace(name=nodes[-1][2])],
            initializer=[types.SimpleNamespace(name=name) for name in initializers],
            node=[types.SimpleNamespace(op_type=operator, input=inputs, output=[output], attribute=[])
                  for operator, inputs, output in nodes])
        with mock.patch.object(subgraph, "constant", lambda initializer: initializers[initializer.name]), \
                mock.patch.dict("sys.modules", onnx=types.SimpleNamespace(helper=None)):
            return subgraph.translate(graph, subgraph.Text("s", loose=True), ["B", "H", "T", "S"]).text

    def test_places_of_queries(self):
        text = self.translated([("Shape", ["x"], "sizes"), ("Gather", ["sizes", "two"], "count"), ("Range", ["zero", "count", "one"], "row"),
                                ("Reshape", ["row", "column"], "places"), ("LessOrEqual", ["places", "two"], "seen"),
                                ("Where", ["seen", "x", "low"], "y")],
                               zero=subgraph.Text("0"), one=subgraph.Text("1"), two=subgraph.Text("2"), column=[-1, 1],
                               low=subgraph.Text("-inf", loose=True))
        self.assertEqual(text, "where(index(T)[:, None] <= 2, s, -inf)")

    def test_parentheses(self):
        nodes = [("Add", ["x", "c"], "sum"), ("Mul", ["c", "sum"], "product"), ("Neg", ["product"], "y")]
        self.assertEqual(self.translated(nodes, c=subgraph.Text("2.0")), "-(2.0 * ((s) + 2.0))")

    def test_division_of_integers_and_unknown_operators(self):
        for operator in ("Div", "Softplus"):
            with self.assertRaises(source.Unsupported):
                self.translated([(operator, ["c", "c"], "y")], c=subgraph.Text("2", whole=True))


class OthersTest(unittest.TestCase):
    def test_softmax(self):
        given = node("Softmax", [("x", "f32", (3, 4))], [("y", "f32", (3, 4))], axis=0)
        self.assertEqual(written(others.softmax, given), "entry e(x: f32[N0, N1]) -> f32[N0, N1] {\n    softmax(x, axis = 0)\n  }")

    def test_delta_rule_needs_its_rate(self):
        rows = [(name, "f32", (2, 4, 16)) for name in ("query", "key", "value")]
        with self.assertRaises(source.Unsupported):
            others.linear_attention(node("LinearAttention", rows, [("y", "f32", (2, 4, 16))], update_rule=b"delta", q_num_heads=2, kv_num_heads=2))


if __name__ == "__main__":
    unittest.main()
