// NEON with matrix products (Armv8.6): two channels by two activation rows, 8 digits at a time. A vector is multiplied by
// dot products, which every such processor has.
#include "neon_dot.h"

namespace ternary {
namespace {

constexpr std::size_t kUnit = 8;

// A panel whose steps hold 8 digits of each of 8 channels.
void panel_t2(const std::uint8_t* block, std::size_t bytes, std::uint8_t* panel, std::size_t stride) {
  const std::size_t plane = bytes / kUnit * stride;
  for (std::size_t at = 0; at < bytes; at += 16)
    for (std::size_t pair = 0; pair < kGroup; pair += 2) {
      const uint64x2_t a = vreinterpretq_u64_u8(vld1q_u8(block + pair * kChunk + at));
      const uint64x2_t b = vreinterpretq_u64_u8(vld1q_u8(block + (pair + 1) * kChunk + at));
      std::uint8_t* to = panel + at / kUnit * stride + pair * kUnit;
      store_digits(vreinterpretq_u8_u64(vtrn1q_u64(a, b)), to, plane);
      if (at + kUnit < bytes) store_digits(vreinterpretq_u8_u64(vtrn2q_u64(a, b)), to + stride, plane);
    }
}

// The sums of four channels for two activation rows.
inline void add_to_sums(int32x4_t a, int32x4_t b, std::int32_t* even, std::int32_t* odd, bool both) {
  vst1q_s32(even, vaddq_s32(vld1q_s32(even), vuzp1q_s32(a, b)));
  if (both) vst1q_s32(odd, vaddq_s32(vld1q_s32(odd), vuzp2q_s32(a, b)));
}

// `rows` activation rows; the last may have no neighbour and is then multiplied twice.
template <std::size_t kPairs>
void multiply_pairs(const Tile& tile, std::size_t first, std::size_t rows) {
  const std::int8_t* from[2 * kPairs];
  for (std::size_t m = 0; m < 2 * kPairs; ++m)
    from[m] = tile.activations + (first + (m < rows ? m : rows - 1)) * tile.activation_stride;
  const std::uint8_t* panel = tile.panel;
  int32x4_t found[kPairs][4];
  for (auto& pair : found)
    for (auto& channels : pair) channels = vdupq_n_s32(0);
  for (std::size_t run = 0; run < tile.runs; ++run)
    for (std::size_t step = 0; step < tile.steps; ++step, panel += kUnit * kGroup) {
      const std::size_t at = run * tile.run_stride + step * kUnit;
      TERNARY_UNROLL for (std::size_t pair = 0; pair < kPairs; ++pair) {
        const int8x16_t values = vcombine_s8(vld1_s8(from[2 * pair] + at), vld1_s8(from[2 * pair + 1] + at));
        TERNARY_UNROLL for (std::size_t channels = 0; channels < 4; ++channels) {
          const int8x16_t codes = vld1q_s8(reinterpret_cast<const std::int8_t*>(panel + 16 * channels));
          found[pair][channels] = vmmlaq_s32(found[pair][channels], codes, values);
        }
      }
    }
  for (std::size_t pair = 0; pair < kPairs; ++pair) {
    std::int32_t* even = tile.sums + (first + 2 * pair) * kGroup;
    const bool both = 2 * pair + 1 < rows;
    add_to_sums(found[pair][0], found[pair][1], even, even + kGroup, both);
    add_to_sums(found[pair][2], found[pair][3], even + 4, even + kGroup + 4, both);
  }
}

void multiply(const Tile& tile) {
  std::size_t first = 0;
  for (; first + 8 <= tile.rows; first += 8) multiply_pairs<4>(tile, first, 8);
  for (; first < tile.rows; first += 2) multiply_pairs<1>(tile, first, tile.rows - first < 2 ? 1 : 2);
}

}  // namespace

extern const Path kNeonI8mmPath;
const Path kNeonI8mmPath = {
    "neon-i8mm", kNeon | kDotprod | kI8mm, 1, kUnit, gemv_dot_t2, nullptr, panel_t2, nullptr, multiply,
};

}  // namespace ternary
