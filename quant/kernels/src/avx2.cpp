// AVX2: products of neighbours are added in int16, 512 at most each (a digit is at most 2, an activation -128).
#include "gemv256.h"
#include "multiply256.h"
#include "panel256.h"

namespace ternary {
namespace {

struct Ops {
  // Of gemv256: a chunk adds eight products; 8 * 8 * 512. Digits that stay where they are make 4 * 2048 at most.
  static constexpr std::size_t kChunksInARow = 8;
  // Of multiply256: 64 * 512.
  static constexpr std::size_t kStepsInARow = 64;

  static __m256i products(__m256i codes, __m256i activations) { return _mm256_maddubs_epi16(codes, activations); }
  static __m256i add(__m256i sum, __m256i codes, __m256i activations) {
    return _mm256_add_epi16(sum, products(codes, activations));
  }
  static __m256i add_quarter(__m256i sum, __m256i four) { return _mm256_add_epi16(sum, _mm256_srai_epi16(four, 2)); }
  static __m256i widen(__m256i sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
};

}  // namespace

extern const Path kAvx2Path;
const Path kAvx2Path = {
    "avx2", kAvx2, 2, 4, gemv256<Ops>, nullptr, panel256_t2, nullptr, multiply256<Ops>,
};

}  // namespace ternary
