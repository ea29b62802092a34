#include "json_record.h"

#include "text.h"

namespace cavsync {

using nlohmann::json;

namespace {
constexpr int kMaxDepth = 16;

std::string shown(const json& value) {
  constexpr std::size_t max_shown = 60;
  std::string text = plain(value.dump(-1, ' ', true, json::error_handler_t::replace));
  return text.size() <= max_shown ? text : text.substr(0, max_shown - 3) + "...";
}
}  // namespace

JsonRecord::JsonRecord(const json& value, std::string place) : value_(value), place_(std::move(place)) {
  if (!value.is_object()) throw UnfitError("declares " + place_ + " = " + shown(value) + ", which should be an object");
}

bool JsonRecord::has(const char* name) const { return value_.contains(name); }

const json& JsonRecord::entry(const char* name) {
  known_.insert(name);
  const auto found = value_.find(name);
  if (found == value_.end()) {
    throw UnfitError("has no entry '" + std::string(name) + "'" + (place_.empty() ? "" : " in " + place_));
  }
  return *found;
}

const json* JsonRecord::entry_if_any(const char* name) {
  known_.insert(name);
  const auto found = value_.find(name);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

std::int64_t JsonRecord::whole(const char* name, std::int64_t low, std::int64_t high) {
  const json& value = entry(name);
  const bool is_whole =
      value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX);
  if (!is_whole || value.get<std::int64_t>() < low || value.get<std::int64_t>() > high) {
    refuse(name, format("should be a whole number from %lld to %lld", static_cast<long long>(low),
                        static_cast<long long>(high)));
  }
  return value.get<std::int64_t>();
}

double JsonRecord::number(const char* name, double low, double high, bool is_open) {
  const json& value = entry(name);
  const bool is_inside = value.is_number() && value.get<double>() <= high &&
                         (is_open ? value.get<double>() > low : value.get<double>() >= low);
  if (!is_inside) refuse(name, format("should be a number %s %g to %g", is_open ? "above" : "from", low, high));
  return value.get<double>();
}

std::string JsonRecord::text(const char* name) {
  const json& value = entry(name);
  if (!value.is_string()) refuse(name, "should be a string");
  return value.get<std::string>();
}

std::string JsonRecord::word(const char* name, const std::vector<std::string>& values) {
  const std::string found = text(name);
  std::string expected;
  for (const std::string& value : values) {
    if (value == found) return found;
    expected += (expected.empty() ? "" : " or ") + value;
  }
  refuse(name, "should be " + expected);
}

std::vector<std::string> JsonRecord::texts(const char* name) {
  const json& list = entry(name);
  if (!list.is_array()) refuse(name, "should be a list");
  std::vector<std::string> found;
  for (const json& value : list) {
    if (!value.is_string()) refuse(name, "should hold strings");
    found.push_back(value.get<std::string>());
  }
  return found;
}

std::vector<double> JsonRecord::numbers(const char* name, double low, double high) {
  const json& list = entry(name);
  if (!list.is_array()) refuse(name, "should be a list");
  std::vector<double> found;
  for (const json& value : list) {
    if (!value.is_number() || value.get<double>() < low || value.get<double>() > high) {
      refuse(name, format("should hold numbers from %g to %g", low, high));
    }
    found.push_back(value.get<double>());
  }
  return found;
}

void JsonRecord::skip(std::initializer_list<const char*> names) { known_.insert(names.begin(), names.end()); }

void JsonRecord::finish() const {
  for (const auto& [name, value] : value_.items()) {
    if (known_.count(name) == 0) {
      throw UnfitError("has an unknown entry '" + plain(name) + "'" + (place_.empty() ? "" : " in " + place_));
    }
  }
}

std::string JsonRecord::place_of(const std::string& name) const { return place_.empty() ? name : place_ + "." + name; }

void JsonRecord::refuse(const char* name, const std::string& expected) const {
  throw UnfitError("declares " + place_of(name) + " = " + shown(value_.at(name)) + ", which " + expected);
}

json parse_json(const std::string& text) {
  std::vector<std::set<std::string>> keys;
  std::string problem;
  const json::parser_callback_t check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth && problem.empty()) problem = format("nests values more than %d deep", kMaxDepth);
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      problem = "names '" + plain(parsed.get<std::string>()) + "' twice";
    }
    // An empty answer ends the descent at once.
    return problem.empty();
  };
  json value;
  try {
    value = json::parse(text, check);
  } catch (const json::exception&) {
    throw UnfitError(problem.empty() ? "is not valid JSON, the bundle was changed or cut short" : problem);
  }
  if (!problem.empty()) throw UnfitError(problem);
  return value;
}

}  // namespace cavsync
