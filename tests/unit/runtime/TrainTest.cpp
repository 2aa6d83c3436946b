// The command `train` of a program that was written by hand.
#include "CommandLine.h"
#include "FakeTrainer.h"
#include "runtime/main/Dataset.h"
#include "runtime/main/Shuffle.h"
#include "runtime/main/TrainLog.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fovea;
using namespace fovea::test;

namespace {

/// Files of one test in a folder of their own.
struct Folder {
  explicit Folder(const char *name) : path(temporaryPath(name)) { mkdir(path.c_str(), 0700); }
  ~Folder() { CHECK(system(("rm -rf '" + path + "'").c_str()) == 0); }
  std::string operator/(const std::string &file) const { return path + "/" + file; }
  bool has(const char *file) const { return access((*this / file).c_str(), F_OK) == 0; }
  std::string path;
};

/// y = 2 x0 - x1 and some noise that has no pattern.
struct Rows {
  explicit Rows(int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      float a = static_cast<float>((i * 37 + 11) % 64 - 32) / 32, b = static_cast<float>((i * 29 + 5) % 64 - 32) / 32;
      x.insert(x.end(), {a, b});
      y.push_back(2 * a - b + static_cast<float>((i * 7) % 5 - 2) / 50);
    }
  }
  int64_t count() const { return static_cast<int64_t>(y.size()); }
  void write(const std::string &path) {
    fovea_error error;
    int64_t shapes[] = {count(), 2};
    rt::OutputTensor both[] = {{"x", rt::FileDtype::F32, 2, shapes, x.data()},
                               {"y", rt::FileDtype::F32, 1, shapes, y.data()}};
    REQUIRE(save(path, &error, [&](rt::OutputFile &to) { return rt::writeNpz(to, both, 2, {}, &error); }) == FOVEA_OK);
  }
  std::vector<float> x, y;
};

using Arguments = std::vector<std::string>;

CommandResult train(Arguments arguments, const Arguments &more = {}) {
  arguments.insert(arguments.begin(), "train");
  arguments.insert(arguments.end(), more.begin(), more.end());
  return runCommand(fakeTrainer(), arguments);
}

/// What `fit` does, in the same arithmetic, over whole epochs.
std::vector<float> fitted(const Rows &rows, int64_t epochs, int64_t batch, int64_t seed, bool dropLast) {
  float w[2] = {0.5f, 0.5f};
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    rt::Array<int64_t> order;
    REQUIRE(order.resize(rows.y.size()));
    rt::shuffle(order, seed, epoch);
    for (int64_t first = 0; first < rows.count(); first += batch) {
      int64_t count = std::min(batch, rows.count() - first);
      if (dropLast && count < batch)
        break;
      double gradient[2] = {};
      for (int64_t i = 0; i < count; ++i) {
        auto row = static_cast<size_t>(order[static_cast<size_t>(first + i)]);
        float p = rows.x[2 * row] * w[0] + rows.x[2 * row + 1] * w[1];
        auto difference = static_cast<double>(p - rows.y[row]);
        for (size_t k = 0; k < 2; ++k)
          gradient[k] += 2 * difference * static_cast<double>(rows.x[2 * row + k]) / static_cast<double>(count);
      }
      for (size_t k = 0; k < 2; ++k)
        w[k] = static_cast<float>(static_cast<double>(w[k]) - 0.1 / static_cast<double>(1 + epoch) * gradient[k]);
    }
  }
  return {w[0], w[1]};
}

std::vector<float> savedWeights(const std::string &path) {
  rt::TensorFile file;
  fovea_error error = {};
  REQUIRE(file.open(path.c_str(), {}, &error) == FOVEA_OK);
  REQUIRE(file.find("w"));
  std::vector<float> w(2);
  memcpy(w.data(), file.find("w")->data, 8);
  return w;
}

int countOf(const std::string &text, const std::string &part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

/// The log without what depends on the time.
std::string withoutTimes(std::string log) {
  for (const char *key : {", \"samples_per_second\": ", ", \"seconds\": "})
    for (size_t at = log.find(key); at != std::string::npos; at = log.find(key))
      log.erase(at, log.find('}', at) - at);
  return log;
}

} // namespace

TEST_CASE("train: help shows what the program has") {
  CommandResult help = runCommand(fakeTrainer(), {"--help"});
  CHECK(help.code == 0);
  for (const char *part : {"  @train fit(x: f32[B, 2], y: f32[B], epoch: i64, step: i32, seed: i64) -> ",
                           "  @evaluate check(", "fitter train --data FILE --save FILE [options]"})
    CHECK_CONTAINS(help.out, part);
  CHECK_FALSE(contains(help.out, "--epochs"));
  help = runCommand(fakeTrainer(), {"train", "--help"});
  for (const char *part :
       {"usage: fitter train", "--epochs", "--threads", "requires B <= 1000", "`step` (both from 0)"})
    CHECK_CONTAINS(help.out, part);
  CHECK_FALSE(contains(help.out, "--repeat"));
  CHECK_FALSE(contains(runCommand(fakeProgram(), {"--help"}).out, "train"));
  CHECK_CONTAINS(runCommand(fakeProgram(), {"train"}).err, "there is no entry `train`");
  CHECK_CONTAINS(runCommand(fakeProgram(), {"add", "--epochs", "1"}).err, "unknown option");
}

TEST_CASE("train: usage errors") {
  struct Row {
    Arguments arguments;
    const char *message;
  } rows[] = {
      {{"train"}, "`train` needs `--data FILE`"},
      {{"train", "--data", "d"}, "`train` needs `--save FILE`"},
      {{"train", "--data", "d", "--save", "s", "--repeat", "2"}, "`train` takes no `--repeat`"},
      {{"train", "x.npy", "--data", "d", "--save", "s"}, "takes its inputs from --data, not `x.npy`"},
      {{"train", "--data", "d", "--save", "s", "--epochs", "0"}, "--epochs takes a number from 1"},
      {{"train", "--data", "d", "--save", "s", "--batch", "-1"}, "--batch takes a number from 1"},
      {{"train", "--data", "d", "--save", "s", "--patience", "3"}, "--patience looks at the loss of --valid"},
      {{"train", "--data", "d", "--save", "s", "--seedd", "3"}, "did you mean `--seed`"},
      {{"predict", "--epochs", "3"}, "only `train` takes `--epochs`"},
      {{"train", "--data", "d", "--save", "d"}, "--save and --data name the same file"},
      {{"train", "--data", "d", "--save", "s", "--log", "s"}, "--save and --log name the same file"},
  };
  for (const Row &row : rows) {
    CommandResult result = runCommand(fakeTrainer(), row.arguments);
    INFO(row.message);
    CHECK(result.code == 2);
    CHECK_CONTAINS(result.err, row.message);
  }
}

TEST_CASE("train: the steps are those of the order that seed and epoch give, the last batch included or left out") {
  Folder folder("train-steps");
  Rows rows(11);
  rows.write(folder / "d.npz");
  for (bool dropLast : {false, true})
    for (int64_t batch : {1, 4, 11}) {
      Arguments more = {"--batch", std::to_string(batch), "--seed", "5", "--epochs", "3"};
      if (dropLast)
        more.push_back("--drop-last");
      CommandResult result = train({"--data", folder / "d.npz", "--save", folder / "s.safetensors"}, more);
      INFO(result.err);
      REQUIRE(result.code == 0);
      CHECK(result.err.empty());
      CHECK(countOf(result.out, "epoch ") == 4); // and the last line
      CHECK(savedWeights(folder / "s.safetensors") == fitted(rows, 3, batch, 5, dropLast));
    }
  // A folder of npy is the same.
  Folder arrays("train-arrays");
  npyFile("train-arrays/x.npy", rt::FileDtype::F32, {11, 2}, rows.x.data());
  npyFile("train-arrays/y.npy", rt::FileDtype::F32, {11}, rows.y.data());
  REQUIRE(train({"--data", arrays.path, "--save", folder / "t.safetensors"}, {"--batch", "4"}).code == 0);
  CHECK(savedWeights(folder / "t.safetensors") == fitted(rows, 1, 4, 0, false));
  CommandResult predicted =
      runCommand(fakeTrainer(), {"predict", npyFile("train-arrays/x.npy", rt::FileDtype::F32, {1, 2}, rows.x.data()),
                                 "--weights", folder / "t.safetensors"});
  CHECK(predicted.code == 0);
  std::vector<float> w = savedWeights(folder / "t.safetensors");
  char expected[40];
  snprintf(expected, sizeof(expected), "[%.6g]", static_cast<double>(rows.x[0] * w[0] + rows.x[1] * w[1]));
  CHECK_CONTAINS(predicted.out, expected);
}

TEST_CASE("train: metrics are weighted by batches' rows; the log has lines of steps and epochs, the page the log") {
  Folder folder("train-log");
  Rows rows(10), valid(7);
  rows.write(folder / "d.npz");
  valid.write(folder / "v.npz");
  CommandResult result =
      train({"--data", folder / "d.npz", "--valid", folder / "v.npz", "--save", folder / "s.safetensors"},
            {"--batch", "4", "--epochs", "2", "--log", folder / "run.jsonl", "--log-steps", "2", "--page",
             folder / "page.html", "--report", "2"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK_CONTAINS(result.out, "epoch 2/2: loss ");
  CHECK_FALSE(contains(result.out, "epoch 1/2: "));
  std::string log = readFile(folder / "run.jsonl");
  CHECK(countOf(log, "\"kind\": \"step\"") == 3);
  CHECK(countOf(log, "\"kind\": \"epoch\"") == 2);
  CHECK_CONTAINS(log, "{\"step\": 3, \"epoch\": 1, \"kind\": \"epoch\", \"train\": {\"loss\": ");
  // The evaluation of the second epoch, by hand.
  std::vector<float> w = fitted(rows, 2, 4, 0, false);
  double sum = 0, close = 0;
  for (size_t i = 0; i < valid.y.size(); ++i) {
    float difference = valid.x[2 * i] * w[0] + valid.x[2 * i + 1] * w[1] - valid.y[i];
    sum += static_cast<double>(difference) * static_cast<double>(difference);
    close += fabsf(difference) < 0.5f;
  }
  size_t at = log.rfind("\"valid\": {\"loss\": ");
  REQUIRE(at != std::string::npos);
  CHECK(strtod(log.c_str() + at + strlen("\"valid\": {\"loss\": "), nullptr) == doctest::Approx(sum / 7).epsilon(1e-6));
  at = log.rfind("\"close\": ");
  CHECK(strtod(log.c_str() + at + strlen("\"close\": "), nullptr) == doctest::Approx(close / 7).epsilon(1e-6));
  std::string page = readFile(folder / "page.html");
  for (size_t begin = 0, end; (end = log.find('\n', begin)) != std::string::npos; begin = end + 1)
    CHECK_CONTAINS(page, log.substr(begin, end - begin));
  CHECK_CONTAINS(page, "\"model\": \"fitter\", \"entry\": \"fit\"");
}

TEST_CASE("train: the lowest loss is kept, and training ends without a lower one") {
  Folder folder("train-patience");
  Rows rows(8), valid(4);
  rows.write(folder / "d.npz");
  for (size_t i = 0; i < valid.y.size(); ++i)
    valid.y[i] = 0.6f * valid.x[2 * i] + 0.4f * valid.x[2 * i + 1]; // on the way, where training doesn't stay
  valid.write(folder / "v.npz");
  Arguments all = {
      "--data", folder / "d.npz", "--valid", folder / "v.npz", "--save", folder / "s.safetensors", "--batch",
      "4",      "--epochs",       "60"};
  CommandResult result = train(all, {"--patience", "2", "--log", folder / "run.jsonl"});
  REQUIRE(result.code == 0);
  CHECK_CONTAINS(result.out, "no lower loss for 2 epochs: training ends\n");
  std::string log = readFile(folder / "run.jsonl");
  int epochs = countOf(log, "\"kind\": \"epoch\"");
  CHECK(epochs < 60);
  size_t last = log.rfind("\"best\": true");
  REQUIRE(last != std::string::npos);
  CHECK(countOf(log.substr(last), "\"best\": false") == 2);
  CHECK(savedWeights(folder / "s.safetensors") == fitted(rows, epochs - 2, 4, 0, false));
  // Ended is ended: nothing runs, unless patience or epochs are given anew.
  CommandResult again = train(all, {"--patience", "2", "--resume"});
  CHECK(again.code == 0);
  CHECK_CONTAINS(again.out, "training has ended already");
  CHECK(train(all, {"--patience", "4", "--resume"}).code == 0);
  remove((folder / "s.safetensors").c_str());
  again = train(all, {"--patience", "5", "--resume"});
  CHECK(again.code == 1);
  CHECK_CONTAINS(again.err, "s.safetensors` is not there, and has what was best before the checkpoint");
}

static int stopAt;

TEST_CASE("train: a run that is killed or interrupted at any step is resumed to the same bytes") {
  Folder folder("train-resume");
  Rows rows(10), valid(5);
  rows.write(folder / "d.npz");
  valid.write(folder / "v.npz");
  auto arguments = [&](const std::string &name) {
    return Arguments{"--data",      folder / "d.npz",
                     "--valid",     folder / "v.npz",
                     "--save",      folder / (name + ".safetensors"),
                     "--log",       folder / (name + ".jsonl"),
                     "--log-steps", "1",
                     "--batch",     "4",
                     "--epochs",    "3",
                     "--seed",      "9",
                     "--threads",   "1"};
  };
  REQUIRE(train(arguments("whole"), {"--checkpoint-steps", "2"}).code == 0);
  std::string expected = readFile(folder / "whole.safetensors"), log = withoutTimes(readFile(folder / "whole.jsonl")),
              checkpoint = readFile(folder / "whole.safetensors.checkpoint");
  CHECK(countOf(log, "\n") == 9 + 3);
  for (int number : {SIGKILL, SIGTERM})
    for (stopAt = 0; stopAt < 9; ++stopAt) {
      INFO("signal " << number << " in step " << stopAt);
      std::string name = "part" + std::to_string(number) + "-" + std::to_string(stopAt);
      pid_t child = fork();
      if (child == 0) {
        signal(SIGTERM, SIG_DFL); // doctest has a handler
        onStep = number == SIGKILL ? [](int32_t step) { step == stopAt ? void(raise(SIGKILL)) : void(); }
                                   : [](int32_t step) { step == stopAt ? void(raise(SIGTERM)) : void(); };
        _exit(train(arguments(name), {"--checkpoint-steps", "2"}).code);
      }
      int status = 0;
      REQUIRE(waitpid(child, &status, 0) == child);
      REQUIRE(WIFSIGNALED(status));
      CHECK(WTERMSIG(status) == number);
      if (number == SIGTERM) {
        std::string message = readFile(temporaryPath("stderr"));
        CHECK_CONTAINS(message, "stopped after step " + std::to_string(stopAt + 1) + " (epoch ");
        CHECK_CONTAINS(message, "--resume");
      }
      CommandResult result = train(arguments(name), {"--checkpoint-steps", "2", "--resume"});
      INFO(result.err);
      REQUIRE(result.code == 0);
      CHECK(readFile(folder / (name + ".safetensors")) == expected);
      CHECK(readFile(folder / (name + ".safetensors.checkpoint")) == checkpoint);
      CHECK(withoutTimes(readFile(folder / (name + ".jsonl"))) == log);
    }
  for (const char *stream : {"stdout", "stderr"}) // the children's
    remove(temporaryPath(stream).c_str());
}

TEST_CASE("train: a checkpoint of something else is refused, and kept") {
  Folder folder("train-other");
  Rows rows(10), more(12), changed(10);
  rows.write(folder / "d.npz");
  more.write(folder / "e.npz");
  changed.y.back() += 0x1p-10f;
  changed.write(folder / "changed.npz");
  pid_t child = fork();
  if (child == 0) {
    onStep = [](int32_t step) { step == 3 ? void(raise(SIGKILL)) : void(); };
    _exit(train({"--data", folder / "d.npz", "--save", folder / "s", "--batch", "4", "--checkpoint-steps", "1"},
                {"--epochs", "9"})
              .code);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  std::string checkpoint = readFile(folder / "s.checkpoint");
  CHECK(countOf(checkpoint, "fovea.step\":\"3\"") == 1);
  writeFile(folder / "notes", "not a log\n");
  writeFile(folder / "damaged", checkpoint.substr(0, checkpoint.size() - 4));
  std::string other = checkpoint;
  other.replace(other.find("\"fovea.model\":\"fitter\""), strlen("\"fovea.model\":\"fitter\""),
                "\"fovea.model\":\"sitter\"");
  writeFile(folder / "other", other);
  writeFile(folder / "plain",
            safetensors(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", std::string(8, 0)));
  struct Row {
    Arguments arguments;
    const char *message;
  } rowsOfTable[] = {
      {{"--batch", "4"},
       "s.checkpoint` is the checkpoint of a training that has not ended (epoch 2, step 3): go on with --resume"},
      {{"--batch", "5", "--resume"}, "--batch was 4, and is 5 now"},
      {{"--batch", "4", "--seed", "1", "--resume"}, "--seed was 0, and is 1 now"},
      {{"--batch", "4", "--drop-last", "--resume"}, "--drop-last (1: given) was 0, and is 1 now"},
      {{"--batch", "4", "--data", folder / "e.npz", "--resume"}, "rows of --data was 10, and is 12 now"},
      {{"--batch", "4", "--data", folder / "changed.npz", "--resume"},
       "--data has other data than the training began with (as many rows, but not the same)"},
      {{"--batch", "4", "--valid", folder / "e.npz", "--resume"},
       "rows of --valid (0: not given) was 0, and is 12 now"},
      {{"--batch", "4", "--resume", "--checkpoint", folder / "other"},
       "of the model `sitter`, and this is `fit` of the model `fitter`"},
      {{"--batch", "4", "--resume", "--checkpoint", folder / "damaged"}, "lie outside the file's data"},
      {{"--batch", "4", "--checkpoint", folder / "damaged"},
       "the checkpoint's file is there, and would be overwritten"},
      {{"--batch", "4", "--resume", "--checkpoint", folder / "plain"}, "this is no checkpoint of training"},
      {{"--batch", "4", "--checkpoint", folder / "plain"}, "this is no checkpoint of training"},
      {{"--batch", "4", "--resume", "--log", folder / "notes"}, "is no log of training: it is not overwritten"},
  };
  for (const Row &row : rowsOfTable) {
    CommandResult result = train({"--data", folder / "d.npz", "--save", folder / "s"}, row.arguments);
    INFO(row.message);
    CHECK(result.code == 1);
    CHECK_CONTAINS(result.err, row.message);
    CHECK(readFile(folder / "s.checkpoint") == checkpoint);
  }
  CHECK(readFile(folder / "notes") == "not a log\n");
  CHECK(readFile(folder / "other") == other);
  CHECK_FALSE(folder.has("s"));
  CHECK(
      train({"--data", folder / "d.npz", "--save", folder / "s"}, {"--batch", "4", "--resume", "--epochs", "2"}).code ==
      0);
  CHECK(savedWeights(folder / "s") == fitted(rows, 2, 4, 0, false));

  // What an evaluation sees decides what is kept.
  Arguments second = {"--data", folder / "d.npz", "--save", folder / "t", "--batch", "4"};
  CHECK(train(second, {"--valid", folder / "e.npz", "--epochs", "1"}).code == 0);
  more.x[3] += 1;
  more.write(folder / "e.npz");
  CommandResult result = train(second, {"--valid", folder / "e.npz", "--epochs", "2", "--resume"});
  CHECK(result.code == 1);
  CHECK_CONTAINS(result.err, "--valid has other data than the training began with");
}

TEST_CASE("train: a fingerprint of data tells them apart, however they are stored") {
  Folder folder("train-print");
  Rows rows(4000);
  auto print = [&](const std::string &path, int64_t most) {
    rt::Dataset data;
    REQUIRE(data.open(*fakeTrainer(), 0, path.c_str()) == 0);
    return data.fingerprint(most);
  };
  rows.write(folder / "d.npz");
  const int64_t all = 32000, some = 8192; // bytes of x; two blocks, its first and its last
  uint64_t whole = print(folder / "d.npz", all), sampled = print(folder / "d.npz", some);
  npyFile("train-print/x.npy", rt::FileDtype::F32, {4000, 2}, rows.x.data());
  npyFile("train-print/y.npy", rt::FileDtype::F32, {4000}, rows.y.data());
  CHECK(print(folder.path, all) == whole);
  CHECK(print(folder.path, some) == sampled);
  for (size_t at : {size_t(0), size_t(4000), size_t(7999)}) {
    INFO(at);
    Rows changed = rows;
    changed.x[at] = -changed.x[at] - 1;
    changed.write(folder / "e.npz");
    CHECK(print(folder / "e.npz", all) != whole);
    CHECK((print(folder / "e.npz", some) != sampled) == (at != 4000)); // which lies in neither block
  }
}

TEST_CASE("train: bad data and files are named, and nothing is written") {
  Folder folder("train-bad");
  Rows rows(6), wide(6), none(0);
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

TEST_CASE("train: a log is cut where a position is") {
  const char *log = "{\"step\": 1, \"epoch\": 1, \"kind\": \"step\", \"loss\": 1}\n"
                    "{\"step\": 2, \"epoch\": 1, \"kind\": \"step\", \"loss\": 1}\n"
                    "{\"step\": 2, \"epoch\": 1, \"kind\": \"epoch\"}\n"
                    "{\"step\": 3, \"epoch\": 2, \"kind\": \"st";
  auto lines = [&](int64_t step, int64_t epoch, const char *text) {
    rt::Position at;
    at.step = step;
    at.epoch = epoch;
    int64_t length = rt::lengthBefore(text, at);
    return length < 0 ? -1 : countOf(std::string(text).substr(0, static_cast<size_t>(length)), "\n");
  };
  CHECK(lines(0, 0, log) == 0);
  CHECK(lines(1, 0, log) == 1);
  CHECK(lines(2, 0, log) == 2); // before the evaluation
  CHECK(lines(2, 1, log) == 3);
  CHECK(lines(9, 1, log) == 3); // the last line was cut
  CHECK(lines(0, 0, "") == 0);
  CHECK(lines(0, 0, "{\"ste") == 0);
  CHECK(lines(0, 0, "some text\n") == -1);
  CHECK(lines(0, 0, "{\"step\": 1, \"epoch\": 1}\n") == -1);
}
