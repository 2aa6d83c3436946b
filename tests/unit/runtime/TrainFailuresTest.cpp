// What `train` says of data, files and numbers that are bad.
#include "Training.h"

#include <math.h>

using namespace fovea;
using namespace fovea::test;

TEST_CASE("train: bad data and files are named, and nothing is written") {
  Folder folder("train-bad");
  Rows rows(6), none(0);
  rows.write(folder / "d.npz");
  none.write(folder / "none.npz");
  double wider[12] = {};
  int64_t shapes[] = {6, 2, 3};
  fovea_error error;
  auto npz = [&](const char *name, std::vector<rt::OutputTensor> tensors) {
    REQUIRE(save(folder / name, &error, [&](rt::OutputFile &to) {
              return rt::writeNpz(to, tensors.data(), tensors.size(), {}, &error);
            }) == FOVEA_OK);
    return folder / name;
  };
  rt::OutputTensor x = {"x", rt::FileDtype::F32, 2, shapes, rows.x.data()},
                   y = {"y", rt::FileDtype::F32, 1, shapes, rows.y.data()};
  int64_t five[] = {5}, sixByThree[] = {6, 3};
  float many[18] = {};
  struct Row {
    Arguments arguments;
    const char *message;
  } table[] = {
      {{"--data", "/nonexistent.npz"}, "can't read `/nonexistent.npz`: No such file"},
      {{"--data", npz("xonly.npz", {x, {"z", rt::FileDtype::F32, 1, shapes, rows.y.data()}})},
       "xonly.npz` has no array named `y`; it has `x`, `z` (fit("},
      {{"--data", npz("wide.npz", {{"x", rt::FileDtype::F64, 2, shapes, wider}, y})},
       "convert it with .astype('float32')"},
      {{"--data", npz("rows.npz", {x, {"y", rt::FileDtype::F32, 1, five, rows.y.data()}})}, "`y` has 5 rows in `"},
      {{"--data", npz("rank.npz", {x, {"y", rt::FileDtype::F32, 2, shapes, rows.x.data()}})},
       "input `y` has 2 axes in `"},
      {{"--data", npz("axis.npz", {{"x", rt::FileDtype::F32, 2, sixByThree, many}, y})},
       "axis 1 of input `x` is 3, expected 2"},
      {{"--data", folder / "none.npz"}, "there are no rows in `"},
      {{"--data", folder / "d.npz", "--batch", "7"}, "a batch of 7 rows is wanted (--batch), and `"},
      {{"--data", folder / "d.npz", "--valid", "/nonexistent.npz"}, "/nonexistent.npz"},
      {{"--data", folder / "d.npz", "--valid", folder / "none.npz"}, "there are no rows in `"},
      {{"--data", folder.path}, "/x.npy`: No such file"},
      {{"--data", npyFile("train-bad/one.npy", rt::FileDtype::F32, {6}, rows.y.data())},
       "one.npy` is one array, and `fit` takes 2"},
      {{"--data", folder / "d.npz", "--checkpoint", "/nonexistent/c"}, "can't write `/nonexistent/c`"},
      {{"--data", folder / "d.npz", "--page", "/nonexistent/p"}, "can't write `/nonexistent/p`"},
      {{"--data", folder / "d.npz", "--log", "/nonexistent/l"}, "can't write `/nonexistent/l`"},
      {{"--data", folder / "d.npz", "--states", folder / "d.npz"}, "tensor `w` (trainer.fov:8:1) is missing"},
      {{"--data", folder / "d.npz", "--size", "n=3"}, "the program's states have no size `n`"},
  };
  for (const Row &row : table) {
    Arguments arguments = row.arguments;
    if (!contains(row.message, "batch of 7"))
      arguments.insert(arguments.end(), {"--batch", "2"});
    CommandResult result = train(arguments, {"--save", folder / "s"});
    INFO(row.message);
    CHECK(result.code == 1);
    CHECK_CONTAINS(result.err, row.message);
    CHECK_FALSE(folder.has("s"));
    CHECK_FALSE(folder.has("s.checkpoint"));
  }
}

TEST_CASE("train: a place that cannot be written to is named") {
  Folder folder("train-unwritable");
  Rows rows(6);
  rows.write(folder / "d.npz");
  for (const char *where : {"/nonexistent/s", "/dev/full"}) {
    CommandResult result =
        train({"--data", folder / "d.npz", "--batch", "2"}, {"--save", where, "--checkpoint", folder / "c"});
    CHECK(result.code == 1);
    CHECK_CONTAINS(result.err, "can't write");
  }
}

TEST_CASE("train: a number that is not finite stops, and is traced to its op, its line and its step") {
  Folder folder("train-nan");
  Rows rows(6);
  rows.write(folder / "good.npz");
  Arguments arguments = {"--save", folder / "s", "--batch", "2", "--epochs", "4", "--checkpoint-steps", "1"};
  SUBCASE("in the data") {
    rows.x[7] = NAN;
    rows.write(folder / "d.npz");
    CommandResult result = train(arguments, {"--data", folder / "d.npz"});
    CHECK(result.code == 1);
    CHECK_CONTAINS(result.err, "the loss is not finite after step ");
    CHECK_CONTAINS(result.err, "the data have it: element 1 of row 3 of `x` in `" + (folder / "d.npz") + "` is nan");
    CHECK_FALSE(folder.has("s"));
  }
  SUBCASE("from numbers that grow") {
    for (float &x : rows.x)
      x *= 1e5f; // the rate is far too high: within an epoch the squares overflow
    rows.write(folder / "d.npz");
    CommandResult result = train(arguments, {"--data", folder / "d.npz"});
    CHECK(result.code == 1);
    CHECK_CONTAINS(result.err, "is not finite after step ");
    CHECK_CONTAINS(result.err, "it first appears in step ");
    CHECK_CONTAINS(result.err, "inf at [");
    CHECK_CONTAINS(result.err, "computed at trainer.fov:3:1 by sub (3:4), pow (3:9)");
    CHECK_FALSE(contains(result.err, "logs")); // -inf, as in the steps before
    CHECK_CONTAINS(result.err, "is good");
    // What the message says is good is: its states are finite, and it can be resumed, to the same end.
    CommandResult again = train(arguments, {"--data", folder / "d.npz", "--resume"});
    CHECK(again.code == 1);
    CHECK_CONTAINS(again.err, "it first appears in step ");
  }
  SUBCASE("in an evaluation") {
    Rows valid(3);
    valid.y[1] = INFINITY;
    valid.write(folder / "v.npz");
    CommandResult result = train(arguments, {"--data", folder / "good.npz", "--valid", folder / "v.npz"});
    CHECK(result.code == 1);
    CHECK_CONTAINS(result.err, "the loss of `check` is not finite, after epoch 1, for rows 0 and later");
    CHECK_CONTAINS(result.err, "element 0 of row 1 of `y`");
  }
}

TEST_CASE("train: a step that fails says which it is; a new training leaves nothing of one before") {
  Folder folder("train-fails");
  Rows rows(6);
  rows.write(folder / "d.npz");
  Arguments arguments = {"--data", folder / "d.npz", "--save", folder / "s", "--batch", "2"};
  REQUIRE(train(arguments).code == 0);
  REQUIRE(folder.has("s.checkpoint"));
  // `fit` wants `step` to be the state `steps`, which is 3 now.
  std::string states = readFile(folder / "s.checkpoint");
  writeFile(folder / "t", states);
  CommandResult result = train(arguments, {"--states", folder / "t"});
  CHECK(result.code == 1);
  CHECK_CONTAINS(result.err, "fitter: epoch 1, batch 1 of `fit`: trainer.fov:2:1: the assertion fails");
  CHECK_FALSE(folder.has("s.checkpoint")); // of what had ended
  result = train(arguments, {"--resume"});
  CHECK(result.code == 0);
  CHECK_CONTAINS(result.err, "s.checkpoint` yet: training begins");
  states[states.size() - 8] = 0; // `steps`
  writeFile(folder / "t", states);
  std::vector<float> before = savedWeights(folder / "s");
  REQUIRE(train(arguments, {"--states", folder / "t"}).code == 0);
  std::vector<float> further = savedWeights(folder / "s");
  CHECK(further != before);
  // Weights alone go on from there as well: what is left of the gradients before is not needed here.
  REQUIRE(train({"--data", folder / "d.npz", "--save", folder / "u", "--batch", "2"}).code == 0);
  REQUIRE(train(arguments, {"--weights", folder / "u"}).code == 0);
  CHECK(savedWeights(folder / "s") == further);
}
