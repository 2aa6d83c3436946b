// The graph passes. Each record says before, after, what it requires, when it declines, and its numerical effect.
#ifndef FOVEA_PASSES
#define FOVEA_PASSES

include "mlir/Pass/PassBase.td"

class FoveaPass<string flag> : Pass<flag, "::mlir::ModuleOp"> {
  let dependentDialects = ["::fovea::graph::GraphDialect"];
}

def Inline : FoveaPass<"graph-inline"> {
  let summary = "replaces calls by their callees' bodies, except of layers that are called more than once";
  let description = [{
    Before: `graph.call @f [#graph.dim<T+1>] (%x) {path = "layers.0"}` of a function over its own symbols.
    After: the body of `f` with its symbols replaced by the call's sizes, in types, attributes and regions; what `f`
    requires, with the same replacement, is required by the caller. Locations are `loc("layers.0.<path in f>"(place))`.
    A function marked `layer` stays where it is called at least twice from the entries (counted through calls), so that
    equal layers are compiled once; but where a gradient is asked for it is inlined: graph-differentiate knows no calls. Functions that nothing refers to any more, entries apart, are erased.
    Requires: calls that verify; no recursion (the frontend reports it; here it is an error).
    Exact.
  }];
  let statistics = [Statistic<"numInlined", "inlined", "Calls replaced by bodies">,
                    Statistic<"numErased", "erased", "Functions erased">];
}

def Simplify : FoveaPass<"graph-simplify"> {
  let summary = "identities that need more than one op, beyond folders and canonicalisation";
  let description = [{
    Exact: an elementwise op of values that are broadcast in the same way (and of scalars) is done before the broadcast; a
    division by a power of two is a multiplication; a gather at a constant index or at `iota` (where the function's
    preconditions prove that it lies within) is a slice; a choice whose condition is proved by the interval rules (IndexBounds) is one of
    its sides, and a proved part of `and` or `or` is left out; a concatenation of all slices of one value in order is the value.
    Folders run as well.
    Reassociating, within the contract of graph.contract: a sum of products of broadcasts, `sum(a[:, :, None] *
    b[None, :, :], axis)`, becomes a graph.contract where each factor lacks an axis of the product, which is otherwise
    held in memory; the sum is then one chain instead of spans.
    Declines when: an op has another type, the product has another use, a factor is not a float.
  }];
  let statistics = [Statistic<"numSimplified", "simplified", "Ops replaced">,
                    Statistic<"numContracts", "contracts", "Sums of products made contractions">];
}

def RecognizeSoftmax : FoveaPass<"graph-recognize-softmax"> {
  let summary = "raises softmax in any spelling to graph.softmax";
  let description = [{
    Before: exp(x - m) / sum(exp(x - m)) over one axis (or several), where m is the maximum over it, anything else or
    nothing; division or multiplication by the reciprocal; exp(x - m - log(sum)), exp(x - logsumexp), exp(log_softmax);
    powers of a constant instead of exponentials; exponentials that a mask multiplies or chooses, `exp(x - m) * f32(mask)`, in both places;
    with the guards `where(m == -inf, 0, m)` and `where(z == 0, 0, e / z)` or without; with kept or reshaped axes. The sum may have addends
    more, exp(sink - m), sum(exp(sinks - m)) or, where no maximum is taken, a positive number: that is a sink, the log-sum-exp of several.
    Weights that are normalised after a contraction, contract(e, v) / z, become contract(softmax, v).
    After: `graph.softmax` of x, -inf where masked (of x - m, where m is not the maximum of x along the axis, or null: that is the same
    function), in x's layout.
    The logarithm of such a sum, log(sum(exp(x))) or m + log(sum(exp(x - m))), becomes `graph.logsumexp` of x, where a contraction gives x: attention may
    then give it. The guard of a gradient, `where(z == 0, -inf, log(where(z == 0, 1, z)))`, is log(z).
    Elements are compared as expressions over indices (ElementExpressions), never as ops; of deep models only the 256 operations
    that lead to the softmax and come last are looked into, the others are compared as values.
    Declines when: the denominator is not the sum, over the same axis, of the same exponentials (another axis, a missing
    or another addend, a product), a maximum is taken from the exponentials and not from the addends.
    Numerical effect: as graph.softmax. Equal to the stable spelling with both guards, up to the order of the sum.
    Unguarded or unstabilised spellings gain: 0 instead of NaN where all of x is -inf or hidden, no overflow for large x; what a mask hides
    does not count, NaN included.
  }];
  let statistics = [Statistic<"numRaised", "raised", "Softmaxes recognised">,
                    Statistic<"numMoved", "moved", "Normalisations moved before a contraction">,
                    Statistic<"numLogSums", "log-sums", "Logarithms of sums of exponentials recognised">];
}

def JoinKeys : FoveaPass<"graph-join-keys"> {
  let summary = "scores and sums of keys in several places become those of their concatenation";
  let description = [{
    Before: concat(f(contract(q, a)), g(contract(q, b)), ...) along the keys, on the way to graph.softmax or graph.logsumexp, with elementwise f, g, ... that differ in
    sums, differences, products, quotients and choices with what does not depend on the products. After: h(contract(q, concat(a, b, ...))), where an operand of h is that of f for
    the first keys, of g for the next ones, ...: what has no such step has an addend 0, a factor 1, a condition that holds. Operands that follow from indices are chosen by the key's
    index (a causal mask of one piece remains a formula), those that tensors hold are concatenated.
    Before: contract(w[..., : P], a) + contract(w[..., P : Q], b), where w depends on a softmax's result. After: contract(w[..., : Q], concat(a, b)).
    Requires: graph-recognize-softmax; runs before graph-raise-slices, which would take a single key that is left out for a sink.
    The first is exact (but for the sign of zeros). The second reassociates: sums over the keys go on from one to the next instead of being added.
    Declines when: another function of the scores is taken of some pieces alone (tanh of one), no product of the same queries is behind them; slices are not adjacent, or start at a
    value; the weights of both pieces are only read apart.
  }];
  let statistics = [Statistic<"numJoined", "joined", "Concatenations and sums replaced">];
}

def RaiseSlices : FoveaPass<"graph-raise-slices"> {
  let summary = "slices of attention weights and scores are taken of what these are computed from";
  let description = [{
    Before: slice(softmax(scores)) along another axis than the keys, slice(scores) before a softmax, with elementwise ops and layouts anywhere
    between; gathers of weights likewise. After: the part is taken of q (or k) instead, and all that follows is computed for it alone.
    Before: slice(softmax(concat(scores, logits))) that leaves out the logits. After: softmax(scores) with the logit as its sink, or with the log-sum-exp of several.
    Requires: graph-recognize-softmax.
    Exact; the share of a sink is added to the sum after the keys'.
    Declines when: a reshape splits or merges the sliced axis, nothing between the slice and its source is a softmax or a contraction.
  }];
  let statistics = [Statistic<"numRaised", "raised", "Slices raised">];
}

def DistributeWeights : FoveaPass<"graph-distribute-weights"> {
  let summary = "sums of attention weights times values become sums of attentions";
  let description = [{
    Before: contract(a + b, v), also with differences, negations, factors, divisors and layouts anywhere over the sum, where an addend is the
    result of graph.softmax (but for layouts, casts and factors). After: contract(a, v) + contract(b, v).
    Before: contract(f(softmax(x)), v) over the keys and other axes, or over heads that share keys and others, where v lacks an axis of the weights.
    After: the contraction over the keys alone (those heads), in f32, then a sum over the others. Axes that join both are taken apart.
    Requires: graph-recognize-softmax, graph-raise-slices.
    Numerical effect: reassociates. The result is off by the roundings of each product, which are relative to sum |a v| and sum |b v|, not to what is
    left of them: where a and b nearly cancel, that is up to (sum |a v| + sum |b v|) / sum |(a - b) v| times more than before.
    Declines when: no addend is a softmax's, a cast to fewer bits stands over the sum; nothing that is summed is an axis of one factor of the scores alone.
  }];
  let statistics = [Statistic<"numDistributed", "distributed", "Products of sums taken apart">,
                    Statistic<"numOrdered", "ordered", "Products that sum the keys first">];
}

def RaiseStatistics : FoveaPass<"graph-raise-statistics"> {
  let summary = "statistics of attention weights are taken of the scores and their log-sum-exp";
  let description = [{
    Before: a sum over keys or queries (and other axes, or one that joins them with others) of what depends on the weights graph.softmax(x) element by element; graph.top_k, graph.argmax or the
    maximum of the weights over the keys, the last axis. x is computed from a contraction element by element.
    After: a contraction with ones, marked `graph.statistic`, with exp(x - lse) for the weights; graph.top_k of x, marked, whose values are exp(v - lse). lse is
    graph.logsumexp of x, a sink taken in by elementwise ops. In rows whose log-sum-exp is NaN the keys are 0, 1, ..., as all weights are NaN.
    Requires: graph-recognize-softmax, graph-distribute-weights.
    Numerical effect: a weight is exp(x - lse) instead of exp(x - m) / sum: off by some units of the last place of |x - lse| + 1. Weights that are equal, by
    underflow too, are told apart by their scores.
    Declines when: weights are no f32, the sum is over axes that both factors of the scores have (heads) only.
  }];
  let statistics = [Statistic<"numRaised", "raised", "Statistics raised">];
}

def FuseAttention : FoveaPass<"graph-fuse-attention"> {
  let summary = "fuses contract, elementwise score, softmax over the keys (or none), contract into graph.attention";
  let description = [{
    Before: contract(q, k) -> any elementwise function of the product, captured tensors and indices -> graph.softmax along
    the key axis -> contract with v over that axis. Axes are matched by labels: transposes, broadcasts, reshapes
    that split or merge axes, and casts may stand anywhere between.
    After: graph.attention of q, k, v (relabelled to [batch..., T, D], [batch..., S, D], [batch..., S, E]; axes that k or v
    lack are broadcasts), a score region and, for selections of -inf above it, a mask region; captured tensors are
    read by graph.at, what is joined along the keys piece by piece (up to eight). Addends of 0 or -inf, `where(m, 0, -inf)`, are masks as well. Factors of the weights that do not depend on the keys
    multiply the result instead.
    A softmax's sink is the op's where it differs by batch axes only; one of each query scales the result, by sigmoid(lse - sink).
    Without a softmax, contract(f(contract(q, k)), v) with f any function of each score becomes a pointwise graph.attention; what makes weights exactly 0 is its mask: selections of 0 or factors 0 of the weights, and -inf before what makes 0 of it.
    A graph.logsumexp of the same scores is the op's second result, and alone that of an op with values of no columns. Of what else reads the weights
    they are computed again, as exp(score - lse); the scores are where they are read otherwise. A softmax with several products becomes several ops.
    Where f is the score times factors of the query or of the key alone, it becomes contract(q, contract(k, v)) instead, if that costs less at all sizes, or at all but small ones where a
    length is a name; c times the score is left as it is otherwise. Where its mask is t >= j besides, over as many queries as keys, and other factors are decays
    (LinearAttention.cpp), it becomes graph.linear_attention. A reduction of weights over the keys that is linear in this way, and whose scores no softmax reads, is a
    product with values of 1.
    Weights of a softmax that are multiplied, divided or chosen against 0 by what differs from key to key, and does not depend on the weights, have that as their factor,
    the second result of the score region.
    Weights that are changed otherwise, element by element, before they meet the values, or are normalised over another axis than the contraction
    sums, are exp(score - lse) with the log-sum-exp of an op of no columns, and then a function of each score.
    Sums that graph-raise-statistics has made products with ones are pointwise ones (over the queries: with queries and keys exchanged), or sums again;
    graph.top_k over the keys of any function of each score is an op with the normaliser "top_k", where nothing else than statistics needs the scores.
    Requires: graph-recognize-softmax.
    Declines when: keys are a batch axis or belong to both factors, the weights are summed over another axis too,
    something that is not elementwise (a reduction, a gather) stands between, a reshape does not follow the axes; without a softmax also where there is one query only and where
    the keys depend on params alone (a linear layer: its matrix is better packed).
    Each chain, fused or not, is recorded in the module's `graph.fusion_report`; so are exponentials of scores that are summed with values
    and are no softmax. In functions with `require_fused` a
    softmax of a contraction that is not fused is an error.
    Numerical effect: sums over the keys are rescaled in blocks; factors of the weights are applied after the sum; products stay in f32 between the factors. What is linear in the scores is reassociated:
    off by the roundings of sums of |q| |k| |v| times the weights' magnitudes. Keys whose
    score is -inf contribute nothing, as the contract has it.
  }];
  let options = [Option<"forGradients", "for-gradients", "bool", "false",
                        "only in functions with graph.grad, and only what graph-differentiate makes a graph.attention_backward of">];
  let statistics = [Statistic<"numFused", "fused", "Chains fused">,
                    Statistic<"numLinear", "linear", "Of these and others, chains linear in their scores">,
                    Statistic<"numDeclined", "declined", "Chains that were not fused">];
  let dependentDialects = ["::fovea::graph::GraphDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def AddAttentionMaps : FoveaPass<"graph-add-attention-maps"> {
  let summary = "twins of the entries that return what their attentions look at";
  let description = [{
    Before: entries that reach graph.attention ops with values.
    After: each has a twin, `<name>-attention-maps`, of the same arguments, whose results are the entry's and then, of every such op on the way and every call of its layer:
    `<path>.weights` [batch..., T, cells], the weights summed over cells of ceildiv(S, cells) keys; `<path>.entropy` [batch..., T] (of pointwise weights
    `<path>.sum`, their sums); `<path>.mass` [batch..., S], the weights of each key summed over the queries. All are f32. Layers on the way have twins as well.
    Requires: graph-fuse-attention, and keys in one piece (before graph-read-pieces).
    Exact: the entries stay as they are.
  }];
  let options = [Option<"cells", "cells", "int64_t", "128", "Cells of keys">];
  let statistics = [Statistic<"numMaps", "maps", "Results added">];
  let dependentDialects = ["::fovea::graph::GraphDialect", "::mlir::arith::ArithDialect", "::mlir::math::MathDialect"];
}

def MergeProjections : FoveaPass<"graph-merge-projections"> {
  let summary = "contractions of one value with several params become one";
  let description = [{
    Before: contract(x, W1) + b1, contract(x, W2) + b2, ... with params W (not states), summed over the same axes of x.
    After: one contraction with the concatenated weights (a concat of params, which graph-hoist-load-time moves to load
    time), biases concatenated likewise where each result has one, and slices of the result.
    Pays because x is read once, and small products fill the tiles. Exact: each output's sum is unchanged.
    Declines when: a weight is no param or is written, has a batch axis or several free axes, or other labels at
    other places.
  }];
  let statistics = [Statistic<"numMerged", "merged", "Contractions merged into others">];
}

def PackWeights : FoveaPass<"graph-pack-weights"> {
  let summary = "contractions with a constant matrix read it in the target's panels";
  let description = [{
    Before: contract(x, W) with W computed from params alone, with sizes that are numbers, and axes that are either
    summed or free (no batch).
    After: contract(x, pack(W as [K, N])) {packed}; the layout ops and graph.pack depend on params alone, so that
    graph-hoist-load-time moves them to load time. Exact.
    Declines when: `panel` is 0, W has a batch axis or symbolic sizes, W's summed axes are not adjacent axes of x in the same
    order (x would have to be copied), K or N is 0, or the weight is written by an entry.
  }];
  let options = [Option<"panel", "panel", "int64_t", "0", "Columns in a panel (from the target; 0: no packing)">];
  let statistics = [Statistic<"numPacked", "packed", "Operands packed">];
}

def GatherKeys : FoveaPass<"graph-gather-keys"> {
  let summary = "attention reads keys and values through the rows that a gather names";
  let description = [{
    Before: attention whose keys (or values) come from a buffer by layout ops and at least one gather, all of which leave the last axis alone.
    After: the buffer as [R, D], and `key_rows` (`value_rows`): the same ops on the rows' numbers, checked as the gathers check their indices. Exact.
    Declines when: the gathers read what is computed element by element, as that would have to be written first; or columns move.
  }];
  let statistics = [Statistic<"numRead", "read", "Operands read through rows">];
}

def ReadPieces : FoveaPass<"graph-read-pieces"> {
  let summary = "attention reads keys and values of several places where they lie";
  let description = [{
    Before: attention whose keys (or values) are graph.concat along them, behind layout ops that leave that axis alone and casts that widen.
    After: attention with the pieces, `k(%a, %b)`, each behind the same ops. Exact.
    Requires: graph-fuse-attention, and what makes gradients or attention maps before. Declines when: there are more than eight pieces, keys are joined or rows of a table, or something
    else reads the concatenation and a piece is computed element by element: what is written in any case is not computed twice.
  }];
  let statistics = [Statistic<"numRead", "read", "Operands read in pieces">];
}

def NarrowOperands : FoveaPass<"graph-narrow-operands"> {
  let summary = "attention reads operands in the 16 bits that they are widened from";
  let description = [{
    Before: an operand of attention, or of its way back, or what its regions read, that is cast from f16 or bf16 to f32, through whatever moves elements: transposes, reshapes,
    broadcasts, slices, gathers, concatenations, updates of slices, choices. Numbers that 16 bits hold count as widened.
    After: the same moves of the 16-bit tensors, which tiles widen as they load them. A result that is only read to be rounded to 16 bits is one of 16 bits: it is rounded once in any case. Exact.
    Requires: graph-fuse-attention. Declines when: pieces are widened from different types, or something else reads what has to be written anyway (a concatenation, say) in f32.
  }];
  let statistics = [Statistic<"numNarrowed", "narrowed", "Operands and results of 16 bits">];
}

def NarrowWeights : FoveaPass<"graph-narrow-weights"> {
  let summary = "packed weights in 16 or 8 bits";
  let description = [{
    Before: contract(x, pack(W)) {packed} in f32.
    After: with dtype bf16, contract(x, pack(bf16(W))). With i8, contract(x * r, pack(i8(floor(W / (r s) + 0.5)))) * s, where
    r = sqrt(max |W|) over each row of W [K, N], so that a few large rows don't take the precision of all, and s =
    max |W / r| / 127 over each column; 1 for rows and columns of zeros. Products are summed in f32, as before.
    Requires: graph-pack-weights. Declines when: the weights are 16-bit already.
    Numerical effect: each weight is off by at most 2^-9 of itself (bf16: 8 bits, half of the last one), or by at most r s / 2
    (i8); an output y = sum x w by at most the sum of |x| times that.
  }];
  let options = [Option<"dtype", "dtype", "std::string", "", "bf16 or i8; empty: as they are">];
  let statistics = [Statistic<"numNarrowed", "narrowed", "Weights stored narrower">];
}

def HideWeights : FoveaPass<"graph-hide-weights"> {
  let summary = "weights of keys that a mask hides take no part in a product";
  let description = [{
    Before: contract(w, v), where w stems from graph.softmax or graph.exp of x, through elementwise ops and such as move elements.
    After: contract(where(w == 0, where(x == -inf, -0, 0), w), v) {hidden_lhs}: elements that are -0 are left out, so that NaN in what they would be multiplied by does
    not count. A weight that underflowed stays 0, and 0 * NaN is NaN. Likewise for w on the right.
    Exact, but for those NaN. Requires: graph-fuse-attention; an attention leaves out hidden keys by itself. Declines when: w is packed, or none of an exponential.
  }];
  let statistics = [Statistic<"numMarked", "marked", "Products that leave out hidden weights">];
}

def RoundOperands : FoveaPass<"graph-round-operands"> {
  let summary = "products with packed weights of both operands in bf16 or int8";
  let description = [{
    Before: contract(x, pack(W)) {packed} in f32 (or, for bf16 and k-block 2, in bf16).
    After, bf16: contract(bf16(x), pack(bf16(W))), to nearest even; with k-block 1 x is widened again, so that it is multiplied as f32.
    After, i8: (contract(u, pack(q)) - zero * colsum) * scale * s. Each row of x is scale * (u - zero) with unsigned bytes u: scale is the row's range, 0
    included, over 254, and zero the byte that stands for 0. Each column of W is q * s with signed bytes q and s = max |W| / 127; colsum are the sums of q's columns. The
    sums of products and their correction are integers and exact; a row with NaN or an infinity gives NaN.
    With a k-block above 1, products are summed by so many at a time, from packed panels of so many rows of W side by side; x and W get zeros behind their last row
    where K is no multiple of it.
    Requires: graph-pack-weights. Declines when: the operands are f16 (i8: anything but f32), or K exceeds 65536 (i8).
    Numerical effect, bf16: each operand is off by at most 2^-9 of itself, an output by 2^-8 (1 + 2^-10) sum |x w| and the rounding of K sums. i8: x is off by at most
    (1/2 + 2^-14) scale, w by s / 2, an output by sum |w| (1/2 + 2^-14) scale + sum |x| s / 2 + K scale s / 4 and four roundings.
  }];
  let options = [Option<"precision", "precision", "std::string", "", "bf16 or i8; empty: as they are">,
                 Option<"kBlock", "k-block", "int64_t", "1", "Products that the target sums up at a time">];
  let statistics = [Statistic<"numRounded", "rounded", "Products of rounded operands">];
}

def HoistLoadTime : FoveaPass<"graph-hoist-load-time"> {
  let summary = "moves what depends on params alone to prepare functions, run once after loading";
  let description = [{
    Before: ops of entries and layers whose operands are params (not states), constants, or each other, and whose sizes
    are numbers.
    After: they stand in a `prepare` function; their results are operands of the entry (`graph.derived = "name"`). A layer
    has a prepare function of its own, called for each of its calls; what it gives is passed to the layer. All
    entries share one prepare function `prepare`, where equal values are computed once. Params that are no longer used are
    no longer arguments.
    A layout of one param alone stays where it is: it is read through a view.
    Requires: graph-inline (calls are of layers). Exact.
    Declines when: a value depends on an input, a state or a symbolic size; or an index may be proved to be in range by it: integers
    other than panels, floats of a known range and bools of a known value that indices are computed from. What is derived may come from a file.
  }];
  let statistics = [Statistic<"numHoisted", "hoisted", "Values computed at load time">];
}

#endif
