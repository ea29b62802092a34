// An array on an absolute integer clock: append at the end, read anywhere, release the front.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cavsync {

// Rows of `width` values that keep their index while older rows are dropped; memory grows with the kept rows only.
template <class Value>
class Timeline {
 public:
  // `fill` is the value of rows that were never written, `first` the index of the first row that is appended.
  Timeline(std::size_t width, Value fill, std::int64_t first)
      : width_(width), fill_(fill), first_(first), end_(first) {}

  std::int64_t first() const { return first_; }
  std::int64_t end() const { return end_; }

  // Drop all rows; the next appended row is row `index`.
  void start_at(std::int64_t index) {
    values_.clear();
    begin_ = 0;
    first_ = end_ = index;
  }

  void append(const Value* rows, std::int64_t count) {
    values_.insert(values_.end(), rows, rows + place_of(count));
    end_ += count;
  }

  void append_fill(std::int64_t count) {
    if (count <= 0) return;
    values_.insert(values_.end(), static_cast<std::size_t>(place_of(count)), fill_);
    end_ += count;
  }

  // Replace rows from `start` on, all of which must be kept.
  void write(std::int64_t start, const Value* rows, std::int64_t count) {
    std::copy(rows, rows + place_of(count), values_.begin() + begin_ + place_of(start - first_));
  }

  // Copy of rows [start, stop); rows that are not kept hold the fill value.
  std::vector<Value> read(std::int64_t start, std::int64_t stop) const {
    std::vector<Value> found(static_cast<std::size_t>(place_of(std::max<std::int64_t>(0, stop - start))), fill_);
    const std::int64_t low = std::max(start, first_), high = std::min(stop, end_);
    if (high > low) {
      const auto from = values_.begin() + begin_ + place_of(low - first_);
      std::copy(from, from + place_of(high - low), found.begin() + place_of(low - start));
    }
    return found;
  }

  void drop_before(std::int64_t index) {
    const std::int64_t dropped = std::min(std::max<std::int64_t>(0, index - first_), end_ - first_);
    begin_ += place_of(dropped);
    first_ += dropped;
    // Moving the rest costs as much as was appended since the last time.
    if (2 * begin_ > static_cast<std::ptrdiff_t>(values_.size())) {
      values_.erase(values_.begin(), values_.begin() + begin_);
      begin_ = 0;
    }
  }

 private:
  std::ptrdiff_t place_of(std::int64_t rows) const {
    return static_cast<std::ptrdiff_t>(rows) * static_cast<std::ptrdiff_t>(width_);
  }

  std::size_t width_;
  Value fill_;
  std::vector<Value> values_;
  std::ptrdiff_t begin_ = 0;
  std::int64_t first_, end_;
};

}  // namespace cavsync
