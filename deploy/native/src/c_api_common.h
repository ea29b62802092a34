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

struct cavsync_bundle {
  std::shared_ptr<const cavsync::Bundle> bundle;
};

namespace cavsync {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
extern thread_local std::string last_error;

// Run `action`; its exceptions become a status and the thread's last error.
template <class Action>
cavsync_status guarded(Action action) {
  try {
    last_error.clear();
    action();
    return CAVSYNC_OK;
  } catch (const Error& error) {
    last_error = error.what();
    return error.status();
  } catch (const std::bad_alloc&) {
    last_error = "there is not enough memory";
    return CAVSYNC_ERROR_MEMORY;
  } catch (const std::exception& error) {
    last_error = std::string("a defect of cavsync: ") + error.what();
    return CAVSYNC_ERROR_INTERNAL;
  } catch (...) {
    last_error = "a defect of cavsync";
    return CAVSYNC_ERROR_INTERNAL;
  }
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

template <class Structure>
void require_size(const Structure& structure, std::size_t least = sizeof(Structure)) {
  if (structure.size < least) {
    throw argument_error(
        "a structure has another size than this library's: fill it with its init function, and build with "
        "the header of this library");
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
