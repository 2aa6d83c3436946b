#include "CommandLine.h"
#include "DamagedFiles.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fovea;
using namespace fovea::test;

using Result = CommandResult;

static Result run(std::vector<std::string> arguments, bool toFiles = true) {
  return runCommand(fakeProgram(), std::move(arguments), toFiles);
}

static std::string file(const char *name, rt::FileDtype dtype, std::vector<int64_t> shape, const void *data) {
  return npyFile(name, dtype, std::move(shape), data);
}

static std::string weights() {
  std::string path = temporaryPath("cli.safetensors");
  writeFile(path, goodWeights());
  return path;
}

TEST_CASE("command line: help") {
  unsetenv("FOVEA_WEIGHTS");
  Result help = run({"--help"});
  CHECK(help.code == 0);
  CHECK(help.err.empty());
  for (const char *part :
       {"add(a: f32[N], b: f32[N]) -> f32[N]", "      Adds.\n      Two lines.\n", "requires N <= 100000", "--threads N",
        "2 tensors of weights; targets: x86-64-v99, plain; here plain\n", "fake pack --weights FILE -o FILE"})
    CHECK_CONTAINS(help.out, part);
  Result one = run({"slow", "--help"});
  CHECK(one.code == 0);
  CHECK_CONTAINS(one.out, "memory (plain): 4*N bytes");
  CHECK_FALSE(contains(one.out, "lookup"));
}

TEST_CASE("command line: usage errors are 2 and name what was meant") {
  float values[] = {1, 2};
  std::string a = file("a.npy", rt::FileDtype::F32, {2}, values), w = weights();
  struct Row {
    std::vector<std::string> arguments;
    const char *message;
  } rows[] = {
      {{}, "name an entry"},
      {{"ad"}, "did you mean `add`"},
      {{"zzzzzz"}, "there is no entry `zzzzzz`"},
      {{"add", "--thread", "2"}, "did you mean `--threads`"},
      {{"add", "--wibble"}, "unknown option"},
      {{"add", "--threads"}, "a value is missing"},
      {{"add", "--threads", "two"}, "takes a number"},
      {{"add", "--threads=0"}, "takes a number"},
      {{"add", "--help=1"}, "no value may follow"},
      {{"add", "--size", "limit"}, "NAME=N"},
      {{"add", "--seed", "-1"}, "a number from 0"},
      {{"add", "--seed", "1x"}, "a number from 0"},
      {{"add", "--dump", "*"}, "-o FOLDER"},
      {{"add", a, "--weights", w}, "input `b` is missing"},
      {{"add", a, a, a, "--weights", w}, "one input too many"},
      {{"add", "a=" + a, "a=" + a, "--weights", w}, "given twice"},
      {{"add", a, a}, "2 tensors of weights"},
      {{"pack", "--weights", w}, "-o FILE"},
      {{"pack", "-o", "x.packed"}, "2 tensors of weights"},
      {{"pack", a, "-o", "x.packed", "--weights", w}, "`pack` takes no input"},
      {{"pack", "-o", "x.packed", "--packed", w}, "`pack` reads --weights, not `--packed`"},
      {{"pack", "-o", "x.packed", "--weights", w, "--cache"}, "`pack` reads --weights, not `--cache`"},
      {{"add", a, a, "--packed", w, "--cache"}, "exclude each other"},
      {{"add", a, a, "--cache=1", "--weights", w}, "no value may follow"},
  };
  for (const Row &row : rows) {
    Result result = run(row.arguments);
    INFO(row.message);
    CHECK(result.code == 2);
    CHECK_CONTAINS(result.err, row.message);
    CHECK(result.out.empty());
  }
}

TEST_CASE("command line: runs, prints, writes, reads npz, converts exactly") {
  float a[] = {1, 2, 3}, b[] = {0.5f, 0.25f, -3};
  std::string pathA = file("a.npy", rt::FileDtype::F32, {3}, a), pathB = file("b.npy", rt::FileDtype::F32, {3}, b),
              w = weights();
  Result result = run({"add", pathA, pathB, "--weights", w});
  CHECK(result.code == 0);
  CHECK(result.out == "sum: f32[3]\n[1.5, 2.25, 0]\n");
  result = run({"add", "b=" + pathA, pathA, "--weights=" + w, "--threads", "2", "--repeat", "3"});
  CHECK(result.code == 0);
  CHECK(result.out == "sum: f32[3]\n[2, 4, 6]\n");
  CHECK_CONTAINS(result.err, "add: median ");
  CHECK_CONTAINS(result.err, "over 3 runs");
  std::string out = temporaryPath("sum.npz");
  CHECK(run({"add", pathA, pathB, "--weights", w, "-o", out}).code == 0);
  rt::TensorFile written;
  fovea_error error = {};
  REQUIRE(written.open(out.c_str(), {}, &error) == FOVEA_OK);
  REQUIRE(written.find("sum"));
  CHECK(rt::elementAsDouble(rt::FileDtype::F32, written.find("sum")->data + 4) == 2.25);
  fovea_error ignored;
  int64_t three[] = {3};
  rt::OutputTensor both[] = {{"b", rt::FileDtype::F32, 1, three, b}, {"a", rt::FileDtype::F32, 1, three, a}};
  std::string npz = temporaryPath("in.npz");
  REQUIRE(save(npz, &ignored, [&](rt::OutputFile &to) { return rt::writeNpz(to, both, 2, {}, &ignored); }) == FOVEA_OK);
  result = run({"add", npz, "--weights", w});
  CHECK(result.out == "sum: f32[3]\n[1.5, 2.25, 0]\n");
  int32_t ids[] = {1, 2, 9};
  result = run({"lookup", file("ids.npy", rt::FileDtype::I32, {3}, ids), "--weights", w});
  CHECK(result.out == "squares: i64[3]\n[1, 4, 81]\n");
  float four[] = {1, 2, 3, 4};
  result = run({"tail", file("x.npy", rt::FileDtype::F32, {4}, four), "1", "--weights", w});
  CHECK(result.out == "rest: f32[3]\n[2, 3, 4]\n");
  result = run({"push", file("x.npy", rt::FileDtype::F32, {1}, four), "1", "--size", "limit=2", "--weights", w});
  CHECK(result.out == "keys: f32[1, 2]\n[[-1, 1]]\n");
  // The file gives the states' sizes as well, and every repetition begins with it.
  int64_t oneByTwo[] = {1, 2};
  rt::OutputTensor kept = {"keys", rt::FileDtype::F32, 2, oneByTwo, a + 1};
  std::string states = temporaryPath("states.npz");
  REQUIRE(save(states, &ignored, [&](rt::OutputFile &to) { return rt::writeNpz(to, &kept, 1, {}, &ignored); }) ==
          FOVEA_OK);
  for (const char *times : {"1", "2"}) {
    result = run({"push", temporaryPath("x.npy"), "1", "--states", states, "--weights", w, "--repeat", times});
    CHECK(result.out == "keys: f32[1, 2]\n[[2, 1]]\n");
  }
  setenv("FOVEA_WEIGHTS", w.c_str(), 1);
  CHECK(run({"add", pathA, pathB}).code == 0);
  unsetenv("FOVEA_WEIGHTS");
}

TEST_CASE("command line: packs weights, runs on packed ones, keeps them where it is asked to") {
  unsetenv("FOVEA_WEIGHTS");
  unsetenv("FOVEA_CACHE");
  float ones[] = {1, 1, 1, 1};
  std::string x = file("ones.npy", rt::FileDtype::F32, {1, 4}, ones), w = weights(),
              packed = temporaryPath("cli.packed");
  std::string folder = temporaryPath("cli-cache"), expected = "y: f32[1, 4]\n[[21, 42, 63, 84]]\n";
  Result result = run({"pack", "--weights", w, "-o", packed});
  CHECK(result.code == 0);
  CHECK(result.out == packed + ": packed for plain\n");
  result = run({"affine", x, "--packed", packed});
  CHECK(result.code == 0);
  CHECK(result.out == expected);
  CHECK(result.err.empty());
  setenv("FOVEA_WEIGHTS", "/nonexistent", 1); // is for programs that are told nothing
  CHECK(run({"affine", x, "--packed", packed}).code == 0);
  unsetenv("FOVEA_WEIGHTS");
  result = run({"affine", x, "--packed", packed, "--weights", "/nonexistent"});
  CHECK(result.code == 1);
  CHECK_CONTAINS(result.err, "cli.packed`: packed from other weights: there is no file `/nonexistent`");

  auto kept = [&] {
    std::string path;
    if (DIR *directory = opendir(folder.c_str())) {
      while (dirent *entry = readdir(directory))
        if (entry->d_name[0] != '.')
          path = folder + "/" + entry->d_name;
      closedir(directory);
    }
    return path;
  };
  setenv("XDG_CACHE_HOME", temporaryPath("").c_str(), 1);
  CHECK(run({"affine", x, "--weights", w}).code == 0);
  CHECK(access(temporaryPath("fovea").c_str(), F_OK) != 0); // nobody asked
  CHECK(run({"affine", x, "--weights", w, "--cache"}).code == 0);
  CHECK(access(temporaryPath("fovea").c_str(), F_OK) == 0);
  setenv("FOVEA_CACHE", folder.c_str(), 1);
  for (int i = 0; i < 2; ++i) {
    result = run({"affine", x, "--weights", w});
    CHECK(result.out == expected);
    CHECK(result.err.empty());
    CHECK_CONTAINS(kept(), "/fake-");
  }
  setenv("FOVEA_CACHE", "/dev/null/fovea", 1);
  result = run({"affine", x, "--weights", w});
  CHECK(result.code == 0);
  CHECK(result.out == expected);
  CHECK_CONTAINS(result.err, "the packed weights are not kept: can't make the folder");
  unsetenv("FOVEA_CACHE");
  unsetenv("XDG_CACHE_HOME");
  remove(kept().c_str());
  rmdir(folder.c_str());
  folder = temporaryPath("fovea");
  remove(kept().c_str());
  rmdir(folder.c_str());
}

TEST_CASE("command line: bad data is 1, with a message and no output file") {
  float a[] = {1, 2, 3};
  double d[] = {1, 2, 3};
  int64_t ids[] = {1, 10, 3};
  std::string pathA = file("a.npy", rt::FileDtype::F32, {3}, a), w = weights(), out = temporaryPath("result.npy");
  std::string small = file("small.npy", rt::FileDtype::F32, {2}, a),
              wide = file("wide.npy", rt::FileDtype::F64, {3}, d);
  std::string badIds = file("ids.npy", rt::FileDtype::I64, {3}, ids), damaged = temporaryPath("damaged.npy");
  writeFile(damaged, readFile(pathA).substr(0, 100));
  struct Row {
    std::vector<std::string> arguments;
    const char *message;
  } rows[] = {
      {{"add", pathA, small}, "axis 0 of input `b` is 2, expected N = 3"},
      {{"add", pathA, wide}, ".astype('float32')"},
      {{"add", pathA, damaged}, "damaged.npy`: damaged npy file: its header has"},
      {{"add", pathA, "/nonexistent.npy"}, "No such file"},
      {{"lookup", badIds}, "fake.fov:3:1: index 10 is outside [0, 10), at element 1 of the result"},
      {{"tail", file("x.npy", rt::FileDtype::F32, {2}, a), "5"}, "requires start <= 2*N"},
      {{"tail", file("x.npy", rt::FileDtype::F32, {2}, a), "99999999999999999999"}, "is no i64"},
      {{"add", pathA, pathA, "--target", "x86-64-v99"}, "avx9000"},
      {{"add", pathA, pathA, "--prefix", "m."}, "without a prefix"},
  };
  for (Row &row : rows) {
    for (const char *more : {"--weights", w.c_str(), "-o", out.c_str()})
      row.arguments.push_back(more);
    Result result = run(row.arguments);
    INFO(row.message);
    CHECK(result.code == 1);
    CHECK_CONTAINS(result.err, row.message);
    CHECK(access(out.c_str(), F_OK) != 0);
  }
  CHECK(run({"add", pathA, pathA, "--weights", w, "-o", "/dev/full"}).code == 1);
}

TEST_CASE("command line: every damaged file gives its error, exit code 1 and no result, as weights and as an input") {
  float a[] = {1, 2, 3};
  std::string pathA = file("a.npy", rt::FileDtype::F32, {3}, a), w = weights(), out = temporaryPath("result.npy");
  std::string badNpy = temporaryPath("bad.npy"), badWeights = temporaryPath("bad.safetensors");
  auto check = [&](std::vector<std::string> arguments, const char *message) {
    arguments.insert(arguments.begin(), {"add", "-o", out});
    Result result = run(arguments);
    INFO(message);
    CHECK(result.code == 1);
    CHECK(result.err.compare(0, 6, "fake: ") == 0);
    CHECK_CONTAINS(result.err, message);
    CHECK(result.out.empty());
    CHECK(access(out.c_str(), F_OK) != 0);
  };
  for (const DamagedFile &row : damagedNpy()) {
    writeFile(badNpy, row.bytes);
    // What doesn't begin as npy does is told by the file's name.
    check({pathA, badNpy, "--weights", w}, row.message);
  }
  for (const DamagedFile &row : damagedSafetensors()) {
    writeFile(badWeights, row.bytes);
    check({pathA, pathA, "--weights", badWeights}, row.message);
  }
}

static int tasksRun;

TEST_CASE("command line: what cannot be written is noticed before anything runs, and nothing is left") {
  float a[] = {1, 2, 3};
  std::string pathA = file("a.npy", rt::FileDtype::F32, {3}, a), w = weights();
  std::string good = temporaryPath("good.npy"), folder = temporaryPath("folder"), taken = temporaryPath("taken");
  mkdir(taken.c_str(), 0700);
  mkdir((taken + "/sum.npy").c_str(), 0700); // where the result would be
  struct Row {
    std::vector<std::string> arguments;
    const char *message;
  } rows[] = {
      {{"-o", "/nonexistent/out.npy"}, "can't write `/nonexistent/out.npy`: No such file or directory"},
      {{"-o", pathA + "/out.npy"}, "Not a directory"},
      {{"-o", ""}, "can't write ``: No such file or directory"},
      {{"-o", temporaryPath(std::string(300, 'x'))}, "File name too long"},
      {{"-o", "/nonexistent/folder/"}, "can't make the folder `/nonexistent/folder/`"},
      {{"-o", taken}, "/taken/sum.npy`: Is a directory"},
      {{"-o", good, "--profile", "/nonexistent/trace.json"}, "can't write `/nonexistent/trace.json`"},
      {{"-o", good, "--profile", taken}, "Is a directory"},
      {{"-o", pathA, "--dump", "*"}, "Not a directory"},
      {{"-o", folder, "--dump", "*", "--profile", "/nonexistent/trace.json"}, "can't write `/nonexistent/trace.json`"},
  };
  std::vector<std::string> before = temporaryFiles();
  onTask = [](fovea_exec *, int64_t begin, int64_t end) { tasksRun += static_cast<int>(end - begin); };
  for (Row &row : rows) {
    row.arguments.insert(row.arguments.begin(), {"slow", pathA, "--weights", w});
    tasksRun = 0;
    Result result = run(row.arguments);
    INFO(row.message);
    CHECK(result.code == 1);
    CHECK_CONTAINS(result.err, row.message);
    CHECK(result.out.empty());
    CHECK(tasksRun == 0);
    CHECK(temporaryFiles() == before);
  }
  CHECK(run({"slow", pathA, "--weights", w, "-o", good, "--profile", good}).code == 2);
  onTask = nullptr;
  rmdir((taken + "/sum.npy").c_str());
  rmdir(taken.c_str());
}

TEST_CASE("command line: a run that fails leaves no file, one that is interrupted neither") {
  int64_t ids[] = {1, 10, 3};
  float a[] = {1, 2, 3};
  std::string bad = file("ids.npy", rt::FileDtype::I64, {3}, ids), pathA = file("a.npy", rt::FileDtype::F32, {3}, a);
  std::string w = weights(), folder = temporaryPath("results"), old = temporaryPath("old.npy");
  std::string trace = temporaryPath("trace.json");
  writeFile(old, "old");
  remove(trace.c_str());
  std::vector<std::string> before = temporaryFiles();
  for (std::vector<std::string> where :
       {std::vector<std::string>{"-o", old}, {"-o", folder + "/"}, {"-o", folder, "--dump", "*"}}) {
    where.insert(where.begin(), {"lookup", bad, "--weights", w, "--profile", trace});
    CHECK(run(where).code == 1);
    CHECK(temporaryFiles() == before);
    CHECK(readFile(old) == "old");
  }
  onTask = [](fovea_exec *, int64_t, int64_t) {
    bool isOpen = false;
    for (const std::string &name : temporaryFiles())
      isOpen |= contains(name, ".tmp");
    if (isOpen && tasksRun++ == 0)
      kill(getpid(), SIGTERM);
  };
  tasksRun = 0;
  pid_t child = fork();
  if (child == 0) {
    signal(SIGTERM, SIG_DFL); // doctest has a handler
    _exit(run({"slow", pathA, "--weights", w, "--threads", "1", "-o", old}).code);
  }
  onTask = nullptr;
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
  child = fork();
  if (child == 0) {
    signal(SIGPIPE, SIG_DFL);
    int ends[2];
    _exit(pipe(ends) != 0 || close(ends[0]) != 0 || dup2(ends[1], 1) != 1 ||
          run({"slow", pathA, "--weights", w, "--profile", trace}, false).code);
  }
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGPIPE);
  for (const char *stream : {"stdout", "stderr"}) // the child's
    remove(temporaryPath(stream).c_str());
  CHECK(temporaryFiles() == before);
  CHECK(readFile(old) == "old");
}

TEST_CASE("command line: dump and profile") {
  float a[] = {1, 2, 3};
  std::string pathA = file("a.npy", rt::FileDtype::F32, {3}, a), w = weights(), folder = temporaryPath("dumped");
  std::string trace = temporaryPath("cli-trace.json");
  Result result = run({"add", pathA, pathA, "--weights", w, "--dump", "layers.*.a", "-o", folder, "--profile", trace});
  CHECK(result.code == 0);
  for (const char *name : {"/layers.0.a.npy", "/sum.npy"}) {
    CHECK(readFile(folder + name).size() == 128 + 12);
    remove((folder + name).c_str());
  }
  rmdir(folder.c_str());
  CHECK_CONTAINS(readFile(trace), "\"cat\":\"map\"");
  CHECK_CONTAINS(readFile(trace), "\"share\":"); // the command line measures the machine's limits
  result = run({"add", pathA, pathA, "--weights", w, "--dump", "decoder.*", "-o", folder});
  CHECK(result.code == 1);
  CHECK_CONTAINS(result.err, "none of 2 values matches `decoder.*`; there are `layers.0.a`, `layers.0.twice`\n");
  CHECK(access(folder.c_str(), F_OK) != 0);
}
