#include "options.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "failure.h"

namespace {

constexpr double kMostThreads = 1024;
constexpr double kMostRuns = 1e9;
constexpr double kMostSeconds = 1e6;
constexpr const char* kUsage =
    "; usage: edge-bench MODEL.pte [--threads N] [--warmup-runs N] [--warmup-seconds S] [--min-runs N] "
    "[--min-seconds S] [--seconds S] [--memory] [--input FILE]... [--trace FILE], or edge-bench --peaks [--threads N]";

class Words {
 public:
  Words(int count, char** words) : words_(words + 1, words + count) {}

  bool left() const { return next_ < words_.size(); }
  const std::string& take() { return words_[next_++]; }

  std::string text(const std::string& flag) {
    if (!left()) throw usage_error(flag + " needs a value" + kUsage);
    return take();
  }

  double number(const std::string& flag, double least, double most) {
    const std::string value = text(flag);
    char* end = nullptr;
    const double found = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || !std::isfinite(found) || found < least || found > most)
      throw usage_error(flag + " is \"" + value + "\"; expected a number from " + std::to_string(least) + " to " +
                        std::to_string(most));
    return found;
  }

  std::int64_t integer(const std::string& flag, double least, double most) {
    const double found = number(flag, least, most);
    if (found != std::floor(found)) throw usage_error(flag + " is not a whole number");
    return static_cast<std::int64_t>(found);
  }

 private:
  std::vector<std::string> words_;
  std::size_t next_ = 0;
};

}  // namespace

Options parse_options(int count, char** argv) {
  Options found;
  Words words(count, argv);
  while (words.left()) {
    const std::string word = words.take();
    if (word == "--threads")
      found.threads = static_cast<std::uint32_t>(words.integer(word, 1, kMostThreads));
    else if (word == "--warmup-runs")
      found.warmup_runs = words.integer(word, 0, kMostRuns);
    else if (word == "--warmup-seconds")
      found.warmup_seconds = words.number(word, 0, kMostSeconds);
    else if (word == "--min-runs")
      found.min_runs = words.integer(word, 1, kMostRuns);
    else if (word == "--min-seconds")
      found.min_seconds = words.number(word, 0, kMostSeconds);
    else if (word == "--seconds")
      found.seconds = words.number(word, 0, kMostSeconds);
    else if (word == "--input")
      found.inputs.push_back(words.text(word));
    else if (word == "--trace")
      found.trace = words.text(word);
    else if (word == "--memory")
      found.memory = true;
    else if (word == "--peaks")
      found.peaks = true;
    else if (word.rfind("--", 0) == 0)
      throw usage_error("unknown flag " + word + kUsage);
    else if (!found.model.empty())
      throw usage_error("a second model, " + word + kUsage);
    else
      found.model = word;
  }
  if (found.model.empty() != found.peaks)
    throw usage_error((found.peaks ? "--peaks takes no model" : "no model") + std::string(kUsage));
  return found;
}
