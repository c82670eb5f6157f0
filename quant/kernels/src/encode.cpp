#include "encode.h"

#include <cmath>
#include <cstring>

#include "crc32.h"
#include "failure.h"

namespace ternary {
namespace {

void write(std::uint8_t* at, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) at[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

void write_header(Layout layout, const Shape& shape, std::uint8_t* header) {
  std::memset(header, 0, codes_at(shape.rows()));
  std::memcpy(header, kMagic, 4);
  header[4] = kVersion;
  header[5] = static_cast<std::uint8_t>(layout);
  header[6] = static_cast<std::uint8_t>(shape.dimensions);
  for (std::size_t i = 0; i < kMostDimensions; ++i) write(header + kShapeAt + 4 * i, shape.sizes[i], 4);
  write(header + kWholeAt, whole_bytes(layout, shape), 8);
}

void write_scales(const Shape& shape, const float* scales, std::uint8_t* at) {
  for (std::size_t row = 0; row < shape.rows(); ++row, at += 4) {
    if (!std::isfinite(scales[row]) || !(scales[row] > 0))
      throw Failure(TERNARY_SCALE, "the scale of channel %zu is %g; expected a positive finite number", row,
                    static_cast<double>(scales[row]));
    std::uint32_t bits;
    std::memcpy(&bits, scales + row, sizeof bits);
    write(at, bits, 4);
  }
}

// Byte `index` of a channel.
std::uint8_t code(Layout layout, const std::int8_t* trits, std::size_t columns, std::size_t index) {
  const int base = layout == Layout::t2 ? 4 : 3;
  const std::size_t digits = digits_of(layout), plane = ceil_div(columns, digits);
  int value = 0;
  for (std::size_t digit = digits; digit-- > 0;) {
    const std::size_t column = digit * plane + index;
    const int trit = column < columns ? trits[column] : 0;
    if (trit < -1 || trit > 1) throw Failure(TERNARY_ARGUMENT, "%d is no trit; expected -1, 0 or 1", trit);
    value = value * base + trit + 1;
  }
  return static_cast<std::uint8_t>(value);
}

}  // namespace

void encode(Layout layout, const Shape& shape, const std::int8_t* trits, const float* scales, std::uint8_t* packed) {
  write_header(layout, shape, packed);
  write_scales(shape, scales, packed + kHeaderBytes);
  const std::size_t columns = shape.columns(), row_bytes = ceil_div(columns, digits_of(layout));
  std::uint8_t* at = packed + codes_at(shape.rows());
  for (std::size_t group = 0; group < shape.rows(); group += kGroup)
    for (std::size_t chunk = 0; chunk < row_bytes; chunk += kChunk)
      for (std::size_t row = group; row < group + kGroup && row < shape.rows(); ++row)
        for (std::size_t i = chunk; i < chunk + kChunk && i < row_bytes; ++i)
          *at++ = code(layout, trits + row * columns, columns, i);
  const std::size_t whole = whole_bytes(layout, shape);
  const std::uint32_t sum = crc32(packed + kHeaderBytes, whole - kHeaderBytes, crc32(packed, kSummedBytes));
  write(packed + kChecksumAt, sum, 4);
}

}  // namespace ternary
