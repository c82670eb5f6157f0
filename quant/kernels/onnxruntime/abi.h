// The part of ONNX Runtime's C interface that custom operators need, since its wheels come without headers.
//
// A runtime hands out a table of functions and takes structs of functions. Both only ever grow at their end, so that
// an index below holds for every version from kApiVersion on; a runtime that is older gives no table of that version.
// The order is that of onnxruntime_c_api.h; onnxruntime_c_api.cc pins the last index of each version, that of 17 being
// 275.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtShapeInferContext;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtValue;

struct OrtApi {
  void (*functions[276])();
};

struct OrtApiBase {
  const OrtApi* (*GetApi)(std::uint32_t version);  // null for a version that the runtime does not know
  const char* (*GetVersionString)();
};

struct OrtCustomOp {
  std::uint32_t version;  // of the interface that the rest is written for
  void* (*CreateKernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);  // null: the CPU's
  int (*GetInputType)(const OrtCustomOp*, std::size_t);
  std::size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, std::size_t);
  std::size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void*, OrtKernelContext*);
  void (*KernelDestroy)(void*);
  int (*GetInputCharacteristic)(const OrtCustomOp*, std::size_t);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, std::size_t);
  int (*GetInputMemoryType)(const OrtCustomOp*, std::size_t);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, OrtShapeInferContext*);
  int (*GetStartVersion)(const OrtCustomOp*);  // null: 1
  int (*GetEndVersion)(const OrtCustomOp*);
  void (*later[4])();  // of version 18; null, in case a runtime reads them
};

}  // extern "C"

namespace ort {

constexpr std::uint32_t kApiVersion = 17;  // ONNX Runtime 1.17, the first with KernelContext_ParallelFor
constexpr const char* kOldestRuntime = "1.17";

// OrtErrorCode, ONNXTensorElementDataType, OrtCustomOpInputOutputCharacteristic and OrtMemType.
enum Code { kFail = 1, kInvalidArgument = 2, kInvalidGraph = 10 };
enum Type { kFloat = 1, kUint8 = 2 };
enum Presence { kRequired = 0, kOptional = 1 };
constexpr int kDefaultMemory = 0;

// The functions of the table, by their names there.
class Api {
 public:
  explicit Api(const OrtApi* table) : table_(table) {}

  OrtStatus* CreateStatus(Code code, const char* message) const {
    return at<OrtStatus* (*)(int, const char*)>(0)(code, message);
  }
  OrtStatus* CreateCustomOpDomain(const char* name, OrtCustomOpDomain** domain) const {
    return at<OrtStatus* (*)(const char*, OrtCustomOpDomain**)>(26)(name, domain);
  }
  OrtStatus* CustomOpDomain_Add(OrtCustomOpDomain* domain, const OrtCustomOp* op) const {
    return at<OrtStatus* (*)(OrtCustomOpDomain*, const OrtCustomOp*)>(27)(domain, op);
  }
  OrtStatus* AddCustomOpDomain(OrtSessionOptions* options, OrtCustomOpDomain* domain) const {
    return at<OrtStatus* (*)(OrtSessionOptions*, OrtCustomOpDomain*)>(28)(options, domain);
  }
  OrtStatus* GetTensorMutableData(const OrtValue* value, void** data) const {
    return at<OrtStatus* (*)(OrtValue*, void**)>(51)(const_cast<OrtValue*>(value), data);
  }
  OrtStatus* GetTensorElementType(const OrtTensorTypeAndShapeInfo* info, int* type) const {
    return at<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, int*)>(60)(info, type);
  }
  OrtStatus* GetDimensionsCount(const OrtTensorTypeAndShapeInfo* info, std::size_t* count) const {
    return at<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, std::size_t*)>(61)(info, count);
  }
  OrtStatus* GetDimensions(const OrtTensorTypeAndShapeInfo* info, std::int64_t* sizes, std::size_t count) const {
    return at<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, std::int64_t*, std::size_t)>(62)(info, sizes, count);
  }
  OrtStatus* GetTensorTypeAndShape(const OrtValue* value, OrtTensorTypeAndShapeInfo** info) const {
    return at<OrtStatus* (*)(const OrtValue*, OrtTensorTypeAndShapeInfo**)>(65)(value, info);
  }
  OrtStatus* KernelContext_GetInputCount(const OrtKernelContext* context, std::size_t* count) const {
    return at<OrtStatus* (*)(const OrtKernelContext*, std::size_t*)>(88)(context, count);
  }
  OrtStatus* KernelContext_GetInput(const OrtKernelContext* context, std::size_t index, const OrtValue** value) const {
    return at<OrtStatus* (*)(const OrtKernelContext*, std::size_t, const OrtValue**)>(90)(context, index, value);
  }
  OrtStatus* KernelContext_GetOutput(OrtKernelContext* context, std::size_t index, const std::int64_t* sizes,
                                     std::size_t count, OrtValue** value) const {
    using Function = OrtStatus* (*)(OrtKernelContext*, std::size_t, const std::int64_t*, std::size_t, OrtValue**);
    return at<Function>(91)(context, index, sizes, count, value);
  }
  void ReleaseStatus(OrtStatus* status) const { at<void (*)(OrtStatus*)>(93)(status); }
  void ReleaseTensorTypeAndShapeInfo(OrtTensorTypeAndShapeInfo* info) const {
    at<void (*)(OrtTensorTypeAndShapeInfo*)>(99)(info);
  }
  OrtStatus* KernelInfoGetAttributeArray_int64(const OrtKernelInfo* info, const char* name, std::int64_t* values,
                                               std::size_t* count) const {
    using Function = OrtStatus* (*)(const OrtKernelInfo*, const char*, std::int64_t*, std::size_t*);
    return at<Function>(163)(info, name, values, count);
  }
  OrtStatus* KernelInfoGetConstantInput_tensor(const OrtKernelInfo* info, std::size_t index, int* constant,
                                               const OrtValue** value) const {
    using Function = OrtStatus* (*)(const OrtKernelInfo*, std::size_t, int*, const OrtValue**);
    return at<Function>(249)(info, index, constant, value);
  }
  OrtStatus* KernelContext_ParallelFor(const OrtKernelContext* context, void (*task)(void*, std::size_t),
                                       std::size_t count, std::size_t batches, void* state) const {
    using Function =
        OrtStatus* (*)(const OrtKernelContext*, void (*)(void*, std::size_t), std::size_t, std::size_t, void*);
    return at<Function>(274)(context, task, count, batches, state);
  }

 private:
  template <class Function>
  Function at(std::size_t index) const {
    return reinterpret_cast<Function>(table_->functions[index]);
  }

  const OrtApi* table_;
};

}  // namespace ort
