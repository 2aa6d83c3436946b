/// A program that trains, written by hand, as the compiler would.
#pragma once

#include "FakeProgram.h"

namespace fovea::test {

/// States: `w`: f32[2] = 0.5, a param, `mean`: f32[] = 0, `steps`: i64[] = 0. Entries:
///   @train fit(x: f32[B, 2], y: f32[B], epoch: i64, step: i32, seed: i64) -> (loss: f32, worst: f32)
///       one step of gradient descent on mean((x @ w - y) ^ 2); fails where `step` isn't `steps`
///   @evaluate check(x: f32[B, 2], y: f32[B]) -> (loss: f32, close: f32)
///   predict(x: f32[B, 2]) -> f32[B]                  x @ w; requires B <= 1000
const fovea_program *fakeTrainer();

/// Called by every step of `fit` with the value of `step`.
extern void (*onStep)(int32_t step);

} // namespace fovea::test
