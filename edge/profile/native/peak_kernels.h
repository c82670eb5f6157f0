// Small kernels that keep the multipliers busy: each is all registers, and many independent sums hide their latency.
#pragma once

#include <cstdint>

struct PeakKernel {
  const char* dtype;         // as in the peaks' event
  const char* instructions;  // that it uses
  double operations;         // in one step; a multiply-accumulate is two
  double (*steps)(std::int64_t count);
  bool (*available)();  // whether this processor has the instructions
};

extern const PeakKernel kPeakKernels[];
extern const int kPeakKernelCount;
