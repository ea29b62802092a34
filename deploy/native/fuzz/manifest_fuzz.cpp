// The manifest reader: any text is a manifest or a sentence. The digest is put right, so that changes reach the rest.
#include <cstdint>
#include <string>

#include "bundle_checks.h"
#include "error.h"
#include "json_record.h"
#include "manifest.h"

namespace {

std::string with_digest(const std::string& text) {
  const std::string before = "\n \"digest\": \"";
  const std::size_t start = text.find(before);
  const std::size_t end = start == std::string::npos ? start : text.find('\n', start + 1);
  if (end == std::string::npos) return text;
  const std::string rest = text.substr(end);
  return text.substr(0, start) + before + cavsync::sha256_hex(text.substr(0, start) + rest) + "\"," + rest;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const cavsync::Manifest manifest = cavsync::manifest_of_text(with_digest(text));
    cavsync::checked_embedding_dim("bundle", manifest);
    if (manifest.faces) cavsync::checked_face_widths("bundle", *manifest.faces, manifest.num_mel_bins);
  } catch (const cavsync::UnfitError&) {
  } catch (const cavsync::Error&) {
  }
  return 0;
}
