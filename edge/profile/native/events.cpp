#include "events.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr std::int64_t kFlushNs = 100'000'000;
constexpr std::size_t kReserved = 1 << 20;  // a tenth of a second's lines fit: nothing is allocated between runs

}  // namespace

std::int64_t now_ns() {
  using std::chrono::steady_clock;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

std::string json_text(const std::string& text) {
  std::string made = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      made += '\\';
      made += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      made += escaped;
    } else {
      made += c;
    }
  }
  return made + '"';
}

Events::Events() : flushed_ns_(now_ns()) { waiting_.reserve(kReserved); }

Events::~Events() { flush(); }

void Events::say(const std::string& line) {
  waiting_ += line;
  waiting_ += '\n';
  flush();
}

void Events::run(const char* kind, std::int64_t start_ns, std::int64_t duration_ns) {
  char line[128];
  std::snprintf(line, sizeof line, "{\"k\":\"%s\",\"t\":%lld,\"ns\":%lld}\n", kind, static_cast<long long>(start_ns),
                static_cast<long long>(duration_ns));
  waiting_ += line;
  if (now_ns() - flushed_ns_ > kFlushNs || waiting_.size() > kReserved - sizeof line) flush();
}

void Events::flush() {
  std::size_t written = 0;
  while (written < waiting_.size()) {
    const ssize_t count = ::write(STDOUT_FILENO, waiting_.data() + written, waiting_.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) std::_Exit(1);  // nobody listens any more
    written += static_cast<std::size_t>(count);
  }
  waiting_.clear();
  flushed_ns_ = now_ns();
}
