#include "vnni512.h"

namespace ternary {

extern const Path kAvx512VnniPath;
const Path kAvx512VnniPath = {
    "avx512-vnni", kAvx2 | kAvx512 | kAvx512Vnni, 4, 4, gemv512_t2, nullptr, panel256_t2, nullptr, multiply512,
};

}  // namespace ternary
