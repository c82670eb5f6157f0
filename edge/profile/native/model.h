// One ExecuTorch program, loaded and fed.
#pragma once

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// Give the process-wide thread pool so many threads (0: leave it), and return how many it has.
std::size_t set_threads(std::uint32_t count);

class Model {
 public:
  // Load the program and its method "forward", with its delegates: all that an app waits for before the first
  // inference. Throws a TargetError.
  Model(const std::string& path, bool traced);

  // Read inputs from raw files, or without any make them up, always the same. Throws an InputError or a TargetError.
  void feed(const std::vector<std::string>& paths);

  // Run once; throws a TargetError.
  void run();

  // Forget what was traced so far.
  void restart_trace();

  // Write the trace as an ETDump file; throws a TargetError.
  void write_trace(const std::string& path);

 private:
  std::string path_;
  std::unique_ptr<executorch::extension::Module> module_;
  executorch::etdump::ETDumpGen* tracer_ = nullptr;  // the module's
  std::vector<std::vector<std::uint8_t>> buffers_;
  std::vector<executorch::extension::TensorPtr> tensors_;
  std::vector<executorch::runtime::EValue> values_;
};
