#include "manifest.h"

#include <sys/stat.h>

#include "error.h"
#include "json_record.h"
#include "manifest_specs.h"
#include "text.h"

namespace cavsync {

using nlohmann::json;

namespace {

constexpr int kFormatVersion = 2;
constexpr std::int64_t kMaxManifestBytes = 1 << 20;

// Escapes of control characters, except those of line breaks and tabs, and raw ones: a terminal would obey them.
bool has_control_characters(const std::string& text) {
  for (std::size_t place = 0; place + 1 < text.size(); ++place) {
    const auto letter = static_cast<unsigned char>(text[place]);
    const auto next = static_cast<unsigned char>(text[place + 1]);
    if (letter == 0x7f || (letter == 0xc2 && next >= 0x80 && next <= 0x9f)) return true;
    if (letter != '\\') continue;
    const std::string escape = text.substr(place + 1, 4);
    if (escape == "u000" || escape == "u001") return true;
    ++place;
  }
  return false;
}

// The manifest's own hash covers its text without the line that states it.
void check_digest(const std::string& text) {
  const std::string before = "\n \"digest\": \"";
  const std::size_t start = text.find(before);
  const std::size_t end = start == std::string::npos ? start : text.find('\n', start + 1);
  if (end == std::string::npos || text.compare(end - 2, 2, "\",") != 0 || text.find(before, end) != std::string::npos ||
      text.substr(start + before.size(), end - 2 - start - before.size()) !=
          sha256_hex(text.substr(0, start) + text.substr(end))) {
    throw UnfitError("does not match its own digest, it was changed after export");
  }
}

}  // namespace

Manifest manifest_of_text(const std::string& text) {
  if (static_cast<std::int64_t>(text.size()) > kMaxManifestBytes) {
    throw UnfitError(
        format("is larger than %lld bytes, which no manifest is", static_cast<long long>(kMaxManifestBytes)));
  }
  const json content = parse_json(text);
  if (!content.is_object()) throw UnfitError("does not hold a JSON object");
  const auto version = content.find("format_version");
  if (version == content.end() || !version->is_number_integer() || *version != kFormatVersion) {
    throw UnfitError(format("has another bundle format, this cavsync reads %d", kFormatVersion));
  }
  if (has_control_characters(text)) throw UnfitError("holds control characters, names and notes should be plain text");
  check_digest(text);
  return parse_manifest(content);
}

Manifest read_manifest(const std::string& folder) {
  const std::string path = folder + "/manifest.json";
  struct stat found {};
  const bool is_folder = stat(folder.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
  const std::string problem = is_folder ? " is not a bundle, it has no manifest.json" : " does not exist";
  const std::string text =
      read_plain(path, kMaxManifestBytes + 1, folder + problem + ": give a folder that `cavsync export` wrote");
  try {
    return manifest_of_text(text);
  } catch (const UnfitError& error) {
    throw bundle_error(path + " " + error.what() + ": export the bundle again with this version");
  }
}

}  // namespace cavsync
