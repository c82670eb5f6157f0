// NEON of every 64-bit Arm: products are added in int16, 256 at most each (a digit is at most 2, an activation -128).
#include "neon.h"

#include <cstring>

namespace ternary {
namespace {

constexpr std::size_t kChunksInARow = 4;  // 4 chunks of 4 stretches of 4 digits: 64 * 256
constexpr std::size_t kStepsInARow = 64;  // 64 * 256

// The sums of one channel over a few chunks; both halves of 16 bytes apart.
inline int32x4_t row_sums(const std::uint8_t* row, const std::int8_t* activations, std::size_t chunks) {
  int16x8_t low = vdupq_n_s16(0), high = vdupq_n_s16(0);
  for (std::size_t chunk = 0; chunk < chunks; ++chunk, row += kBlock, activations += 4 * kChunk)
    for (std::size_t at = 0; at < kChunk; at += 16) {
      const Digits digits(vld1q_u8(row + at));
      TERNARY_UNROLL for (std::size_t digit = 0; digit < 4; ++digit) {
        const int8x16_t values = vld1q_s8(activations + digit * kChunk + at);
        low = vmlal_s8(low, vget_low_s8(digits.at[digit]), vget_low_s8(values));
        high = vmlal_high_s8(high, digits.at[digit], values);
      }
    }
  return vpadalq_s16(vpaddlq_s16(low), high);
}

void gemv(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks, std::int32_t* sums) {
  int32x4_t found[kGroup];
  for (auto& row : found) row = vdupq_n_s32(0);
  for (std::size_t chunk = 0; chunk < chunks; chunk += kChunksInARow) {
    const std::size_t left = chunks - chunk, count = left < kChunksInARow ? left : kChunksInARow;
    for (std::size_t row = 0; row < kGroup; ++row)
      found[row] = vaddq_s32(found[row], row_sums(blocks + chunk * kBlock + row * kChunk,
                                                  activations + chunk * 4 * kChunk, count));
  }
  for (std::size_t row = 0; row < kGroup; ++row) sums[row] = vaddvq_s32(found[row]);
}

inline int8x8_t broadcast_unit(const std::int8_t* at) {
  std::int32_t unit;
  std::memcpy(&unit, at, sizeof unit);
  return vreinterpret_s8_s32(vdup_n_s32(unit));
}

// Two channels of four products each in a register.
struct Sums {
  int16x8_t of[4];
};

inline void add_to_sums(Sums& found, std::int32_t* sums) {
  for (std::size_t half = 0; half < 2; ++half) {
    const int32x4_t a = vpaddlq_s16(found.of[2 * half]), b = vpaddlq_s16(found.of[2 * half + 1]);
    vst1q_s32(sums + 4 * half, vaddq_s32(vld1q_s32(sums + 4 * half), vpaddq_s32(a, b)));
  }
  for (auto& pair : found.of) pair = vdupq_n_s16(0);
}

template <std::size_t kRows>
void multiply_rows(const Tile& tile, std::size_t first) {
  const std::int8_t* rows = tile.activations + first * tile.activation_stride;
  const std::uint8_t* panel = tile.panel;
  Sums found[kRows];
  for (auto& row : found)
    for (auto& pair : row.of) pair = vdupq_n_s16(0);
  std::size_t added = 0;
  for (std::size_t run = 0; run < tile.runs; ++run, rows += tile.run_stride) {
    for (std::size_t step = 0; step < tile.steps; ++step, panel += 4 * kGroup) {
      const int8x16_t a = vld1q_s8(reinterpret_cast<const std::int8_t*>(panel));
      const int8x16_t b = vld1q_s8(reinterpret_cast<const std::int8_t*>(panel + 16));
      TERNARY_UNROLL for (std::size_t m = 0; m < kRows; ++m) {
        const int8x8_t unit = broadcast_unit(rows + m * tile.activation_stride + 4 * step);
        found[m].of[0] = vmlal_s8(found[m].of[0], vget_low_s8(a), unit);
        found[m].of[1] = vmlal_s8(found[m].of[1], vget_high_s8(a), unit);
        found[m].of[2] = vmlal_s8(found[m].of[2], vget_low_s8(b), unit);
        found[m].of[3] = vmlal_s8(found[m].of[3], vget_high_s8(b), unit);
      }
    }
    added += tile.steps;
    if (added + tile.steps > kStepsInARow || run + 1 == tile.runs) {
      for (std::size_t m = 0; m < kRows; ++m) add_to_sums(found[m], tile.sums + (first + m) * kGroup);
      added = 0;
    }
  }
}

void multiply(const Tile& tile) {
  std::size_t first = 0;
  for (; first + 4 <= tile.rows; first += 4) multiply_rows<4>(tile, first);
  for (; first < tile.rows; ++first) multiply_rows<1>(tile, first);
}

}  // namespace

extern const Path kNeonPath;
const Path kNeonPath = {"neon", kNeon, 1, 4, gemv, nullptr, panel_neon_t2, nullptr, multiply};

}  // namespace ternary
