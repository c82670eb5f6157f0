// Memory for vectors: aligned to a cache line, only growing.
#pragma once

#include <cstddef>
#include <new>

namespace ternary {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) { reserve(count); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& other) noexcept : data_(other.data_), count_(other.count_) {
    other.data_ = nullptr;
    other.count_ = 0;
  }
  ~Buffer() { release(); }

  // Make room for `count` values; what was there is lost. Throws std::bad_alloc.
  T* reserve(std::size_t count) {
    if (count > count_) {
      release();
      data_ = static_cast<T*>(::operator new(count * sizeof(T), kAlignment));
      count_ = count;
    }
    return data_;
  }
  T* data() { return data_; }
  const T* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{64};

  void release() {
    if (data_ != nullptr) ::operator delete(data_, kAlignment);
    data_ = nullptr;
    count_ = 0;
  }

  T* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace ternary
