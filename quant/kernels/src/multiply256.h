// Rows of activations times a panel of 16 channels, 4 digits of 8 channels in a register; `Ops` says how to add.
#pragma once

#include <cstring>

#include "path.h"
#include "x86.h"

namespace ternary {
namespace {

constexpr std::size_t kPanelChannels = 16;
constexpr std::size_t kStepBytes = 4 * kPanelChannels;

inline __m256i broadcast_unit(const std::int8_t* at) {
  std::int32_t unit;
  std::memcpy(&unit, at, sizeof unit);
  return _mm256_set1_epi32(unit);
}

template <class Ops, std::size_t kRows>
inline void add_to_sums(const __m256i (&found)[kRows][2], std::int32_t* sums) {
  for (std::size_t m = 0; m < kRows; ++m)
    for (std::size_t half = 0; half < 2; ++half) {
      auto* at = reinterpret_cast<__m256i*>(sums + m * kPanelChannels + half * 8);
      _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), Ops::widen(found[m][half])));
    }
}

template <class Ops, std::size_t kRows>
void multiply_rows(const Tile& tile, std::size_t first) {
  const std::int8_t* rows = tile.activations + first * tile.activation_stride;
  const std::uint8_t* panel = tile.panel;
  std::int32_t* sums = tile.sums + first * kPanelChannels;
  __m256i found[kRows][2];
  for (auto& row : found) row[0] = row[1] = _mm256_setzero_si256();
  std::size_t added = 0;
  for (std::size_t run = 0; run < tile.runs; ++run, rows += tile.run_stride) {
    for (std::size_t step = 0; step < tile.steps; ++step, panel += kStepBytes) {
      const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel));
      const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + 32));
      TERNARY_UNROLL for (std::size_t m = 0; m < kRows; ++m) {
        const __m256i unit = broadcast_unit(rows + m * tile.activation_stride + 4 * step);
        found[m][0] = Ops::add(found[m][0], a, unit);
        found[m][1] = Ops::add(found[m][1], b, unit);
      }
    }
    added += tile.steps;
    if (added + tile.steps > Ops::kStepsInARow) {
      add_to_sums<Ops, kRows>(found, sums);
      for (auto& row : found) row[0] = row[1] = _mm256_setzero_si256();
      added = 0;
    }
  }
  add_to_sums<Ops, kRows>(found, sums);
}

constexpr std::size_t kMostRows = 6;  // of which the sums fit into registers

template <class Ops>
void multiply_some(const Tile& tile, std::size_t first, std::size_t rows) {
  switch (rows) {
    case 6: return multiply_rows<Ops, 6>(tile, first);
    case 5: return multiply_rows<Ops, 5>(tile, first);
    case 4: return multiply_rows<Ops, 4>(tile, first);
    case 3: return multiply_rows<Ops, 3>(tile, first);
    case 2: return multiply_rows<Ops, 2>(tile, first);
    default: return multiply_rows<Ops, 1>(tile, first);
  }
}

// The last rows are shared out evenly: 4 and 4 take less time than 6 and 2.
template <class Ops>
void multiply256(const Tile& tile) {
  for (std::size_t first = 0, rows = 0; first < tile.rows; first += rows) {
    const std::size_t left = tile.rows - first;
    rows = left >= 2 * kMostRows ? kMostRows : left > kMostRows ? (left + 1) / 2 : left;
    multiply_some<Ops>(tile, first, rows);
  }
}

}  // namespace
}  // namespace ternary
