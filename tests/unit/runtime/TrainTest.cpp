// The command `train` of a program that was written by hand: its options, its steps, its log.
#include "Training.h"
#include "runtime/main/TrainLog.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

using namespace fovea;
using namespace fovea::test;

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
