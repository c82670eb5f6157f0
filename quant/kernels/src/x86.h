// The intrinsics of x86; TERNARY_SIMULATED takes SIMDe's functions for those that this processor may lack.
#pragma once

#if defined(TERNARY_SIMULATED)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
// SIMDe 0.7 has no such shift of 512 bits.
#define _mm512_srai_epi32 simulated_srai512
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32

static inline __m512i simulated_srai512(__m512i v, int bits) {
  const __m256i low = _mm256_srai_epi32(_mm512_castsi512_si256(v), bits);
  const __m256i high = _mm256_srai_epi32(_mm512_extracti64x4_epi64(v, 1), bits);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
#else
#include <immintrin.h>
#endif
