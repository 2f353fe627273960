/*
The root-mean-square norm.
*/

#ifndef TUNERY_NORM_H
#define TUNERY_NORM_H

#include <math.h>

#include "model.h"

static void apply_norm(const Norm *norm, const float *from, float *to, int count) {
    float inverse = 1.0f / sqrtf(dot(from, from, count) / (float)count + norm->epsilon);
    for (int at = 0; at < count; at += LANES) *(Floats *)(to + at) = load(from + at) * inverse * load(norm->scale + at);
}

#endif
