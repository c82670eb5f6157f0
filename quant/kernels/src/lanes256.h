// Sums across the lanes of vectors.
#pragma once

#include "layout.h"
#include "x86.h"

namespace ternary {
namespace {

// Return the sums of the lanes of eight vectors.
inline __m256i sum_lanes(const __m256i (&v)[kGroup]) {
  const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

}  // namespace
}  // namespace ternary
