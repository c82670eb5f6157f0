// The kernels as operators of ExecuTorch's runtime: loading this library into a process registers them.
//
//   edge::ternary_linear.out(Tensor values, Tensor packed, Tensor? bias, int out_features, *, Tensor(a!) out)
//   edge::ternary_conv2d.out(Tensor values, Tensor packed, Tensor? bias, int[] shape, int[] stride, int[] padding,
//                            int[] dilation, *, Tensor(a!) out)
//
// An operator has no state of its own in ExecuTorch. The kernel that is made of packed bytes is kept for the process,
// by the bytes' address and header, in which their checksum stands: another program at that address has another.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>
#include <executorch/runtime/kernel/thread_parallel_interface.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "ternary.h"

namespace {

using executorch::aten::ArrayRef;
using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::KernelRuntimeContext;

constexpr std::size_t kHeaderBytes = 64;
constexpr std::int64_t kMostThreads = 256;

struct Made {
  std::size_t bytes = 0;
  std::array<std::uint8_t, kHeaderBytes> header{};
  std::shared_ptr<ternary_kernel> kernel;

  bool is_of(const void* packed, std::size_t size) const {
    return kernel && bytes == size && std::memcmp(header.data(), packed, kHeaderBytes) == 0;
  }
};

class Kernels {
 public:
  // Return the kernel of packed bytes; null with `error` filled in for bytes that are none.
  std::shared_ptr<ternary_kernel> of(const void* packed, std::size_t bytes, ternary_error* error) {
    const std::lock_guard<std::mutex> lock(guard_);
    Made& made = made_[packed];
    if (bytes >= kHeaderBytes && made.is_of(packed, bytes)) return made.kernel;
    made = Made{};
    ternary_kernel* loaded = nullptr;
    if (ternary_load(packed, bytes, nullptr, &loaded, error) != TERNARY_OK) return nullptr;
    made.bytes = bytes;
    std::memcpy(made.header.data(), packed, kHeaderBytes);
    made.kernel = std::shared_ptr<ternary_kernel>(loaded, ternary_free);
    return made.kernel;
  }

  void clear() {
    const std::lock_guard<std::mutex> lock(guard_);
    made_.clear();
  }

 private:
  std::mutex guard_;
  std::unordered_map<const void*, Made> made_;
};

Kernels& kernels() {
  static Kernels all;
  return all;
}

// ExecuTorch's threads do the work: they would contend with ours for the cores.
void on_threads(void*, std::size_t count, ternary_task task, void* state) {
  const bool done = executorch::extension::parallel_for(
      0, static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) task(state, static_cast<std::size_t>(i));
      });
  if (!done)
    for (std::size_t i = 0; i < count; ++i) task(state, i);
}

class Threads {
 public:
  Threads() {
    const std::int64_t count = std::min(kMostThreads, executorch::extension::get_thread_count());
    if (count > 1) ternary_pool_borrow(static_cast<std::int32_t>(count), on_threads, nullptr, &pool_, nullptr);
  }
  ~Threads() { ternary_pool_free(pool_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ternary_pool* get() const { return pool_; }

 private:
  ternary_pool* pool_ = nullptr;  // null: the calling thread alone
};

class Call {
 public:
  Call(const char* name, KernelRuntimeContext& context, const Tensor& values, const Tensor& packed,
       const std::optional<Tensor>& bias)
      : name_(name), context_(context), values_(values), bias_(bias) {
    if (!check(values.scalar_type() == ScalarType::Float && packed.scalar_type() == ScalarType::Byte,
               "expected float values and bytes of packed weights"))
      return;
    if (!check(is_plain(values) && (!bias || (is_plain(*bias) && bias->scalar_type() == ScalarType::Float)),
               "expected values and a float bias in their default order of dimensions"))
      return;
    ternary_error error{};
    kernel_ = kernels().of(packed.const_data_ptr(), packed.nbytes(), &error);
    if (!check(kernel_ != nullptr, error.message)) return;
    ternary_describe(kernel_.get(), &info_);
    if (!check(!bias || bias->numel() == info_.rows, "the bias does not have one number for each output channel"))
      kernel_.reset();
  }

  explicit operator bool() const { return kernel_ != nullptr; }
  const ternary_kernel* kernel() const { return kernel_.get(); }
  const ternary_info& info() const { return info_; }
  const float* values() const { return values_.const_data_ptr<float>(); }
  const float* bias() const { return bias_ ? bias_->const_data_ptr<float>() : nullptr; }

  bool check(bool fine, const char* message) {
    if (fine) return true;
    ET_LOG(Error, "%s: %s", name_, message);
    context_.fail(Error::InvalidArgument);
    return false;
  }

  // Give `out` its shape.
  bool resize(Tensor& out, ArrayRef<SizesType> sizes) {
    return check(out.scalar_type() == ScalarType::Float && is_plain(out) &&
                     executorch::runtime::resize_tensor(out, sizes) == Error::Ok,
                 "the output has another type, order of dimensions or shape than the result");
  }

 private:
  static bool is_plain(const Tensor& tensor) { return executorch::runtime::tensor_is_default_dim_order(tensor); }

  const char* name_;
  KernelRuntimeContext& context_;
  const Tensor& values_;
  const std::optional<Tensor>& bias_;
  std::shared_ptr<ternary_kernel> kernel_;
  ternary_info info_{};
};

Tensor& ternary_linear_out(KernelRuntimeContext& context, const Tensor& values, const Tensor& packed,
                           const std::optional<Tensor>& bias, std::int64_t out_features, Tensor& out) {
  Call call("edge::ternary_linear", context, values, packed, bias);
  if (!call) return out;
  const ssize_t dimensions = values.dim();
  if (!call.check(dimensions > 0 && dimensions <= static_cast<ssize_t>(executorch::runtime::kTensorDimensionLimit) &&
                      values.size(dimensions - 1) == call.info().columns && out_features == call.info().rows,
                  "the values or the number of output features do not fit the weight"))
    return out;
  std::array<SizesType, executorch::runtime::kTensorDimensionLimit> sizes{};
  for (ssize_t i = 0; i < dimensions; ++i) sizes[static_cast<std::size_t>(i)] = values.sizes()[static_cast<std::size_t>(i)];
  sizes[static_cast<std::size_t>(dimensions - 1)] = static_cast<SizesType>(out_features);
  if (!call.resize(out, {sizes.data(), static_cast<std::size_t>(dimensions)}) || values.numel() == 0) return out;
  const Threads threads;
  const auto rows = static_cast<std::size_t>(values.numel() / call.info().columns);
  ternary_error error{};
  const ternary_status status = ternary_linear(call.kernel(), threads.get(), call.values(), rows, call.bias(),
                                               out.mutable_data_ptr<float>(), &error);
  call.check(status == TERNARY_OK, error.message);
  return out;
}

Tensor& ternary_conv2d_out(KernelRuntimeContext& context, const Tensor& values, const Tensor& packed,
                           const std::optional<Tensor>& bias, ArrayRef<std::int64_t> shape,
                           ArrayRef<std::int64_t> stride, ArrayRef<std::int64_t> padding,
                           ArrayRef<std::int64_t> dilation, Tensor& out) {
  Call call("edge::ternary_conv2d", context, values, packed, bias);
  if (!call) return out;
  if (!call.check(values.dim() == 4 && shape.size() == 4 && stride.size() == 2 && padding.size() == 4 &&
                      dilation.size() == 2 && shape[0] == call.info().rows,
                  "expected images (N, C, H, W), the weight's shape, 2 strides, 4 paddings and 2 dilations"))
    return out;
  ternary_conv conv{values.size(0), values.size(2), values.size(3), values.size(1),
                    {stride[0], stride[1]},
                    {padding[0], padding[1], padding[2], padding[3]},
                    {dilation[0], dilation[1]}};
  std::int64_t height = 0, width = 0;
  ternary_error error{};
  if (!call.check(ternary_conv_output(call.kernel(), &conv, &height, &width, &error) == TERNARY_OK, error.message))
    return out;
  constexpr std::int64_t kMost = std::numeric_limits<SizesType>::max();
  if (!call.check(height <= kMost && width <= kMost, "the output is larger than ExecuTorch's tensors")) return out;
  const std::array<SizesType, 4> sizes{static_cast<SizesType>(conv.images), static_cast<SizesType>(call.info().rows),
                                       static_cast<SizesType>(height), static_cast<SizesType>(width)};
  if (!call.resize(out, {sizes.data(), sizes.size()})) return out;
  const Threads threads;
  const ternary_status status = ternary_conv2d(call.kernel(), threads.get(), &conv, call.values(), call.bias(),
                                               out.mutable_data_ptr<float>(), &error);
  call.check(status == TERNARY_OK, error.message);
  return out;
}

}  // namespace

EXECUTORCH_LIBRARY(edge, "ternary_linear.out", ternary_linear_out);
EXECUTORCH_LIBRARY(edge, "ternary_conv2d.out", ternary_conv2d_out);

// Free the kernels of programs that are no longer loaded; call it while nothing runs.
extern "C" TERNARY_API void edge_ternary_clear(void) { kernels().clear(); }
