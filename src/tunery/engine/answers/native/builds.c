/*
Chooses the build of the step that this processor runs fastest.

`hatch_build.py` compiles step.c once for each kind of processor, with the build's name at the end of each public name,
and lists the builds in TUNERY_BUILDS, best first. All compute the same; plain C runs everywhere.
*/

#include <stddef.h>
#include <string.h>

#include "model.h"
#include "weights.h"

typedef int Run(const Model *model, const Step *step);
typedef int Pack(
    const uint8_t *quants, const uint16_t *scales, const uint16_t *zeros, int rows, int columns, const float *expected,
    Record *to
);
typedef int PackBytes(const float *weights, int64_t count, ByteRecord *to);
typedef int Widen(int type, const uint8_t *blocks, int64_t count, float *to);

typedef struct {
    const char *name;
    int (*runs_here)(void);
    Run *run;
    Pack *pack;
    PackBytes *pack_bytes;
    Widen *widen;
} Build;

static int plain_runs_here(void) { return 1; }

#if defined(__x86_64__)
#include <cpuid.h>

enum { REGISTERS = 6 }; /* of SSE and AVX, which the system has to save when it switches threads */

static int avx2_runs_here(void) {
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) return 0;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & REGISTERS) != REGISTERS) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}
#endif

#define BUILD(NAME)                                                                                                    \
    extern Run tunery_step_##NAME;                                                                                     \
    extern Pack tunery_pack_##NAME;                                                                                    \
    extern PackBytes tunery_pack_bytes_##NAME;                                                                         \
    extern Widen tunery_widen_##NAME;
TUNERY_BUILDS
#undef BUILD

#define BUILD(NAME)                                                                                                    \
    {#NAME, NAME##_runs_here, tunery_step_##NAME, tunery_pack_##NAME, tunery_pack_bytes_##NAME, tunery_widen_##NAME},
static const Build builds[] = {TUNERY_BUILDS};
#undef BUILD

static const Build *used;

/* Use the best build, or the one of this name; return its name, NULL if there is none that this processor runs. */
const char *tunery_use(const char *name) {
    for (size_t at = 0; at < sizeof builds / sizeof *builds; at++) {
        if ((name && strcmp(name, builds[at].name)) || !builds[at].runs_here()) continue;
        used = builds + at;
        return used->name;
    }
    return NULL;
}

int tunery_step(const Model *model, const Step *step) { return used->run(model, step); }

int tunery_pack(
    const uint8_t *quants, const uint16_t *scales, const uint16_t *zeros, int rows, int columns, const float *expected,
    Record *to
) {
    return used->pack(quants, scales, zeros, rows, columns, expected, to);
}

int tunery_pack_bytes(const float *weights, int64_t count, ByteRecord *to) {
    return used->pack_bytes(weights, count, to);
}

int tunery_widen(int type, const uint8_t *blocks, int64_t count, float *to) {
    return used->widen(type, blocks, count, to);
}

/* The source this was built from, so that a library of another source is not taken for it. */
const char *tunery_source(void) { return TUNERY_SOURCE; }
