#include "activations.h"

#include <cfloat>
#include <cstring>

#include "buffer.h"
#include "failure.h"

namespace ternary {
namespace {

constexpr float kLargestCode = 127;
constexpr std::uint32_t kInfinity = 0x7F800000;

std::uint32_t magnitude_bits(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits & 0x7FFFFFFF;
}

// The largest magnitude; as bits, which order like the numbers, with what is not finite above.
float largest_magnitude(const float* values, std::size_t columns, std::size_t row) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < columns; ++i) {
    const std::uint32_t bits = magnitude_bits(values[i]);
    most = bits > most ? bits : most;
  }
  if (most >= kInfinity) throw Failure(TERNARY_ARGUMENT, "activation row %zu holds a value that is not finite", row);
  float largest;
  std::memcpy(&largest, &most, sizeof largest);
  return largest;
}

// Round half to even: beyond 2^23 a float has no fraction left.
std::int8_t rounded(float value) {
  constexpr float kNoFraction = 12582912.0f;  // 1.5 * 2^23
  return static_cast<std::int8_t>(static_cast<std::int32_t>((value + kNoFraction) - kNoFraction));
}

std::int32_t sum_of(const std::int8_t* values, std::size_t count) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += values[i];
  return sum;
}

}  // namespace

std::int32_t arrange(const Weights& weights, const std::int8_t* row, std::int8_t* arranged) {
  for (std::size_t chunk = 0; chunk < weights.chunks; ++chunk)
    for (std::size_t digit = 0; digit < weights.digits(); ++digit, arranged += kChunk) {
      const std::size_t begin = digit * weights.row_bytes + chunk * kChunk, wanted = weights.chunk_bytes(chunk);
      const std::size_t left = begin < weights.columns ? weights.columns - begin : 0;
      const std::size_t count = left < wanted ? left : wanted;
      if (count == kChunk) {
        std::memcpy(arranged, row + begin, kChunk);
      } else {
        std::memset(arranged, 0, kChunk);
        if (count > 0) std::memcpy(arranged, row + begin, count);
      }
    }
  return sum_of(row, weights.columns);
}

void quantize(const float* values, std::size_t rows, std::size_t columns, std::int8_t* codes, float* scales) {
  for (std::size_t row = 0; row < rows; ++row, values += columns, codes += columns) {
    const float even = largest_magnitude(values, columns, row) / kLargestCode;
    const float scale = even > FLT_MIN ? even : FLT_MIN;
    scales[row] = scale;
    for (std::size_t i = 0; i < columns; ++i) codes[i] = rounded(values[i] / scale);
  }
}

void quantize_pixels(const float* values, std::size_t images, std::size_t channels, std::size_t pixels,
                     std::int8_t* codes, float* scales) {
  const std::size_t count = channels * pixels;
  Buffer<std::int8_t> planes(count);
  for (std::size_t image = 0; image < images; ++image) {
    quantize(values + image * count, 1, count, planes.data(), scales + image);
    transpose(planes.data(), channels, pixels, codes + image * count);
  }
}

}  // namespace ternary
