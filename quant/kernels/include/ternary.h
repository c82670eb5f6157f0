/* Products of packed ternary weights with int8 activations, exact in int32.
 *
 * A kernel is made from the bytes that quant/ternary/packing.py describes. Weights are the trits {-1, 0, +1} of M output
 * channels with K inputs each and one scale per channel; activations are int8 rows of K values with one scale a row.
 * Sums are exact for every input, -128 too. Float results are float(sum) * (scale of the row * scale of the channel)
 * + bias, rounded after each operation and therefore the same on every path.
 *
 * A function that can fail returns a status and writes one line into `error`, which may be NULL. No buffer needs an
 * alignment. A kernel never changes and may be used by several threads at once; so may a pool, one call after another.
 */
#ifndef EDGE_TERNARY_H
#define EDGE_TERNARY_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TERNARY_API __attribute__((visibility("default")))
#else
#define TERNARY_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TERNARY_ABI 1 /* raised with every change of this header that is not an addition */
#define TERNARY_MOST_DIMENSIONS 6

typedef enum ternary_status {
  TERNARY_OK = 0,
  TERNARY_NOT_PACKED = 1,   /* the bytes are no packed ternary tensor */
  TERNARY_VERSION = 2,      /* of a version that is not known */
  TERNARY_TRUNCATED = 3,    /* cut off, or longer than their header says */
  TERNARY_DAMAGED = 4,      /* the checksum is wrong, or codes that no trits make */
  TERNARY_SHAPE = 5,        /* no weight has this shape, K = 0 or too large for int32 sums among others */
  TERNARY_SCALE = 6,        /* a scale that is not positive and finite */
  TERNARY_PATH = 7,         /* no such path, or this processor lacks its instructions */
  TERNARY_ARGUMENT = 8,     /* a null pointer, a size of 0, activations that are not finite */
  TERNARY_MEMORY = 9        /* out of memory, or no more threads */
} ternary_status;

typedef struct ternary_error {
  ternary_status status;
  char message[248];
} ternary_error;

typedef struct ternary_kernel ternary_kernel;
typedef struct ternary_pool ternary_pool;

typedef struct ternary_info {
  const char *path;      /* the instructions that are used: "avx2", … */
  int32_t layout;        /* of the packed bytes: 2 (t2) or 5 (t5) */
  int32_t stored_layout; /* in memory: t5 becomes t2 on paths that cannot read it */
  int32_t dimensions;
  int64_t shape[TERNARY_MOST_DIMENSIONS]; /* output channels first */
  int64_t rows;                           /* M, the output channels */
  int64_t columns;                        /* K, the product of the other dimensions */
  int64_t bytes;                          /* that the codes take in memory */
} ternary_info;

/* A convolution of NHWC activations; the weight has the shape (out, in, height, width). */
typedef struct ternary_conv {
  int64_t images, height, width, channels;
  int64_t stride[2];   /* down, right */
  int64_t padding[4];  /* top, left, bottom, right; the value 0 */
  int64_t dilation[2]; /* down, right */
} ternary_conv;

/* Return TERNARY_ABI as the library was built. */
TERNARY_API uint32_t ternary_abi(void);

/* Return the name of a path that was compiled in, best first, or NULL beyond the last. */
TERNARY_API const char *ternary_path(size_t index);

/* Return 1 if this processor can run the path of that name, else 0. */
TERNARY_API int ternary_path_runs(const char *name);

/* Make `threads` threads available, the calling one among them; 1 to 256. */
TERNARY_API ternary_status ternary_pool_create(int32_t threads, ternary_pool **pool, ternary_error *error);
TERNARY_API void ternary_pool_free(ternary_pool *pool);

/* Call `task(task_state, i)` for i = 0 … count-1, each once, on several threads; return when the last has ended. */
typedef void (*ternary_task)(void *task_state, size_t index);
typedef void (*ternary_run)(void *state, size_t count, ternary_task task, void *task_state);

/* Make a pool of a runtime's own `threads` threads, which `run` hands work to; `state` is passed on to it. */
TERNARY_API ternary_status ternary_pool_borrow(int32_t threads, ternary_run run, void *state, ternary_pool **pool,
                                               ternary_error *error);

/* Make a kernel from packed bytes, which it copies. `path` NULL takes the best one. */
TERNARY_API ternary_status ternary_load(const void *packed, size_t bytes, const char *path, ternary_kernel **kernel,
                                        ternary_error *error);
TERNARY_API void ternary_free(ternary_kernel *kernel);
TERNARY_API void ternary_describe(const ternary_kernel *kernel, ternary_info *info);

/* Validate packed bytes and write their shape; then their trits (M, K) and scales (M) where the pointers are not NULL. */
TERNARY_API ternary_status ternary_decode(const void *packed, size_t bytes, ternary_info *info, int8_t *trits,
                                          float *scales, ternary_error *error);

/* Return the bytes that trits of a shape take in layout 2 or 5, or 0 if they cannot be packed. */
TERNARY_API size_t ternary_encoded_bytes(int32_t layout, int32_t dimensions, const int64_t *shape);

/* Write the packed bytes of trits (M, K), in the order of the kernels: (…, in) for the dimensions (in, …). */
TERNARY_API ternary_status ternary_encode(int32_t layout, int32_t dimensions, const int64_t *shape, const int8_t *trits,
                                          const float *scales, void *packed, size_t bytes, ternary_error *error);

/* Write int8 codes of float rows (rows, columns) and their scales: scale = max(|x|max / 127, 2^-126), code = x / scale
 * rounded half to even. Refuses values that are not finite. */
TERNARY_API ternary_status ternary_quantize(const float *values, size_t rows, size_t columns, int8_t *codes,
                                            float *scales, ternary_error *error);

/* Write the sums (rows, M) of activations (rows, K). `pool` NULL uses the calling thread, here and below. */
TERNARY_API ternary_status ternary_accumulate(const ternary_kernel *kernel, ternary_pool *pool, const int8_t *codes,
                                              size_t rows, int32_t *sums, ternary_error *error);

/* Write float results (rows, M); `scales` (rows), `bias` (M) or NULL. */
TERNARY_API ternary_status ternary_matmul(const ternary_kernel *kernel, ternary_pool *pool, const int8_t *codes,
                                          const float *scales, size_t rows, const float *bias, float *results,
                                          ternary_error *error);

/* Quantize float rows (rows, K) as ternary_quantize does, and write float results (rows, M). */
TERNARY_API ternary_status ternary_linear(const ternary_kernel *kernel, ternary_pool *pool, const float *values,
                                          size_t rows, const float *bias, float *results, ternary_error *error);

/* Write the height and width of a convolution's output; refuses what does not fit the kernel's weight. */
TERNARY_API ternary_status ternary_conv_output(const ternary_kernel *kernel, const ternary_conv *conv, int64_t *height,
                                               int64_t *width, ternary_error *error);

/* Write the sums (images, out height, out width, M) of activations (images, height, width, channels). */
TERNARY_API ternary_status ternary_conv_accumulate(const ternary_kernel *kernel, ternary_pool *pool,
                                                   const ternary_conv *conv, const int8_t *codes, int32_t *sums,
                                                   ternary_error *error);

/* Write float results (images, out height, out width, M); `scales` (images), `bias` (M) or NULL. */
TERNARY_API ternary_status ternary_conv_matmul(const ternary_kernel *kernel, ternary_pool *pool,
                                               const ternary_conv *conv, const int8_t *codes, const float *scales,
                                               const float *bias, float *results, ternary_error *error);

/* Compute a convolution of float NCHW activations: an image becomes int8 codes with one scale as in ternary_quantize;
 * write float NCHW results (images, M, out height, out width). */
TERNARY_API ternary_status ternary_conv2d(const ternary_kernel *kernel, ternary_pool *pool, const ternary_conv *conv,
                                          const float *values, const float *bias, float *results,
                                          ternary_error *error);

#ifdef __cplusplus
}
#endif
#endif
