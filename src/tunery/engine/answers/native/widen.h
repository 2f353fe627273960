/*
Weights in ggml's blocks, widened to float32 for products that are computed elsewhere.

Each number is rounded as ggml's own code rounds it, so products and sums must not be contracted.
*/

#ifndef TUNERY_WIDEN_H
#define TUNERY_WIDEN_H

#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#pragma clang fp contract(off)
#else
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif

enum { Q4_0 = 2, Q4_1 = 3, Q8_0 = 8, Q4_K = 12, Q6_K = 14 }; /* ggml's numbers of the types */

/* float16; 2^112 is what the exponents of the two formats differ by. */
static inline float half(const uint8_t *at) {
    const uint32_t bits = (uint32_t)at[0] | (uint32_t)at[1] << 8, wide = (bits & 0x7fff) << 13;
    float value;
    memcpy(&value, &wide, sizeof value);
    value *= 0x1p112f;
    return bits & 0x8000 ? -value : value;
}

static void widen_q4_0(const uint8_t *block, float *to) {
    const float scale = half(block);
    for (int i = 0; i < 16; i++) to[i] = (float)((block[2 + i] & 15) - 8) * scale;
    for (int i = 0; i < 16; i++) to[16 + i] = (float)((block[2 + i] >> 4) - 8) * scale;
}

static void widen_q4_1(const uint8_t *block, float *to) {
    const float scale = half(block), least = half(block + 2);
    for (int i = 0; i < 16; i++) to[i] = (float)(block[4 + i] & 15) * scale + least;
    for (int i = 0; i < 16; i++) to[16 + i] = (float)(block[4 + i] >> 4) * scale + least;
}

static void widen_q8_0(const uint8_t *block, float *to) {
    const float scale = half(block);
    for (int i = 0; i < 32; i++) to[i] = (float)(int8_t)block[2 + i] * scale;
}

/* d and dmin, 8 scales and 8 minima of 6 bits in 12 bytes, then two groups of 32 weights in each 32 bytes. */
static void widen_q4_k(const uint8_t *block, float *to) {
    const float d = half(block), dmin = half(block + 2);
    const uint8_t *packed = block + 4, *quants = block + 16;
    for (int group = 0; group < 8; group++, to += 32) {
        const int own = group & 3;
        const int scale = group < 4 ? packed[own] & 63 : (packed[8 + own] & 15) | (packed[own] >> 6) << 4;
        const int least = group < 4 ? packed[4 + own] & 63 : packed[8 + own] >> 4 | (packed[4 + own] >> 6) << 4;
        const float step = d * (float)scale, lowest = dmin * (float)least;
        const int shift = group & 1 ? 4 : 0;
        for (int i = 0; i < 32; i++) to[i] = (float)(quants[group / 2 * 32 + i] >> shift & 15) * step - lowest;
    }
}

/* 128 bytes with the low 4 bits, 64 with the high 2, 16 scales, d. */
static void widen_q6_k(const uint8_t *block, float *to) {
    const float d = half(block + 208);
    for (int group = 0; group < 8; group++, to += 32) {
        const uint8_t *low = block + group / 4 * 64 + (group & 1) * 32, *high = block + 128 + group / 4 * 32;
        const int low_shift = group & 2 ? 4 : 0, high_shift = (group & 3) * 2;
        for (int part = 0; part < 2; part++) {
            const float scale = (float)(int8_t)block[192 + group * 2 + part] * d;
            for (int i = 16 * part; i < 16 * part + 16; i++)
                to[i] = (float)(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32) * scale;
        }
    }
}

#if !defined(__clang__)
#pragma GCC pop_options
#endif

/* Widen `count` blocks of a type; return whether it is known. */
int tunery_widen(int type, const uint8_t *blocks, int64_t count, float *to) {
    for (int64_t at = 0; at < count; at++) {
        if (type == Q4_0)
            widen_q4_0(blocks + at * 18, to + at * 32);
        else if (type == Q4_1)
            widen_q4_1(blocks + at * 20, to + at * 32);
        else if (type == Q8_0)
            widen_q8_0(blocks + at * 34, to + at * 32);
        else if (type == Q4_K)
            widen_q4_k(blocks + at * 144, to + at * 256);
        else if (type == Q6_K)
            widen_q6_k(blocks + at * 210, to + at * 256);
        else
            return 0;
    }
    return 1;
}

#endif
