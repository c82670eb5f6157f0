#pragma once

#include <cstddef>
#include <cstdint>

#include "weights.h"

namespace ternary {

// Put a row of K activations into the order of the codes and return its sum.
std::int32_t arrange(const Weights& weights, const std::int8_t* row, std::int8_t* arranged);

// Throws Failure for a row with values that are not finite.
void quantize(const float* values, std::size_t rows, std::size_t columns, std::int8_t* codes, float* scales);

// The same with a row for each image (channels, pixels), whose codes are written (pixels, channels).
void quantize_pixels(const float* values, std::size_t images, std::size_t channels, std::size_t pixels,
                     std::int8_t* codes, float* scales);

// Write a matrix (rows, columns) as (columns, rows), in squares that stay in the cache.
template <class T>
void transpose(const T* from, std::size_t rows, std::size_t columns, T* to) {
  constexpr std::size_t kSquare = 32;
  for (std::size_t row = 0; row < rows; row += kSquare)
    for (std::size_t column = 0; column < columns; column += kSquare)
      for (std::size_t y = row; y < rows && y < row + kSquare; ++y)
        for (std::size_t x = column; x < columns && x < column + kSquare; ++x) to[x * rows + y] = from[y * columns + x];
}

}  // namespace ternary
