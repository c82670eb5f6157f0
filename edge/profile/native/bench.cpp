// Time the inferences of a .pte in one process and print every one of them.
//
//   edge-bench MODEL.pte [FLAGS]     the protocol of edge/profile/board/loop.py, in the same words and events
//   edge-bench --peaks [--threads N]  what this processor reaches in small kernels
//
// With --trace the runtime's profiler is on from the load to the end: what is printed then are the times of inferences
// that are watched, and their distance to those of a launch without it is what watching costs.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fstream>
#include <new>
#include <sstream>

#include "events.h"
#include "failure.h"
#include "model.h"
#include "options.h"
#include "peaks.h"

namespace {

constexpr double kSteady = 0.02;  // how far the medians of two tens of runs in a row may lie apart
constexpr std::size_t kTen = 10;
constexpr std::int64_t kMostTraced = 1000;  // runs: each one's events stay in memory
constexpr int kEnded = 128 + SIGTERM;

std::atomic<bool> ending{false};
static_assert(std::atomic<bool>::is_always_lock_free);

struct Ended {};  // by SIGTERM

void go_on() {
  if (ending.load(std::memory_order_relaxed)) throw Ended{};
}

std::int64_t nanoseconds(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

// A field of a file of /proc in bytes; 0 where there is none (Linux: proc(5), in KiB).
long long status_bytes(const char* path, const std::string& field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.rfind(field, 0) == 0) return std::atoll(line.c_str() + field.size()) * 1024;
  return 0;
}

void say_memory(Events& events, long long before) {
  const long long pss = status_bytes("/proc/self/smaps_rollup", "Pss:");
  std::ostringstream line;
  line << "{\"k\":\"memory\",\"before\":" << before << ",\"peak\":" << status_bytes("/proc/self/status", "VmHWM:")
       << ",\"pss\":" << (pss != 0 ? std::to_string(pss) : "null") << '}';
  events.say(line.str());
}

// Load with the clock running. The load ends before the inputs are read, which is no business of the runtime's.
std::unique_ptr<Model> loaded(const Options& options, Events& events, bool cold) {
  const std::int64_t start = now_ns();
  auto model = std::make_unique<Model>(options.model, !options.trace.empty());
  const std::int64_t taken = now_ns() - start;
  go_on();
  events.say("{\"k\":\"load\",\"ns\":" + std::to_string(taken) + ",\"cold\":" + (cold ? "true" : "false") + '}');
  return model;
}

std::int64_t timed_run(Model& model, std::int64_t& start) {
  start = now_ns();
  model.run();
  const std::int64_t taken = now_ns() - start;
  go_on();
  return taken;
}

// Twice the median of ten.
std::int64_t middle(const std::vector<std::int64_t>& taken, std::size_t from) {
  std::vector<std::int64_t> ten(taken.begin() + static_cast<std::ptrdiff_t>(from),
                                taken.begin() + static_cast<std::ptrdiff_t>(from + kTen));
  std::sort(ten.begin(), ten.end());
  return ten[4] + ten[5];
}

// Run until the medians of the last two tens of runs agree; false if that took too long.
bool warm_up(Model& model, const Options& options, Events& events) {
  const std::int64_t begin = now_ns();
  std::vector<std::int64_t> taken;
  taken.reserve(static_cast<std::size_t>(std::min<std::int64_t>(options.warmup_runs, 1 << 16)));
  while (static_cast<std::int64_t>(taken.size()) < options.warmup_runs &&
         now_ns() - begin < nanoseconds(options.warmup_seconds)) {
    std::int64_t start = 0;
    taken.push_back(timed_run(model, start));
    events.run("warm", start - begin, taken.back());
    if (taken.size() < 2 * kTen) continue;
    const std::int64_t first = middle(taken, taken.size() - 2 * kTen), second = middle(taken, taken.size() - kTen);
    if (static_cast<double>(std::llabs(first - second)) <= kSteady * static_cast<double>(std::min(first, second)))
      return true;
  }
  return false;
}

void repeat(Model& model, const Options& options, Events& events) {
  const bool traced = !options.trace.empty();
  const std::int64_t begin = now_ns();
  const std::int64_t until = begin + nanoseconds(options.seconds > 0 ? options.seconds : options.min_seconds);
  const std::int64_t least = options.seconds > 0 ? 1 : options.min_runs;
  std::int64_t start = begin;
  for (std::int64_t count = 0; count < least || start < until; ++count) {
    if (traced && count >= std::max(kMostTraced, least)) return;
    const std::int64_t taken = timed_run(model, start);
    events.run("run", start - begin, taken);
  }
}

void measure(const Options& options, Events& events, std::size_t threads) {
  events.say("{\"k\":\"start\",\"schema\":1,\"runtime\":\"executorch\",\"version\":" +
             json_text(EDGE_EXECUTORCH_VERSION) + ",\"threads\":" + std::to_string(threads) + '}');
  const long long before = status_bytes("/proc/self/status", "VmRSS:");
  auto model = loaded(options, events, true);
  model->feed(options.inputs);
  std::int64_t start = 0;
  events.say("{\"k\":\"first\",\"ns\":" + std::to_string(timed_run(*model, start)) + '}');
  const bool steady = warm_up(*model, options, events);
  events.say(std::string("{\"k\":\"steady\",\"value\":") + (steady ? "true}" : "false}"));
  model->restart_trace();
  repeat(*model, options, events);
  if (options.memory) say_memory(events, before);
  if (!options.trace.empty()) model->write_trace(options.trace);
  if (options.seconds <= 0) {
    model.reset();
    loaded(options, events, false);
  }
  events.say("{\"k\":\"end\"}");
}

int fail(Events& events, const std::string& type, int code, const std::string& message) {
  events.say("{\"k\":\"error\",\"type\":" + json_text(type) + ",\"message\":" + json_text(message) + '}');
  std::fprintf(stderr, "edge-bench: %s\n", message.c_str());
  return code;
}

}  // namespace

int main(int count, char** words) {
  Events events;
  std::signal(SIGTERM, [](int) { ending.store(true, std::memory_order_relaxed); });
  try {
    const Options options = parse_options(count, words);
    if (options.peaks)
      events.say(peaks_line(options.threads));
    else
      measure(options, events, set_threads(options.threads));
  } catch (const Ended&) {
    return kEnded;
  } catch (const Failure& failure) {
    return fail(events, failure.type, failure.code, failure.what());
  } catch (const std::bad_alloc&) {
    return fail(events, "TargetError", 1, "there is not enough memory for the model");
  } catch (const std::exception& error) {
    return fail(events, "TargetError", 1, error.what());
  }
  return 0;
}
