#include "tensorrt/library_messages.h"

#include <regex>
#include <sstream>

#include "text.h"

namespace cavsync {

namespace {

// Regular expressions of the standard library descend once per character.
constexpr std::size_t kMaxLineBytes = 4000;
constexpr std::size_t kMaxReasonBytes = 300;

std::string trimmed(const std::string& text, const char* characters) {
  const std::size_t start = text.find_first_not_of(characters);
  return start == std::string::npos ? "" : text.substr(start, text.find_last_not_of(characters) - start + 1);
}

std::string reason_of(const std::string& line) {
  // Without a driver, one of these follows every refusal, whatever its cause.
  static const std::regex no_driver("cudaError 35|CUDA driver version is insufficient");
  static const std::regex wrapping("^.*?Error Code \\d+: [\\w ]+\\((.*)\\)$");
  static const std::regex assertion("^Assertion failed: .*\\): (.+)$|^\\w+ && \"(.+)\"$");
  static const std::regex place("\\s*\\bIn \\w+ at \\S+:\\d+|\\[[\\w.]+:\\d+: \\w+\\]\\s*");
  // Headings of a reason, and placeholders for a missing one.
  static const std::regex heading("Invalid Node - \\S*|false|-{3}.*|While parsing node .*");
  if (std::regex_search(line, no_driver)) return "";
  std::smatch found;
  std::string text = line;
  if (std::regex_match(line, found, wrapping)) text = found[1];
  text = std::regex_replace(text, place, "");
  if (const std::string whole = text; std::regex_match(whole, found, assertion)) {
    text = found[1].matched ? found[1] : found[2];
  }
  text = trimmed(text, " .\t\r");
  return std::regex_match(text, heading) ? "" : plain(text.substr(0, kMaxReasonBytes));
}

}  // namespace

std::string first_reason(const std::vector<std::string>& messages) {
  for (const std::string& message : messages) {
    std::istringstream lines(message);
    for (std::string line; std::getline(lines, line);) {
      const std::string reason = reason_of(trimmed(line.substr(0, kMaxLineBytes), " \t\r"));
      if (!reason.empty()) return reason;
    }
  }
  return "";
}

}  // namespace cavsync
