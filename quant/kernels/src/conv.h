// Convolutions of NHWC activations as products of matrices.
#pragma once

#include "multiply.h"
#include "ternary.h"

namespace ternary {

struct Extent {
  std::size_t height = 0, width = 0;
};

// The size of the output; throws Failure for what does not fit the weight.
Extent conv_output(const Weights& weights, const ternary_conv& conv);

// The values under the weight, for each output pixel a row: tap after tap, channels side by side.
class Patches : public Source {
 public:
  Patches(const Weights& weights, const ternary_conv& conv, const std::int8_t* values);

  std::size_t rows() const { return images_ * output_.height * output_.width; }
  std::size_t rows_per_image() const { return output_.height * output_.width; }
  const std::int8_t* row(std::size_t index, std::int8_t* scratch) const override;

 private:
  const std::int8_t* values_;
  std::size_t images_, channels_;
  std::int64_t height_, width_, taps_down_, taps_right_;
  std::int64_t stride_down_, stride_right_, top_, left_, dilation_down_, dilation_right_;
  Extent output_;
  bool in_place_;  // a tap without a stride: the rows are the pixels
};

}  // namespace ternary
