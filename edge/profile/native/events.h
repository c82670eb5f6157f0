// Events, one line of JSON each, on the standard output: the format is that of edge/profile/board/loop.py.
#pragma once

#include <cstdint>
#include <string>

class Events {
 public:
  Events();
  ~Events();
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  // Print an event and flush it.
  void say(const std::string& line);

  // Print a run; lines are flushed ten times a second, so that a killed process loses next to nothing.
  void run(const char* kind, std::int64_t start_ns, std::int64_t duration_ns);

 private:
  void flush();

  std::string waiting_;
  std::int64_t flushed_ns_;
};

// Nanoseconds of a clock that never goes back.
std::int64_t now_ns();

// A text between quotation marks, escaped (RFC 8259, section 7); bytes beyond ASCII are taken as UTF-8.
std::string json_text(const std::string& text);
