#include "cpu.h"

#if defined(TERNARY_SIMULATED)
// All of them: the intrinsics are functions.
#elif defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace ternary {
namespace {

#if defined(TERNARY_SIMULATED)

std::uint32_t detect() { return kAvx2 | kAvxVnni | kAvx512 | kAvx512Vnni | kAvx512Vbmi; }

#elif defined(__x86_64__)

// Which registers the operating system saves: XCR0.
std::uint32_t saved_registers() {
  std::uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

std::uint32_t detect() {
  constexpr std::uint32_t kYmm = 0x06, kZmm = 0xE6;
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
  const std::uint32_t saved = saved_registers();
  if ((saved & kYmm) != kYmm || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  const std::uint32_t leaves = a;
  const auto has = [](std::uint32_t bits, int bit) { return (bits >> bit & 1) != 0; };
  std::uint32_t found = has(b, 5) ? kAvx2 : 0u;
  if ((saved & kZmm) == kZmm && has(b, 16) && has(b, 30) && has(b, 31)) {
    found |= kAvx512;
    if (has(c, 11)) found |= kAvx512Vnni;
    if (has(c, 1)) found |= kAvx512Vbmi;
  }
  if (leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && has(a, 4)) found |= kAvxVnni;
  return found;
}

#elif defined(__aarch64__) && defined(__linux__)

std::uint32_t detect() {
  constexpr unsigned long kHwcapDotprod = 1ul << 20, kHwcap2I8mm = 1ul << 13;
  std::uint32_t found = kNeon;
  if (getauxval(AT_HWCAP) & kHwcapDotprod) found |= kDotprod;
  if (getauxval(AT_HWCAP2) & kHwcap2I8mm) found |= kI8mm;
  return found;
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool has(const char* name) {
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

std::uint32_t detect() {
  return kNeon | (has("hw.optional.arm.FEAT_DotProd") ? kDotprod : 0u) |
         (has("hw.optional.arm.FEAT_I8MM") ? kI8mm : 0u);
}

#else

std::uint32_t detect() { return 0; }

#endif

}  // namespace

std::uint32_t cpu_features() {
  static const std::uint32_t found = detect();
  return found;
}

const char* feature_name(std::uint32_t feature) {
  switch (feature) {
    case kAvx2: return "AVX2";
    case kAvxVnni: return "AVX-VNNI";
    case kAvx512: return "AVX512F, BW and VL";
    case kAvx512Vnni: return "AVX512-VNNI";
    case kAvx512Vbmi: return "AVX512-VBMI";
    case kNeon: return "NEON";
    case kDotprod: return "NEON dot products";
    case kI8mm: return "NEON matrix products (i8mm)";
    default: return "unknown";
  }
}

}  // namespace ternary
