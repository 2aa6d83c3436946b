// Runs a fuzz target without libFuzzer: on files as they are, then on mutants of them, the same ones every time.
//
//     fuzz-x MUTANTS FILE-OR-FOLDER...
//
// What crashes is named on the last line before: a file, or a file and the mutant's number, which reproduces it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

struct Seed {
  std::string name;
  Bytes bytes;
};

void load(const std::filesystem::path &path, std::vector<Seed> &seeds) {
  std::ifstream file(path, std::ios::binary);
  seeds.push_back({path.string(), Bytes(std::istreambuf_iterator<char>(file), {})});
}

std::vector<Seed> loadAll(char **begin, char **end) {
  std::vector<std::filesystem::path> paths;
  for (char **argument = begin; argument != end; ++argument) {
    if (!std::filesystem::is_directory(*argument)) {
      paths.push_back(*argument);
      continue;
    }
    for (const auto &entry : std::filesystem::recursive_directory_iterator(*argument))
      if (entry.is_regular_file())
        paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end()); // folders list in any order
  std::vector<Seed> seeds;
  for (const auto &path : paths)
    load(path, seeds);
  return seeds;
}

class Mutator {
public:
  Mutator(const std::vector<Seed> &seeds, uint32_t number) : seeds(seeds), random(number) {}

  Bytes mutate() {
    Bytes bytes = seeds[pick(seeds.size())].bytes;
    for (size_t edits = 1 + pick(4); edits > 0; --edits)
      edit(bytes);
    return bytes;
  }

private:
  size_t pick(size_t bound) { return bound ? random() % bound : 0; }

  void edit(Bytes &bytes) {
    size_t at = pick(bytes.size() + 1), length = 1 + pick(16);
    auto place = bytes.begin() + at;
    auto last = bytes.begin() + std::min(bytes.size(), at + length);
    switch (pick(6)) {
    case 0: // other bytes
      for (auto i = place; i != last; ++i)
        *i = static_cast<uint8_t>(random());
      break;
    case 1: // one bit
      if (place != bytes.end())
        *place ^= 1 << pick(8);
      break;
    case 2: // a piece less
      bytes.erase(place, last);
      break;
    case 3: // cut off
      bytes.resize(at);
      break;
    case 4: { // the same piece again
      Bytes piece(place, last);
      bytes.insert(bytes.begin() + pick(bytes.size() + 1), piece.begin(), piece.end());
      break;
    }
    default: { // a piece of another seed
      const Bytes &other = seeds[pick(seeds.size())].bytes;
      size_t from = pick(other.size() + 1), count = std::min(other.size() - from, 1 + pick(64));
      bytes.insert(place, other.begin() + from, other.begin() + from + count);
    }
    }
  }

  const std::vector<Seed> &seeds;
  std::minstd_rand random;
};

} // namespace

int main(int argc, char **argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s MUTANTS FILE-OR-FOLDER...\n", argv[0]);
    return 2;
  }
  std::vector<Seed> seeds = loadAll(argv + 2, argv + argc);
  if (seeds.empty()) {
    std::fprintf(stderr, "no seeds\n");
    return 2;
  }
  // One line that is overwritten: what is running when the process dies is the last thing seen.
  auto run = [](const std::string &what, const Bytes &bytes) {
    std::printf("\r%-100s", what.c_str());
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  };
  for (const Seed &seed : seeds)
    run(seed.name, seed.bytes);
  auto mutants = static_cast<uint32_t>(std::atoi(argv[1]));
  for (uint32_t number = 1; number <= mutants; ++number)
    run("mutant " + std::to_string(number), Mutator(seeds, number).mutate());
  std::printf("\r%zu seeds and %u mutants%80s\n", seeds.size(), mutants, "");
}
