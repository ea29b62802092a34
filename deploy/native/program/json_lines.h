// Results as JSON lines with the field names and the rounding of `cavsync score --json`; events as `cavsync watch` has them.
#pragma once

#include <string>
#include <vector>

#include "cavsync.h"
#include "media_file.h"

namespace cavsync {

// With `face`, which may be null, the line has it too.
std::string window_line(const std::string& source, const cavsync_record& record, const cavsync_face* face);
std::string event_line(const std::string& source, const cavsync_event_change& change);
std::string error_line(const std::string& source, const std::string& error);
std::string summary_line(const std::string& source, const cavsync_summary& summary,
                         const std::vector<cavsync_event>& events, const MediaFile& media,
                         const cavsync_bundle_info& bundle, bool has_face);

}  // namespace cavsync
