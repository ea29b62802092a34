// Why a file cannot be scored, in a sentence.
#pragma once

#include <stdexcept>

namespace cavsync {

class MediaError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace cavsync
