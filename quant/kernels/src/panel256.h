// A block of t2 becomes a panel whose steps hold 4 digits of each of 8 channels.
#pragma once

#include "path.h"
#include "x86.h"

namespace ternary {
namespace {

// Exchange channels and units: to[j] holds the bytes 4j … 4j+3 of eight channels of 32 bytes each.
inline void transpose_units(const std::uint8_t* block, __m256i (&to)[8]) {
  __m256i row[kGroup], pair[kGroup];
  for (std::size_t i = 0; i < kGroup; ++i)
    row[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + i * kChunk));
  for (std::size_t i = 0; i < kGroup; i += 2) {
    pair[i] = _mm256_unpacklo_epi32(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_epi32(row[i], row[i + 1]);
  }
  for (std::size_t half = 0; half < 2; ++half) {  // units 0 1, then 2 3, of each half of 16 bytes
    const __m256i a = _mm256_unpacklo_epi64(pair[half], pair[2 + half]);
    const __m256i b = _mm256_unpackhi_epi64(pair[half], pair[2 + half]);
    const __m256i c = _mm256_unpacklo_epi64(pair[4 + half], pair[6 + half]);
    const __m256i d = _mm256_unpackhi_epi64(pair[4 + half], pair[6 + half]);
    to[2 * half] = _mm256_permute2x128_si256(a, c, 0x20);
    to[2 * half + 1] = _mm256_permute2x128_si256(b, d, 0x20);
    to[2 * half + 4] = _mm256_permute2x128_si256(a, c, 0x31);
    to[2 * half + 5] = _mm256_permute2x128_si256(b, d, 0x31);
  }
}

inline void panel256_t2(const std::uint8_t* block, std::size_t bytes, std::uint8_t* panel, std::size_t stride) {
  constexpr std::size_t kUnit = 4, kStep = 32;
  const __m256i mask = _mm256_set1_epi8(3);
  const std::size_t plane = bytes / kUnit * stride;
  for (std::size_t at = 0; at < bytes; at += kStep) {
    __m256i units[8];
    transpose_units(block + at, units);
    for (std::size_t unit = 0; unit < 8 && at + unit * kUnit < bytes; ++unit) {
      std::uint8_t* to = panel + (at / kUnit + unit) * stride;
      __m256i code = units[unit];
      for (std::size_t digit = 0; digit < 4; ++digit, to += plane) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_and_si256(code, mask));
        code = _mm256_srli_epi16(code, 2);
      }
    }
  }
}

}  // namespace
}  // namespace ternary
