// A matrix of t2 times a vector, 32 bytes at a time; `Ops` says how products are added.
//
// The digits 0 and 2 of a byte need one shift by 4 bits between them, and so do 1 and 3 if they stay where they are:
// their products are four times too large, are added apart and divided at the end, which is exact.
#pragma once

#include "lanes256.h"
#include "path.h"
#include "x86.h"

namespace ternary {
namespace {

inline __m256i load256(const void* at) { return _mm256_loadu_si256(static_cast<const __m256i*>(at)); }

// Add the products of one channel's chunk to its sum.
template <class Ops>
inline __m256i add_chunk(__m256i sum, const std::uint8_t* codes, const std::int8_t* activations) {
  const __m256i even = _mm256_set1_epi8(0x03), odd = _mm256_set1_epi8(0x0C);
  const __m256i a = load256(codes), b = load256(codes + 32);
  const __m256i c = _mm256_srli_epi16(a, 4), d = _mm256_srli_epi16(b, 4);
  sum = Ops::add(sum, _mm256_and_si256(a, even), load256(activations));
  sum = Ops::add(sum, _mm256_and_si256(b, even), load256(activations + 32));
  sum = Ops::add(sum, _mm256_and_si256(c, even), load256(activations + 2 * kChunk));
  sum = Ops::add(sum, _mm256_and_si256(d, even), load256(activations + 2 * kChunk + 32));
  __m256i four = Ops::products(_mm256_and_si256(a, odd), load256(activations + kChunk));
  four = Ops::add(four, _mm256_and_si256(b, odd), load256(activations + kChunk + 32));
  four = Ops::add(four, _mm256_and_si256(c, odd), load256(activations + 3 * kChunk));
  four = Ops::add(four, _mm256_and_si256(d, odd), load256(activations + 3 * kChunk + 32));
  return Ops::add_quarter(sum, four);
}

template <class Ops>
void gemv256(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks, std::int32_t* sums) {
  __m256i total[kGroup], found[kGroup];
  for (std::size_t row = 0; row < kGroup; ++row) total[row] = _mm256_setzero_si256();
  while (chunks > 0) {
    const std::size_t count = chunks < Ops::kChunksInARow ? chunks : Ops::kChunksInARow;
    for (std::size_t row = 0; row < kGroup; ++row) found[row] = _mm256_setzero_si256();
    for (std::size_t chunk = 0; chunk < count; ++chunk, blocks += kBlock, activations += 4 * kChunk)
      TERNARY_UNROLL for (std::size_t row = 0; row < kGroup; ++row) {
        _mm_prefetch(reinterpret_cast<const char*>(blocks + kPrefetchBytes + row * kChunk), _MM_HINT_T0);
        found[row] = add_chunk<Ops>(found[row], blocks + row * kChunk, activations);
      }
    for (std::size_t row = 0; row < kGroup; ++row) total[row] = _mm256_add_epi32(total[row], Ops::widen(found[row]));
    chunks -= count;
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), sum_lanes(total));
}

}  // namespace
}  // namespace ternary
