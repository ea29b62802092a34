// Why TensorRT refused, from the messages that it logged.
#pragma once

#include <string>
#include <vector>

namespace cavsync {

// The first message that explains the failure, without locations in the library's source; empty if none does.
std::string first_reason(const std::vector<std::string>& messages);

}  // namespace cavsync
