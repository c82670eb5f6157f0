// A matrix of t2 times a vector, 32 bytes at a time; `Ops` says how products are added.
//
// The digits 0 and 2 of a byte need one shift by 4 bits between them, and so do 1 and 3 if they stay where they are:
// their products are four times too large, are added apart and divided at the end, which is exact.
#pragma once

#include "path.h"
#include "x86.h"

namespace ternary {
namespace {

inline __m256i load256(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

// Return the sums of the lanes of eight vectors.
inline __m256i sum_lanes(const __m256i (&v)[kGroup]) {
  const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

// Add up `chunks` chunks of four channels.
template <class Ops>
inline void gemv_rows(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks,
                      __m256i* total) {
  constexpr std::size_t kRows = 4, kStep = 32;
  const __m256i even = _mm256_set1_epi8(0x03), odd = _mm256_set1_epi8(0x0C);
  __m256i low[kRows], high[kRows];
  for (std::size_t row = 0; row < kRows; ++row) low[row] = high[row] = _mm256_setzero_si256();
  for (std::size_t chunk = 0; chunk < chunks; ++chunk, blocks += kBlock, activations += 4 * kChunk) {
    _mm_prefetch(reinterpret_cast<const char*>(blocks + 8 * kBlock), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(blocks + 8 * kBlock + kChunk), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(blocks + 8 * kBlock + 2 * kChunk), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(blocks + 8 * kBlock + 3 * kChunk), _MM_HINT_T0);
    for (std::size_t at = 0; at < kChunk; at += kStep) {
      const __m256i a0 = load256(activations + at), a1 = load256(activations + kChunk + at);
      const __m256i a2 = load256(activations + 2 * kChunk + at), a3 = load256(activations + 3 * kChunk + at);
      for (std::size_t row = 0; row < kRows; ++row) {
        const __m256i code = load256(blocks + row * kChunk + at), shifted = _mm256_srli_epi16(code, 4);
        low[row] = Ops::add(low[row], _mm256_and_si256(code, even), a0);
        high[row] = Ops::add(high[row], _mm256_and_si256(code, odd), a1);
        low[row] = Ops::add(low[row], _mm256_and_si256(shifted, even), a2);
        high[row] = Ops::add(high[row], _mm256_and_si256(shifted, odd), a3);
      }
    }
  }
  for (std::size_t row = 0; row < kRows; ++row)
    total[row] = _mm256_add_epi32(total[row], Ops::fold(low[row], high[row]));
}

template <class Ops>
void gemv256(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks, std::int32_t* sums) {
  __m256i total[kGroup];
  for (std::size_t row = 0; row < kGroup; ++row) total[row] = _mm256_setzero_si256();
  for (std::size_t chunk = 0; chunk < chunks; chunk += Ops::kChunksInARow) {
    const std::size_t left = chunks - chunk, count = left < Ops::kChunksInARow ? left : Ops::kChunksInARow;
    const std::uint8_t* block = blocks + chunk * kBlock;
    const std::int8_t* values = activations + chunk * 4 * kChunk;
    gemv_rows<Ops>(block, values, count, total);
    gemv_rows<Ops>(block + 4 * kChunk, values, count, total + 4);
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), sum_lanes(total));
}

}  // namespace
}  // namespace ternary
