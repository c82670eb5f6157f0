// Read a buffer once: the sum of its 64-bit numbers.
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kStep = 16;  // numbers: two cache lines

// `streams` parts of the buffer in turns, as a processor may fetch several at once.
std::uint64_t sum(const std::uint64_t* values, std::size_t count, std::size_t streams) {
  const std::size_t part = count / streams;
  std::uint64_t lanes[kStep] = {};
  for (std::size_t i = 0; i < part; i += kStep)
    for (std::size_t stream = 0; stream < streams; ++stream)
      for (std::size_t lane = 0; lane < kStep; ++lane) lanes[lane] += values[stream * part + i + lane];
  std::uint64_t total = 0;
  for (const std::uint64_t lane : lanes) total += lane;
  return total;
}

}  // namespace

// `count` is a multiple of 16 times `threads` times `streams`.
extern "C" __attribute__((visibility("default"))) std::uint64_t read_sum(const std::uint64_t* values, std::size_t count,
                                                                         std::size_t threads, std::size_t streams) {
  const std::size_t part = count / threads;
  std::vector<std::uint64_t> sums(threads);
  std::vector<std::thread> others;
  for (std::size_t thread = 1; thread < threads; ++thread)
    others.emplace_back([&, thread] { sums[thread] = sum(values + thread * part, part, streams); });
  sums[0] = sum(values, part, streams);
  for (std::thread& other : others) other.join();
  std::uint64_t total = 0;
  for (const std::uint64_t found : sums) total += found;
  return total;
}
