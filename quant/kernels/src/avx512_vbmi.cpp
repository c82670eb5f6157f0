// AVX512-VBMI: t5 is read as it is. A table of 243 bytes in four registers gives the first four trits of a byte as t2,
// two comparisons the fifth.
#include "vnni512.h"

namespace ternary {
namespace {

struct Table {
  alignas(64) std::uint8_t bytes[256] = {};

  constexpr Table() {
    for (int value = 0; value < 243; ++value)
      for (int digit = 0, rest = value; digit < 4; ++digit, rest /= 3)
        bytes[value] = static_cast<std::uint8_t>(bytes[value] | (rest % 3) << (2 * digit));
  }
};

constexpr Table kTable;

class Decoder {
 public:
  Decoder() {
    for (std::size_t i = 0; i < 4; ++i) quarters_[i] = load512(kTable.bytes + 64 * i);
  }

  // The trits 0 to 3 as t2.
  __m512i first_four(__m512i codes) const {
    const __m512i below = _mm512_permutex2var_epi8(quarters_[0], codes, quarters_[1]);
    const __m512i above = _mm512_permutex2var_epi8(quarters_[2], codes, quarters_[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(codes), below, above);
  }

  // The trit 4: 81 its weight.
  __m512i fifth(__m512i codes) const {
    const __mmask64 one = _mm512_cmpgt_epu8_mask(codes, _mm512_set1_epi8(80));
    const __mmask64 two = _mm512_cmpgt_epu8_mask(codes, _mm512_set1_epi8(static_cast<char>(161)));
    return _mm512_mask_mov_epi8(_mm512_maskz_mov_epi8(one, _mm512_set1_epi8(1)), two, _mm512_set1_epi8(2));
  }

 private:
  __m512i quarters_[4];
};

void gemv512_t5(const std::uint8_t* blocks, const std::int8_t* activations, std::size_t chunks, std::int32_t* sums) {
  const Decoder decoder;
  const __m512i even = _mm512_set1_epi8(0x03), odd = _mm512_set1_epi8(0x0C);
  __m512i low[kGroup], high[kGroup];
  for (std::size_t row = 0; row < kGroup; ++row) low[row] = high[row] = _mm512_setzero_si512();
  for (std::size_t chunk = 0; chunk < chunks; ++chunk, blocks += kBlock, activations += 5 * kChunk)
    TERNARY_UNROLL for (std::size_t row = 0; row < kGroup; ++row) {
      _mm_prefetch(reinterpret_cast<const char*>(blocks + kPrefetchBytes + row * kChunk), _MM_HINT_T0);
      const __m512i code = load512(blocks + row * kChunk);
      const __m512i four = decoder.first_four(code), shifted = _mm512_srli_epi16(four, 4);
      low[row] = _mm512_dpbusd_epi32(low[row], and512(four, even), load512(activations));
      high[row] = _mm512_dpbusd_epi32(high[row], and512(four, odd), load512(activations + kChunk));
      low[row] = _mm512_dpbusd_epi32(low[row], and512(shifted, even), load512(activations + 2 * kChunk));
      high[row] = _mm512_dpbusd_epi32(high[row], and512(shifted, odd), load512(activations + 3 * kChunk));
      low[row] = _mm512_dpbusd_epi32(low[row], decoder.fifth(code), load512(activations + 4 * kChunk));
    }
  fold512(low, high, sums);
}

void panel512_t5(const std::uint8_t* block, std::size_t bytes, std::uint8_t* panel, std::size_t stride) {
  constexpr std::size_t kUnit = 4;
  const Decoder decoder;
  const __m512i mask = _mm512_set1_epi8(3);
  const std::size_t plane = bytes / kUnit * stride;
  for (std::size_t at = 0; at < bytes; at += 32) {
    __m256i units[8];
    transpose_units(block + at, units);
    for (std::size_t unit = 0; unit < 8 && at + unit * kUnit < bytes; unit += 2) {
      const __m512i code = _mm512_inserti64x4(_mm512_castsi256_si512(units[unit]), units[unit + 1], 1);
      const __m512i four = decoder.first_four(code);
      const __m512i digits[] = {and512(four, mask), and512(_mm512_srli_epi16(four, 2), mask),
                                and512(_mm512_srli_epi16(four, 4), mask), and512(_mm512_srli_epi16(four, 6), mask),
                                decoder.fifth(code)};
      std::uint8_t* to = panel + (at / kUnit + unit) * stride;
      for (std::size_t digit = 0; digit < 5; ++digit, to += plane) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(digits[digit]));
        if (at + (unit + 1) * kUnit < bytes)
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + stride), _mm512_extracti64x4_epi64(digits[digit], 1));
      }
    }
  }
}

}  // namespace

extern const Path kAvx512VbmiPath;
const Path kAvx512VbmiPath = {
    "avx512-vbmi", kAvx2 | kAvx512 | kAvx512Vnni | kAvx512Vbmi, 4, 4, gemv512_t2, gemv512_t5,
    panel256_t2,   panel512_t5,                                 multiply512,
};

}  // namespace ternary
