#include "weights.h"

#include <cstring>

namespace ternary {
namespace {

void copy_row(const Packed& packed, std::size_t row, Weights& weights) {
  for (std::size_t chunk = 0; chunk < weights.chunks; ++chunk) {
    std::uint8_t* to = weights.codes.data() + (row / kGroup * weights.chunks + chunk) * kBlock + row % kGroup * kChunk;
    std::memcpy(to, packed.chunk(row, chunk), packed.chunk_bytes(chunk));
  }
}

// Write the digits of a channel as t2: the planes of t5 are shorter, so that every trit moves.
void recode_row(const std::uint8_t* digits, std::size_t row, Weights& weights) {
  for (std::size_t chunk = 0; chunk < weights.chunks; ++chunk) {
    std::uint8_t* to = weights.codes.data() + (row / kGroup * weights.chunks + chunk) * kBlock + row % kGroup * kChunk;
    for (std::size_t i = 0; i < weights.chunk_bytes(chunk); ++i) {
      const std::uint8_t* digit = digits + chunk * kChunk + i;
      const std::size_t plane = weights.row_bytes;
      to[i] = static_cast<std::uint8_t>(digit[0] | digit[plane] << 2 | digit[2 * plane] << 4 | digit[3 * plane] << 6);
    }
  }
}

}  // namespace

Weights load_weights(const void* bytes, std::size_t size, bool keep_t5) {
  const Packed packed = read_packed(bytes, size);
  Weights weights;
  weights.packed_layout = packed.layout;
  weights.layout = keep_t5 ? packed.layout : Layout::t2;
  weights.shape = packed.shape;
  weights.rows = packed.shape.rows();
  weights.columns = packed.columns;
  weights.row_bytes = ceil_div(packed.columns, weights.digits());
  weights.chunks = ceil_div(weights.row_bytes, kChunk);
  weights.groups = ceil_div(weights.rows, kGroup);
  weights.scales.resize(weights.rows);
  std::memset(weights.codes.reserve(weights.bytes()), 0, weights.bytes());
  std::vector<std::uint8_t> digits(4 * weights.row_bytes, 1);
  for (std::size_t row = 0; row < weights.rows; ++row) {
    weights.scales[row] = packed.scale(row);
    if (weights.layout == packed.layout) {
      copy_row(packed, row, weights);
    } else {
      read_digits(packed, row, digits.data());
      recode_row(digits.data(), row, weights);
    }
  }
  return weights;
}

}  // namespace ternary
