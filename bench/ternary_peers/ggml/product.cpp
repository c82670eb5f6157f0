// One matrix product in ggml: a graph of one operator, made once and computed many times.
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "ggml-cpu.h"
#include "ggml.h"

namespace {

struct Product {
  ggml_context* context = nullptr;
  ggml_tensor *weight = nullptr, *input = nullptr, *output = nullptr;
  ggml_cgraph* graph = nullptr;
  ggml_threadpool* pool = nullptr;
  ggml_cplan plan{};
  std::vector<std::uint8_t> work;

  ~Product() {
    if (pool != nullptr) ggml_threadpool_free(pool);
    if (context != nullptr) ggml_free(context);
  }
};

constexpr std::size_t kOverhead = 1 << 20;  // of the graph and the tensors' descriptions

ggml_type type_named(const char* name) {
  for (int type = 0; type < GGML_TYPE_COUNT; ++type)
    if (std::strcmp(ggml_type_name(static_cast<ggml_type>(type)), name) == 0) return static_cast<ggml_type>(type);
  return GGML_TYPE_COUNT;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

// Return a product of `rows` rows of `columns` activations with (outputs, columns) weights, or null for an unknown type.
EXPORTED Product* product_create(const char* type_name, std::int64_t columns, std::int64_t outputs, std::int64_t rows,
                                 int threads) {
  ggml_cpu_init();
  const ggml_type type = type_named(type_name);
  if (type == GGML_TYPE_COUNT || columns % ggml_blck_size(type) != 0) return nullptr;
  auto product = std::make_unique<Product>();
  const std::size_t bytes =
      ggml_row_size(type, columns) * outputs + sizeof(float) * static_cast<std::size_t>(rows * (columns + outputs));
  product->context = ggml_init({bytes + kOverhead, nullptr, false});
  if (product->context == nullptr) return nullptr;
  product->weight = ggml_new_tensor_2d(product->context, type, columns, outputs);
  product->input = ggml_new_tensor_2d(product->context, GGML_TYPE_F32, columns, rows);
  product->output = ggml_mul_mat(product->context, product->weight, product->input);
  product->graph = ggml_new_graph(product->context);
  ggml_build_forward_expand(product->graph, product->output);
  if (threads > 1) {
    ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    params.poll = 0;  // a thread that waits must not take the core from the next library that is timed
    product->pool = ggml_threadpool_new(&params);
  }
  product->plan = ggml_graph_plan(product->graph, threads, product->pool);
  product->work.resize(product->plan.work_size);
  product->plan.work_data = product->work.data();
  return product.release();
}

// Quantize `count` rows of weights from row `first` on, by ggml's own quantizer.
EXPORTED void product_fill(Product* product, std::int64_t first, std::int64_t count, const float* weights) {
  const std::int64_t columns = product->weight->ne[0];
  auto* to = static_cast<std::uint8_t*>(product->weight->data) + first * product->weight->nb[1];
  ggml_quantize_chunk(product->weight->type, weights, to, 0, count, columns, nullptr);
}

EXPORTED float* product_input(Product* product) { return static_cast<float*>(product->input->data); }
EXPORTED float* product_output(Product* product) { return static_cast<float*>(product->output->data); }
EXPORTED std::size_t product_bytes(Product* product) { return ggml_nbytes(product->weight); }

// Return 0 if it was computed.
EXPORTED int product_run(Product* product) { return ggml_graph_compute(product->graph, &product->plan); }

EXPORTED void product_free(Product* product) { delete product; }
