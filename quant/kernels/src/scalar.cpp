// Plain C++: every processor, and what the other paths are compared with.
#include "path.h"

namespace ternary {
namespace {

constexpr std::size_t kUnit = 4;

struct T2 {
  static constexpr std::size_t digits = 4;
  static std::uint8_t digit(std::uint8_t byte, std::size_t index) { return (byte >> (2 * index)) & 3; }
};

struct T5 {
  static constexpr std::size_t digits = 5;
  static std::uint8_t digit(std::uint8_t byte, std::size_t index) {
    static constexpr int powers[] = {1, 3, 9, 27, 81};
    return static_cast<std::uint8_t>(byte / powers[index] % 3);
  }
};

// Sums are unsigned inside: they may pass the end of int32 on the way to a result that fits.
template <class Code>
void gemv(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks, std::int32_t* sums) {
  std::uint32_t found[kGroup] = {};
  for (std::size_t chunk = 0; chunk < chunks; ++chunk)
    for (std::size_t row = 0; row < kGroup; ++row)
      for (std::size_t digit = 0; digit < Code::digits; ++digit)
        for (std::size_t i = 0; i < kChunk; ++i)
          found[row] += static_cast<std::uint32_t>(Code::digit(blocks[chunk * kBlock + row * kChunk + i], digit) *
                                                   activations[(chunk * Code::digits + digit) * kChunk + i]);
  for (std::size_t row = 0; row < kGroup; ++row) sums[row] = static_cast<std::int32_t>(found[row]);
}

template <class Code>
void panel(const std::uint8_t* block, std::size_t bytes, std::uint8_t* to, std::size_t stride) {
  for (std::size_t digit = 0; digit < Code::digits; ++digit)
    for (std::size_t i = 0; i < bytes; i += kUnit, to += stride)
      for (std::size_t row = 0; row < kGroup; ++row)
        for (std::size_t k = 0; k < kUnit; ++k)
          to[row * kUnit + k] = Code::digit(block[row * kChunk + i + k], digit);
}

void multiply(const Tile& tile) {
  for (std::size_t m = 0; m < tile.rows; ++m) {
    std::uint32_t found[kGroup] = {};
    const std::uint8_t* panel = tile.panel;
    for (std::size_t run = 0; run < tile.runs; ++run)
      for (std::size_t step = 0; step < tile.steps; ++step, panel += kGroup * kUnit) {
        const std::int8_t* values =
            tile.activations + m * tile.activation_stride + run * tile.run_stride + step * kUnit;
        for (std::size_t row = 0; row < kGroup; ++row)
          for (std::size_t k = 0; k < kUnit; ++k)
            found[row] += static_cast<std::uint32_t>(panel[row * kUnit + k] * values[k]);
      }
    for (std::size_t row = 0; row < kGroup; ++row) {
      std::int32_t& sum = tile.sums[m * kGroup + row];
      sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum) + found[row]);
    }
  }
}

}  // namespace

extern const Path kScalarPath;
const Path kScalarPath = {"scalar", 0, 1, kUnit, gemv<T2>, gemv<T5>, panel<T2>, panel<T5>, multiply};

}  // namespace ternary
