#include "packed.h"

#include <cmath>
#include <cstring>

#include "crc32.h"
#include "failure.h"

namespace ternary {
namespace {

std::uint32_t read_u32(const std::uint8_t* at) {
  return std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8 | std::uint32_t{at[2]} << 16 | std::uint32_t{at[3]} << 24;
}

std::uint64_t read_u64(const std::uint8_t* at) { return read_u32(at) | std::uint64_t{read_u32(at + 4)} << 32; }

Layout read_layout(const std::uint8_t* header) {
  if (header[5] != 2 && header[5] != 5)
    throw Failure(TERNARY_NOT_PACKED, "layout %d is not known; expected 2 or 5", header[5]);
  bool zeros = header[7] == 0;
  for (std::size_t at = kChecksumAt + 4; at < kHeaderBytes; ++at) zeros = zeros && header[at] == 0;
  if (!zeros) throw Failure(TERNARY_NOT_PACKED, "bytes of the header that must be 0 are not");
  return static_cast<Layout>(header[5]);
}

Shape read_shape(const std::uint8_t* header) {
  Shape shape;
  shape.dimensions = header[6];
  if (shape.dimensions < 2 || shape.dimensions > kMostDimensions)
    throw Failure(TERNARY_SHAPE, "%d dimensions are no weight's; expected 2 to %d", shape.dimensions, kMostDimensions);
  for (std::size_t i = 0; i < kMostDimensions; ++i) {
    const std::uint32_t size = read_u32(header + kShapeAt + 4 * i);
    if ((size == 0) == (i < header[6]))
      throw Failure(TERNARY_SHAPE, "dimension %zu of %d is %u; expected sizes above 0, then zeros", i, shape.dimensions,
                    size);
    shape.sizes[i] = size;
  }
  if (shape.columns() == 0)
    throw Failure(TERNARY_SHAPE, "a channel has more than %zu weights: their sums would not fit into int32",
                  kMostColumns);
  return shape;
}

void check_scales(const Packed& packed) {
  for (std::size_t row = 0; row < packed.shape.rows(); ++row) {
    const float scale = packed.scale(row);
    if (!std::isfinite(scale) || !(scale > 0))
      throw Failure(TERNARY_SCALE, "the scale of channel %zu is %g; expected a positive finite number", row,
                    static_cast<double>(scale));
  }
}

void check_padding(const Packed& packed, const std::uint8_t* body) {
  for (const std::uint8_t* at = body + 4 * packed.shape.rows(); at < packed.codes; ++at)
    if (*at != 0) throw Failure(TERNARY_DAMAGED, "bytes between the scales and the codes are not 0");
}

bool is_code(Layout layout, std::uint8_t byte) {
  return layout == Layout::t5 ? byte <= 242 : (byte & (byte >> 1) & 0x55) == 0;
}

std::uint8_t digit_of(Layout layout, std::uint8_t byte, std::size_t digit) {
  static constexpr int powers[] = {1, 3, 9, 27, 81};
  return static_cast<std::uint8_t>(layout == Layout::t2 ? (byte >> (2 * digit)) & 3 : byte / powers[digit] % 3);
}

// Every byte holds digits, and those beyond the end of a channel are 1.
void check_codes(const Packed& packed) {
  const std::size_t size = packed.shape.rows() * packed.row_bytes;
  for (std::size_t i = 0; i < size; ++i)
    if (!is_code(packed.layout, packed.codes[i]))
      throw Failure(TERNARY_DAMAGED, "byte %zu of the codes is %d, which no trits make", i, packed.codes[i]);
  const std::size_t missing = digits_of(packed.layout) * packed.row_bytes - packed.columns;
  for (std::size_t row = 0; row < packed.shape.rows(); ++row)
    for (std::size_t at = packed.columns; at < packed.columns + missing; ++at) {
      const std::size_t byte = at % packed.row_bytes;
      const std::uint8_t code = packed.chunk(row, byte / kChunk)[byte % kChunk];
      if (digit_of(packed.layout, code, at / packed.row_bytes) != 1)
        throw Failure(TERNARY_DAMAGED, "trits beyond the end of channel %zu are not 0", row);
    }
}

}  // namespace

std::size_t Shape::columns() const {
  std::size_t product = 1;
  for (int i = 1; i < dimensions; ++i) {
    product *= sizes[static_cast<std::size_t>(i)];  // below 2^24 * 2^32
    if (product > kMostColumns) return 0;
  }
  return product;
}

float Packed::scale(std::size_t row) const {
  const std::uint32_t bits = read_u32(scales + 4 * row);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::size_t Packed::chunk_bytes(std::size_t index) const {
  const std::size_t left = row_bytes - index * kChunk;
  return left < kChunk ? left : kChunk;
}

const std::uint8_t* Packed::chunk(std::size_t row, std::size_t index) const {
  const std::size_t group = row / kGroup, left = shape.rows() - group * kGroup;
  const std::size_t channels = left < kGroup ? left : kGroup;
  return codes + group * kGroup * row_bytes + index * kChunk * channels + (row % kGroup) * chunk_bytes(index);
}

std::size_t whole_bytes(Layout layout, const Shape& shape) {
  const std::size_t columns = shape.columns();
  // Below 2^32 * 2^24, so that nothing wraps around.
  const std::size_t bytes = codes_at(shape.rows()) + shape.rows() * ceil_div(columns, digits_of(layout));
  return columns == 0 || bytes >= std::size_t{1} << 40 ? 0 : bytes;
}

Packed read_packed(const void* bytes, std::size_t size) {
  const auto* header = static_cast<const std::uint8_t*>(bytes);
  if (header == nullptr) throw Failure(TERNARY_ARGUMENT, "the packed bytes are a null pointer");
  if (size < kHeaderBytes)
    throw Failure(TERNARY_TRUNCATED, "%zu bytes are no packed ternary tensor; expected at least %zu", size,
                  kHeaderBytes);
  if (std::memcmp(header, kMagic, 4) != 0)
    throw Failure(TERNARY_NOT_PACKED, "the bytes do not begin with %s: they are no packed ternary tensor", kMagic);
  if (header[4] != kVersion)
    throw Failure(TERNARY_VERSION, "version %d of packed ternary tensors is not known; expected %d", header[4],
                  kVersion);
  Packed packed;
  packed.layout = read_layout(header);
  packed.shape = read_shape(header);
  packed.columns = packed.shape.columns();
  const std::uint64_t whole = read_u64(header + kWholeAt);
  const std::size_t expected = whole_bytes(packed.layout, packed.shape);
  if (expected == 0 || whole != expected || size != expected)
    throw Failure(TERNARY_TRUNCATED, "%zu bytes, %llu by the header, but the shape needs %zu: cut off or damaged", size,
                  static_cast<unsigned long long>(whole), expected);
  const std::uint32_t sum = crc32(header + kHeaderBytes, size - kHeaderBytes, crc32(header, kSummedBytes));
  if (sum != read_u32(header + kChecksumAt))
    throw Failure(TERNARY_DAMAGED, "the checksum is wrong: the packed tensor was damaged");
  packed.row_bytes = ceil_div(packed.columns, digits_of(packed.layout));
  packed.scales = header + kHeaderBytes;
  packed.codes = header + codes_at(packed.shape.rows());
  check_scales(packed);
  check_padding(packed, packed.scales);
  check_codes(packed);
  return packed;
}

void read_digits(const Packed& packed, std::size_t row, std::uint8_t* digits) {
  for (std::size_t index = 0; index < packed.chunks(); ++index) {
    const std::uint8_t* bytes = packed.chunk(row, index);
    for (std::size_t digit = 0; digit < digits_of(packed.layout); ++digit) {
      const std::size_t begin = digit * packed.row_bytes + index * kChunk;
      for (std::size_t i = 0; i < packed.chunk_bytes(index) && begin + i < packed.columns; ++i)
        digits[begin + i] = digit_of(packed.layout, bytes[i], digit);
    }
  }
}

}  // namespace ternary
