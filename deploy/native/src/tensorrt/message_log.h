// The only logger of TensorRT in this process.
#pragma once

#include <NvInferRuntime.h>

#include <mutex>
#include <string>
#include <vector>

#include "tensorrt/library_messages.h"

namespace cavsync {

// The errors of all objects: a library ignores a second logger while an object with the first one exists.
class MessageLog : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override {
    if (severity != Severity::kERROR && severity != Severity::kINTERNAL_ERROR) return;
    try {
      const std::lock_guard lock(mutex_);
      if (errors_.size() < kMostErrors) errors_.emplace_back(message);
    } catch (const std::exception&) {
      // Without memory for the reason, the failure has none.
    }
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    errors_.clear();
  }
  std::string reason() const {
    const std::lock_guard lock(mutex_);
    const std::string found = first_reason(errors_);
    return found.empty() ? "the library gives no reason" : found;
  }

 private:
  static constexpr std::size_t kMostErrors = 100;
  mutable std::mutex mutex_;
  std::vector<std::string> errors_;
};

// Never destroyed, as objects of the library may outlive statics.
inline MessageLog& message_log() {
  static auto* const only = new MessageLog;
  return *only;
}

}  // namespace cavsync
