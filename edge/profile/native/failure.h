// What ends a launch: reported as an event of this type, with the exit code of the kit's error of that name.
#pragma once

#include <stdexcept>
#include <string>

struct Failure : std::runtime_error {
  Failure(std::string type, int code, const std::string& message)
      : std::runtime_error(message), type(std::move(type)), code(code) {}

  std::string type;
  int code;
};

inline Failure usage_error(const std::string& message) { return {"UsageError", 2, message}; }
inline Failure input_error(const std::string& message) { return {"InputError", 2, message}; }
inline Failure target_error(const std::string& message) { return {"TargetError", 1, message}; }
