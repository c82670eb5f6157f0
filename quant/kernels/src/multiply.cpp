#include "multiply.h"

namespace ternary {
namespace {

constexpr std::size_t kMostVectors = 3;  // above, a panel pays

}  // namespace

void Product::emit(std::size_t row, std::size_t first, std::size_t count, const std::int32_t* added,
                   std::int32_t sum) const {
  const std::size_t at = row * weights.rows + first;
  if (output.sums != nullptr) {
    for (std::size_t i = 0; i < count; ++i)
      output.sums[at + i] =
          static_cast<std::int32_t>(static_cast<std::uint32_t>(added[i]) - static_cast<std::uint32_t>(sum));
    return;
  }
  const float scale = output.scales[row / output.rows_per_scale];
  const float* scales = weights.scales.data() + first;
  float* results = output.results + at;
  for (std::size_t i = 0; i < count; ++i) {
    const auto exact = static_cast<std::int32_t>(static_cast<std::uint32_t>(added[i]) - static_cast<std::uint32_t>(sum));
    results[i] = static_cast<float>(exact) * (scale * scales[i]);
  }
  if (output.bias == nullptr) return;
  for (std::size_t i = 0; i < count; ++i) results[i] += output.bias[first + i];
}

void multiply(const Product& product, std::size_t rows, Pool* pool) {
  if (rows <= kMostVectors) return multiply_vectors(product, rows, pool);
  multiply_matrix(product, rows, pool);
}

}  // namespace ternary
