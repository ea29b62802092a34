// Reading of a bundle's files: plain files only, with the size and hash that the manifest states.
#pragma once

#include <cstdint>
#include <string>

namespace cavsync {

struct FileEntry {
  std::string sha256;
  std::int64_t size_bytes = 0;
};

std::string sha256_hex(const std::string& content);

// Read at most `limit` bytes of a plain file, never through a link, a pipe or a device. `missing` is the error's
// sentence where there is no such file.
std::string read_plain(const std::string& path, std::int64_t limit, const std::string& missing);

// Check the size and the hash of one file without holding it in memory.
void verify_file(const std::string& folder, const std::string& name, const FileEntry& entry);

// Read and check an ONNX graph.
std::string read_graph(const std::string& folder, const std::string& name, const FileEntry& entry);

}  // namespace cavsync
