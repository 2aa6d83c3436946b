// `train --resume`: the same bytes wherever a run was stopped, and no checkpoint of something else.
#include "Training.h"
#include "runtime/main/Dataset.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fovea;
using namespace fovea::test;

/// The log without what depends on the time.
static std::string withoutTimes(std::string log) {
  for (const char *key : {", \"samples_per_second\": ", ", \"seconds\": "})
    for (size_t at = log.find(key); at != std::string::npos; at = log.find(key))
      log.erase(at, log.find('}', at) - at);
  return log;
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
}

TEST_CASE("train: what an evaluation saw decides what is kept: other data are refused") {
  Folder folder("train-other-valid");
  Rows rows(10), valid(12);
  rows.write(folder / "d.npz");
  valid.write(folder / "e.npz");
  Arguments arguments = {"--data", folder / "d.npz", "--save", folder / "t", "--batch", "4"};
  CHECK(train(arguments, {"--valid", folder / "e.npz", "--epochs", "1"}).code == 0);
  valid.x[3] += 1;
  valid.write(folder / "e.npz");
  CommandResult result = train(arguments, {"--valid", folder / "e.npz", "--epochs", "2", "--resume"});
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
