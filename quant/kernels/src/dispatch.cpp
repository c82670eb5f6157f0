#include <cstring>

#include "failure.h"
#include "path.h"

namespace ternary {

extern const Path kScalarPath;
#if defined(__x86_64__)
extern const Path kAvx2Path, kAvxVnniPath, kAvx512VnniPath, kAvx512VbmiPath;
#elif defined(__aarch64__)
extern const Path kNeonPath, kNeonDotprodPath, kNeonI8mmPath;
#endif

namespace {

constexpr const Path* kPaths[] = {
#if defined(__x86_64__)
    &kAvx512VbmiPath, &kAvx512VnniPath, &kAvxVnniPath, &kAvx2Path,
#elif defined(__aarch64__)
    &kNeonI8mmPath, &kNeonDotprodPath, &kNeonPath,
#endif
    &kScalarPath,
};

std::uint32_t missing(const Path& path) { return path.features & ~cpu_features(); }

}  // namespace

Paths compiled_paths() { return {kPaths, sizeof kPaths / sizeof *kPaths}; }

const Path& choose_path(const char* name) {
  for (const Path* path : kPaths) {
    if (name != nullptr && std::strcmp(name, path->name) != 0) continue;
    const std::uint32_t lacks = missing(*path);
    if (lacks == 0) return *path;
    if (name != nullptr)
      throw Failure(TERNARY_PATH, "the path %s needs %s, which this processor lacks; the best here is %s", name,
                    feature_name(lacks & ~(lacks - 1)), choose_path(nullptr).name);
  }
  throw Failure(TERNARY_PATH, "there is no path %.40s in this build; the best here is %s", name,
                choose_path(nullptr).name);
}

}  // namespace ternary
