#include "faces/face_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "faces/face_judge.h"
#include "statistics.h"

namespace cavsync {

namespace {

// Decided windows by the face that they chose.
class Votes {
 public:
  explicit Votes(const std::vector<Record>& records) {
    for (const Record& record : records) {
      if (!record.vote) continue;
      windows_[record.vote->track].push_back(
          {record.time_seconds - record.window_seconds, record.time_seconds, record.vote->confidence});
    }
  }

  // Sum of the confidences with which windows over this time chose the face.
  double of(int track, double time_seconds) const {
    const auto found = windows_.find(track);
    if (found == windows_.end()) return 0.0;
    double sum = 0;
    for (const Vote& vote : found->second) {
      if (vote.start_seconds <= time_seconds && time_seconds < vote.end_seconds) sum += vote.confidence;
    }
    return sum;
  }

 private:
  struct Vote {
    double start_seconds, end_seconds, confidence;
  };
  std::map<int, std::vector<Vote>> windows_;
};

double peak_of(const LagSums& sums) {
  double peak = -std::numeric_limits<double>::infinity();
  for (std::size_t lag = 0; lag < sums.sums.size(); ++lag) {
    if (sums.counts[lag] > 0) peak = std::max(peak, sums.sums[lag] / static_cast<double>(sums.counts[lag]));
  }
  return peak;
}

}  // namespace

void FaceFile::add(const FaceRow& row) {
  const bool is_inside = row.epoch == epoch_ && begun_seconds_ <= row.time_seconds &&
                         row.time_seconds < begun_seconds_ + block_seconds_;
  if (!is_inside) {
    open_.clear();
    ++num_times_;
    epoch_ = row.epoch;
    begun_seconds_ = row.time_seconds;
  }
  const bool is_same = row.epoch == moment_epoch_ && row.time_seconds == moment_seconds_;
  num_at_once_ = is_same ? num_at_once_ + 1 : 1;
  most_at_once_ = std::max(most_at_once_, num_at_once_);
  moment_epoch_ = row.epoch;
  moment_seconds_ = row.time_seconds;
  const auto [entry, is_first] = open_.try_emplace(row.track, 0);
  if (is_first) {
    entry->second = sums_.begin();
    blocks_.push_back({num_times_ - 1, row.track, row.time_seconds});
  }
  sums_.add(entry->second, row.similarity);
  facts_.push_back({row.time_seconds, static_cast<std::uint32_t>(entry->second), row.look.mouth_opening,
                    static_cast<float>(row.level_dbfs), row.look.presence, row.look.frontality,
                    row.look.eye_distance_px, row.look.box});
  frame_size_ = row.look.frame_size;
}

std::optional<SpeakingFace> FaceFile::speaking(const std::vector<Record>& records, double duration_seconds) const {
  const std::vector<bool> is_chosen = chosen(records);
  std::vector<const Facts*> rows;
  for (const Facts& row : facts_) {
    if (is_chosen[row.block]) rows.push_back(&row);
  }
  const double expected = std::max(1.0, duration_seconds * rate_hz_);
  if (static_cast<double>(rows.size()) < std::max(static_cast<double>(kMinRows), kMinFaceShare * expected)) {
    return std::nullopt;
  }
  std::vector<LagSums> sums;
  for (std::size_t block = 0; block < blocks_.size(); ++block) {
    if (is_chosen[block]) sums.push_back(sums_.sums_of(block));
  }
  const double share = std::min(1.0, static_cast<double>(rows.size()) / expected);
  SpeakingFace face{{}, curve_of_sums(lags_ms_, sums, rows.size(), kFacePriorRows), view_of(rows, share), {}};
  for (const Facts* row : rows) {
    face.tracks.insert(blocks_[row->block].track);
    face.level_dbfs.push_back(static_cast<double>(row->level_dbfs));
  }
  return face;
}

// Whether each block of sums is that of the face that speaks in its block of time.
std::vector<bool> FaceFile::chosen(const std::vector<Record>& records) const {
  const Votes votes(records);
  std::vector<bool> is_chosen(blocks_.size(), false);
  for (std::size_t first = 0; first < blocks_.size();) {
    std::size_t best = first, block = first;
    std::tuple<double, double, int> best_rank;
    for (; block < blocks_.size() && blocks_[block].time_block == blocks_[first].time_block; ++block) {
      const Block& one = blocks_[block];
      const std::tuple<double, double, int> rank{votes.of(one.track, one.start_seconds), peak_of(sums_.sums_of(block)),
                                                 -one.track};
      if (block == first || rank > best_rank) std::tie(best, best_rank) = std::make_tuple(block, rank);
    }
    is_chosen[best] = true;
    first = block;
  }
  return is_chosen;
}

// Medians over the rows, and the motion of the face that moves its lips most.
FaceView FaceFile::view_of(const std::vector<const Facts*>& rows, double share) const {
  LookMedians medians;
  std::map<int, std::pair<std::vector<double>, std::vector<double>>> by_track;
  for (const Facts* row : rows) {
    medians.add(row->box, row->presence, row->frontality, row->eye_distance_px);
    auto& [times_seconds, opening] = by_track[blocks_[row->block].track];
    times_seconds.push_back(row->time_seconds);
    opening.push_back(static_cast<double>(row->mouth_opening));
  }
  FaceView view = medians.view();
  view.frame_size = frame_size_;
  view.lips = {-1.0, 0.0};
  view.share = share;
  std::size_t most = 0;
  for (const auto& [track, course] : by_track) {
    const LipMotion motion = lip_motion(course.first, course.second);
    if (motion.opening_range > view.lips.opening_range) view.lips = motion;
    if (course.first.size() > most) {
      most = course.first.size();
      view.track = track;
    }
  }
  return view;
}

}  // namespace cavsync
