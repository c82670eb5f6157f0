// The C functions: arguments checked, exceptions turned into statuses.
#include <cstring>
#include <memory>
#include <new>
#include <system_error>

#include "activations.h"
#include "conv.h"
#include "encode.h"
#include "failure.h"
#include "multiply.h"
#include "path.h"
#include "ternary.h"

using namespace ternary;

struct ternary_kernel {
  Weights weights;
  const Path* path;
};

struct ternary_pool {
  std::unique_ptr<Pool> pool;
};

namespace {

constexpr std::size_t kMostRows = std::size_t{1} << 32;
constexpr std::int32_t kMostThreads = 256;

ternary_status report(ternary_error* error, const ternary_error& found) {
  if (error != nullptr) *error = found;
  return found.status;
}

template <class Function>
ternary_status guarded(ternary_error* error, const Function& function) noexcept {
  try {
    function();
    return report(error, ternary_error{});
  } catch (const Failure& failure) {
    return report(error, failure.error());
  } catch (const std::bad_alloc&) {
    return report(error, {TERNARY_MEMORY, "out of memory"});
  } catch (const std::system_error&) {
    return report(error, {TERNARY_MEMORY, "the system gives no more threads"});
  } catch (...) {
    return report(error, {TERNARY_ARGUMENT, "an unknown failure"});
  }
}

template <class Pointer>
Pointer needed(Pointer pointer, const char* what) {
  if (pointer == nullptr) throw Failure(TERNARY_ARGUMENT, "%s is a null pointer", what);
  return pointer;
}

void check_rows(std::size_t rows) {
  if (rows == 0 || rows > kMostRows)
    throw Failure(TERNARY_ARGUMENT, "%zu rows of activations; expected 1 to 2^32", rows);
}

Shape checked_shape(std::int32_t dimensions, const std::int64_t* sizes) {
  if (dimensions < 2 || dimensions > kMostDimensions)
    throw Failure(TERNARY_SHAPE, "%d dimensions are no weight's; expected 2 to %zu", dimensions, kMostDimensions);
  Shape shape;
  shape.dimensions = dimensions;
  for (int i = 0; i < dimensions; ++i) {
    if (sizes[i] < 1 || sizes[i] >= std::int64_t{1} << 32)
      throw Failure(TERNARY_SHAPE, "dimension %d is %lld; expected 1 to 2^32 - 1", i,
                    static_cast<long long>(sizes[i]));
    shape.sizes[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(sizes[i]);
  }
  if (shape.columns() == 0)
    throw Failure(TERNARY_SHAPE, "a channel has more than %zu weights: their sums would not fit into int32",
                  kMostColumns);
  return shape;
}

Layout checked_layout(std::int32_t layout) {
  if (layout != 2 && layout != 5) throw Failure(TERNARY_ARGUMENT, "layout %d is not known; expected 2 or 5", layout);
  return static_cast<Layout>(layout);
}

ternary_info describe(const char* path, Layout layout, Layout stored, const Shape& shape, std::size_t bytes) {
  ternary_info info{};
  info.path = path;
  info.layout = static_cast<std::int32_t>(layout);
  info.stored_layout = static_cast<std::int32_t>(stored);
  info.dimensions = shape.dimensions;
  for (std::size_t i = 0; i < kMostDimensions; ++i) info.shape[i] = shape.sizes[i];
  info.rows = static_cast<std::int64_t>(shape.rows());
  info.columns = static_cast<std::int64_t>(shape.columns());
  info.bytes = static_cast<std::int64_t>(bytes);
  return info;
}

Pool* pool_of(ternary_pool* pool) { return pool == nullptr ? nullptr : pool->pool.get(); }

std::size_t checked_threads(std::int32_t threads) {
  if (threads < 1 || threads > kMostThreads)
    throw Failure(TERNARY_ARGUMENT, "%d threads; expected 1 to %d", threads, kMostThreads);
  return static_cast<std::size_t>(threads);
}

void run(const ternary_kernel* kernel, ternary_pool* pool, const std::int8_t* codes, std::size_t rows,
         const Output& output) {
  check_rows(rows);
  const DenseRows source(needed(codes, "the activations"), needed(kernel, "the kernel")->weights.columns);
  multiply({*kernel->path, kernel->weights, source, output}, rows, pool_of(pool));
}

void run_conv(const ternary_kernel* kernel, ternary_pool* pool, const ternary_conv* conv, const std::int8_t* codes,
              Output output) {
  const Patches source(needed(kernel, "the kernel")->weights, *needed(conv, "the convolution"),
                       needed(codes, "the activations"));
  output.rows_per_scale = source.rows_per_image();
  multiply({*kernel->path, kernel->weights, source, output}, source.rows(), pool_of(pool));
}

Output sums_to(std::int32_t* sums) {
  Output output;
  output.sums = needed(sums, "the sums");
  return output;
}

Output results_to(float* results, const float* scales, const float* bias) {
  Output output;
  output.results = needed(results, "the results");
  output.scales = needed(scales, "the scales");
  output.bias = bias;
  return output;
}

}  // namespace

uint32_t ternary_abi(void) { return TERNARY_ABI; }

const char* ternary_path(size_t index) {
  const Paths paths = compiled_paths();
  return index < paths.count ? paths.begin[index]->name : nullptr;
}

int ternary_path_runs(const char* name) {
  const Paths paths = compiled_paths();
  for (std::size_t i = 0; name != nullptr && i < paths.count; ++i)
    if (std::strcmp(name, paths.begin[i]->name) == 0) return (paths.begin[i]->features & ~cpu_features()) == 0;
  return 0;
}

ternary_status ternary_pool_create(int32_t threads, ternary_pool** pool, ternary_error* error) {
  return guarded(error, [&] {
    needed(pool, "the pool");
    auto made = std::make_unique<OwnThreads>(checked_threads(threads));
    *pool = new ternary_pool{std::move(made)};
  });
}

ternary_status ternary_pool_borrow(int32_t threads, ternary_run run, void* state, ternary_pool** pool,
                                   ternary_error* error) {
  return guarded(error, [&] {
    needed(pool, "the pool");
    auto made = std::make_unique<BorrowedThreads>(checked_threads(threads), needed(run, "the function"), state);
    *pool = new ternary_pool{std::move(made)};
  });
}

void ternary_pool_free(ternary_pool* pool) { delete pool; }

ternary_status ternary_load(const void* packed, size_t bytes, const char* path, ternary_kernel** kernel,
                            ternary_error* error) {
  return guarded(error, [&] {
    needed(kernel, "the kernel");
    const Path& chosen = choose_path(path);
    *kernel = new ternary_kernel{load_weights(packed, bytes, chosen.reads_t5()), &chosen};
  });
}

void ternary_free(ternary_kernel* kernel) { delete kernel; }

void ternary_describe(const ternary_kernel* kernel, ternary_info* info) {
  if (kernel == nullptr || info == nullptr) return;
  const Weights& weights = kernel->weights;
  *info = describe(kernel->path->name, weights.packed_layout, weights.layout, weights.shape, weights.bytes());
}

ternary_status ternary_decode(const void* packed, size_t bytes, ternary_info* info, int8_t* trits, float* scales,
                              ternary_error* error) {
  return guarded(error, [&] {
    const Packed read = read_packed(packed, bytes);
    if (info != nullptr)
      *info = describe("", read.layout, read.layout, read.shape, read.shape.rows() * read.row_bytes);
    for (std::size_t row = 0; row < read.shape.rows(); ++row) {
      if (scales != nullptr) scales[row] = read.scale(row);
      if (trits == nullptr) continue;
      std::int8_t* to = trits + row * read.columns;
      read_digits(read, row, reinterpret_cast<std::uint8_t*>(to));
      for (std::size_t i = 0; i < read.columns; ++i) to[i] = static_cast<std::int8_t>(to[i] - 1);
    }
  });
}

size_t ternary_encoded_bytes(int32_t layout, int32_t dimensions, const int64_t* shape) {
  try {
    return shape == nullptr ? 0 : whole_bytes(checked_layout(layout), checked_shape(dimensions, shape));
  } catch (const Failure&) {
    return 0;
  }
}

ternary_status ternary_encode(int32_t layout, int32_t dimensions, const int64_t* shape, const int8_t* trits,
                              const float* scales, void* packed, size_t bytes, ternary_error* error) {
  return guarded(error, [&] {
    const Layout checked = checked_layout(layout);
    const Shape sizes = checked_shape(dimensions, needed(shape, "the shape"));
    const std::size_t whole = whole_bytes(checked, sizes);
    if (whole == 0 || bytes != whole)
      throw Failure(TERNARY_ARGUMENT, "room for %zu bytes; the packed tensor has %zu", bytes, whole);
    encode(checked, sizes, needed(trits, "the trits"), needed(scales, "the scales"),
           static_cast<std::uint8_t*>(needed(packed, "the room for packed bytes")));
  });
}

ternary_status ternary_quantize(const float* values, size_t rows, size_t columns, int8_t* codes, float* scales,
                                ternary_error* error) {
  return guarded(error, [&] {
    check_rows(rows);
    if (columns == 0 || columns > kMostColumns)
      throw Failure(TERNARY_ARGUMENT, "%zu values in a row; expected 1 to %zu", columns, kMostColumns);
    quantize(needed(values, "the values"), rows, columns, needed(codes, "the codes"), needed(scales, "the scales"));
  });
}

ternary_status ternary_accumulate(const ternary_kernel* kernel, ternary_pool* pool, const int8_t* codes, size_t rows,
                                  int32_t* sums, ternary_error* error) {
  return guarded(error, [&] { run(kernel, pool, codes, rows, sums_to(sums)); });
}

ternary_status ternary_matmul(const ternary_kernel* kernel, ternary_pool* pool, const int8_t* codes,
                              const float* scales, size_t rows, const float* bias, float* results,
                              ternary_error* error) {
  return guarded(error, [&] { run(kernel, pool, codes, rows, results_to(results, scales, bias)); });
}

ternary_status ternary_linear(const ternary_kernel* kernel, ternary_pool* pool, const float* values, size_t rows,
                              const float* bias, float* results, ternary_error* error) {
  return guarded(error, [&] {
    check_rows(rows);
    const std::size_t columns = needed(kernel, "the kernel")->weights.columns;
    Buffer<std::int8_t> codes(rows * columns);
    Buffer<float> scales(rows);
    quantize(needed(values, "the values"), rows, columns, codes.data(), scales.data());
    run(kernel, pool, codes.data(), rows, results_to(results, scales.data(), bias));
  });
}

ternary_status ternary_conv_output(const ternary_kernel* kernel, const ternary_conv* conv, int64_t* height,
                                   int64_t* width, ternary_error* error) {
  return guarded(error, [&] {
    const Extent found = conv_output(needed(kernel, "the kernel")->weights, *needed(conv, "the convolution"));
    *needed(height, "the height") = static_cast<std::int64_t>(found.height);
    *needed(width, "the width") = static_cast<std::int64_t>(found.width);
  });
}

ternary_status ternary_conv_accumulate(const ternary_kernel* kernel, ternary_pool* pool, const ternary_conv* conv,
                                       const int8_t* codes, int32_t* sums, ternary_error* error) {
  return guarded(error, [&] { run_conv(kernel, pool, conv, codes, sums_to(sums)); });
}

ternary_status ternary_conv_matmul(const ternary_kernel* kernel, ternary_pool* pool, const ternary_conv* conv,
                                   const int8_t* codes, const float* scales, const float* bias, float* results,
                                   ternary_error* error) {
  return guarded(error, [&] { run_conv(kernel, pool, conv, codes, results_to(results, scales, bias)); });
}

ternary_status ternary_conv2d(const ternary_kernel* kernel, ternary_pool* pool, const ternary_conv* conv,
                              const float* values, const float* bias, float* results, ternary_error* error) {
  return guarded(error, [&] {
    const Extent size = conv_output(needed(kernel, "the kernel")->weights, *needed(conv, "the convolution"));
    const auto images = static_cast<std::size_t>(conv->images), channels = static_cast<std::size_t>(conv->channels);
    const std::size_t pixels = static_cast<std::size_t>(conv->height * conv->width);
    const std::size_t outputs = kernel->weights.rows, written = size.height * size.width;
    Buffer<std::int8_t> codes(images * channels * pixels);
    Buffer<float> scales(images), rows(images * written * outputs);
    quantize_pixels(needed(values, "the values"), images, channels, pixels, codes.data(), scales.data());
    needed(results, "the results");
    run_conv(kernel, pool, conv, codes.data(), results_to(rows.data(), scales.data(), bias));
    for (std::size_t image = 0; image < images; ++image)
      transpose(rows.data() + image * written * outputs, written, outputs, results + image * written * outputs);
  });
}
