// NEON with dot products (Armv8.2).
#include <cstring>

#include "neon_dot.h"

namespace ternary {
namespace {

inline int8x16_t broadcast_unit(const std::int8_t* at) {
  std::int32_t unit;
  std::memcpy(&unit, at, sizeof unit);
  return vreinterpretq_s8_s32(vdupq_n_s32(unit));
}

// One step of 4 digits, its activations in lane kLane of `values`.
template <int kLane, std::size_t kRows>
inline void add_step(const std::uint8_t* panel, const int8x16_t (&values)[kRows], int32x4_t (&found)[kRows][2]) {
  const int8x16_t a = vld1q_s8(reinterpret_cast<const std::int8_t*>(panel));
  const int8x16_t b = vld1q_s8(reinterpret_cast<const std::int8_t*>(panel + 16));
  TERNARY_UNROLL for (std::size_t m = 0; m < kRows; ++m) {
    found[m][0] = vdotq_laneq_s32(found[m][0], a, values[m], kLane);
    found[m][1] = vdotq_laneq_s32(found[m][1], b, values[m], kLane);
  }
}

template <std::size_t kRows>
void multiply_rows(const Tile& tile, std::size_t first) {
  constexpr std::size_t kStep = 4 * kGroup;
  const std::int8_t* rows = tile.activations + first * tile.activation_stride;
  const std::uint8_t* panel = tile.panel;
  int32x4_t found[kRows][2];
  int8x16_t values[kRows];
  for (auto& row : found) row[0] = row[1] = vdupq_n_s32(0);
  for (std::size_t run = 0; run < tile.runs; ++run, rows += tile.run_stride) {
    std::size_t step = 0;
    for (; step + 4 <= tile.steps; step += 4, panel += 4 * kStep) {
      TERNARY_UNROLL for (std::size_t m = 0; m < kRows; ++m) values[m] = vld1q_s8(rows + m * tile.activation_stride + 4 * step);
      add_step<0, kRows>(panel, values, found);
      add_step<1, kRows>(panel + kStep, values, found);
      add_step<2, kRows>(panel + 2 * kStep, values, found);
      add_step<3, kRows>(panel + 3 * kStep, values, found);
    }
    for (; step < tile.steps; ++step, panel += kStep) {
      for (std::size_t m = 0; m < kRows; ++m)
        values[m] = broadcast_unit(rows + m * tile.activation_stride + 4 * step);
      add_step<0, kRows>(panel, values, found);
    }
  }
  for (std::size_t m = 0; m < kRows; ++m)
    for (std::size_t half = 0; half < 2; ++half) {
      std::int32_t* at = tile.sums + (first + m) * kGroup + 4 * half;
      vst1q_s32(at, vaddq_s32(vld1q_s32(at), found[m][half]));
    }
}

void multiply(const Tile& tile) {
  std::size_t first = 0;
  for (; first + 8 <= tile.rows; first += 8) multiply_rows<8>(tile, first);
  for (; first + 4 <= tile.rows; first += 4) multiply_rows<4>(tile, first);
  for (; first < tile.rows; ++first) multiply_rows<1>(tile, first);
}

}  // namespace

extern const Path kNeonDotprodPath;
const Path kNeonDotprodPath = {
    "neon-dotprod", kNeon | kDotprod, 1, 4, gemv_dot_t2, nullptr, panel_neon_t2, nullptr, multiply,
};

}  // namespace ternary
