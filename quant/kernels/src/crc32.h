#pragma once

#include <cstddef>
#include <cstdint>

namespace ternary {

// The CRC-32 of zlib, going on from `seed`.
std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size, std::uint32_t seed = 0);

}  // namespace ternary
