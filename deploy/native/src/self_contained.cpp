// The walk knows where tensors can be (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) and skips the rest.
#include "self_contained.h"

#include <cstdint>
#include <map>
#include <vector>

#include "error.h"
#include "text.h"

namespace cavsync {

namespace {

enum Message { kModel, kTraining, kFunction, kGraph, kNode, kAttribute, kSparseTensor, kTensor };

// Field -> message, for every path to a tensor.
const std::map<Message, std::map<std::uint64_t, Message>> kChildren = {
    {kModel, {{7, kGraph}, {20, kTraining}, {25, kFunction}}},
    {kTraining, {{1, kGraph}, {2, kGraph}}},
    {kFunction, {{7, kNode}, {11, kAttribute}}},
    {kGraph, {{1, kNode}, {5, kTensor}, {15, kSparseTensor}}},
    {kNode, {{5, kAttribute}}},
    {kAttribute, {{5, kTensor}, {6, kGraph}, {10, kTensor}, {11, kGraph}, {22, kSparseTensor}, {23, kSparseTensor}}},
    {kSparseTensor, {{1, kTensor}, {2, kTensor}}},
    {kTensor, {}},
};
constexpr std::uint64_t kOpType = 4, kExternalData = 13, kDataLocation = 14;
constexpr const char* kCompiled = "EPContext";
// Exported graphs have some thousands of fields; a file of millions of empty ones would take minutes.
constexpr int kMaxFields = 1'000'000;
constexpr std::uint64_t kMaxTag = 0xffff'ffff;

struct Field {
  std::uint64_t number = 0;
  std::size_t start = 0;
  std::size_t stop = 0;
  bool is_bytes = false;
  std::uint64_t value = 0;
};

Error unusable(const std::string& path, const std::string& reason) {
  return bundle_error(path + " is not a usable ONNX graph (" + reason + "): export the bundle again");
}

class Reader {
 public:
  Reader(const std::string& path, const std::string& content) : path_(path), content_(content) {}

  Field field(std::size_t position, std::size_t end) const {
    Field found;
    const std::uint64_t tag = varint(position, end);
    found.number = tag >> 3;
    const std::uint64_t kind = tag & 7;
    std::uint64_t size = kind == 1 ? 8 : 4;
    if (kind == 0) {
      found.value = varint(position, end);
      size = 0;
    } else if (kind == 2) {
      size = varint(position, end);
      found.is_bytes = true;
    } else if (kind != 1 && kind != 5) {
      // Groups are refused, because ONNX never had them.
      throw unusable(path_, "it is not a protocol buffer of ONNX");
    }
    found.start = position;
    if (size > end - position || tag < 8 || tag > kMaxTag) throw unusable(path_, "its protocol buffer is damaged");
    found.stop = position + size;
    return found;
  }

 private:
  std::uint64_t varint(std::size_t& position, std::size_t end) const {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 70 && position < end; shift += 7) {
      const auto byte = static_cast<unsigned char>(content_[position++]);
      if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw unusable(path_, "its protocol buffer is damaged");
  }

  const std::string& path_;
  const std::string& content_;
};

struct Part {
  Message message;
  std::size_t position;
  std::size_t end;
};

void check_field(const std::string& path, const std::string& content, Message message, const Field& field) {
  if (message == kTensor && (field.number == kExternalData || (field.number == kDataLocation && field.value != 0))) {
    throw bundle_error(path +
                       " keeps values in another file (external data), a bundle's graph holds them itself: "
                       "export the bundle again");
  }
  if (message == kNode && field.number == kOpType &&
      content.compare(field.start, field.stop - field.start, kCompiled) == 0) {
    throw bundle_error(path + " holds a compiled program (" + kCompiled +
                       "), a bundle's graph has operators: export "
                       "the bundle again");
  }
}

}  // namespace

void check_self_contained(const std::string& path, const std::string& content) {
  const Reader reader(path, content);
  std::vector<Part> waiting = {{kModel, 0, content.size()}};
  int num_fields = 0;
  while (!waiting.empty()) {
    Part part = waiting.back();
    waiting.pop_back();
    while (part.position < part.end) {
      const Field field = reader.field(part.position, part.end);
      part.position = field.stop;
      if (++num_fields > kMaxFields) throw unusable(path, format("it has more than %d fields", kMaxFields));
      check_field(path, content, part.message, field);
      const auto& children = kChildren.at(part.message);
      const auto child = children.find(field.number);
      if (field.is_bytes && child != children.end()) waiting.push_back({child->second, field.start, field.stop});
    }
  }
}

}  // namespace cavsync
