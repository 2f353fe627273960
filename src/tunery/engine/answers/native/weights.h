/*
The forms in which weights are kept, and the sums of their products with rows of numbers.

float32; bfloat16 with columns c and c + 8 side by side; records of 4 or 8 bits, as GGUF files bring them, rounded to
bfloat16 as they are read. Knows matrices; nothing of layers.
*/

#ifndef TUNERY_WEIGHTS_H
#define TUNERY_WEIGHTS_H

#include "vectors.h"

enum { WIDE, PAIRED, FOUR_BIT, EIGHT_BIT };
enum { BLOCK_WEIGHTS = 32, RECORD = 2 * BLOCK_WEIGHTS };

typedef struct {
    const void *weight; /* [rows, columns] in its form */
    const float *bias;  /* [rows] or NULL */
    int32_t rows, columns, form;
} Matrix;

/* 64 weights (q − 8) · scale + zero: nibble k of word i is q of column 8 k + i; zero − 8 scale is `shifted`. */
typedef struct {
    uint32_t words[LANES];
    float scales[RECORD / BLOCK_WEIGHTS], shifted[RECORD / BLOCK_WEIGHTS];
} Record;

/* 32 weights q · scale: byte k of word i is q of column 8 k + i. */
typedef struct {
    uint32_t words[LANES];
    float scale;
} ByteRecord;

/*
Round to bfloat16, which bases are kept in. Adding 2^16 times a number leaves 8 of its bits, ties to even; at the top of
a binade that can fail, so those who make records look at every weight.
*/
static inline Floats rounded(Floats exact) {
    const Floats above = exact * 65536.0f + exact;
    return above - exact * 65536.0f;
}

/* Columns 8 k … 8 k + 7 of a record. */
INLINED Floats widen(const Record *record, Words words, const int k) {
    const Floats quants = __builtin_convertvector((Ints)((words >> (4 * k)) & 15), Floats);
    return rounded(quants * record->scales[k / 4] + record->shifted[k / 4]);
}

INLINED Floats widen_bytes(const ByteRecord *record, Words words, const int k) {
    const Ints quants = (Ints)(words << (24 - 8 * k)) >> 24;
    return rounded(__builtin_convertvector(quants, Floats) * record->scale);
}

INLINED void
add_wide(const Matrix *matrix, int n, const float *input, const int matrix_rows, const int rows, Floats *sums) {
    const int64_t columns = matrix->columns;
    for (int at = 0; at < columns; at += LANES) {
#pragma GCC unroll 8
        for (int j = 0; j < matrix_rows; j++) {
            const Floats weight = load((const float *)matrix->weight + (n + j) * columns + at);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) sums[j * rows + i] += weight * load(input + i * columns + at);
        }
    }
}

INLINED void
add_paired(const Matrix *matrix, int n, const float *input, const int matrix_rows, const int rows, Floats *sums) {
    const int64_t columns = matrix->columns;
    for (int at = 0; at < columns; at += 2 * LANES) {
#pragma GCC unroll 8
        for (int j = 0; j < matrix_rows; j++) {
            const uint16_t *from = (const uint16_t *)matrix->weight + (n + j) * columns + at;
            __builtin_prefetch(from + LANES * columns); /* of the rows after these */
            const Words both = *(const Words *)from;
            const Floats low = (Floats)(both << 16), high = (Floats)(both & 0xffff0000u);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) {
                sums[j * rows + i] += low * load(input + i * columns + at);
                sums[j * rows + i] += high * load(input + i * columns + at + LANES);
            }
        }
    }
}

INLINED void
add_four_bit(const Matrix *matrix, int n, const float *input, const int matrix_rows, const int rows, Floats *sums) {
    const int64_t columns = matrix->columns;
    for (int at = 0; at < columns; at += RECORD) {
#pragma GCC unroll 8
        for (int j = 0; j < matrix_rows; j++) {
            const Record *record = (const Record *)matrix->weight + (uint64_t)((n + j) * columns + at) / RECORD;
            __builtin_prefetch(record + LANES * columns / RECORD);
            const Words words = *(const Words *)record->words;
#pragma GCC unroll 8
            for (int k = 0; k < LANES; k++) {
                const Floats weight = widen(record, words, k);
#pragma GCC unroll 8
                for (int i = 0; i < rows; i++)
                    sums[j * rows + i] += weight * load(input + i * columns + at + LANES * k);
            }
        }
    }
}

INLINED void
add_eight_bit(const Matrix *matrix, int n, const float *input, const int matrix_rows, const int rows, Floats *sums) {
    const int64_t columns = matrix->columns;
    for (int at = 0; at < columns; at += BLOCK_WEIGHTS) {
#pragma GCC unroll 8
        for (int j = 0; j < matrix_rows; j++) {
            const ByteRecord *record =
                (const ByteRecord *)matrix->weight + (uint64_t)((n + j) * columns + at) / BLOCK_WEIGHTS;
            __builtin_prefetch(record + LANES * columns / BLOCK_WEIGHTS);
            const Words words = *(const Words *)record->words;
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) {
                const Floats weight = widen_bytes(record, words, k);
#pragma GCC unroll 8
                for (int i = 0; i < rows; i++)
                    sums[j * rows + i] += weight * load(input + i * columns + at + LANES * k);
            }
        }
    }
}

/*
Add the products of `matrix_rows` rows of the matrix from n on with `rows` inputs to sums [matrix_rows, rows]: each is one
accumulator, from the first column to the last.
*/
INLINED void add_products(
    const Matrix *matrix, int n, const float *input, const int matrix_rows, const int rows, const int form, Floats *sums
) {
    if (form == WIDE) add_wide(matrix, n, input, matrix_rows, rows, sums);
    if (form == PAIRED) add_paired(matrix, n, input, matrix_rows, rows, sums);
    if (form == FOUR_BIT) add_four_bit(matrix, n, input, matrix_rows, rows, sums);
    if (form == EIGHT_BIT) add_eight_bit(matrix, n, input, matrix_rows, rows, sums);
}

#endif
