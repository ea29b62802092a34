// What all functions of the C interface do: checks of pointers and sizes, errors as statuses, copies of results.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>

#include "bundle.h"
#include "cavsync.h"
#include "error.h"
#include "text.h"

struct cavsync_bundle {
  std::shared_ptr<const cavsync::Bundle> bundle;
};

namespace cavsync {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// Keep the thread's last error. Where memory lacks even for that, the sentence says so.
void set_last_error(const char* sentence, const char* before = "") noexcept;
constexpr const char* kNoMemory = "there is not enough memory: give more, or score less at once";

// Run `action`; its exceptions become a status and the thread's last error.
template <class Action>
cavsync_status guarded(Action action) {
  try {
    set_last_error("");
    action();
    return CAVSYNC_OK;
  } catch (const Error& error) {
    set_last_error(error.what());
    return error.status();
  } catch (const std::bad_alloc&) {
    set_last_error(kNoMemory);
    return CAVSYNC_ERROR_MEMORY;
  } catch (const std::exception& error) {
    set_last_error(error.what(), "a defect of cavsync: ");
    return CAVSYNC_ERROR_INTERNAL;
  } catch (...) {
    set_last_error("a defect of cavsync");
    return CAVSYNC_ERROR_INTERNAL;
  }
}

// Results are cleared before anything is checked, so that no error leaves them unset; `result` may be null.
template <class Result>
void clear(Result* result) {
  if (result != nullptr) *result = Result{};
}

template <class... Pointers>
void require(Pointers... pointers) {
  if (!(pointers && ...)) throw argument_error("a required pointer is null: give an object");
}

// Sizes of structures in the first version of this interface.
constexpr std::size_t kFirstOptionsSize = offsetof(cavsync_options, begin_after);
constexpr std::size_t kFirstBundleOptionsSize = offsetof(cavsync_bundle_options, engine);
constexpr std::size_t kFirstSummarySize = offsetof(cavsync_summary, face_share);
constexpr std::size_t kFirstInfoSize = offsetof(cavsync_bundle_info, face_audio_encoder);

// No structure will be larger; a size that was never set often is.
constexpr std::size_t kLargestSize = 4096;

template <class Structure>
void require_size(const Structure& structure, std::size_t least = sizeof(Structure)) {
  if (structure.size < least || structure.size > kLargestSize) {
    throw argument_error(
        "a structure has another size than this library's: fill it with its init function, and build with "
        "the header of this library");
  }
}

// What was passed in: of a size that is possible, and without anything that this library does not know. A program that
// was built with a newer header has a larger structure, zero where it asks for nothing new.
template <class Structure>
void require_known(const Structure& structure, std::size_t least = sizeof(Structure)) {
  require_size(structure, least);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&structure);
  for (std::size_t place = sizeof(Structure); place < structure.size; ++place) {
    if (bytes[place] == 0) continue;
    throw config_error(
        format("a structure of %zu bytes holds something that this library does not know: the program was made for a "
               "newer libcavsync, install that or leave the new fields at 0",
               structure.size));
  }
}

template <class Structure>
void init(Structure* structure, std::size_t size = sizeof(Structure)) {
  if (structure == nullptr) return;
  std::memset(static_cast<void*>(structure), 0, size);
  structure->size = size;
}

// Copy as much as the caller's structure has room for.
template <class Structure>
void fill(Structure* structure, Structure found) {
  found.size = structure->size;
  std::memcpy(static_cast<void*>(structure), &found, std::min(structure->size, sizeof found));
}

template <std::size_t size>
void copy_text(const std::string& text, char (&target)[size]) {
  const std::size_t length = std::min(text.size(), size - 1);
  std::memcpy(target, text.data(), length);
  target[length] = '\0';
}

}  // namespace cavsync
