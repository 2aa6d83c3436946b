#!/usr/bin/env python3
"""Looks at the inner loops of emitted kernels, which no clock has to run: what they are made of, for each target.

usage: inner_loops.py --fovea FOVEA --work FOLDER --target TARGET [--precision TYPE] MODEL.fov KERNEL…  |  inner_loops.py --self-test

KERNEL is how names of functions begin. In each of them, *loops of products* are innermost loops in which some registers
are written by multiply-adds alone: sums that stay in registers from step to step. Each loop that is unrolled must

  1. consist of multiply-adds to 55% at least,
  2. not touch the stack (what a loop spills costs as much as what it computes),
  3. call nothing,
  4. have all its sums in registers of the target's full width.

A loop that streams, which is one that fetches ahead half of the lines that it reads or more, waits for memory and not for
instructions: its fetches don't count among them (one row of a matrix has a line for each multiply-add, and would never
reach more than half; fetching in a loop of its own costs 3 to 10% of the time, docs/kernel.md).

Where products of bytes are pairs of instructions, vpmaddwd and the addition of its result, both count. Their operands
can't be bytes in memory, so a load that widens them for one product alone is part of that, as a memory operand is.

What is left over by an unrolled loop (one multiply-add for each sum) is not looked at: it runs for the last few steps.
Loops that miss the first point today are named in SHORT, each by what it is made of and with the share that it has to
keep, so that no other loop is excused; an entry whose loop reaches the bound fails until it is taken off.
"""
import argparse
import collections
import dataclasses
import pathlib
import re
import subprocess
import sys

LEAST_SHARE = 0.55
WIDTH = {"x86-64-v4": "zmm", "x86-64-v4-bf16": "zmm", "x86-64-v4-vnni": "zmm", "x86-64-v3": "ymm", "x86-64-v3-vnni": "ymm"}
MULTIPLY_ADD = re.compile(r"(vfn?madd(132|213|231)ps|vdpbf16ps|vpdpbusd)$")  # dot products are multiply-adds
REGISTER = re.compile(r"%([xyz]mm)(\d+)")
BYTES = {"xmm": 16, "ymm": 32, "zmm": 64}
READ = re.compile(r"(vmovu[a-z]+|vmova[a-z]+|vmovdqu\d*|vfn?m[a-z]+\d+ps|vdpbf16ps|vpdpbusd)\s+[^%]*\([^)]*\), .*%[xyz]mm")  # of full vectors
LINE = 64  # bytes that a fetch brings
# Loops that fall short of the bound: (target, sums, multiply-adds, broadcasts), then the kernel and the share to keep.
SHORT = {
    # Few queries: scores, with two loads or merges of rows for each multiply-add, however keys are transposed in registers.
    ("x86-64-v4", 8, 64, 32): ("attention_", 0.34),
    ("x86-64-v3", 8, 64, 32): ("attention_", 0.54),  # few queries, values of four rows by two vectors, which three leave
}
WIDENED = re.compile(r"vpmov[sz]xbw\s+[^%]*\([^)]*\), %[xyz]mm(\d+)")


@dataclasses.dataclass
class Loop:
    function: str
    instructions: list  # lines of text
    sums: set  # registers that multiply-adds alone write
    products: list  # the multiply-adds that do
    pairs: bool  # which are additions of products
    frame: bool  # rbp points to the stack

    @property
    def fetches(self):
        return sum(line.startswith("prefetch") for line in self.instructions)

    @property
    def streams(self):
        """Whether it fetches half of the lines that it reads by full vectors."""
        reads = sum(BYTES[REGISTER.findall(line)[-1][0]] for line in self.instructions if READ.match(line))
        reads += sum(BYTES[REGISTER.findall(line)[-1][0]] // 2 for line in self.instructions if WIDENED.match(line))
        return 2 * LINE * self.fetches >= reads > 0

    @property
    def operands(self):
        """Loads that widen bytes for one instruction alone."""
        count = 0
        for i, line in enumerate(self.instructions):
            if found := WIDENED.match(line):
                users = 0
                for later in self.instructions[i + 1 :] + self.instructions[:i]:
                    users += any(number == found[1] for _, number in REGISTER.findall(later.rpartition(",")[0]))
                    if written(later) == found[1]:
                        break
                count += users == 1
        return count

    @property
    def share(self):
        counted = len(self.instructions) - (self.fetches if self.streams else 0) - self.operands
        return len(self.products) * (2 if self.pairs else 1) / counted

    @property
    def unrolled(self):
        return not self.pairs and len(self.products) > len(self.sums)

    def identity(self, target):
        names = [line.split()[0] for line in self.instructions]
        return target, len(self.sums), len(self.products), names.count("vbroadcastss") + names.count("vpbroadcastd")

    def problems(self, width, least=LEAST_SHARE):
        found = []
        if self.share < least:
            found.append(f"{self.share:.1%} multiply-adds, {least:.0%} at least")
        pointer = re.compile(r"[(,]%r[sb]p[,)]" if self.frame else r"[(,]%rsp[,)]")
        stack = sum(bool(pointer.search(line)) for line in self.instructions)
        if stack:
            found.append(f"{stack} instructions touch the stack")
        if any(line.startswith("call") for line in self.instructions):
            found.append("calls")
        if any(register[:3] != width for register in self.sums):
            found.append(f"sums are not in {width}")
        return found

    def __str__(self):
        counts = collections.Counter(line.split()[0] for line in self.instructions)
        mix = ", ".join(f"{count} {name}" for name, count in counts.most_common(6))
        return f"{self.function}: {len(self.sums)} sums, {len(self.instructions)} instructions ({mix})"


def functions(text):
    """(name, lines) of each function; lines are labels and instructions."""
    name, lines = None, []
    for line in text.splitlines():
        line = line.split("#")[0].strip().removeprefix("{vex}").lstrip()
        label = re.match(r'"?([\w.$]+)"?:', line)
        if label and not label[1].startswith(".L"):
            if name:
                yield name, lines
            name, lines = label[1], []
        elif line and (label or not line.startswith(".")):
            lines.append(line)
    if name:
        yield name, lines


def blocks_of(lines):
    """Straight pieces of code, and from where to where it goes on; what jumps by a table goes nowhere."""
    pieces, starts = [[]], {}
    for line in lines:
        if line.endswith(":"):
            if pieces[-1]:
                pieces.append([])
            starts[line[:-1]] = len(pieces) - 1
        else:
            pieces[-1].append(line)
            if line.startswith(("j", "ret")):
                pieces.append([])
    edges = []
    for i, piece in enumerate(pieces):
        last = piece[-1].split() if piece else [""]
        ends = last[0].startswith(("jmp", "ret"))
        edges.append({starts[last[-1]]} if last[0].startswith("j") and last[-1] in starts else set())
        if not ends and i + 1 < len(pieces):
            edges[i].add(i + 1)
    return pieces, edges


def cycles(nodes, edges):
    """Sets of nodes that reach each other (Tarjan)."""
    order, low, stack, found = {}, {}, [], []
    for root in sorted(nodes):
        work = [(root, iter(edges[root] & nodes))] if root not in order else []
        if work:
            order[root] = low[root] = len(order)
            stack.append(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in order:
                    order[target] = low[target] = len(order)
                    stack.append(target)
                    work.append((target, iter(edges[target] & nodes)))
                    break
                if target in stack:
                    low[node] = min(low[node], order[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    component = set(stack[stack.index(node) :])
                    del stack[stack.index(node) :]
                    if len(component) > 1 or node in edges[node]:
                        found.append(component)
    return found


def innermost(lines):
    """Instructions of each loop that contains no other, wherever its pieces lie."""
    pieces, edges = blocks_of(lines)

    def loops_in(nodes):
        for loop in cycles(nodes, edges):
            entered = {target for node in nodes - loop for target in edges[node]} & loop
            inner = list(loops_in(loop - {min(entered or loop)}))
            yield from inner or [loop]

    for loop in loops_in(set(range(len(pieces)))):
        yield [line for i in sorted(loop) for line in pieces[i]]


def written(line):
    """The vector register that an instruction writes, of any width by the same name; None where it is none."""
    register = REGISTER.search(line.split(None, 1)[-1].split(",")[-1]) if " " in line or "\t" in line else None
    if not register or line.split()[0].startswith(("vcmp", "vucomi", "vcomi", "prefetch")):
        return None
    return register[2]


def products(function, instructions, frame):
    """The loop, where it has products; None otherwise."""
    pairs = any(line.startswith("vpmaddwd") for line in instructions)
    is_add = re.compile(r"vpaddd$") if pairs else MULTIPLY_ADD
    adds = [line for line in instructions if is_add.match(line.split()[0])]
    others = {written(line) for line in instructions if not is_add.match(line.split()[0])}
    if not pairs:  # where a product has a register of its own, sums may change theirs from step to step
        adds = [line for line in adds if written(line) not in others]
    sums = {"".join(REGISTER.findall(line)[-1]) for line in adds}
    return Loop(function, instructions, sums, adds, pairs, frame) if adds else None


def loops(text, prefixes):
    for name, lines in functions(text):
        if name.startswith(tuple(prefixes)):
            frame = any(re.match(r"(movq\s+%rsp|leaq\s+\S*\(%rsp\)), %rbp", line) for line in lines)
            found = [loop for loop in (products(name, instructions, frame) for instructions in innermost(lines)) if loop]
            unrolled = [loop for loop in found if loop.unrolled]
            most = max((len(loop.products) for loop in found), default=0)
            yield from unrolled or [loop for loop in found if len(loop.products) == most]


def self_test():
    good = "\n".join(["f:", ".LBB0_1:"] + [f"vbroadcastss (%rdi,%rcx), %zmm{9}"] + [f"vfmadd231ps (%rsi), %zmm9, %zmm{i}" for i in (0, 1) * 2]
                     + ["addq $4, %rcx", "jne .LBB0_1", "retq"])
    changed = lambda old, new: [loop.problems("zmm") for loop in loops(good.replace(old, new), ["f"])]
    single = good.replace("vfmadd231ps (%rsi), %zmm9, %zmm0\n", "", 1).replace("vfmadd231ps (%rsi), %zmm9, %zmm1\n", "", 1)
    apart = good.replace("f:", "f:\njmp .LBB0_8").replace("retq", "decq %rax\nje .LBB0_9\n.LBB0_8:\nnop\njmp .LBB0_1\n.LBB0_9:\nretq")
    bytes_ = "\n".join(["f:", ".LBB0_1:", "vpmovsxbw (%rsi), %zmm4", "vpmovzxbw %ymm2, %zmm8", "vpmaddwd %zmm4, %zmm8, %zmm5",
                        "vpaddd %zmm5, %zmm0, %zmm0", "vpmaddwd %zmm4, %zmm8, %zmm6", "vpaddd %zmm6, %zmm1, %zmm1", "jne .LBB0_1", "retq"])
    polynomial = good.replace("vbroadcastss (%rdi,%rcx), %zmm9", "vmovaps %zmm5, %zmm0\nvmovaps %zmm5, %zmm1")
    nested = "f:\n.LBB0_0:\nmovq %rax, (%rsp)\n" + good.removeprefix("f:\n").replace("retq", "jne .LBB0_0\nretq")
    checks = {
        "a good loop is good": changed("", "") == [[]],
        "a spill is seen": changed("addq $4, %rcx", "movq 8(%rsp), %rcx") == [["1 instructions touch the stack"]],
        "rbp is a register like others": changed("addq $4, %rcx", "movq 8(%rbp), %rcx") == [[]],
        "unless it points to the stack": [loop.problems("zmm") for loop in loops(good.replace("addq $4, %rcx", "movq 8(%rbp), %rcx").replace(
            ".LBB0_1:", "movq %rsp, %rbp\n.LBB0_1:"), ["f"])] == [["1 instructions touch the stack"]],
        "an index on the stack pointer is seen": len(changed("addq $4, %rcx", "movq 8(%rsp,%rcx,4), %rcx")[0]) == 1,
        "a call is seen": changed("addq $4, %rcx", "callq g") == [["calls"]],
        "narrow sums are seen": "sums are not in zmm" in changed("zmm", "ymm")[0],
        "a share is seen": changed("addq $4, %rcx", "nop\nnop\nnop\nnop") == [["40.0% multiply-adds, 55% at least"]],
        "a loop that streams may fetch": changed("addq $4, %rcx", "prefetcht0 (%rsi)\nprefetcht0 (%rsi)\naddq $4, %rcx") == [[]],
        "but its other instructions count": changed("addq $4, %rcx", "prefetcht0 (%rsi)\nprefetcht0 (%rsi)\nnop\nnop\nnop\nnop") != [[]],
        "a few fetches are instructions": changed("addq $4, %rcx", "prefetcht0 (%rsi)\nnop\nnop") == [["44.4% multiply-adds, 55% at least"]],
        "what lies around a loop does not count": [loop.problems("zmm") for loop in loops(nested, ["f"])] == [[]],
        "registers that others write are no sums": list(loops(polynomial, ["f"])) == [],
        "what an unrolled loop leaves is left out": [len(loop.products) for loop in loops(
            good.removesuffix("retq") + single.removeprefix("f:\n").replace("LBB0_1", "LBB0_2"), ["f"])] == [4],
        "where none is unrolled it is looked at": [len(loop.products) for loop in loops(single, ["f"])] == [2],
        "a loop around a loop whose code lies apart is none": [len(loop.instructions) for loop in loops(apart, ["f"])] == [7],
        "products of bytes are pairs of instructions": [round(loop.share, 2) for loop in loops(bytes_, ["f"])] == [0.57],
        "a load that widens for one of them is its operand": [round(loop.share, 2) for loop in loops(bytes_.replace(
            "vpmaddwd %zmm4, %zmm8, %zmm6", "vpmovsxbw 32(%rsi), %zmm4\nvpmaddwd %zmm4, %zmm8, %zmm6"), ["f"])] == [0.67],
        "other functions are left out": list(loops(good, ["g"])) == [],
        "dot products are multiply-adds": [changed("vfmadd231ps", name) for name in ("vdpbf16ps", "{vex} vpdpbusd")] == [[[]]] * 2,
    }
    return [name for name, holds in checks.items() if not holds]


def main():
    if sys.argv[1:] == ["--self-test"]:
        failed = self_test()
        print("\n".join(failed) or "all hold")
        return 1 if failed else 0
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--target", choices=WIDTH, required=True)
    parser.add_argument("--precision", default="f32", help="as fovea's --matmul-precision")
    parser.add_argument("--show", action="store_true", help="print the text of loops that fall short")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("kernels", nargs="+")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    output = options.work / f"{options.model.stem}-{options.target}-{options.precision}.s"
    subprocess.run([options.fovea, "build", options.model, "--emit=asm", f"--target={options.target}",
                    f"--matmul-precision={options.precision}", "-o", output], check=True)
    found = list(loops(output.read_text(), options.kernels))
    bad, needed = 0, set()
    for loop in found:
        identity = loop.identity(options.target)
        kernel, least = SHORT.get(identity, ("", LEAST_SHARE))
        known = identity in SHORT and loop.function.startswith(kernel) and loop.share < LEAST_SHARE
        if known:
            needed.add(identity)
        problems = loop.problems(WIDTH[options.target], least if known else LEAST_SHARE)
        bad += bool(problems)
        kind = "  streams" * loop.streams + "  SHORT of the bound, known" * known
        print(f"{loop.share:4.0%}  {loop}{kind}{'  FAILS: ' * bool(problems)}{'; '.join(problems)}")
        if options.show and (problems or known):
            print("        " + "\n        ".join(loop.instructions))
    for identity, (kernel, _) in SHORT.items():
        if identity[0] == options.target and kernel.startswith(tuple(options.kernels)) and identity not in needed:
            print(f"{kernel} {identity}: no such loop falls short any more; take it off the list")
            bad += 1
    for kernel in options.kernels:
        if not any(loop.function.startswith(kernel) for loop in found):
            print(f"{kernel}: no loop of products")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
