// Memory for vectors: aligned to a cache line, only growing; in large pages where there is much of it and the system
// gives them to who asks, as a stream of weights would otherwise wait for the table of pages.
#pragma once

#include <cstddef>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

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
      data_ = static_cast<T*>(::operator new(count * sizeof(T), alignment(count)));
      count_ = count;
      ask_for_large_pages();
    }
    return data_;
  }
  T* data() { return data_; }
  const T* data() const { return data_; }

 private:
  static constexpr std::size_t kCacheLine = 64, kLargePage = std::size_t{2} << 20;

  static bool is_large(std::size_t count) { return count * sizeof(T) >= 2 * kLargePage; }
  static std::align_val_t alignment(std::size_t count) {
    return static_cast<std::align_val_t>(is_large(count) ? kLargePage : kCacheLine);
  }

  void ask_for_large_pages() {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (is_large(count_)) static_cast<void>(madvise(data_, count_ * sizeof(T), MADV_HUGEPAGE));  // only advice
#endif
  }

  void release() {
    if (data_ != nullptr) ::operator delete(data_, alignment(count_));
    data_ = nullptr;
    count_ = 0;
  }

  T* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace ternary
