#include "piece_reader.h"

#include <cstring>

namespace cavsync {

namespace {

struct Plane {
  int row_bytes;
  int rows;
};

// The planes of a format, as cavsync.h describes them.
std::vector<Plane> planes_of(cavsync_pixel_format format, int width, int height) {
  const int half_width = (width + 1) / 2, half_height = (height + 1) / 2;
  switch (format) {
    case CAVSYNC_RGB24:
    case CAVSYNC_BGR24: return {{3 * width, height}};
    case CAVSYNC_RGBA:
    case CAVSYNC_BGRA: return {{4 * width, height}};
    case CAVSYNC_YUV420P: return {{width, height}, {half_width, half_height}, {half_width, half_height}};
    case CAVSYNC_NV12: return {{width, height}, {2 * half_width, half_height}};
    case CAVSYNC_YUV422P: return {{width, height}, {half_width, height}, {half_width, height}};
    case CAVSYNC_YUYV422: return {{4 * half_width, height}};
    case CAVSYNC_GRAY8: return {{width, height}};
  }
  return {};
}

}  // namespace

std::uint8_t PieceReader::byte() { return is_over() ? std::uint8_t{0} : *data_++; }

double PieceReader::seconds() {
  const std::uint8_t kind = byte();
  if (kind < 200) return last_seconds_ += kind * 0.005;
  if (kind < 250) return last_seconds_ += (static_cast<int>(byte()) - 128) * 0.5;
  std::uint8_t raw[sizeof(double)];
  for (std::uint8_t& one : raw) one = byte();
  double found = 0;
  std::memcpy(&found, raw, sizeof found);
  return found;
}

std::int32_t PieceReader::side() {
  const std::uint8_t kind = byte();
  return kind == 255 ? -1 : kind >= 250 ? 16'000 + 100 * (kind - 250) : kind;
}

std::vector<std::uint8_t> PieceReader::bytes(std::size_t count) {
  std::vector<std::uint8_t> found(count, byte());
  for (std::size_t place = 0; place < count && place < 16 && !is_over(); ++place) found[place * count / 16] = byte();
  return found;
}

void PieceReader::push_video(cavsync_scorer* scorer) {
  cavsync_frame frame;
  cavsync_frame_init(&frame);
  frame.format = static_cast<cavsync_pixel_format>(byte() % 9);
  frame.width = side();
  frame.height = frame.width > 1'000 ? 2 : side();
  frame.yuv_matrix = static_cast<cavsync_yuv_matrix>(byte() % 4);
  frame.is_full_range = byte() % 2;
  std::vector<std::vector<std::uint8_t>> content;
  if (frame.width > 0 && frame.height > 0 && frame.height < 1'000) {
    const int margin = byte() % 3;
    for (const Plane& plane : planes_of(frame.format, frame.width, frame.height)) {
      const int stride = plane.row_bytes + margin;
      content.push_back(bytes(static_cast<std::size_t>(stride) * static_cast<std::size_t>(plane.rows - 1) +
                              static_cast<std::size_t>(plane.row_bytes)));
      frame.planes[content.size() - 1] = content.back().data();
      frame.strides[content.size() - 1] = stride;
    }
  }
  cavsync_scorer_push_video(scorer, &frame, seconds());
}

void PieceReader::push_audio(cavsync_scorer* scorer) {
  static constexpr std::int32_t rates_hz[] = {16'000, 48'000, 44'100, 8'000, 1'000, 768'000, 0, -1, 11'025};
  const auto format = static_cast<cavsync_sample_format>(byte() % 2);
  const std::int32_t rate_hz = rates_hz[byte() % 9];
  const std::int32_t num_channels = byte() % 8;
  const std::size_t num_samples = std::size_t{byte()} * 32;
  const std::size_t size = format == CAVSYNC_S16 ? 2 : sizeof(float);
  const std::vector<std::uint8_t> samples = bytes(size * num_samples * static_cast<std::size_t>(num_channels));
  cavsync_scorer_push_audio(scorer, samples.data(), format, num_samples, num_channels, rate_hz, seconds());
}

}  // namespace cavsync
