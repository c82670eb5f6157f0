// The intrinsics of x86; TERNARY_SIMULATED takes SIMDe's functions for those that this processor may lack.
#pragma once

#if defined(TERNARY_SIMULATED)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#else
#include <immintrin.h>
#endif
