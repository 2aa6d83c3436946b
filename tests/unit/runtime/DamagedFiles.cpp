#include "DamagedFiles.h"

namespace fovea::test {

std::vector<DamagedFile> damagedSafetensors() {
  auto one = [](const char *record, size_t data = 4) {
    return safetensors(std::string("{\"a\":") + record + "}", std::string(data, 'x'));
  };
  auto header = [](const char *text) { return safetensors(text, ""); };
  std::string longLength = std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + "{}";
  std::string negativeLength(8, '\xff');
  std::string nested = "{\"a\":{\"x\":" + std::string(100000, '[');
  return {
      {"", "0 bytes"},
      {"1234567", "7 bytes"},
      {std::string(8, '\0'), "doesn't start with"},
      {longLength, "announce a header"},
      {negativeLength, "announce a header"},
      {goodWeights().substr(0, 40), "announce a header"},
      {goodWeights().substr(0, goodWeights().size() - 1), "outside the file's data"},
      {goodWeights() + "x", "belong to no tensor"},
      {header("["), "doesn't start with"},
      {header("{"), "ends too early"},
      {header("{}x"), "text after the end"},
      {header("{\"a\""), "expected `:`"},
      {header("{\"a\":1}"), "expected `{`"},
      {header("{\"a\":{}}"), "`dtype` is missing"},
      {header("{,}"), "expected a string"},
      {header("{a:1}"), "expected a string"},
      {header("{\"a"), "does not end"},
      {header("{\"a\\"), "does not end"},
      {header("{\"\\q\":{}}"), "unknown escape"},
      {header("{\"\\u12\":{}}"), "broken \\u escape"},
      {header("{\"\\ud800\":{}}"), "half a surrogate"},
      {header("{\"\\udc00x\":{}}"), "half a surrogate"},
      {header("{\"\xff\":{}}"), "not UTF-8"},
      {header("{\"\xc0\x80\":{}}"), "not UTF-8"},
      {header("{\"\xed\xa0\x80\":{}}"), "not UTF-8"},
      {header("{\"a\1\":{}}"), "control character"},
      {header("{\"__metadata__\":{\"a\":1}}"), "expected a string"},
      {header("{\"__metadata__\":{},\"__metadata__\":{}}"), "twice"},
      {header("{\"__metadata__\":[]}"), "expected `{`"},
      {one(R"({"shape":[1],"data_offsets":[0,4]})"), "`dtype` is missing"},
      {one(R"({"dtype":"F32","data_offsets":[0,4]})"), "`shape` is missing"},
      {one(R"({"dtype":"F32","shape":[1]})"), "`data_offsets` is missing"},
      {one(R"({"dtype":"F31","shape":[1],"data_offsets":[0,4]})"), "unknown dtype"},
      {one(R"({"dtype":32,"shape":[1],"data_offsets":[0,4]})"), "expected a string"},
      {one(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})"), "field is there twice"},
      {one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), "not negative"},
      {one(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), "expected a whole number"},
      {one(R"({"dtype":"F32","shape":[1e0],"data_offsets":[0,4]})"), "expected a whole number"},
      {one(R"({"dtype":"F32","shape":[01],"data_offsets":[0,4]})"), "leading zero"},
      {one(R"({"dtype":"F32","shape":[1,],"data_offsets":[0,4]})"), "comma before"},
      {one(R"({"dtype":"F32","shape":[1 1],"data_offsets":[0,4]})"), "expected `,`"},
      {one(R"({"dtype":"F32","shape":{},"data_offsets":[0,4]})"), "expected `[`"},
      {one(R"({"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]})"), "too large"},
      {one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})"), "overflows"},
      {one(R"({"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})", 0), "overflows"},
      {one(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4]})"), "overflows"},
      {one(R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]})", 1), "more than 16"},
      {one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), "needs 8 bytes"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), "outside the file's data"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})"), "outside the file's data"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", 8), "leave a hole"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"), "must be two numbers"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})"), "must be two numbers"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[9223372036854775807,9223372036854775807]})"), "outside"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":tru})"), "expected a value"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":-})"), "broken number"},
      {one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})").append("12345"), "belong to no tensor"},
      {header(nested.c_str()), "nested too deeply"},
      {safetensors(
           R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
           "xyz"),
       "overlap"},
      {safetensors(
           R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
           "wxyz"),
       "two tensors are named"},
      {safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"b":1})", "xy"), "expected `,` or `}`"},
      {safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},})", "xy"), "expected a string"},
  };
}

std::string npy(const std::string &header, const std::string &data, char major) {
  std::string bytes = std::string("\x93NUMPY", 6) + major + '\0';
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  if (major > 1)
    bytes += std::string(2, '\0');
  return bytes + header + data;
}

std::vector<DamagedFile> damagedNpy() {
  auto with = [](const char *header) { return npy(header, floats({1, 2})); };
  std::string good = with("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}");
  return {
      {"", "doesn't start"},
      {"\x93NUMPX12345", "doesn't start"},
      {good.substr(0, 9), "doesn't start"},
      {std::string("\x93NUMPY\4\0ab", 10), "version 4.0"},
      {std::string("\x93NUMPY\1\1ab", 10), "version 1.1"},
      {std::string("\x93NUMPY\0\0ab", 10), "version 0.0"},
      {std::string("\x93NUMPY\2\0\1\0\0", 11), "ends in its header"},
      {good.substr(0, 30), "only 20 follow"},
      {good.substr(0, good.size() - 1), "needs 8 bytes, and 7"},
      {good + "x", "needs 8 bytes, and 9"},
      {with(""), "expected `{`"},
      {with("{"), "expected `'name':`"},
      {with("{}"), "`descr` is missing"},
      {with("{'descr': '<f4'}"), "`fortran_order` is missing"},
      {with("{'descr': '<f4', 'fortran_order': False}"), "`shape` is missing"},
      {with("{'descr': '<f4', 'descr': '<f4'}"), "twice"},
      {with("{'descr': '<f4', 'colour': 1}"), "unknown field"},
      {with("{'descr' '<f4'}"), "expected `'name':`"},
      {with("{'descr': '<f4' 'shape': (2,)}"), "expected `,`"},
      {with("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}"), "True or False"},
      {with("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}"), "big-endian"},
      {with("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}"), "not supported"},
      {with("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"), "not supported"},
      {with("{'descr': '<U2', 'fortran_order': False, 'shape': (1,)}"), "not supported"},
      {with("{'descr': 'xf4', 'fortran_order': False, 'shape': (2,)}"), "not supported"},
      {with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"), "records with fields"},
      {with("{'descr': 4, 'fortran_order': False, 'shape': (2,)}"), "must be a string"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': 2}"), "must be a tuple"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': [2]}"), "must be a tuple"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (2)}"), "expected `,` or `)`"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}"), "not negative"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}"), "expected `,` or `)`"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (,)}"), "not negative"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}"), "expected `,` or `)`"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (2,"), "not negative"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}"), "too large"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}"), "overflows"},
      {with("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 4294967296, 4294967296)}"), "overflows"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2)}"), "more than 16"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x"), "text after the end"},
      {with("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"), "needs 12 bytes"},
      {with("{'des\\cr': '<f4'}"), "expected `'name':`"},
  };
}

} // namespace fovea::test
