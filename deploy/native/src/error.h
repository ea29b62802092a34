// Errors inside the library: a status of the C interface and a sentence. They never cross that interface.
#pragma once

#include <stdexcept>
#include <string>

#include "cavsync.h"

namespace cavsync {

class Error : public std::runtime_error {
 public:
  Error(cavsync_status status, const std::string& sentence) : std::runtime_error(sentence), status_(status) {}
  cavsync_status status() const { return status_; }

 private:
  cavsync_status status_;
};

inline Error bundle_error(const std::string& sentence) { return {CAVSYNC_ERROR_BUNDLE, sentence}; }
inline Error config_error(const std::string& sentence) { return {CAVSYNC_ERROR_CONFIG, sentence}; }
inline Error media_error(const std::string& sentence) { return {CAVSYNC_ERROR_MEDIA, sentence}; }
inline Error argument_error(const std::string& sentence) { return {CAVSYNC_ERROR_ARGUMENT, sentence}; }

}  // namespace cavsync
