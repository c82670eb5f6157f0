// The words that every runner of the profiler takes after its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct Options {
  std::string model;
  std::string trace;  // empty: no profile of the operators
  std::vector<std::string> inputs;
  std::uint32_t threads = 0;  // 0: as many as the runtime takes of its own
  std::int64_t warmup_runs = 50;
  double warmup_seconds = 5;
  std::int64_t min_runs = 30;
  double min_seconds = 1;
  double seconds = 0;  // above 0: the runs last this long, and nothing is loaded again
  bool memory = false;
  bool peaks = false;
};

// Throws a UsageError.
Options parse_options(int count, char** words);
