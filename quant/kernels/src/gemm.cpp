#include <algorithm>
#include <cstring>

#include "activations.h"
#include "multiply.h"

namespace ternary {
namespace {

constexpr std::size_t kPanelBytes = 20 * 1024;         // most of a first-level cache
constexpr std::size_t kActivationBytes = 256 * 1024;   // half of a second-level cache
constexpr std::size_t kFewestRows = 64, kMostRows = 256;  // in a block
constexpr std::size_t kBlocksPerThread = 2;            // from here on threads take blocks, below panels
constexpr std::size_t kTasksPerThread = 4;

// A stretch of chunks whose panel is in the cache while all rows of a block pass.
struct Stretch {
  std::size_t chunk, chunks, bytes;  // of a channel in each of its chunks
};

class Multiplication {
 public:
  explicit Multiplication(const Product& product)
      : product_(product),
        weights_(product.weights),
        path_(product.path),
        panel_(weights_.layout == Layout::t5 ? path_.panel_t5 : path_.panel_t2),
        stride_(weights_.activation_bytes() + kChunk),  // not a power of two: other cache sets for every row
        channels_(path_.panel_groups * kGroup),
        panels_(ceil_div(weights_.groups, path_.panel_groups)) {}

  std::size_t panels() const { return panels_; }

  // How many activation rows are kept at once.
  std::size_t block_rows(std::size_t rows) const {
    return std::min(rows, std::clamp(kActivationBytes / stride_, kFewestRows, kMostRows));
  }

  std::int8_t* arranged(Buffer<std::int8_t>& buffer, std::size_t rows) const { return buffer.reserve(rows * stride_); }

  // Arrange rows [begin, end) of a block that starts at row `first`.
  void arrange_rows(std::size_t first, std::size_t begin, std::size_t end, std::int8_t* arranged,
                    std::int32_t* sums) const {
    thread_local Buffer<std::int8_t> buffer;
    std::int8_t* const scratch = buffer.reserve(weights_.columns);
    for (std::size_t m = begin; m < end; ++m)
      sums[m] = arrange(weights_, product_.source.row(first + m, scratch), arranged + m * stride_);
  }

  // Multiply the rows of a block by the panels [begin, end).
  void multiply_panels(std::size_t first, std::size_t rows, const std::int8_t* arranged, const std::int32_t* sums,
                       std::size_t begin, std::size_t end) const {
    thread_local Buffer<std::uint8_t> panel_buffer;
    thread_local Buffer<std::int32_t> added_buffer;
    std::uint8_t* const panel = panel_buffer.reserve(kPanelBytes);
    std::int32_t* const added = added_buffer.reserve(rows * channels_);
    for (std::size_t index = begin; index < end; ++index) {
      std::memset(added, 0, rows * channels_ * sizeof *added);
      for (std::size_t chunk = 0; chunk < weights_.chunks;) {
        const Stretch stretch = stretch_from(chunk);
        decode(index, stretch, panel);
        path_.multiply(tile(stretch, panel, arranged, rows, added));
        chunk += stretch.chunks;
      }
      const std::size_t channel = index * channels_, count = std::min(channels_, weights_.rows - channel);
      for (std::size_t m = 0; m < rows; ++m) product_.emit(first + m, channel, count, added + m * channels_, sums[m]);
    }
  }

 private:
  // Full chunks as many as fit, or the last one with no more bytes than it has.
  Stretch stretch_from(std::size_t chunk) const {
    const std::size_t bytes = round_up(weights_.chunk_bytes(chunk), path_.unit);
    if (bytes < kChunk) return {chunk, 1, bytes};
    const std::size_t most = kPanelBytes / (kChunk * weights_.digits() * channels_);
    const std::size_t full = weights_.row_bytes / kChunk;
    return {chunk, std::max<std::size_t>(1, std::min(most, full > chunk ? full - chunk : 1)), kChunk};
  }

  void decode(std::size_t index, const Stretch& stretch, std::uint8_t* panel) const {
    const std::size_t step = path_.unit * channels_, chunk_steps = weights_.digits() * stretch.bytes / path_.unit;
    for (std::size_t side = 0; side < path_.panel_groups; ++side) {
      const std::size_t group = index * path_.panel_groups + side;
      std::uint8_t* to = panel + side * path_.unit * kGroup;
      for (std::size_t i = 0; i < stretch.chunks; ++i, to += chunk_steps * step) {
        if (group < weights_.groups) {
          panel_(weights_.block(group, stretch.chunk + i), stretch.bytes, to, step);
        } else {
          for (std::size_t at = 0; at < chunk_steps; ++at) std::memset(to + at * step, 0, path_.unit * kGroup);
        }
      }
    }
  }

  Tile tile(const Stretch& stretch, const std::uint8_t* panel, const std::int8_t* arranged, std::size_t rows,
            std::int32_t* added) const {
    const std::size_t digits = weights_.digits();
    const std::int8_t* from = arranged + stretch.chunk * digits * kChunk;
    if (stretch.bytes == kChunk)
      return {panel, from, stride_, rows, stretch.chunks, digits * kChunk, digits * kChunk / path_.unit, added};
    return {panel, from, stride_, rows, digits, kChunk, stretch.bytes / path_.unit, added};
  }

  const Product& product_;
  const Weights& weights_;
  const Path& path_;
  Panel panel_;
  std::size_t stride_, channels_, panels_;
};

// Every thread takes whole blocks of rows.
void multiply_blocks(const Multiplication& work, std::size_t rows, std::size_t block, Pool* pool) {
  run_tasks(pool, ceil_div(rows, block), [&](std::size_t task) {
    thread_local Buffer<std::int8_t> arranged_buffer;
    thread_local Buffer<std::int32_t> sum_buffer;
    const std::size_t first = task * block, count = std::min(block, rows - first);
    std::int8_t* const arranged = work.arranged(arranged_buffer, count);
    std::int32_t* const sums = sum_buffer.reserve(count);
    work.arrange_rows(first, 0, count, arranged, sums);
    work.multiply_panels(first, count, arranged, sums, 0, work.panels());
  });
}

// All threads share a block of rows and take panels.
void multiply_shared(const Multiplication& work, std::size_t rows, std::size_t block, Pool* pool) {
  thread_local Buffer<std::int8_t> arranged_buffer;
  thread_local Buffer<std::int32_t> sum_buffer;
  const std::size_t tasks = std::min(work.panels(), threads_of(pool) * kTasksPerThread);
  for (std::size_t first = 0; first < rows; first += block) {
    const std::size_t count = std::min(block, rows - first);
    std::int8_t* const arranged = work.arranged(arranged_buffer, count);
    std::int32_t* const sums = sum_buffer.reserve(count);
    work.arrange_rows(first, 0, count, arranged, sums);
    run_tasks(pool, tasks, [&](std::size_t task) {
      work.multiply_panels(first, count, arranged, sums, task * work.panels() / tasks,
                           (task + 1) * work.panels() / tasks);
    });
  }
}

}  // namespace

void multiply_matrix(const Product& product, std::size_t rows, Pool* pool) {
  const Multiplication work(product);
  const std::size_t block = work.block_rows(rows), threads = threads_of(pool);
  if (threads > 1 && ceil_div(rows, block) < kBlocksPerThread * threads)
    return multiply_shared(work, rows, block, pool);
  multiply_blocks(work, rows, block, pool);
}

}  // namespace ternary
