// The packed bytes: validated, and read where they lie.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "layout.h"

namespace ternary {

struct Shape {
  int dimensions = 0;
  std::array<std::uint32_t, kMostDimensions> sizes{};

  std::size_t rows() const { return sizes[0]; }
  std::size_t columns() const;  // 0 if it is beyond kMostColumns
};

// A view into bytes that hold what `pack` writes and nothing else.
struct Packed {
  Layout layout = Layout::t2;
  Shape shape;
  std::size_t columns = 0;
  std::size_t row_bytes = 0;
  const std::uint8_t* scales = nullptr;  // float32, perhaps not aligned
  const std::uint8_t* codes = nullptr;

  float scale(std::size_t row) const;
  // The bytes of a channel in one chunk.
  const std::uint8_t* chunk(std::size_t row, std::size_t index) const;
  std::size_t chunk_bytes(std::size_t index) const;
  std::size_t chunks() const { return ceil_div(row_bytes, kChunk); }
};

constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kSummedBytes = 40;  // of the header, under the checksum
constexpr std::size_t kChecksumAt = 40;
constexpr std::size_t kShapeAt = 8;
constexpr std::size_t kWholeAt = 32;
constexpr std::uint8_t kVersion = 1;
constexpr char kMagic[] = "EDKT";

inline std::size_t codes_at(std::size_t rows) { return round_up(kHeaderBytes + 4 * rows, 64); }
std::size_t whole_bytes(Layout layout, const Shape& shape);  // 0 if no memory would hold them

// Throws Failure for anything that `pack` does not write.
Packed read_packed(const void* bytes, std::size_t size);

// Write the trits of a channel as digits t + 1.
void read_digits(const Packed& packed, std::size_t row, std::uint8_t* digits);

}  // namespace ternary
