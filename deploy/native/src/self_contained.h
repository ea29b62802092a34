// Refuse ONNX graphs that point at other files or hold compiled programs, before a runtime follows the pointer.
#pragma once

#include <string>

namespace cavsync {

// Walk through the serialised model `content`, which was read from `path`; a bundle error if it points at another
// file, or is not a valid protocol buffer.
void check_self_contained(const std::string& path, const std::string& content);

}  // namespace cavsync
