// What the paths of 64-bit Arm share, 16 bytes at a time.
#pragma once

#include <arm_neon.h>

#include "path.h"

namespace ternary {
namespace {

// The digits of 16 bytes of t2.
struct Digits {
  int8x16_t at[4];

  explicit Digits(uint8x16_t codes) {
    const uint8x16_t mask = vdupq_n_u8(3);
    at[0] = vreinterpretq_s8_u8(vandq_u8(codes, mask));
    at[1] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(codes, 2), mask));
    at[2] = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(codes, 4), mask));
    at[3] = vreinterpretq_s8_u8(vshrq_n_u8(codes, 6));
  }
};

// Exchange channels and units of 4 bytes: to[j] holds the bytes 4j … 4j+3 of four channels.
inline void transpose_fours(const std::uint8_t* block, uint8x16_t (&to)[4]) {
  uint32x4_t row[4];
  for (std::size_t i = 0; i < 4; ++i) row[i] = vreinterpretq_u32_u8(vld1q_u8(block + i * kChunk));
  const uint64x2_t a = vreinterpretq_u64_u32(vtrn1q_u32(row[0], row[1]));  // units 0 and 2
  const uint64x2_t b = vreinterpretq_u64_u32(vtrn2q_u32(row[0], row[1]));  // units 1 and 3
  const uint64x2_t c = vreinterpretq_u64_u32(vtrn1q_u32(row[2], row[3]));
  const uint64x2_t d = vreinterpretq_u64_u32(vtrn2q_u32(row[2], row[3]));
  to[0] = vreinterpretq_u8_u64(vtrn1q_u64(a, c));
  to[1] = vreinterpretq_u8_u64(vtrn1q_u64(b, d));
  to[2] = vreinterpretq_u8_u64(vtrn2q_u64(a, c));
  to[3] = vreinterpretq_u8_u64(vtrn2q_u64(b, d));
}

inline void store_digits(uint8x16_t codes, std::uint8_t* to, std::size_t plane) {
  const Digits digits(codes);
  for (std::size_t digit = 0; digit < 4; ++digit) vst1q_s8(reinterpret_cast<std::int8_t*>(to + digit * plane), digits.at[digit]);
}

// A panel whose steps hold 4 digits of each of 8 channels.
inline void panel_neon_t2(const std::uint8_t* block, std::size_t bytes, std::uint8_t* panel, std::size_t stride) {
  constexpr std::size_t kUnit = 4;
  const std::size_t plane = bytes / kUnit * stride;
  for (std::size_t at = 0; at < bytes; at += 16)
    for (std::size_t half = 0; half < 2; ++half) {
      uint8x16_t units[4];
      transpose_fours(block + at + 4 * half * kChunk, units);
      for (std::size_t unit = 0; unit < 4 && at + unit * kUnit < bytes; ++unit)
        store_digits(units[unit], panel + (at / kUnit + unit) * stride + 16 * half, plane);
    }
}

}  // namespace
}  // namespace ternary
