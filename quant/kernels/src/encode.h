#pragma once

#include <cstddef>
#include <cstdint>

#include "packed.h"

namespace ternary {

// Write what quant.ternary.pack writes; throws Failure for values that are no trits or no scales.
void encode(Layout layout, const Shape& shape, const std::int8_t* trits, const float* scales, std::uint8_t* packed);

}  // namespace ternary
