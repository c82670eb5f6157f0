#include "peaks.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "events.h"
#include "peak_kernels.h"

namespace {

constexpr int kTries = 7;
constexpr std::int64_t kTryNs = 20'000'000;
constexpr std::int64_t kLeastBuffer = std::int64_t{128} << 20;
constexpr std::int64_t kMostBuffer = std::int64_t{512} << 20;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Have all threads do their part at once, and return from when the first began to when the last was done.
std::int64_t together(std::uint32_t threads, const std::function<void(std::uint32_t)>& part) {
  std::atomic<std::uint32_t> waiting{0};
  std::vector<std::int64_t> starts(threads), ends(threads);
  std::vector<std::thread> running;
  for (std::uint32_t index = 0; index < threads; ++index)
    running.emplace_back([&, index] {
      waiting.fetch_add(1);
      while (waiting.load() < threads) std::this_thread::yield();
      starts[index] = now_ns();
      part(index);
      ends[index] = now_ns();
    });
  for (auto& thread : running) thread.join();
  return *std::max_element(ends.begin(), ends.end()) - *std::min_element(starts.begin(), starts.end());
}

volatile double kept;  // what is computed is used

double operations_per_s(const PeakKernel& kernel, std::uint32_t threads) {
  std::int64_t steps = 1024;
  for (std::int64_t taken = 0; taken < kTryNs && steps < (std::int64_t{1} << 40); steps *= 2) {
    const std::int64_t start = now_ns();
    kept = kernel.steps(steps);
    taken = now_ns() - start;
  }
  std::vector<double> found;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const std::int64_t taken = together(threads, [&](std::uint32_t) { kept = kernel.steps(steps); });
    found.push_back(kernel.operations * static_cast<double>(steps) * threads / static_cast<double>(taken) * 1e9);
  }
  return median(found);
}

// Far larger than the last cache, and a small part of the memory.
std::int64_t buffer_bytes() {
  std::int64_t cache = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
  cache = std::max<std::int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
#endif
  const std::int64_t memory = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return std::min({std::max(kLeastBuffer, 4 * cache), kMostBuffer, memory / 8});
}

std::uint64_t sum(const std::uint64_t* words, std::int64_t count) {
  std::uint64_t sums[16] = {};  // independent, so that the compiler takes the widest loads
  for (std::int64_t at = 0; at + 16 <= count; at += 16)
    for (int i = 0; i < 16; ++i) sums[i] += words[at + i];
  std::uint64_t all = 0;
  for (const std::uint64_t one : sums) all += one;
  return all;
}

// The faster of reading a buffer (an inference reads its weights) and of copying its one half to the other.
std::pair<double, double> bytes_per_s(std::uint32_t threads, std::int64_t bytes) {
  const std::int64_t share = bytes / threads / 128 * 128;
  std::vector<std::unique_ptr<std::uint64_t[]>> buffers(threads);
  together(threads, [&](std::uint32_t index) {  // each thread touches its own pages first
    buffers[index].reset(new std::uint64_t[static_cast<std::size_t>(share) / 8]);
    std::memset(buffers[index].get(), 1, static_cast<std::size_t>(share));
  });
  std::vector<double> read, copied;
  const double all = static_cast<double>(share) * threads;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::int64_t taken = together(threads, [&](std::uint32_t i) {
      kept = static_cast<double>(sum(buffers[i].get(), share / 8));
    });
    read.push_back(all / static_cast<double>(taken) * 1e9);
    taken = together(threads, [&](std::uint32_t i) {
      std::memcpy(buffers[i].get() + share / 16, buffers[i].get(), static_cast<std::size_t>(share / 2));
    });
    copied.push_back(all / static_cast<double>(taken) * 1e9);  // half is read and half is written
  }
  return {median(read), median(copied)};
}

}  // namespace

std::string peaks_line(std::uint32_t asked) {
  const std::uint32_t threads = asked != 0 ? asked : std::max(1u, std::thread::hardware_concurrency());
  std::map<std::string, std::pair<double, std::string>> best;
  for (int i = 0; i < kPeakKernelCount; ++i) {
    const PeakKernel& kernel = kPeakKernels[i];
    if (!kernel.available()) continue;
    const double found = operations_per_s(kernel, threads);
    auto& known = best[kernel.dtype];
    if (found > known.first) known = {found, kernel.instructions};
  }
  const std::int64_t bytes = buffer_bytes();
  const auto [read, copied] = bytes_per_s(threads, bytes);
  std::ostringstream flops, how;
  how << threads << (threads == 1 ? " thread" : " threads") << ", medians of " << kTries << "; ";
  for (const auto& [dtype, found] : best) {
    flops << (flops.tellp() > 0 ? "," : "") << json_text(dtype) << ':' << static_cast<std::int64_t>(found.first);
    how << dtype << " with " << found.second << "; ";
  }
  how << (read >= copied ? "reading " : "copying ") << (bytes >> 20) << " MiB";
  return "{\"k\":\"peaks\",\"flops\":{" + flops.str() +
         "},\"bytes_per_s\":" + std::to_string(static_cast<std::int64_t>(std::max(read, copied))) +
         ",\"how\":" + json_text(how.str()) + '}';
}
