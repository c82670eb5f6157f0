#include "model.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include "failure.h"

// The wheel ships the library of the thread pool and not its header: this is the part of it that is called here.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

using executorch::aten::ScalarType;
using executorch::etdump::ETDumpGen;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::Program;
using executorch::runtime::TensorInfo;

constexpr const char* kMethod = "forward";

std::string named(Error error) { return executorch::runtime::to_string(error); }

Failure not_loaded(const std::string& path, Error error) {
  return target_error(path + ": ExecuTorch cannot load it: " + named(error) + "; deploy it again with `edge deploy`");
}

template <typename T>
void fill(std::vector<std::uint8_t>& data, std::mt19937_64& random) {
  for (std::size_t at = 0; at + sizeof(T) <= data.size(); at += sizeof(T)) {
    const T value = static_cast<T>(static_cast<float>(random() >> 40) / static_cast<float>(1 << 24));  // from 0 below 1
    std::memcpy(data.data() + at, &value, sizeof value);
  }
}

// Floating-point numbers from 0 to 1; 0 or 1 for all else, which every integer and truth value can be.
std::vector<std::uint8_t> made_up(const TensorInfo& info, std::mt19937_64& random) {
  std::vector<std::uint8_t> data(info.nbytes(), 0);
  switch (info.scalar_type()) {
    case ScalarType::Float:
      fill<float>(data, random);
      break;
    case ScalarType::Double:
      fill<double>(data, random);
      break;
    case ScalarType::Half:
      fill<executorch::aten::Half>(data, random);
      break;
    case ScalarType::BFloat16:
      fill<executorch::aten::BFloat16>(data, random);
      break;
    default: {
      const std::size_t size = executorch::runtime::elementSize(info.scalar_type());
      for (std::size_t at = 0; at < data.size(); at += size) data[at] = random() & 1;  // the lowest byte comes first
    }
  }
  return data;
}

std::vector<std::uint8_t> read(const std::string& path, std::size_t index, std::size_t bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw input_error(path + " cannot be read; expected the raw tensor of input " + std::to_string(index));
  std::vector<std::uint8_t> data(std::istreambuf_iterator<char>(file), {});
  if (data.size() != bytes)
    throw input_error(path + " holds " + std::to_string(data.size()) + " bytes; input " + std::to_string(index) +
                      " takes " + std::to_string(bytes));
  return data;
}

}  // namespace

std::size_t set_threads(std::uint32_t count) {
  auto* pool = executorch::extension::threadpool::get_threadpool();
  if (count != 0 && pool->get_thread_count() != count && !pool->_unsafe_reset_threadpool(count))
    throw target_error("ExecuTorch's thread pool cannot be given " + std::to_string(count) + " threads");
  return pool->get_thread_count();
}

Model::Model(const std::string& path, bool traced) : path_(path) {
  std::unique_ptr<ETDumpGen> tracer = traced ? std::make_unique<ETDumpGen>() : nullptr;
  tracer_ = tracer.get();
  module_ = std::make_unique<Module>(path, Module::LoadMode::Mmap, std::move(tracer));
  // A damaged file has to fail here, and not while it runs.
  if (const Error error = module_->load(Program::Verification::InternalConsistency); error != Error::Ok)
    throw not_loaded(path, error);
  if (const Error error = module_->load_method(kMethod); error != Error::Ok) throw not_loaded(path, error);
}

void Model::feed(const std::vector<std::string>& paths) {
  const auto meta = module_->method_meta(kMethod);
  if (!meta.ok()) throw not_loaded(path_, meta.error());
  const std::size_t count = meta->num_inputs();
  if (!paths.empty() && paths.size() != count)
    throw input_error(std::to_string(paths.size()) + " inputs; " + path_ + " takes " + std::to_string(count));
  std::mt19937_64 random(0);
  for (std::size_t i = 0; i < count; ++i) {
    const auto info = meta->input_tensor_meta(i);
    if (!info.ok()) throw target_error(path_ + ": input " + std::to_string(i) + " is no tensor");
    buffers_.push_back(paths.empty() ? made_up(*info, random) : read(paths[i], i, info->nbytes()));
    std::vector<executorch::aten::SizesType> sizes(info->sizes().begin(), info->sizes().end());
    std::vector<executorch::aten::DimOrderType> order(info->dim_order().begin(), info->dim_order().end());
    tensors_.push_back(executorch::extension::make_tensor_ptr(std::move(sizes), buffers_.back().data(), std::move(order),
                                                              {}, info->scalar_type()));
    values_.emplace_back(*tensors_.back());
  }
}

void Model::run() {
  const auto outputs = module_->forward(values_);
  if (!outputs.ok()) throw target_error(path_ + ": ExecuTorch failed while running: " + named(outputs.error()));
}

void Model::restart_trace() {
  if (tracer_ != nullptr) tracer_->reset();
}

void Model::write_trace(const std::string& path) {
  const auto dump = tracer_->get_etdump_data();
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(dump.buf), static_cast<std::streamsize>(dump.size));
  file.close();
  if (!tracer_->is_static_etdump()) std::free(dump.buf);
  if (!file || dump.size == 0) throw target_error(path + ": the operators' profile cannot be written");
}
