// What this processor can do, the operating system permitting.
#pragma once

#include <cstdint>

namespace ternary {

enum Feature : std::uint32_t {
  kAvx2 = 1 << 0,
  kAvxVnni = 1 << 1,
  kAvx512 = 1 << 2,  // F, BW and VL
  kAvx512Vnni = 1 << 3,
  kAvx512Vbmi = 1 << 4,
  kNeon = 1 << 5,
  kDotprod = 1 << 6,
  kI8mm = 1 << 7,
};

std::uint32_t cpu_features();

// What the instructions of one feature are called.
const char* feature_name(std::uint32_t feature);

}  // namespace ternary
