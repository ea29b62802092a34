#include "text.h"

#include <cstdarg>
#include <cstdio>

namespace cavsync {

namespace {
constexpr std::size_t kMaxLetters = 200;
}

std::string format(const char* pattern, ...) {
  std::va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, pattern, arguments);
  va_end(arguments);
  std::string text(length > 0 ? static_cast<std::size_t>(length) : 0, '\0');
  std::vsnprintf(text.data(), text.size() + 1, pattern, again);
  va_end(again);
  return text;
}

std::string plain(const std::string& text) {
  std::string shown = text.substr(0, kMaxLetters);
  for (char& letter : shown) {
    if (letter < ' ' || letter > '~') letter = '?';
  }
  return shown;
}

}  // namespace cavsync
