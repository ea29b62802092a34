// Linked into a test, or loaded before a program (LD_PRELOAD), this takes the place of `new` in the library, too.
#include "scarce_memory.h"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

std::atomic<std::size_t>& largest_new() {
  static std::atomic<std::size_t> largest = [] {
    const char* given = std::getenv("CAVSYNC_LARGEST_NEW");
    return given == nullptr ? std::numeric_limits<std::size_t>::max() : std::size_t{std::strtoull(given, nullptr, 10)};
  }();
  return largest;
}

}  // namespace

void set_largest_new(std::size_t num_bytes) { largest_new() = num_bytes; }

void* operator new(std::size_t num_bytes) {
  if (num_bytes > largest_new()) throw std::bad_alloc();
  void* memory = std::malloc(num_bytes == 0 ? 1 : num_bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
