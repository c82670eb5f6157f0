#include <algorithm>

#include "activations.h"
#include "multiply.h"

namespace ternary {
namespace {

constexpr std::size_t kTaskBytes = 32 * 1024;  // of weights, for which waking a thread pays
constexpr std::size_t kTasksPerThread = 4;

std::size_t task_count(const Weights& weights, std::size_t threads) {
  if (threads == 1) return 1;
  const std::size_t most = std::min(weights.groups, threads * kTasksPerThread);
  return std::max<std::size_t>(1, std::min(most, weights.bytes() / kTaskBytes));
}

}  // namespace

void multiply_vectors(const Product& product, std::size_t rows, Pool* pool) {
  const Weights& weights = product.weights;
  const Gemv gemv = weights.layout == Layout::t5 ? product.path.gemv_t5 : product.path.gemv_t2;
  const std::size_t stride = weights.activation_bytes();
  thread_local Buffer<std::int8_t> arranged_buffer, row_buffer;
  thread_local Buffer<std::int32_t> sum_buffer;
  std::int8_t* const arranged = arranged_buffer.reserve(rows * stride);
  std::int8_t* const scratch = row_buffer.reserve(weights.columns);
  std::int32_t* const sums = sum_buffer.reserve(rows);
  for (std::size_t m = 0; m < rows; ++m)
    sums[m] = arrange(weights, product.source.row(m, scratch), arranged + m * stride);

  const std::size_t tasks = task_count(weights, threads_of(pool));
  run_tasks(pool, tasks, [&](std::size_t task) {
    alignas(64) std::int32_t added[kGroup];
    for (std::size_t group = task * weights.groups / tasks; group < (task + 1) * weights.groups / tasks; ++group)
      for (std::size_t m = 0; m < rows; ++m) {
        gemv(weights.block(group, 0), arranged + m * stride, weights.chunks, added);
        const std::size_t first = group * kGroup;
        product.emit(m, first, std::min(kGroup, weights.rows - first), added, sums[m]);
      }
  });
}

}  // namespace ternary
