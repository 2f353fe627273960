/*
Bringing weights into records of fewer bits, only where they widen to the same numbers bit by bit.

Knows matrices in float32 and what a file said of them; nothing of files.
*/

#ifndef TUNERY_PACKING_H
#define TUNERY_PACKING_H

#include <math.h>
#include <string.h>

#include "weights.h"

enum { SCALES = 10 }; /* steps of the scale to look at, on either side of the likeliest */

/*
Write a 4-bit weight (quants [rows, columns] of 0 … 15, scales and zeros [rows, columns / 32] in bfloat16) as records;
return whether they widen to `expected` bit by bit.
*/
int tunery_pack(
    const uint8_t *quants, const uint16_t *scales, const uint16_t *zeros, int rows, int columns, const float *expected,
    Record *to
) {
    for (int64_t at = 0; at < (int64_t)rows * columns; at += RECORD, to++) {
        for (int i = 0; i < LANES; i++) {
            to->words[i] = 0;
            for (int k = 0; k < LANES; k++) to->words[i] |= (uint32_t)quants[at + LANES * k + i] << (4 * k);
        }
        for (int half = 0; half < 2; half++) {
            const uint32_t scale = (uint32_t)scales[at / BLOCK_WEIGHTS + half] << 16;
            const uint32_t zero = (uint32_t)zeros[at / BLOCK_WEIGHTS + half] << 16;
            float shifted;
            memcpy(to->scales + half, &scale, sizeof scale);
            memcpy(&shifted, &zero, sizeof zero);
            to->shifted[half] = shifted - 8 * to->scales[half];
        }
        for (int k = 0; k < LANES; k++) {
            const Floats weight = widen(to, *(const Words *)to->words, k);
            if (memcmp(&weight, expected + at + LANES * k, sizeof weight)) return 0;
        }
    }
    return 1;
}

static int holds(const ByteRecord *record, const float *expected) {
    for (int k = 0; k < BLOCK_WEIGHTS / LANES; k++) {
        const Floats weight = widen_bytes(record, *(const Words *)record->words, k);
        if (memcmp(&weight, expected + LANES * k, sizeof weight)) return 0;
    }
    return 1;
}

static void fill(ByteRecord *record, const float *weights, float scale) {
    const float inverse = scale ? 1 / scale : 0;
    record->scale = scale;
    for (int i = 0; i < LANES; i++) {
        record->words[i] = 0;
        for (int k = 0; k < BLOCK_WEIGHTS / LANES; k++)
            record->words[i] |= (uint32_t)(uint8_t)(int8_t)lrintf(weights[LANES * k + i] * inverse) << (8 * k);
    }
}

/*
Write weights [count] as records of 8 bits if they came so (GGUF's Q8_0, rounded to bfloat16 since): return whether they
widen to the same numbers. The largest of a block is 127 times its scale, which has 11 bits, before it was rounded to 8.
*/
int tunery_pack_bytes(const float *weights, int64_t count, ByteRecord *to) {
    for (int64_t at = 0; at < count; at += BLOCK_WEIGHTS, to++) {
        float most = 0;
        for (int i = 0; i < BLOCK_WEIGHTS; i++) most = fmaxf(most, fabsf(weights[at + i]));
        most /= 127;
        uint32_t middle;
        memcpy(&middle, &most, sizeof middle);
        middle = (middle + 4096) >> 13;
        int is_found = 0;
        for (int step = 0; step < 2 * SCALES && !is_found; step++) { /* from the middle outwards: 0, −1, 1, −2, … */
            const uint32_t bits = (middle + (uint32_t)(step & 1 ? -(step + 1) / 2 : step / 2)) << 13;
            float scale;
            memcpy(&scale, &bits, sizeof scale);
            fill(to, weights + at, scale);
            is_found = holds(to, weights + at);
        }
        if (!is_found) return 0;
    }
    return 1;
}

#endif
