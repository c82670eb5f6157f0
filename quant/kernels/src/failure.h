// The one exception of the library; the C functions turn it into a status and a line.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <exception>

#include "ternary.h"

namespace ternary {

class Failure : public std::exception {
 public:
  __attribute__((format(printf, 3, 4))) Failure(ternary_status status, const char* format, ...) {
    error_.status = status;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(error_.message, sizeof error_.message, format, arguments);
    va_end(arguments);
  }
  const char* what() const noexcept override { return error_.message; }
  const ternary_error& error() const noexcept { return error_; }

 private:
  ternary_error error_{};
};

}  // namespace ternary
