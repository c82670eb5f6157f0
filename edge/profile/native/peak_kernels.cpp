#include "peak_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <sys/auxv.h>
#endif

#define UNROLLED _Pragma("GCC unroll 16") for (int i = 0; i < kSums; ++i)

namespace {

bool always() { return true; }

double scalar_float(std::int64_t count) {
  constexpr int kSums = 8;
  float sums[kSums] = {};
  for (std::int64_t step = 0; step < count; ++step) UNROLLED sums[i] = sums[i] * 0.999f + 0.5f;
  double all = 0;
  UNROLLED all += sums[i];
  return all;
}

#if defined(__x86_64__)
// Twelve sums: two multipliers with a latency of four or five cycles, within sixteen registers.
constexpr int kSums = 12;

__attribute__((target("avx2,fma"))) double fma256(std::int64_t count) {
  __m256 sums[kSums];
  UNROLLED sums[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.5f);
  for (std::int64_t step = 0; step < count; ++step) UNROLLED sums[i] = _mm256_fmadd_ps(sums[i], factor, term);
  float all = 0;
  UNROLLED all += _mm256_cvtss_f32(sums[i]);
  return all;
}

__attribute__((target("avx512f"))) double fma512(std::int64_t count) {
  __m512 sums[kSums];
  UNROLLED sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.5f);
  for (std::int64_t step = 0; step < count; ++step) UNROLLED sums[i] = _mm512_fmadd_ps(sums[i], factor, term);
  float all = 0;
  UNROLLED all += _mm512_cvtss_f32(sums[i]);
  return all;
}

// The barriers keep the products, which do not change, inside the loop.
__attribute__((target("avx2"))) double madd256(std::int64_t count) {
  __m256i sums[kSums];
  UNROLLED sums[i] = _mm256_set1_epi32(i);
  __m256i left = _mm256_set1_epi8(3);
  const __m256i right = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
  for (std::int64_t step = 0; step < count; ++step) {
    UNROLLED {
      __asm__ volatile("" : "+x"(left));
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(left, right), ones));
    }
  }
  int all = 0;
  UNROLLED all += _mm256_cvtsi256_si32(sums[i]);
  return all;
}

__attribute__((target("avx2,avxvnni"))) double dot256(std::int64_t count) {
  __m256i sums[kSums];
  UNROLLED sums[i] = _mm256_set1_epi32(i);
  const __m256i left = _mm256_set1_epi8(3), right = _mm256_set1_epi8(2);
  for (std::int64_t step = 0; step < count; ++step) UNROLLED {
      sums[i] = _mm256_dpbusd_avx_epi32(sums[i], left, right);
      __asm__ volatile("" : "+x"(sums[i]));
    }
  int all = 0;
  UNROLLED all += _mm256_cvtsi256_si32(sums[i]);
  return all;
}

__attribute__((target("avx512f,avx512vnni"))) double dot512(std::int64_t count) {
  __m512i sums[kSums];
  UNROLLED sums[i] = _mm512_set1_epi32(i);
  const __m512i left = _mm512_set1_epi8(3), right = _mm512_set1_epi8(2);
  for (std::int64_t step = 0; step < count; ++step) UNROLLED {
      sums[i] = _mm512_dpbusd_epi32(sums[i], left, right);
      __asm__ volatile("" : "+v"(sums[i]));
    }
  int all = 0;
  UNROLLED all += _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[i]));
  return all;
}

// What the compiler's run-time library reports includes whether the system saves the registers.
bool has_fma() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx2() { return __builtin_cpu_supports("avx2"); }
bool has_avx512() { return __builtin_cpu_supports("avx512f"); }
bool has_vnni512() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"); }
// AVX-VNNI is leaf 7, subleaf 1, EAX bit 4 (Intel 64 and IA-32 manual, CPUID), of which older libraries do not know.
bool has_vnni256() {
  if (!has_avx2()) return false;
  unsigned a = 7, b = 0, c = 1, d = 0;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return (a >> 4 & 1) != 0;
}

#elif defined(__aarch64__)
// Sixteen sums: four multipliers with a latency of four cycles, within thirty-two registers.
constexpr int kSums = 16;

double fma128(std::int64_t count) {
  float32x4_t sums[kSums];
  UNROLLED sums[i] = vdupq_n_f32(static_cast<float>(i));
  const float32x4_t factor = vdupq_n_f32(1e-3f), term = vdupq_n_f32(0.5f);
  for (std::int64_t step = 0; step < count; ++step) UNROLLED {
      sums[i] = vfmaq_f32(sums[i], factor, term);
      __asm__ volatile("" : "+w"(sums[i]));
    }
  float all = 0;
  UNROLLED all += vaddvq_f32(sums[i]);
  return all;
}

double multiply128(std::int64_t count) {
  int32x4_t sums[kSums];
  UNROLLED sums[i] = vdupq_n_s32(i);
  int8x8_t left = vdup_n_s8(3);
  const int8x8_t right = vdup_n_s8(2);
  for (std::int64_t step = 0; step < count; ++step) {
    UNROLLED {
      __asm__ volatile("" : "+w"(left));
      sums[i] = vpadalq_s16(sums[i], vmull_s8(left, right));
    }
  }
  int all = 0;
  UNROLLED all += vaddvq_s32(sums[i]);
  return all;
}

__attribute__((target("arch=armv8.2-a+dotprod"))) double dot128(std::int64_t count) {
  int32x4_t sums[kSums];
  UNROLLED sums[i] = vdupq_n_s32(i);
  const int8x16_t left = vdupq_n_s8(3), right = vdupq_n_s8(2);
  for (std::int64_t step = 0; step < count; ++step) UNROLLED {
      sums[i] = vdotq_s32(sums[i], left, right);
      __asm__ volatile("" : "+w"(sums[i]));
    }
  int all = 0;
  UNROLLED all += vaddvq_s32(sums[i]);
  return all;
}

__attribute__((target("arch=armv8.2-a+i8mm"))) double matrix128(std::int64_t count) {
  int32x4_t sums[kSums];
  UNROLLED sums[i] = vdupq_n_s32(i);
  const int8x16_t left = vdupq_n_s8(3), right = vdupq_n_s8(2);
  for (std::int64_t step = 0; step < count; ++step) UNROLLED {
      sums[i] = vmmlaq_s32(sums[i], left, right);
      __asm__ volatile("" : "+w"(sums[i]));
    }
  int all = 0;
  UNROLLED all += vaddvq_s32(sums[i]);
  return all;
}

// Bits of Linux's arch/arm64/include/uapi/asm/hwcap.h.
bool has_dotprod() { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }
bool has_i8mm() { return (getauxval(AT_HWCAP2) >> 13 & 1) != 0; }
#endif

}  // namespace

const PeakKernel kPeakKernels[] = {
#if defined(__x86_64__)
    {"float32", "avx512f", kSums * 16 * 2, fma512, has_avx512},
    {"float32", "fma", kSums * 8 * 2, fma256, has_fma},
    {"int8", "avx512vnni", kSums * 64 * 2, dot512, has_vnni512},
    {"int8", "avxvnni", kSums * 32 * 2, dot256, has_vnni256},
    {"int8", "avx2", kSums * 32 * 2, madd256, has_avx2},
#elif defined(__aarch64__)
    {"float32", "neon", kSums * 4 * 2, fma128, always},
    {"int8", "i8mm", kSums * 32 * 2, matrix128, has_i8mm},
    {"int8", "dotprod", kSums * 16 * 2, dot128, has_dotprod},
    {"int8", "neon", kSums * 8 * 2, multiply128, always},
#endif
    {"float32", "scalar", 8 * 2, scalar_float, always},
};

const int kPeakKernelCount = sizeof kPeakKernels / sizeof *kPeakKernels;
