/*
Products of a matrix with the rows of a step, the low-rank parts of the rows' adapters among them.
*/

#ifndef TUNERY_PRODUCTS_H
#define TUNERY_PRODUCTS_H

#include "model.h"

/* The low-rank part that a job's row adds to what one matrix gives; rank 0: none. */
typedef struct {
    const float *up, *narrow;
    int rank;
} Addition;

static inline Addition addition_of(const Job *job, int kind, int m) {
    if (!job || !job->step->adapters[m]) return (Addition){0};
    const LowRank *adapter = job->step->adapters[m] + job->index * MATRICES + kind;
    return (Addition){
        adapter->up, job->narrow + (int64_t)(kind * job->step->rows + m) * job->step->max_rank, adapter->rank
    };
}

INLINED void block(
    const Job *job, const Matrix *matrix, int kind, const float *input, int n, int m, const int matrix_rows,
    const int rows, const int form, float *to, int stride
) {
    Floats sums[8];
#pragma GCC unroll 8
    for (int i = 0; i < matrix_rows * rows; i++) sums[i] = (Floats){0};
    add_products(matrix, n, input + (int64_t)m * matrix->columns, matrix_rows, rows, form, sums);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        const Addition more = addition_of(job, kind, m + i);
        const int whole = more.rank / LANES * LANES;
#pragma GCC unroll 8
        for (int j = 0; j < matrix_rows; j++) {
            const float *up = more.up + (int64_t)(n + j) * more.rank;
            Floats total = sums[j * rows + i];
            for (int at = 0; at < whole; at += LANES) total += load(up + at) * load(more.narrow + at);
            float result = sum(total);
            for (int at = whole; at < more.rank; at++) result += up[at] * more.narrow[at];
            to[(int64_t)(m + i) * stride + j] = result + (matrix->bias ? matrix->bias[n + j] : 0.0f);
        }
    }
}

#define IN_FORM(MATRIX_ROWS, ROWS)                                                                                     \
    do {                                                                                                               \
        if (matrix->form == FOUR_BIT)                                                                                  \
            block(job, matrix, kind, input, at, m, MATRIX_ROWS, ROWS, FOUR_BIT, to + at - n, stride);                  \
        else if (matrix->form == EIGHT_BIT)                                                                            \
            block(job, matrix, kind, input, at, m, MATRIX_ROWS, ROWS, EIGHT_BIT, to + at - n, stride);                 \
        else if (matrix->form == PAIRED)                                                                               \
            block(job, matrix, kind, input, at, m, MATRIX_ROWS, ROWS, PAIRED, to + at - n, stride);                    \
        else                                                                                                           \
            block(job, matrix, kind, input, at, m, MATRIX_ROWS, ROWS, WIDE, to + at - n, stride);                      \
    } while (0)

/* Accumulators in registers: all `count` rows of the matrix from n on with ROWS inputs from m on. */
#define BLOCK(MATRIX_ROWS, ROWS)                                                                                       \
    do {                                                                                                               \
        int at = n;                                                                                                    \
        for (; at + MATRIX_ROWS <= n + count; at += MATRIX_ROWS) IN_FORM(MATRIX_ROWS, ROWS);                           \
        for (; at < n + count; at++) IN_FORM(1, ROWS);                                                                 \
        m += ROWS;                                                                                                     \
    } while (0)

/* to[m, j] = W[begin + j] · input[m] + b, for `count` rows of the matrix; with the low-rank parts if there is a job. */
static void multiply(
    const Job *job, const Matrix *matrix, int kind, const float *input, int rows, int begin, int all, float *to,
    int stride
) {
    for (int n = begin, left = all; left > 0;
         n += LANES, left -= LANES, to += LANES) { /* a few, which stay in the cache */
        const int count = left < LANES ? left : LANES;
        int m = 0;
        while (rows - m >= 8) BLOCK(1, 8);
        if (rows - m >= 4) BLOCK(2, 4);
        if (rows - m >= 2) BLOCK(4, 2);
        if (rows - m) BLOCK(2, 1);
    }
}

#endif
