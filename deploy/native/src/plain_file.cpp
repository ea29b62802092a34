#include "plain_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "error.h"
#include "text.h"

namespace cavsync {

namespace {

// Protocol buffers cannot be larger.
constexpr std::int64_t kMaxGraphBytes = (std::int64_t{2} << 30) - 1;
constexpr std::size_t kBlockBytes = 1 << 18;

class Hash {
 public:
  Hash() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
      throw Error(CAVSYNC_ERROR_INTERNAL, "SHA-256 is not available in this OpenSSL: install one that has it");
    }
  }
  void add(const char* data, std::size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), digest, &size);
    std::string text;
    for (unsigned place = 0; place < size; ++place) text += format("%02x", digest[place]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

class PlainFile {
 public:
  PlainFile(const std::string& path, const std::string& missing) : path_(path) {
    struct stat before {};
    if (lstat(path.c_str(), &before) != 0) refuse(missing);
    if (!S_ISREG(before.st_mode)) refuse_kind();
    descriptor_ = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor_ < 0) refuse(missing);
    struct stat found {};
    if (fstat(descriptor_, &found) != 0 || !S_ISREG(found.st_mode)) {
      close(descriptor_);
      refuse_kind();
    }
    size_bytes_ = found.st_size;
  }
  ~PlainFile() { close(descriptor_); }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;

  std::int64_t size_bytes() const { return size_bytes_; }

  std::size_t read_some(char* data, std::size_t size) {
    ssize_t count = 0;
    do {
      count = ::read(descriptor_, data, size);
    } while (count < 0 && errno == EINTR);
    if (count < 0) throw unreadable();
    return static_cast<std::size_t>(count);
  }

 private:
  Error unreadable() const {
    return bundle_error(path_ + " cannot be read (" + std::strerror(errno) +
                        "): change its permissions, or copy it again");
  }
  [[noreturn]] void refuse(const std::string& missing) const {
    throw errno == ENOENT || errno == ENOTDIR ? bundle_error(missing) : unreadable();
  }
  [[noreturn]] void refuse_kind() const {
    throw bundle_error(path_ + " is a link, folder or pipe, a bundle has plain files only: copy the files themselves");
  }

  std::string path_;
  int descriptor_ = -1;
  std::int64_t size_bytes_ = 0;
};

std::string lacks(const std::string& folder, const std::string& name) {
  return folder + " lacks " + plain(name) + ": copy the whole bundle or export it again";
}

void check_size(const std::string& path, const PlainFile& file, const FileEntry& entry) {
  if (file.size_bytes() != entry.size_bytes) {
    throw bundle_error(
        format("%s differs from the hash in the manifest, it has %lld bytes instead of %lld: copy the "
               "whole bundle or export it again",
               path.c_str(), static_cast<long long>(file.size_bytes()), static_cast<long long>(entry.size_bytes)));
  }
}

void check_hash(const std::string& path, const std::string& sha256, const FileEntry& entry) {
  if (sha256 != entry.sha256) {
    throw bundle_error(path + " differs from the hash in the manifest: the bundle was changed, export it again");
  }
}

}  // namespace

std::string sha256_hex(const std::string& content) {
  Hash hash;
  hash.add(content.data(), content.size());
  return hash.hex();
}

std::string read_plain(const std::string& path, std::int64_t limit, const std::string& missing) {
  PlainFile file(path, missing);
  std::string content(static_cast<std::size_t>(std::min(file.size_bytes(), limit)), '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const std::size_t count = file.read_some(content.data() + size, content.size() - size);
    if (count == 0) break;
    size += count;
  }
  content.resize(size);
  return content;
}

void verify_file(const std::string& folder, const std::string& name, const FileEntry& entry) {
  const std::string path = folder + "/" + name;
  PlainFile file(path, lacks(folder, name));
  check_size(path, file, entry);
  Hash hash;
  std::vector<char> block(kBlockBytes);
  while (const std::size_t count = file.read_some(block.data(), block.size())) hash.add(block.data(), count);
  check_hash(path, hash.hex(), entry);
}

std::string read_graph(const std::string& folder, const std::string& name, const FileEntry& entry) {
  const std::string path = folder + "/" + name;
  if (entry.size_bytes > kMaxGraphBytes) {
    throw bundle_error(format("%s has %lld bytes, an ONNX graph at most %lld: export the bundle again", path.c_str(),
                              static_cast<long long>(entry.size_bytes), static_cast<long long>(kMaxGraphBytes)));
  }
  const PlainFile file(path, lacks(folder, name));
  check_size(path, file, entry);
  std::string content = read_plain(path, entry.size_bytes, lacks(folder, name));
  check_hash(path, sha256_hex(content), entry);
  return content;
}

}  // namespace cavsync
