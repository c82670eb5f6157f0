// AVX2: products of neighbours are added in int16, 512 at most each (a digit is at most 2, an activation -128).
#include "gemv256.h"
#include "multiply256.h"
#include "panel256.h"

namespace ternary {
namespace {

struct Ops {
  // Of gemv256: digits that stay where they are make 2048 a pair; a chunk adds 2 * 2 of them: -32768 after 4 chunks,
  // and 32512 as 127 is the largest activation.
  static constexpr std::size_t kChunksInARow = 4;
  // Of multiply256: 64 * 512.
  static constexpr std::size_t kStepsInARow = 64;

  static __m256i add(__m256i sum, __m256i codes, __m256i activations) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, activations));
  }
  static __m256i widen(__m256i sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
  static __m256i fold(__m256i low, __m256i high) { return widen(_mm256_add_epi16(low, _mm256_srai_epi16(high, 2))); }
};

}  // namespace

extern const Path kAvx2Path;
const Path kAvx2Path = {
    "avx2", kAvx2, 2, 4, gemv256<Ops>, nullptr, panel256_t2, nullptr, multiply256<Ops>,
};

}  // namespace ternary
