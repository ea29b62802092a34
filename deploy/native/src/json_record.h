// Strict reading of JSON objects: unknown entries, other types and numbers out of their limits are refused.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace cavsync {

// A fault of a file, as the part of the sentence that follows its path.
class UnfitError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr std::size_t kMaxNameBytes = 200;

class JsonRecord {
 public:
  // `place` names the object in messages, as in "sync"; empty for the whole file.
  JsonRecord(const nlohmann::json& value, std::string place);

  bool has(const char* name) const;
  const nlohmann::json& entry(const char* name);
  // The entry, or null where it is missing or null.
  const nlohmann::json* entry_if_any(const char* name);

  std::int64_t whole(const char* name, std::int64_t low, std::int64_t high);
  // A number from `low` to `high`; with `is_open`, greater than `low`.
  double number(const char* name, double low, double high, bool is_open = false);
  std::string text(const char* name);
  // One of `values`.
  std::string word(const char* name, const std::vector<std::string>& values);
  std::vector<std::string> texts(const char* name);
  std::vector<double> numbers(const char* name, double low, double high);
  // Entries that are known and not read here.
  void skip(std::initializer_list<const char*> names);
  // Refuse entries that were neither read nor skipped.
  void finish() const;

  std::string place_of(const std::string& name) const;
  [[noreturn]] void refuse(const char* name, const std::string& expected) const;

 private:
  const nlohmann::json& value_;
  std::string place_;
  std::set<std::string> known_;
};

// Parse JSON; UnfitError for what is not valid, names a key twice, or nests too deeply.
nlohmann::json parse_json(const std::string& text);

}  // namespace cavsync
