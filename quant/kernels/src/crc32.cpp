#include "crc32.h"

#include <array>
#include <cstring>

namespace ternary {
namespace {

constexpr std::size_t kTables = 8;  // bytes taken at once
using Tables = std::array<std::array<std::uint32_t, 256>, kTables>;

// Table t holds what a byte does to the sum t bytes later.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t sum = byte;
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1) ? 0xEDB88320u : 0u);
    tables[0][byte] = sum;
  }
  for (std::size_t t = 1; t < kTables; ++t)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[t - 1][byte];
      tables[t][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  return tables;
}

constexpr Tables kTable = make_tables();

}  // namespace

std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size, std::uint32_t seed) {
  std::uint32_t sum = ~seed;
  for (; size >= kTables; size -= kTables, bytes += kTables) {
    std::uint32_t found = 0;
    for (std::size_t i = 0; i < kTables; ++i) {
      const std::uint32_t mixed = i < 4 ? (sum >> (8 * i)) & 0xFF : 0;
      found ^= kTable[kTables - 1 - i][bytes[i] ^ mixed];
    }
    sum = found;
  }
  for (; size > 0; --size) sum = (sum >> 8) ^ kTable[0][(sum ^ *bytes++) & 0xFF];
  return ~sum;
}

}  // namespace ternary
