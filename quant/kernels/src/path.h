// A path: the same sums by other instructions.
//
// What a path reads is laid out for it by the others: weights by weights.h (groups of 8 channels, chunks of 64 bytes), an
// activation row in the same order (for each chunk 64 values of each digit, zeros where there are none). A path adds
// digits t + 1 times activations; who calls it subtracts the sum of the activations.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu.h"
#include "layout.h"

// The next loop has a fixed small count and belongs into registers.
#if defined(__clang__)
#define TERNARY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TERNARY_UNROLL _Pragma("GCC unroll 16")
#endif

namespace ternary {

// How far ahead of the stream of codes a path asks for it; past its end that does nothing.
constexpr std::size_t kPrefetchBytes = 32 * kBlock;

// Write the sums of 8 channels, whose `chunks` blocks follow each other.
using Gemv = void (*)(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks,
                      std::int32_t* sums);

// Write the digits of the first `bytes` bytes of 8 channels as a panel: for each digit, for each `unit` bytes, for each
// channel `unit` digits. From one such step to the next it is `stride` bytes. `bytes` is a multiple of the unit.
using Panel = void (*)(const std::uint8_t* block, std::size_t bytes, std::uint8_t* panel, std::size_t stride);

// Activation rows times a panel. The panel's steps belong to `runs` stretches of `steps` units of an activation row,
// `run_stride` bytes apart; they are at most 64 KiB. The sums (rows, channels) are added to.
struct Tile {
  const std::uint8_t* panel;
  const std::int8_t* activations;
  std::size_t activation_stride;  // bytes from one row to the next
  std::size_t rows;
  std::size_t runs, run_stride, steps;
  std::int32_t* sums;
};

struct Path {
  const char* name;
  std::uint32_t features;       // of cpu.h; all are needed
  std::size_t panel_groups;     // groups of 8 channels side by side in a panel
  std::size_t unit;             // digits of a channel that lie together in a panel
  Gemv gemv_t2, gemv_t5;        // t5 is null where it is not read
  Panel panel_t2, panel_t5;
  void (*multiply)(const Tile& tile);

  bool reads_t5() const { return gemv_t5 != nullptr; }
};

// The paths that were compiled in, best first.
struct Paths {
  const Path* const* begin;
  std::size_t count;
};
Paths compiled_paths();

// Return the named path, or the best one for null; throws Failure if there is none or this processor cannot run it.
const Path& choose_path(const char* name);

}  // namespace ternary
