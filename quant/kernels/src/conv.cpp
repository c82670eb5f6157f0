#include "conv.h"

#include <cstring>

#include "failure.h"

namespace ternary {
namespace {

constexpr std::int64_t kMostSize = std::int64_t{1} << 31;
constexpr std::int64_t kMostValues = std::int64_t{1} << 46;

void check_range(const char* what, std::int64_t value, std::int64_t least) {
  if (value < least || value >= kMostSize)
    throw Failure(TERNARY_ARGUMENT, "the convolution's %s is %lld; expected %lld to 2^31 - 1", what,
                  static_cast<long long>(value), static_cast<long long>(least));
}

std::int64_t output_size(const char* what, std::int64_t size, std::int64_t before, std::int64_t after,
                         std::int64_t taps, std::int64_t dilation, std::int64_t stride) {
  const std::int64_t covered = dilation * (taps - 1) + 1;  // below 2^31 * 2^24
  const std::int64_t padded = size + before + after;
  if (padded < covered)
    throw Failure(TERNARY_ARGUMENT, "the convolution's %s with its padding is %lld, less than the %lld under the weight",
                  what, static_cast<long long>(padded), static_cast<long long>(covered));
  return (padded - covered) / stride + 1;
}

void check_values(std::int64_t images, std::int64_t height, std::int64_t width, std::int64_t channels) {
  std::int64_t values = images;
  for (const std::int64_t size : {height, width, channels}) {
    if (values > kMostValues / size) throw Failure(TERNARY_ARGUMENT, "the convolution has more than 2^46 values");
    values *= size;
  }
}

}  // namespace

Extent conv_output(const Weights& weights, const ternary_conv& conv) {
  if (weights.shape.dimensions != 4)
    throw Failure(TERNARY_SHAPE, "a weight of %d dimensions is no convolution's; expected (out, in, height, width)",
                  weights.shape.dimensions);
  check_range("number of images", conv.images, 1);
  check_range("height", conv.height, 1);
  check_range("width", conv.width, 1);
  for (const std::int64_t stride : conv.stride) check_range("stride", stride, 1);
  for (const std::int64_t padding : conv.padding) check_range("padding", padding, 0);
  for (const std::int64_t dilation : conv.dilation) check_range("dilation", dilation, 1);
  if (conv.channels != weights.shape.sizes[1])
    throw Failure(TERNARY_SHAPE, "the activations have %lld channels; the weight has %u",
                  static_cast<long long>(conv.channels), weights.shape.sizes[1]);
  const std::int64_t height = output_size("height", conv.height, conv.padding[0], conv.padding[2],
                                          weights.shape.sizes[2], conv.dilation[0], conv.stride[0]);
  const std::int64_t width = output_size("width", conv.width, conv.padding[1], conv.padding[3],
                                         weights.shape.sizes[3], conv.dilation[1], conv.stride[1]);
  check_values(conv.images, conv.height, conv.width, conv.channels);
  check_values(conv.images, height, width, static_cast<std::int64_t>(weights.rows));
  return {static_cast<std::size_t>(height), static_cast<std::size_t>(width)};
}

Patches::Patches(const Weights& weights, const ternary_conv& conv, const std::int8_t* values)
    : values_(values),
      images_(static_cast<std::size_t>(conv.images)),
      channels_(static_cast<std::size_t>(conv.channels)),
      height_(conv.height),
      width_(conv.width),
      taps_down_(weights.shape.sizes[2]),
      taps_right_(weights.shape.sizes[3]),
      stride_down_(conv.stride[0]),
      stride_right_(conv.stride[1]),
      top_(conv.padding[0]),
      left_(conv.padding[1]),
      dilation_down_(conv.dilation[0]),
      dilation_right_(conv.dilation[1]),
      output_(conv_output(weights, conv)) {
  in_place_ = taps_down_ == 1 && taps_right_ == 1 && output_.height == static_cast<std::size_t>(height_) &&
              output_.width == static_cast<std::size_t>(width_) && top_ == 0 && left_ == 0 && stride_down_ == 1 &&
              stride_right_ == 1;
}

const std::int8_t* Patches::row(std::size_t index, std::int8_t* scratch) const {
  if (in_place_) return values_ + index * channels_;
  const std::size_t image = index / rows_per_image(), pixel = index % rows_per_image();
  const std::int8_t* from = values_ + image * static_cast<std::size_t>(height_ * width_) * channels_;
  const std::int64_t top = static_cast<std::int64_t>(pixel / output_.width) * stride_down_ - top_;
  const std::int64_t left = static_cast<std::int64_t>(pixel % output_.width) * stride_right_ - left_;
  std::int8_t* to = scratch;
  for (std::int64_t down = 0; down < taps_down_; ++down)
    for (std::int64_t right = 0; right < taps_right_; ++right, to += channels_) {
      const std::int64_t y = top + down * dilation_down_, x = left + right * dilation_right_;
      if (y < 0 || y >= height_ || x < 0 || x >= width_)
        std::memset(to, 0, channels_);
      else
        std::memcpy(to, from + static_cast<std::size_t>(y * width_ + x) * channels_, channels_);
    }
  return scratch;
}

}  // namespace ternary
