#include "pool.h"

namespace ternary {

OwnThreads::OwnThreads(std::size_t threads) {
  try {
    for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { wait_for_work(); });
  } catch (...) {
    stop();
    throw;
  }
}

OwnThreads::~OwnThreads() { stop(); }

void OwnThreads::stop() {
  {
    const std::lock_guard<std::mutex> lock(state_);
    stopping_ = true;
  }
  work_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void OwnThreads::run(std::size_t count, const Task& task) {
  const std::lock_guard<std::mutex> turn(turn_);
  {
    const std::lock_guard<std::mutex> lock(state_);
    task_ = &task;
    count_ = count;
    busy_ = workers_.size();
    ++number_;
    next_ = 0;
  }
  work_.notify_all();
  take_tasks(task, count);
  std::unique_lock<std::mutex> lock(state_);
  done_.wait(lock, [this] { return busy_ == 0; });
  const std::exception_ptr thrown = thrown_;
  thrown_ = nullptr;
  lock.unlock();
  if (thrown) std::rethrow_exception(thrown);
}

void OwnThreads::wait_for_work() {
  std::uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(state_);
  for (;;) {
    work_.wait(lock, [&] { return stopping_ || number_ != seen; });
    if (stopping_) return;
    seen = number_;
    const auto* task = task_;
    const std::size_t count = count_;
    lock.unlock();
    take_tasks(*task, count);
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
  }
}

void OwnThreads::take_tasks(const Task& task, std::size_t count) {
  try {
    for (std::size_t i = next_++; i < count; i = next_++) task(i);
  } catch (...) {
    next_ = count;
    const std::lock_guard<std::mutex> lock(state_);
    if (!thrown_) thrown_ = std::current_exception();
  }
}

namespace {

// One call of run(); what a task throws must not pass through code that is not ours.
struct Borrowed {
  const Task& task;
  std::mutex guard;
  std::exception_ptr thrown;

  void call(std::size_t index) noexcept {
    try {
      task(index);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      if (!thrown) thrown = std::current_exception();
    }
  }
};

}  // namespace

void BorrowedThreads::run(std::size_t count, const Task& task) {
  Borrowed work{task, {}, nullptr};
  run_(state_, count, [](void* state, std::size_t index) { static_cast<Borrowed*>(state)->call(index); }, &work);
  if (work.thrown) std::rethrow_exception(work.thrown);
}

void run_tasks(Pool* pool, std::size_t count, const Task& task) {
  if (pool != nullptr && pool->threads() > 1 && count > 1) return pool->run(count, task);
  for (std::size_t i = 0; i < count; ++i) task(i);
}

}  // namespace ternary
