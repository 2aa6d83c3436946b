#include "Training.h"

#include "runtime/main/Shuffle.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fovea::test {

Folder::Folder(const char *name) : path(temporaryPath(name)) { mkdir(path.c_str(), 0700); }
Folder::~Folder() { CHECK(system(("rm -rf '" + path + "'").c_str()) == 0); }
bool Folder::has(const char *file) const { return access((*this / file).c_str(), F_OK) == 0; }

Rows::Rows(int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    float a = static_cast<float>((i * 37 + 11) % 64 - 32) / 32, b = static_cast<float>((i * 29 + 5) % 64 - 32) / 32;
    x.insert(x.end(), {a, b});
    y.push_back(2 * a - b + static_cast<float>((i * 7) % 5 - 2) / 50);
  }
}

void Rows::write(const std::string &path) {
  fovea_error error;
  int64_t shapes[] = {count(), 2};
  rt::OutputTensor both[] = {{"x", rt::FileDtype::F32, 2, shapes, x.data()},
                             {"y", rt::FileDtype::F32, 1, shapes, y.data()}};
  REQUIRE(save(path, &error, [&](rt::OutputFile &to) { return rt::writeNpz(to, both, 2, {}, &error); }) == FOVEA_OK);
}

CommandResult train(Arguments arguments, const Arguments &more) {
  arguments.insert(arguments.begin(), "train");
  arguments.insert(arguments.end(), more.begin(), more.end());
  return runCommand(fakeTrainer(), arguments);
}

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

} // namespace fovea::test
