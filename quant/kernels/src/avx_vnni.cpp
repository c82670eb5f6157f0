// AVX-VNNI: four products at a time, added in int32.
#include "gemv256.h"
#include "multiply256.h"
#include "panel256.h"

namespace ternary {
namespace {

struct Ops {
  static constexpr std::size_t kChunksInARow = ~std::size_t{0} / 2;
  static constexpr std::size_t kStepsInARow = ~std::size_t{0} / 2;

  static __m256i add(__m256i sum, __m256i codes, __m256i activations) {
    return _mm256_dpbusd_avx_epi32(sum, codes, activations);
  }
  static __m256i widen(__m256i sum) { return sum; }
  static __m256i products(__m256i codes, __m256i activations) {
    return add(_mm256_setzero_si256(), codes, activations);
  }
  static __m256i add_quarter(__m256i sum, __m256i four) { return _mm256_add_epi32(sum, _mm256_srai_epi32(four, 2)); }
};

}  // namespace

extern const Path kAvxVnniPath;
const Path kAvxVnniPath = {
    "avx-vnni", kAvx2 | kAvxVnni, 2, 4, gemv256<Ops>, nullptr, panel256_t2, nullptr, multiply256<Ops>,
};

}  // namespace ternary
