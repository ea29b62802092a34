// Text of messages.
#pragma once

#include <string>

namespace cavsync {

// Format as printf does.
std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

// Untrusted text, shortened and in ASCII, so that a terminal obeys nothing in it.
std::string plain(const std::string& text);

}  // namespace cavsync
