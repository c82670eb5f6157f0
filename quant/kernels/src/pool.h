// Threads that wait for work. One piece of work at a time; a second caller waits for its turn.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace ternary {

class Pool {
 public:
  explicit Pool(std::size_t threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::size_t threads() const { return workers_.size() + 1; }

  // Call `task` with 0 … count-1, each once, on all threads; returns when the last has ended. Throws what a task threw.
  void run(std::size_t count, const std::function<void(std::size_t)>& task);

 private:
  void stop();
  void wait_for_work();
  void take_tasks(const std::function<void(std::size_t)>& task, std::size_t count);

  std::mutex turn_;   // held by the caller whose work is done
  std::mutex state_;  // guards all below but next_
  std::condition_variable work_, done_;
  const std::function<void(std::size_t)>* task_ = nullptr;
  std::size_t count_ = 0, busy_ = 0;
  std::uint64_t number_ = 0;  // of the piece of work
  bool stopping_ = false;
  std::exception_ptr thrown_;
  std::atomic<std::size_t> next_{0};
  std::vector<std::thread> workers_;
};

// The same on the calling thread where there is no pool.
void run_tasks(Pool* pool, std::size_t count, const std::function<void(std::size_t)>& task);

inline std::size_t threads_of(const Pool* pool) { return pool == nullptr ? 1 : pool->threads(); }

}  // namespace ternary
