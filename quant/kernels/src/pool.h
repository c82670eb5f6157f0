// Threads to share work with: our own, which wait for it, or those of the runtime that calls us.
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

#include "ternary.h"

namespace ternary {

using Task = std::function<void(std::size_t)>;

class Pool {
 public:
  Pool() = default;
  virtual ~Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  virtual std::size_t threads() const = 0;

  // Call `task` with 0 … count-1, each once, on all threads; returns when the last has ended. Throws what a task threw.
  virtual void run(std::size_t count, const Task& task) = 0;
};

// One piece of work at a time; a second caller waits for its turn.
class OwnThreads : public Pool {
 public:
  explicit OwnThreads(std::size_t threads);
  ~OwnThreads() override;

  std::size_t threads() const override { return workers_.size() + 1; }
  void run(std::size_t count, const Task& task) override;

 private:
  void stop();
  void wait_for_work();
  void take_tasks(const Task& task, std::size_t count);

  std::mutex turn_;   // held by the caller whose work is done
  std::mutex state_;  // guards all below but next_
  std::condition_variable work_, done_;
  const Task* task_ = nullptr;
  std::size_t count_ = 0, busy_ = 0;
  std::uint64_t number_ = 0;  // of the piece of work
  bool stopping_ = false;
  std::exception_ptr thrown_;
  std::atomic<std::size_t> next_{0};
  std::vector<std::thread> workers_;
};

// A runtime's own threads: a second pool would contend with them for the cores.
class BorrowedThreads : public Pool {
 public:
  BorrowedThreads(std::size_t threads, ternary_run run, void* state) : threads_(threads), run_(run), state_(state) {}

  std::size_t threads() const override { return threads_; }
  void run(std::size_t count, const Task& task) override;

 private:
  std::size_t threads_;
  ternary_run run_;
  void* state_;
};

// The same on the calling thread where there is no pool.
void run_tasks(Pool* pool, std::size_t count, const Task& task);

inline std::size_t threads_of(const Pool* pool) { return pool == nullptr ? 1 : pool->threads(); }

}  // namespace ternary
