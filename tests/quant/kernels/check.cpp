// The kernels against sums written down plainly, on every path that this processor has. Built with sanitizers, for
// other processors and with simulated instructions. The arguments name the paths that must have run.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "ternary.h"

namespace {

using Random = std::mt19937;
using Trits = std::vector<std::int8_t>;

[[noreturn]] void fail(const std::string& what) {
  std::printf("FAILED %s\n", what.c_str());
  std::exit(1);
}

void expect(bool fine, const std::string& what) {
  if (!fine) fail(what);
}

struct Tensor {
  std::vector<std::int64_t> shape;
  Trits trits;  // (M, K)
  std::vector<float> scales;

  std::size_t rows() const { return static_cast<std::size_t>(shape[0]); }
  std::size_t columns() const { return trits.size() / rows(); }
};

Tensor random_tensor(const std::vector<std::int64_t>& shape, Random& random) {
  Tensor tensor{shape, {}, {}};
  std::size_t size = 1;
  for (const std::int64_t extent : shape) size *= static_cast<std::size_t>(extent);
  for (std::size_t i = 0; i < size; ++i) tensor.trits.push_back(static_cast<std::int8_t>(static_cast<int>(random() % 3) - 1));
  for (std::size_t i = 0; i < tensor.rows(); ++i) tensor.scales.push_back(0.01f * static_cast<float>(random() % 1000 + 1));
  return tensor;
}

std::vector<std::uint8_t> pack(const Tensor& tensor, std::int32_t layout) {
  const auto dimensions = static_cast<std::int32_t>(tensor.shape.size());
  std::vector<std::uint8_t> packed(ternary_encoded_bytes(layout, dimensions, tensor.shape.data()));
  ternary_error error;
  const ternary_status status = ternary_encode(layout, dimensions, tensor.shape.data(), tensor.trits.data(),
                                               tensor.scales.data(), packed.data(), packed.size(), &error);
  expect(status == TERNARY_OK, std::string("encode: ") + error.message);
  return packed;
}

Trits random_activations(std::size_t size, Random& random) {
  Trits values(size);
  for (auto& value : values) value = static_cast<std::int8_t>(random() & 0xFF);
  return values;
}

std::vector<std::int32_t> plain_sums(const Tensor& tensor, const Trits& activations, std::size_t rows) {
  std::vector<std::int32_t> sums;
  for (std::size_t m = 0; m < rows; ++m)
    for (std::size_t n = 0; n < tensor.rows(); ++n) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < tensor.columns(); ++k)
        sum += tensor.trits[n * tensor.columns() + k] * activations[m * tensor.columns() + k];
      sums.push_back(static_cast<std::int32_t>(sum));
    }
  return sums;
}

class Kernel {
 public:
  Kernel(const std::vector<std::uint8_t>& packed, const char* path) {
    ternary_error error;
    std::vector<std::uint8_t> shifted(packed.size() + 1);  // at an odd address
    std::copy(packed.begin(), packed.end(), shifted.begin() + 1);
    expect(ternary_load(shifted.data() + 1, packed.size(), path, &kernel_, &error) == TERNARY_OK,
           std::string("load: ") + error.message);
  }
  Kernel(const Kernel&) = delete;
  ~Kernel() { ternary_free(kernel_); }
  const ternary_kernel* get() const { return kernel_; }

 private:
  ternary_kernel* kernel_ = nullptr;
};

struct Context {
  const char* path;
  ternary_pool* pool;
  int cases = 0;
};

void check_product(Context& context, const Tensor& tensor, std::int32_t layout, const Trits& activations,
                   std::size_t rows) {
  const Kernel kernel(pack(tensor, layout), context.path);
  const auto expected = plain_sums(tensor, activations, rows);
  const std::string name = std::string(context.path) + " t" + std::to_string(layout) + " M " +
                           std::to_string(tensor.rows()) + " K " + std::to_string(tensor.columns()) + " rows " +
                           std::to_string(rows);
  for (ternary_pool* pool : {static_cast<ternary_pool*>(nullptr), context.pool}) {
    std::vector<std::int32_t> sums(expected.size(), -1);
    ternary_error error;
    expect(ternary_accumulate(kernel.get(), pool, activations.data(), rows, sums.data(), &error) == TERNARY_OK, name);
    expect(sums == expected, name);
    std::vector<float> scales(rows), bias(tensor.rows(), 0.25f), results(expected.size());
    for (std::size_t m = 0; m < rows; ++m) scales[m] = 0.125f * static_cast<float>(m + 1);
    expect(ternary_matmul(kernel.get(), pool, activations.data(), scales.data(), rows, bias.data(), results.data(),
                          &error) == TERNARY_OK, name);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const float scale = scales[i / tensor.rows()] * tensor.scales[i % tensor.rows()];
      const float product = static_cast<float>(expected[i]) * scale;
      expect(results[i] == product + 0.25f, name + ": float");
    }
  }
  ++context.cases;
}

void check_shapes(Context& context, Random& random) {
  const std::vector<std::int64_t> columns = {1, 2, 3, 4, 5, 7, 16, 27, 63, 64, 65, 127, 128, 144, 255, 256, 257, 320,
                                             321, 576, 1000, 1023, 1024, 1280, 1281, 2047, 2048, 2049};
  for (const std::int32_t layout : {2, 5})
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::int64_t channels = static_cast<std::int64_t>(random() % 40) + 1;
      const Tensor tensor = random_tensor({channels, columns[i]}, random);
      for (const std::size_t rows : {std::size_t{1}, std::size_t{random() % 20 + 1}})
        check_product(context, tensor, layout, random_activations(rows * tensor.columns(), random), rows);
    }
  const Tensor wide = random_tensor({33, 96}, random);
  for (std::size_t rows = 1; rows <= 20; ++rows)
    check_product(context, wide, 2, random_activations(rows * 96, random), rows);
  for (const std::size_t rows : {127, 300, 1700})
    check_product(context, wide, 5, random_activations(rows * 96, random), rows);
}

// The largest sums of either sign: where int16 would overflow.
void check_extremes(Context& context) {
  for (const std::int32_t layout : {2, 5})
    for (const int trit : {-1, 1})
      for (const int value : {-128, 127})
        for (const std::size_t rows : {1, 5}) {
          Tensor tensor{{9, 66001}, {}, std::vector<float>(9, 1.0f)};
          tensor.trits.assign(9 * 66001, static_cast<std::int8_t>(trit));
          check_product(context, tensor, layout, Trits(rows * 66001, static_cast<std::int8_t>(value)), rows);
        }
}

struct Conv {
  std::int64_t images, height, width, channels, out, down, right, stride, padding, dilation;
};

std::vector<std::int32_t> plain_conv(const Conv& c, const Tensor& tensor, const Trits& values, std::int64_t height,
                                     std::int64_t width) {
  std::vector<std::int32_t> sums;
  for (std::int64_t image = 0; image < c.images; ++image)
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        for (std::int64_t n = 0; n < c.out; ++n) {
          std::int32_t sum = 0;
          for (std::int64_t i = 0; i < c.down * c.right * c.channels; ++i) {
            const std::int64_t tap = i / c.channels, channel = i % c.channels;
            const std::int64_t v = y * c.stride - c.padding + tap / c.right * c.dilation;
            const std::int64_t u = x * c.stride - c.padding + tap % c.right * c.dilation;
            if (v < 0 || v >= c.height || u < 0 || u >= c.width) continue;
            const std::int64_t at = ((image * c.height + v) * c.width + u) * c.channels + channel;
            sum += tensor.trits[static_cast<std::size_t>(n * c.down * c.right * c.channels + i)] *
                   values[static_cast<std::size_t>(at)];
          }
          sums.push_back(sum);
        }
  return sums;
}

void check_convolutions(Context& context, Random& random) {
  const Conv convolutions[] = {{1, 5, 7, 3, 9, 3, 3, 1, 1, 1}, {2, 9, 8, 16, 24, 3, 3, 2, 1, 1},
                               {1, 6, 6, 20, 8, 1, 1, 1, 0, 1}, {2, 7, 7, 5, 17, 1, 1, 2, 0, 1},
                               {1, 11, 4, 4, 3, 5, 2, 1, 2, 1}, {1, 9, 9, 8, 16, 3, 3, 1, 2, 2},
                               {1, 40, 20, 2, 4, 3, 3, 1, 1, 1}};
  for (const Conv& c : convolutions)
    for (const std::int32_t layout : {2, 5}) {
      const Tensor tensor = random_tensor({c.out, c.channels, c.down, c.right}, random);
      const Kernel kernel(pack(tensor, layout), context.path);
      const ternary_conv conv = {c.images, c.height, c.width, c.channels, {c.stride, c.stride},
                                 {c.padding, c.padding, c.padding, c.padding}, {c.dilation, c.dilation}};
      std::int64_t height = 0, width = 0;
      expect(ternary_conv_output(kernel.get(), &conv, &height, &width, nullptr) == TERNARY_OK, "conv output");
      const Trits values = random_activations(static_cast<std::size_t>(c.images * c.height * c.width * c.channels), random);
      const auto expected = plain_conv(c, tensor, values, height, width);
      for (ternary_pool* pool : {static_cast<ternary_pool*>(nullptr), context.pool}) {
        std::vector<std::int32_t> sums(expected.size());
        expect(ternary_conv_accumulate(kernel.get(), pool, &conv, values.data(), sums.data(), nullptr) == TERNARY_OK,
               "conv");
        expect(sums == expected, std::string(context.path) + ": convolution");
      }
      ++context.cases;
    }
}

// One kernel and one pool from several threads at once.
void check_sharing(Context& context, Random& random) {
  const Tensor tensor = random_tensor({70, 900}, random);
  const Kernel kernel(pack(tensor, 2), context.path);
  const Trits activations = random_activations(6 * 900, random);
  const auto expected = plain_sums(tensor, activations, 6);
  std::vector<std::vector<std::int32_t>> found(3, std::vector<std::int32_t>(expected.size()));
  std::vector<std::thread> threads;
  for (auto& sums : found)
    threads.emplace_back([&kernel, &context, &activations, &sums] {
      for (int i = 0; i < 5; ++i)
        ternary_accumulate(kernel.get(), context.pool, activations.data(), 6, sums.data(), nullptr);
    });
  for (auto& thread : threads) thread.join();
  for (const auto& sums : found) expect(sums == expected, "several threads at once");
}

void check_damage(Random& random) {
  for (const std::int32_t layout : {2, 5})
    for (int i = 0; i < 1500; ++i) {
      const auto packed = pack(random_tensor({random() % 9 + 1, random() % 400 + 1}, random), layout);
      auto damaged = packed;
      if (random() % 2 == 0) damaged.resize(random() % (packed.size() + 1));
      const unsigned flips = random() % 4;
      for (unsigned flip = 0; flip < flips && !damaged.empty(); ++flip) {
        const std::size_t most = random() % 2 == 0 ? damaged.size() : std::min<std::size_t>(damaged.size(), 64);
        damaged[random() % most] ^= static_cast<std::uint8_t>(1u << (random() % 8));
      }
      ternary_kernel* kernel = nullptr;
      ternary_error error;
      const ternary_status status = ternary_load(damaged.data(), damaged.size(), nullptr, &kernel, &error);
      expect((status == TERNARY_OK) == (damaged == packed), "damaged bytes were taken");
      expect(status == TERNARY_OK || (kernel == nullptr && error.message[0] != 0), "an error without words");
      ternary_free(kernel);
    }
}

void check_arguments(Random& random) {
  ternary_error error;
  ternary_kernel* kernel = nullptr;
  const auto packed = pack(random_tensor({3, 10}, random), 2);
  expect(ternary_load(packed.data(), packed.size(), "sse9", &kernel, &error) == TERNARY_PATH, "an unknown path");
  expect(ternary_load(nullptr, 10, nullptr, &kernel, &error) == TERNARY_ARGUMENT, "null bytes");
  expect(ternary_load(packed.data(), packed.size(), nullptr, nullptr, nullptr) == TERNARY_ARGUMENT, "a null handle");
  for (std::size_t i = 0; ternary_path(i) != nullptr; ++i)
    if (!ternary_path_runs(ternary_path(i)))
      expect(ternary_load(packed.data(), packed.size(), ternary_path(i), &kernel, &error) == TERNARY_PATH,
             "instructions that are missing");
  ternary_pool* pool = nullptr;
  expect(ternary_pool_create(0, &pool, &error) == TERNARY_ARGUMENT, "no threads");
  const float values[] = {0.0f, 1.0f, NAN, 2.0f};
  std::int8_t codes[4];
  float scales[2];
  expect(ternary_quantize(values, 2, 2, codes, scales, &error) == TERNARY_ARGUMENT, "a value that is not finite");
  expect(ternary_quantize(values, 1, 2, codes, scales, &error) == TERNARY_OK && codes[1] == 127, "codes");
}

}  // namespace

int main(int count, char** names) {
  Random random(5);
  check_damage(random);
  check_arguments(random);
  std::vector<std::string> ran;
  for (std::size_t i = 0; ternary_path(i) != nullptr; ++i) {
    if (!ternary_path_runs(ternary_path(i))) {
      std::printf("%s: this processor lacks its instructions\n", ternary_path(i));
      continue;
    }
    Context context{ternary_path(i), nullptr};
    expect(ternary_pool_create(3, &context.pool, nullptr) == TERNARY_OK, "a pool");
    check_shapes(context, random);
    check_extremes(context);
    check_convolutions(context, random);
    check_sharing(context, random);
    ternary_pool_free(context.pool);
    std::printf("%s: %d products exact\n", context.path, context.cases);
    ran.emplace_back(context.path);
  }
  for (int i = 1; i < count; ++i)
    expect(std::find(ran.begin(), ran.end(), names[i]) != ran.end(), std::string("the path did not run: ") + names[i]);
  return 0;
}
