// The kernels as operators of ONNX Runtime, in the domain edge.ternary:
//
//   TernaryLinear(values float (…, K), packed uint8 (B), bias float (M), optional) -> float (…, M)
//   TernaryConv2d(values float NCHW, packed uint8 (B), bias float (M), optional) -> float NCHW
//     strides [2], dilations [2]: down, right; pads [4]: top, left, bottom, right
//
// The packed bytes are a constant of the model, from which a kernel is made when the session is. Activations become
// int8 at run time with one scale a row of a product, or one an image of a convolution. Work is shared over the
// session's own threads: others would contend with them for the cores.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "abi.h"
#include "ternary.h"

namespace {

constexpr std::size_t kValues = 0, kPacked = 1, kBias = 2, kInputs = 3;
constexpr unsigned kMostThreads = 256;

class Refused : public std::exception {
 public:
  __attribute__((format(printf, 3, 4))) Refused(ort::Code code, const char* format, ...) : code_(code) {
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message_, sizeof message_, format, arguments);
    va_end(arguments);
  }
  ort::Code code() const noexcept { return code_; }
  const char* what() const noexcept override { return message_; }

 private:
  ort::Code code_;
  char message_[320];
};

// What a function of the runtime itself returned.
struct Failed {
  OrtStatus* status;
};

void check(OrtStatus* status) {
  if (status != nullptr) throw Failed{status};
}

void check(ternary_status status, const ternary_error& error) {
  if (status != TERNARY_OK)
    throw Refused(status == TERNARY_MEMORY ? ort::kFail : ort::kInvalidArgument, "%s", error.message);
}

template <class Function>
OrtStatus* guarded(const ort::Api& api, const Function& function) noexcept {
  try {
    function();
    return nullptr;
  } catch (const Failed& failed) {
    return failed.status;
  } catch (const Refused& refused) {
    return api.CreateStatus(refused.code(), refused.what());
  } catch (const std::exception& error) {
    return api.CreateStatus(ort::kFail, error.what());
  } catch (...) {
    return api.CreateStatus(ort::kFail, "an unknown failure");
  }
}

struct Tensor {
  void* data = nullptr;
  std::vector<std::int64_t> sizes;

  std::int64_t count() const {
    std::int64_t product = 1;
    for (const std::int64_t size : sizes) product *= size;
    return product;
  }
};

Tensor read(const ort::Api& api, const OrtValue* value, ort::Type type, const char* what) {
  if (value == nullptr) throw Refused(ort::kInvalidArgument, "%s: there is no such input", what);
  OrtTensorTypeAndShapeInfo* made = nullptr;
  check(api.GetTensorTypeAndShape(value, &made));
  const auto release = [&api](OrtTensorTypeAndShapeInfo* info) { api.ReleaseTensorTypeAndShapeInfo(info); };
  const std::unique_ptr<OrtTensorTypeAndShapeInfo, decltype(release)> info(made, release);
  int found = 0;
  std::size_t dimensions = 0;
  check(api.GetTensorElementType(info.get(), &found));
  if (found != type)
    throw Refused(ort::kInvalidArgument, "%s: of ONNX's type %d; expected %d", what, found, static_cast<int>(type));
  check(api.GetDimensionsCount(info.get(), &dimensions));
  Tensor tensor;
  tensor.sizes.resize(dimensions);
  check(api.GetDimensions(info.get(), tensor.sizes.data(), dimensions));
  check(api.GetTensorMutableData(value, &tensor.data));
  return tensor;
}

// The session's threads as a pool, for one call of an operator.
class Threads {
 public:
  Threads(const ort::Api& api, OrtKernelContext* context) : api_(api), context_(context) {
    ternary_error error;
    const unsigned cores = std::min(std::max(std::thread::hardware_concurrency(), 1u), kMostThreads);
    // Their number is not to be had: parts for all cores, which fewer threads take one after another.
    check(ternary_pool_borrow(static_cast<std::int32_t>(cores), &Threads::run, this, &pool_, &error), error);
  }
  ~Threads() {
    ternary_pool_free(pool_);
    if (failed_ != nullptr) api_.ReleaseStatus(failed_);
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  ternary_pool* pool() const { return pool_; }

  // Throw what the runtime said if it did not do the work.
  void finish() { check(std::exchange(failed_, nullptr)); }

 private:
  static void run(void* state, std::size_t count, ternary_task task, void* task_state) {
    auto* const self = static_cast<Threads*>(state);
    OrtStatus* const status = self->api_.KernelContext_ParallelFor(self->context_, task, count, 0, task_state);
    if (status == nullptr) return;
    if (self->failed_ != nullptr) self->api_.ReleaseStatus(self->failed_);
    self->failed_ = status;
  }

  const ort::Api& api_;
  OrtKernelContext* context_;
  ternary_pool* pool_ = nullptr;
  OrtStatus* failed_ = nullptr;
};

// A node of a graph with its kernel; used by several threads at once.
class Node {
 public:
  Node(const ort::Api& api, const OrtKernelInfo* info) : api_(api) {
    int constant = 0;
    const OrtValue* value = nullptr;
    check(api_.KernelInfoGetConstantInput_tensor(info, kPacked, &constant, &value));
    if (constant == 0 || value == nullptr)
      throw Refused(ort::kInvalidGraph, "the packed weight is not a constant of the model");
    const Tensor packed = read(api_, value, ort::kUint8, "the packed weight");
    if (packed.sizes.size() != 1)
      throw Refused(ort::kInvalidGraph, "the packed weight has %zu dimensions; expected one", packed.sizes.size());
    ternary_kernel* made = nullptr;
    ternary_error error;
    check(ternary_load(packed.data, static_cast<std::size_t>(packed.sizes[0]), nullptr, &made, &error), error);
    kernel_.reset(made);
    ternary_describe(made, &weight_);
  }
  virtual ~Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const ort::Api& api() const { return api_; }
  virtual void compute(OrtKernelContext* context) const = 0;

 protected:
  const ternary_kernel* kernel() const { return kernel_.get(); }
  const ternary_info& weight() const { return weight_; }

  void check_dimensions(int expected, const char* of) const {
    if (weight_.dimensions != expected)
      throw Refused(ort::kInvalidGraph, "a weight of %d dimensions is no %s", weight_.dimensions, of);
  }

  Tensor values(const OrtKernelContext* context) const {
    return read(api_, input(context, kValues), ort::kFloat, "the activations");
  }

  // Return the bias (M), or null where the node has none.
  const float* bias(const OrtKernelContext* context) const {
    std::size_t count = 0;
    check(api_.KernelContext_GetInputCount(context, &count));
    const OrtValue* const value = count > kBias ? input(context, kBias) : nullptr;
    if (value == nullptr) return nullptr;
    const Tensor found = read(api_, value, ort::kFloat, "the bias");
    if (found.sizes.size() != 1 || found.sizes[0] != weight_.rows)
      throw Refused(ort::kInvalidArgument, "the bias has %zu dimensions and %lld values; expected one and %lld",
                    found.sizes.size(), static_cast<long long>(found.count()), static_cast<long long>(weight_.rows));
    return static_cast<const float*>(found.data);
  }

  float* results(OrtKernelContext* context, const std::vector<std::int64_t>& sizes) const {
    OrtValue* value = nullptr;
    void* data = nullptr;
    check(api_.KernelContext_GetOutput(context, 0, sizes.data(), sizes.size(), &value));
    check(api_.GetTensorMutableData(value, &data));
    return static_cast<float*>(data);
  }

 private:
  struct Free {
    void operator()(ternary_kernel* kernel) const { ternary_free(kernel); }
  };

  const OrtValue* input(const OrtKernelContext* context, std::size_t index) const {
    const OrtValue* value = nullptr;
    check(api_.KernelContext_GetInput(context, index, &value));
    return value;
  }

  ort::Api api_;
  std::unique_ptr<ternary_kernel, Free> kernel_;
  ternary_info weight_{};
};

class Linear : public Node {
 public:
  Linear(const ort::Api& api, const OrtKernelInfo* info) : Node(api, info) { check_dimensions(2, "linear layer's"); }

  void compute(OrtKernelContext* context) const override {
    const Tensor given = values(context);
    if (given.sizes.empty() || given.sizes.back() != weight().columns)
      throw Refused(ort::kInvalidArgument, "rows of %lld activations; the weight has %lld columns",
                    static_cast<long long>(given.sizes.empty() ? 0 : given.sizes.back()),
                    static_cast<long long>(weight().columns));
    const float* const added = bias(context);
    std::vector<std::int64_t> sizes = given.sizes;
    sizes.back() = weight().rows;
    float* const to = results(context, sizes);
    const auto rows = static_cast<std::size_t>(given.count() / weight().columns);
    if (rows == 0) return;
    Threads threads(api(), context);
    ternary_error error;
    const auto* const from = static_cast<const float*>(given.data);
    check(ternary_linear(kernel(), threads.pool(), from, rows, added, to, &error), error);
    threads.finish();
  }
};

class Conv2d : public Node {
 public:
  Conv2d(const ort::Api& api, const OrtKernelInfo* info) : Node(api, info) {
    check_dimensions(4, "two-dimensional convolution's");
    attribute(info, "strides", conv_.stride, 2);
    attribute(info, "pads", conv_.padding, 4);
    attribute(info, "dilations", conv_.dilation, 2);
  }

  void compute(OrtKernelContext* context) const override {
    const Tensor given = values(context);
    if (given.sizes.size() != 4)
      throw Refused(ort::kInvalidArgument, "activations of %zu dimensions; expected NCHW", given.sizes.size());
    const float* const added = bias(context);
    ternary_conv conv = conv_;
    // No images are an empty result, whose size is that of one image.
    conv.images = std::max<std::int64_t>(given.sizes[0], 1);
    conv.channels = given.sizes[1];
    conv.height = given.sizes[2];
    conv.width = given.sizes[3];
    std::vector<std::int64_t> sizes = {given.sizes[0], weight().rows, 0, 0};
    ternary_error error;
    check(ternary_conv_output(kernel(), &conv, &sizes[2], &sizes[3], &error), error);
    float* const to = results(context, sizes);
    if (given.sizes[0] == 0) return;
    Threads threads(api(), context);
    const auto* const from = static_cast<const float*>(given.data);
    check(ternary_conv2d(kernel(), threads.pool(), &conv, from, added, to, &error), error);
    threads.finish();
  }

 private:
  void attribute(const OrtKernelInfo* info, const char* name, std::int64_t* values, std::size_t expected) const {
    std::size_t count = 0;
    if (OrtStatus* const missing = api().KernelInfoGetAttributeArray_int64(info, name, nullptr, &count)) {
      api().ReleaseStatus(missing);  // it does not say which
      throw Refused(ort::kInvalidGraph, "there is no attribute %s of integers", name);
    }
    if (count != expected)
      throw Refused(ort::kInvalidGraph, "attribute %s has %zu values; expected %zu", name, count, expected);
    check(api().KernelInfoGetAttributeArray_int64(info, name, values, &count));
  }

  ternary_conv conv_{};
};

template <class Kind>
OrtStatus* create(const OrtCustomOp*, const OrtApi* table, const OrtKernelInfo* info, void** kernel) {
  const ort::Api api(table);
  return guarded(api, [&] { *kernel = static_cast<Node*>(new Kind(api, info)); });
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  const auto* const node = static_cast<const Node*>(kernel);
  return guarded(node->api(), [&] { node->compute(context); });
}

void destroy(void* kernel) { delete static_cast<Node*>(kernel); }

template <class Kind>
const char* name_of(const OrtCustomOp*);
template <>
const char* name_of<Linear>(const OrtCustomOp*) {
  return "TernaryLinear";
}
template <>
const char* name_of<Conv2d>(const OrtCustomOp*) {
  return "TernaryConv2d";
}

template <class Kind>
OrtCustomOp described() {
  OrtCustomOp op{};
  op.version = ort::kApiVersion;
  op.GetName = name_of<Kind>;
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
  op.GetInputType = [](const OrtCustomOp*, std::size_t index) -> int {
    return index == kPacked ? ort::kUint8 : ort::kFloat;
  };
  op.GetInputTypeCount = [](const OrtCustomOp*) { return kInputs; };
  op.GetOutputType = [](const OrtCustomOp*, std::size_t) -> int { return ort::kFloat; };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> std::size_t { return 1; };
  op.GetInputCharacteristic = [](const OrtCustomOp*, std::size_t index) -> int {
    return index == kBias ? ort::kOptional : ort::kRequired;
  };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, std::size_t) -> int { return ort::kRequired; };
  op.GetInputMemoryType = [](const OrtCustomOp*, std::size_t) { return ort::kDefaultMemory; };
  op.CreateKernelV2 = create<Kind>;
  op.KernelComputeV2 = compute;
  op.KernelDestroy = destroy;
  return op;
}

// The domain of a runtime, of which a process may have two. It has to outlive all sessions, and so is never released.
OrtCustomOpDomain* domain_of(const OrtApi* table) {
  static const OrtCustomOp linear = described<Linear>(), conv2d = described<Conv2d>();
  static auto& guard = *new std::mutex;
  static auto& domains = *new std::map<const OrtApi*, OrtCustomOpDomain*>;
  const std::lock_guard<std::mutex> lock(guard);
  const auto known = domains.find(table);
  if (known != domains.end()) return known->second;
  const ort::Api api(table);
  OrtCustomOpDomain* made = nullptr;
  check(api.CreateCustomOpDomain("edge.ternary", &made));
  check(api.CustomOpDomain_Add(made, &linear));
  check(api.CustomOpDomain_Add(made, &conv2d));
  domains.emplace(table, made);
  return made;
}

}  // namespace

extern "C" TERNARY_API OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* const table = base->GetApi(ort::kApiVersion);
  if (table == nullptr) {
    // The first function has been the same since version 1; without it nothing can be said.
    const OrtApi* const first = base->GetApi(1);
    if (first == nullptr) return nullptr;
    char message[160];
    std::snprintf(message, sizeof message, "the ternary operators need ONNX Runtime %s or later; this is %s",
                  ort::kOldestRuntime, base->GetVersionString());
    return ort::Api(first).CreateStatus(ort::kFail, message);
  }
  const ort::Api api(table);
  return guarded(api, [&] { check(api.AddCustomOpDomain(options, domain_of(table))); });
}
