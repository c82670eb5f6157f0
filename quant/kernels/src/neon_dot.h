// Sums by the dot-product instructions: four products at a time, added in int32.
#pragma once

#include "neon.h"

namespace ternary {
namespace {

inline void gemv_dot_t2(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks,
                        std::int32_t* sums) {
  int32x4_t found[kGroup];
  for (auto& row : found) row = vdupq_n_s32(0);
  for (std::size_t chunk = 0; chunk < chunks; ++chunk, blocks += kBlock, activations += 4 * kChunk)
    for (std::size_t at = 0; at < kChunk; at += 16) {
      int8x16_t values[4];
      for (std::size_t digit = 0; digit < 4; ++digit) values[digit] = vld1q_s8(activations + digit * kChunk + at);
      TERNARY_UNROLL for (std::size_t row = 0; row < kGroup; ++row) {
        const Digits digits(vld1q_u8(blocks + row * kChunk + at));
        TERNARY_UNROLL for (std::size_t digit = 0; digit < 4; ++digit)
          found[row] = vdotq_s32(found[row], digits.at[digit], values[digit]);
      }
    }
  for (std::size_t row = 0; row < kGroup; ++row) sums[row] = vaddvq_s32(found[row]);
}

}  // namespace
}  // namespace ternary
