#!/usr/bin/env python3
"""Times another system on one row of the table; prints {"seconds": [quartile, median, quartile], "peak_kib": resident memory} as JSON.

    peers.py PEER ROW --work DIR [--seconds S] [--threads N] [--turns]      PEER: torch, torch.compile, onnxruntime, openvino

With --turns a line of JSON for each line of standard input, measured when it comes, after a run that does not count: for turns with another program. Exits with 77 and a line that says so where a package is missing.
"""
import argparse
import hashlib
import json
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import rows


# ---- the work, as PyTorch modules: each gives (module, inputs)


def attention(work):
    shape = (1, work["heads"], work["s"], work["d"])
    inputs = [torch.randn(shape) for _ in range(3)]

    class Attention(torch.nn.Module):
        def forward(self, q, k, v, bias=None):
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=work["entry"] == "causal")

    class Interleaved(torch.nn.Module):
        def forward(self, q, k, v):
            q, k, v = (x.view(1, work["s"], work["heads"], work["d"]).transpose(1, 2) for x in (q, k, v))
            return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    if work["entry"] == "interleaved":
        return Interleaved(), [x.transpose(1, 2).flatten(2) for x in inputs]
    if rows.SEEN.get(work["entry"]) or work["entry"] == "documents":
        return blocked(work, inputs)
    if work["entry"] == "biased":
        inputs.append(torch.randn(1, work["heads"], work["s"], work["s"]))
    return Attention(), inputs


def gradients(work):
    """Attention and the gradients of its inputs, where the gradient of its result is given: of a bias as well, or of slopes, from which
    a bias is made."""
    shape, s = (1, work["heads"], work["s"], work["d"]), work["s"]
    inputs = [torch.randn(shape).requires_grad_() for _ in range(3)] + [torch.randn(shape)]
    if work["entry"] == "biased":
        inputs.append(torch.randn(1, work["heads"], s, s).requires_grad_())
    if work["entry"] == "sloped":
        inputs.append(torch.rand(work["heads"]).requires_grad_())
    back = torch.arange(s)[:, None] - torch.arange(s)

    class Gradients(torch.nn.Module):
        @torch.enable_grad()
        def forward(self, q, k, v, toward, learned=None):
            bias = learned
            if work["entry"] == "sloped":
                bias = (-learned[:, None, None] * back).masked_fill(back < 0, -torch.inf)[None]
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=work["entry"] == "causal")
            return torch.autograd.grad(y, [q, k, v] + ([] if learned is None else [learned]), toward)

    return Gradients(), inputs


def training(work):
    """A step of BERT, classified by the mean of its tokens, with Adam's fused update."""
    network = encoder(work)[0].model
    for part in network.modules():  # nothing is dropped
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    network.config.attention_probs_dropout_prob = 0.0
    head = torch.nn.Linear(work["dim"], work["classes"])

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.head = network, head

        @torch.enable_grad()
        def forward(self, ids, kinds, mask, labels):
            x = self.network(input_ids=ids, token_type_ids=kinds, attention_mask=mask).last_hidden_state
            weight = mask[:, :, None].float()
            return functional.cross_entropy(self.head((x * weight).sum(1) / weight.sum(1).clamp(min=1)), labels)

    shape = (work["batch"], work["tokens"])
    return Loss(), [torch.randint(30522, shape), torch.randint(2, shape), torch.ones(shape, dtype=torch.int64), torch.randint(work["classes"], shape[:1])]


def blocked(work, inputs):
    """Keys up to the query's own within a window, or of the query's document; `mixed` scores are bounded and sloped. Compiled:
    flex_attention, which skips blocks; otherwise with the mask as a tensor, and where scores are changed in plain operations."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    size, s = rows.SEEN.get(work["entry"]), work["s"]
    mixed = work["entry"] == "mixed"
    slopes = torch.rand(work["heads"])
    back = torch.arange(s)[:, None] - torch.arange(s)
    document = torch.arange(s) // rows.DOCUMENT
    visible = (lambda b, h, t, j: (t >= j) & (t - j < size)) if size else (lambda b, h, t, j: document[t] == document[j])
    seen = visible(0, 0, torch.arange(s)[:, None], torch.arange(s))
    blocks = create_block_mask(visible, None, None, s, s, device="cpu")

    def score(x, b, h, t, j):
        return 20 * torch.tanh(x / 20) - slopes[h] * (t - j)

    class Attention(torch.nn.Module):
        def forward(self, q, k, v):
            if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
                return flex_attention(q, k, v, score_mod=score if mixed else None, block_mask=blocks)
            if not mixed:
                return functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
            x = 20 * torch.tanh(q @ k.mT / work["d"] ** 0.5 / 20) - slopes[:, None, None] * back
            return torch.softmax(x.masked_fill(~seen, -torch.inf), -1) @ v

    return Attention(), inputs


def decode(work):
    """The heads of a group stand as rows beside each other: the fastest spelling."""
    groups = work["groups"]
    kv = (1, groups, work["keys"], work["d"])

    class Attention(torch.nn.Module):
        def forward(self, q, k, v):
            return functional.scaled_dot_product_attention(q, k, v)

    return Attention(), [torch.randn(1, groups, work["heads"] // groups, work["d"]), torch.randn(kv), torch.randn(kv)]


def matmul(work):
    return torch.nn.Linear(work["k"], work["n"], bias=False), [torch.randn(work["m"], work["k"])]


def encoder(work):
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=30522, hidden_size=work["dim"], num_hidden_layers=work["layers"], num_attention_heads=work["heads"],
                        intermediate_size=work["hidden"], attn_implementation="sdpa")

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = BertModel(config, add_pooling_layer=False)

        def forward(self, ids, mask):
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    shape = (work["batch"], work["tokens"])
    return Encoder(), [torch.randint(30522, shape), torch.ones(shape, dtype=torch.int64)]


def decoder(work):
    """GPT-2 small; keys and values of the words before come and go as tensors."""
    dim, heads, layers, vocab = 768, 12, 12, 50257

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = torch.nn.LayerNorm(dim), torch.nn.LayerNorm(dim)
            self.projections, self.out = torch.nn.Linear(dim, 3 * dim), torch.nn.Linear(dim, dim)
            self.up, self.down = torch.nn.Linear(dim, 4 * dim), torch.nn.Linear(4 * dim, dim)

        def forward(self, x, keys, values):
            b, t, _ = x.shape
            q, k, v = (y.view(b, t, heads, dim // heads).transpose(1, 2) for y in self.projections(self.norm1(x)).chunk(3, -1))
            first = keys is None
            if not first:
                k, v = torch.cat([keys, k], 2), torch.cat([values, v], 2)
            a = functional.scaled_dot_product_attention(q, k, v, is_causal=first)
            x = x + self.out(a.transpose(1, 2).reshape(b, t, dim))
            return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh")), k, v

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.positions = torch.nn.Embedding(vocab, dim), torch.nn.Embedding(1024, dim)
            self.layers = torch.nn.ModuleList(Layer() for _ in range(layers))
            self.norm = torch.nn.LayerNorm(dim)

        def forward(self, ids, places, *past):
            x = self.words(ids) + self.positions(places)
            cache = []
            for i, layer in enumerate(self.layers):
                x, k, v = layer(x, *(past[2 * i : 2 * i + 2] if past else (None, None)))
                cache += [k, v]
            return functional.linear(self.norm(x[:, -1]), self.words.weight), *cache

    tokens, past = work["tokens"], work["past"]
    assert past == 0 or tokens == 1  # a causal mask between would be needed
    cache = [torch.randn(1, heads, past, dim // heads) for _ in range(2 * layers)] if past else []
    return Decoder(), [torch.randint(vocab, (1, tokens)), torch.arange(past, past + tokens)[None], *cache]


def stepping(loss, module):
    """A function that makes one step of Adam where `loss` computes the module's loss."""
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-4, fused=True)

    def step():
        optimiser.zero_grad(set_to_none=True)
        with torch.enable_grad():
            loss().backward()
        optimiser.step()

    return step


# ---- the peers: each gives a function without arguments that runs the module once


def eager(module, inputs, options, key):
    return lambda: module(*inputs)


def compiled(module, inputs, options, key):
    import torch._inductor.config

    torch._inductor.config.freezing = not differentiates(key)
    function = torch.compile(module, dynamic=False)
    return lambda: function(*inputs)


def exported(module, inputs, options, key):
    """The module as an ONNX file, written once."""
    os.makedirs(options.work, exist_ok=True)
    path = os.path.join(options.work, f"{key}.onnx")
    if not os.path.exists(path):
        torch.onnx.export(module, tuple(inputs), path + ".part", dynamo=True, external_data=False, opset_version=23, verbose=False,
                          input_names=[f"input{i}" for i in range(len(inputs))])
        os.rename(path + ".part", path)
    return path


def onnxruntime(module, inputs, options, key):
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads, settings.log_severity_level = options.threads, 1, 3
    session = onnxruntime.InferenceSession(exported(module, inputs, options, key), settings, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for description, tensor in zip(session.get_inputs(), inputs, strict=True):
        binding.bind_cpu_input(description.name, tensor.numpy())
    for description in session.get_outputs():
        binding.bind_output(description.name, "cpu")
    return lambda: session.run_with_iobinding(binding)


def openvino(module, inputs, options, key):
    import openvino

    settings = {"INFERENCE_NUM_THREADS": options.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
                "ENABLE_CPU_PINNING": False, "PERFORMANCE_HINT": "LATENCY"}
    core = openvino.Core()
    request = core.compile_model(core.read_model(exported(module, inputs, options, key)), "CPU", settings).create_infer_request()
    tensors = [openvino.Tensor(tensor.numpy(), shared_memory=True) for tensor in inputs]
    for i, tensor in enumerate(tensors):
        request.set_input_tensor(i, tensor)
    return lambda: (request.infer(), tensors)[0]


def quartiles(function, seconds, least):
    """Seconds of a run, for about `seconds` and so many runs at least."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    times.sort()
    return [times[(len(times) - 1) * part // 4] for part in (1, 2, 3)]


def differentiates(key):
    """Whether weights or inputs get gradients: then nothing can be frozen, and only PyTorch has them."""
    return key.startswith(("gradients", "training"))


PEERS = {"torch": eager, "torch.compile": compiled, "onnxruntime": onnxruntime, "openvino": openvino}
WORK = {"attention": attention, "decode": decode, "gradients": gradients, "training": training, "matmul": matmul, "encoder": encoder, "decoder": decoder}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("row")
    parser.add_argument("--work", required=True, help="a folder for exported models")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", action="store_true")
    options = parser.parse_args()
    work = next(row.peer for row in rows.table() if row.name == options.row)
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    module, inputs = WORK[work["kind"]](work)
    key = f"{work['kind']}-{hashlib.sha256(json.dumps(work).encode()).hexdigest()[:12]}"
    if differentiates(key) and not options.peer.startswith("torch"):
        return
    function = PEERS[options.peer](module.eval(), inputs, options, key)
    if work["kind"] == "training":
        function = stepping(function, module)
    function(), function()  # warms up
    for _ in sys.stdin if options.turns else [""]:
        if options.turns:
            function()  # finds in the caches what the other program left
        seconds = quartiles(function, options.seconds, 1 if options.turns else 5)
        print(json.dumps({"seconds": seconds, "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}), flush=True)


try:
    import torch
    from torch.nn import functional

    main()
except ImportError as error:
    print(f"{error.name} is not installed", file=sys.stderr)
    sys.exit(77)
