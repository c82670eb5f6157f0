// Weights as the paths read them: the packed stream with its short chunks and its last group filled up.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.h"
#include "packed.h"

namespace ternary {

struct Weights {
  Layout layout = Layout::t2;  // in memory
  Layout packed_layout = Layout::t2;
  Shape shape;
  std::size_t rows = 0, columns = 0;
  std::size_t row_bytes = 0;  // of a channel, without what fills its last chunk
  std::size_t chunks = 0, groups = 0;
  std::vector<float> scales;
  Buffer<std::uint8_t> codes;  // groups × chunks × 8 channels × 64 bytes; what was filled up is 0

  std::size_t digits() const { return digits_of(layout); }
  std::size_t bytes() const { return groups * chunks * kBlock; }
  const std::uint8_t* block(std::size_t group, std::size_t chunk) const {
    return codes.data() + (group * chunks + chunk) * kBlock;
  }
  std::size_t chunk_bytes(std::size_t chunk) const {
    const std::size_t left = row_bytes - chunk * kChunk;
    return left < kChunk ? left : kChunk;
  }
  // An activation row in the order of the codes: for each chunk 64 values of each digit.
  std::size_t activation_bytes() const { return chunks * digits() * kChunk; }
};

// Throws Failure for packed bytes that are none. With `keep_t5` false, t5 becomes t2.
Weights load_weights(const void* bytes, std::size_t size, bool keep_t5);

}  // namespace ternary
