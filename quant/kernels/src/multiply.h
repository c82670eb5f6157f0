// Rows of activations times the weights: what is done by which thread, and what becomes of the sums.
#pragma once

#include <cstddef>
#include <cstdint>

#include "path.h"
#include "pool.h"
#include "weights.h"

namespace ternary {

// Where the activation rows come from.
class Source {
 public:
  virtual ~Source() = default;
  // Return K values, which may have been written to `scratch` (K).
  virtual const std::int8_t* row(std::size_t index, std::int8_t* scratch) const = 0;
};

// Rows that lie one after another.
class DenseRows : public Source {
 public:
  DenseRows(const std::int8_t* values, std::size_t columns) : values_(values), columns_(columns) {}
  const std::int8_t* row(std::size_t index, std::int8_t*) const override { return values_ + index * columns_; }

 private:
  const std::int8_t* values_;
  std::size_t columns_;
};

// Where the results go (rows, M): sums, or floats.
struct Output {
  std::int32_t* sums = nullptr;
  float* results = nullptr;
  const float* scales = nullptr;  // one for `rows_per_scale` rows
  std::size_t rows_per_scale = 1;
  const float* bias = nullptr;
};

struct Product {
  const Path& path;
  const Weights& weights;
  const Source& source;
  const Output& output;

  // Write `count` results of a row from channel `first` on, from what a path added up and the row's activations' sum.
  void emit(std::size_t row, std::size_t first, std::size_t count, const std::int32_t* added, std::int32_t sum) const;
};

// Few rows, all at once: every block of weights is read once and decoded for each row.
void multiply_vectors(const Product& product, std::size_t rows, Pool* pool);

// Many rows: every panel of weights is decoded once for a block of rows.
void multiply_matrix(const Product& product, std::size_t rows, Pool* pool);

// The one of the two that is faster.
void multiply(const Product& product, std::size_t rows, Pool* pool);

}  // namespace ternary
