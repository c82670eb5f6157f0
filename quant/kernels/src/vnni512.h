// AVX512-VNNI: the parts that both AVX-512 paths share, 64 bytes at a time.
#pragma once

#include <cstring>

#include "lanes256.h"
#include "panel256.h"
#include "path.h"
#include "x86.h"

namespace ternary {
namespace {

inline __m512i load512(const void* at) { return _mm512_loadu_si512(at); }

inline __m512i and512(__m512i a, __m512i b) { return _mm512_and_si512(a, b); }

// The sums of eight channels from those of the digits 0, 2 (and 4), and of 1 and 3, which are four times too large:
// within a lane 8 * 128 * 2^24 / 2 / 16 = 2^29.
inline void fold512(const __m512i (&low)[kGroup], const __m512i (&high)[kGroup], std::int32_t* sums) {
  __m256i halves[kGroup];
  TERNARY_UNROLL for (std::size_t row = 0; row < kGroup; ++row) {
    const __m512i sum = _mm512_add_epi32(low[row], _mm512_srai_epi32(high[row], 2));
    halves[row] = _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), sum_lanes(halves));
}

inline void gemv512_t2(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks,
                       std::int32_t* sums) {
  const __m512i even = _mm512_set1_epi8(0x03), odd = _mm512_set1_epi8(0x0C);
  __m512i low[kGroup], high[kGroup];
  for (std::size_t row = 0; row < kGroup; ++row) low[row] = high[row] = _mm512_setzero_si512();
  for (std::size_t chunk = 0; chunk < chunks; ++chunk, blocks += kBlock, activations += 4 * kChunk) {
    const __m512i a0 = load512(activations), a1 = load512(activations + kChunk);
    const __m512i a2 = load512(activations + 2 * kChunk), a3 = load512(activations + 3 * kChunk);
    TERNARY_UNROLL for (std::size_t row = 0; row < kGroup; ++row) {
      _mm_prefetch(reinterpret_cast<const char*>(blocks + kPrefetchBytes + row * kChunk), _MM_HINT_T0);
      const __m512i code = load512(blocks + row * kChunk), shifted = _mm512_srli_epi16(code, 4);
      low[row] = _mm512_dpbusd_epi32(low[row], and512(code, even), a0);
      high[row] = _mm512_dpbusd_epi32(high[row], and512(code, odd), a1);
      low[row] = _mm512_dpbusd_epi32(low[row], and512(shifted, even), a2);
      high[row] = _mm512_dpbusd_epi32(high[row], and512(shifted, odd), a3);
    }
  }
  fold512(low, high, sums);
}

constexpr std::size_t kChannels512 = 32;  // of a panel

inline __m512i broadcast512(const std::int8_t* at) {
  std::int32_t unit;
  std::memcpy(&unit, at, sizeof unit);
  return _mm512_set1_epi32(unit);
}

template <std::size_t kRows>
inline void multiply512_rows(const Tile& tile, std::size_t first) {
  const std::int8_t* rows = tile.activations + first * tile.activation_stride;
  const std::uint8_t* panel = tile.panel;
  __m512i found[kRows][2];
  for (auto& row : found) row[0] = row[1] = _mm512_setzero_si512();
  for (std::size_t run = 0; run < tile.runs; ++run, rows += tile.run_stride)
    for (std::size_t step = 0; step < tile.steps; ++step, panel += 4 * kChannels512) {
      const __m512i a = load512(panel), b = load512(panel + 64);
      TERNARY_UNROLL for (std::size_t m = 0; m < kRows; ++m) {
        const __m512i unit = broadcast512(rows + m * tile.activation_stride + 4 * step);
        found[m][0] = _mm512_dpbusd_epi32(found[m][0], a, unit);
        found[m][1] = _mm512_dpbusd_epi32(found[m][1], b, unit);
      }
    }
  for (std::size_t m = 0; m < kRows; ++m)
    for (std::size_t half = 0; half < 2; ++half) {
      std::int32_t* at = tile.sums + (first + m) * kChannels512 + 16 * half;
      _mm512_storeu_si512(at, _mm512_add_epi32(load512(at), found[m][half]));
    }
}

inline void multiply512(const Tile& tile) {
  std::size_t first = 0;
  for (; first + 8 <= tile.rows; first += 8) multiply512_rows<8>(tile, first);
  for (; first + 4 <= tile.rows; first += 4) multiply512_rows<4>(tile, first);
  for (; first < tile.rows; ++first) multiply512_rows<1>(tile, first);
}

}  // namespace
}  // namespace ternary
