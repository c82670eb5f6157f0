// Read a buffer once: the sum of its 64-bit numbers, in eight independent streams of additions.
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kStep = 32;  // numbers: four cache lines
constexpr std::size_t kAhead = 512;

std::uint64_t sum(const std::uint64_t* values, std::size_t count) {
  std::uint64_t lanes[kStep] = {};
  for (std::size_t i = 0; i + kStep <= count; i += kStep) {
    for (std::size_t line = 0; line < kStep; line += 8) __builtin_prefetch(values + i + kAhead + line);
    for (std::size_t lane = 0; lane < kStep; ++lane) lanes[lane] += values[i + lane];
  }
  std::uint64_t total = 0;
  for (const std::uint64_t lane : lanes) total += lane;
  return total;
}

}  // namespace

// `count` is a multiple of 32 times `threads`.
extern "C" __attribute__((visibility("default"))) std::uint64_t read_sum(const std::uint64_t* values, std::size_t count,
                                                                         std::size_t threads) {
  const std::size_t part = count / threads;
  std::vector<std::uint64_t> sums(threads);
  std::vector<std::thread> others;
  for (std::size_t thread = 1; thread < threads; ++thread)
    others.emplace_back([&, thread] { sums[thread] = sum(values + thread * part, part); });
  sums[0] = sum(values, part);
  for (std::thread& other : others) other.join();
  std::uint64_t total = 0;
  for (const std::uint64_t found : sums) total += found;
  return total;
}
