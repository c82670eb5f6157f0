#pragma once

#include <cstddef>
#include <cstdint>

#include "weights.h"

namespace ternary {

// Put a row of K activations into the order of the codes and return its sum.
std::int32_t arrange(const Weights& weights, const std::int8_t* row, std::int8_t* arranged);

// Throws Failure for a row with values that are not finite.
void quantize(const float* values, std::size_t rows, std::size_t columns, std::int8_t* codes, float* scales);

}  // namespace ternary
