// The numbers of the packed layout, as quant/ternary/packing.py describes it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ternary {

constexpr std::size_t kGroup = 8;                  // channels that share a stretch of the stream
constexpr std::size_t kChunk = 64;                 // bytes of a channel that lie together
constexpr std::size_t kBlock = kGroup * kChunk;    // a full chunk of a full group
constexpr std::size_t kMostDigits = 5;             // trits in a byte
constexpr std::size_t kMostColumns = (1u << 24) - 1;  // 128 * K fits into int32
constexpr std::size_t kMostDimensions = 6;

enum class Layout : std::uint8_t { t2 = 2, t5 = 5 };

constexpr std::size_t digits_of(Layout layout) { return layout == Layout::t2 ? 4 : 5; }

static_assert(sizeof(std::size_t) == 8, "sizes of packed tensors need 64 bits");

constexpr std::size_t ceil_div(std::size_t value, std::size_t by) { return (value + by - 1) / by; }

constexpr std::size_t round_up(std::size_t value, std::size_t to) { return ceil_div(value, to) * to; }

}  // namespace ternary
