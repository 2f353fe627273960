/*
Vectors of eight float32 numbers and what is done with them. Knows numbers only.
*/

#ifndef TUNERY_VECTORS_H
#define TUNERY_VECTORS_H

#include <stdint.h>

enum { LANES = 8 };

typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES), aligned(4)));

/* What becomes part of each caller, so that the counts it is given are constants. */
#define INLINED static inline __attribute__((always_inline))

static inline Floats load(const float *from) { return *(const Floats *)from; }

static inline float sum(Floats x) { return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])); }

static inline float dot(const float *a, const float *b, int count) {
    Floats total = {0};
    for (int at = 0; at < count; at += LANES) total += load(a + at) * load(b + at);
    return sum(total);
}

/* e^x for x ≤ 0 to a few units in the last place: 2^n · e^r, |r| ≤ ln 2 / 2, with the polynomial of Cephes' expf. */
static inline Floats exponential(Floats x) {
    const Floats lowest = (Floats){0} - 87.0f;
    const float rounder = 12582912.0f; /* 1.5 · 2^23: adding it rounds to a whole number */
    Ints is_low = x < lowest;
    x = (Floats)(((Ints)lowest & is_low) | ((Ints)x & ~is_low));
    Floats n = (x * 1.44269504088896341f + rounder) - rounder;
    Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return p * (Floats)((__builtin_convertvector(n, Ints) + 127) << 23);
}

static inline int smaller(int a, int b) { return a < b ? a : b; }

#endif
