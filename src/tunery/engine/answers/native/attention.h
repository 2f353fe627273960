/*
Attention of one decoding step: heads are turned, kept, and answered from what is kept.
*/

#ifndef TUNERY_ATTENTION_H
#define TUNERY_ATTENTION_H

#include <math.h>
#include <string.h>

#include "norm.h"

enum { PARTS = 4 }; /* vectors of a value that are summed at once */

/* Norm a head if the family does, and turn its halves by the angles of the row's position. */
static void turn_head(const Job *job, const Norm *norm, float *head, int m) {
    const int width = job->model->width, half = width / 2;
    const float *cosines = job->step->cosines + (int64_t)m * width, *sines = job->step->sines + (int64_t)m * width;
    if (norm->scale) apply_norm(norm, head, head, width);
    for (int at = 0; at < half; at++) {
        const float low = head[at], high = head[at + half];
        head[at] = low * cosines[at] - high * sines[at];
        head[at + half] = high * cosines[at + half] + low * sines[at + half];
    }
}

/* Softmax of `count` scores in place, filled up to a whole vector with what weighs nothing. */
static void soften(float *scores, int count) {
    float highest = scores[0];
    for (int at = 1; at < count; at++) highest = scores[at] > highest ? scores[at] : highest;
    const int filled = (count + LANES - 1) / LANES * LANES;
    for (int at = count; at < filled; at++) scores[at] = -INFINITY;
    Floats total = {0};
    for (int at = 0; at < filled; at += LANES) {
        Floats weight = exponential(load(scores + at) - highest);
        *(Floats *)(scores + at) = weight;
        total += weight;
    }
    const float inverse = 1.0f / sum(total);
    for (int at = 0; at < filled; at += LANES) *(Floats *)(scores + at) = load(scores + at) * inverse;
}

/* to = Σ weight · value over tokens, for `parts` vectors of each value. */
INLINED void mix(const float *values, int width, const float *weights, int tokens, float *to, const int parts) {
    Floats totals[PARTS];
#pragma GCC unroll 4
    for (int part = 0; part < parts; part++) totals[part] = (Floats){0};
    for (int at = 0; at < tokens; at++) {
#pragma GCC unroll 4
        for (int part = 0; part < parts; part++)
            totals[part] += load(values + (int64_t)at * width + part * LANES) * weights[at];
    }
#pragma GCC unroll 4
    for (int part = 0; part < parts; part++) *(Floats *)(to + part * LANES) = totals[part];
}

static void attend_one(
    const Job *job, const float *query, const float *keys, const float *values, int tokens, float *scores, float *to
) {
    const int width = job->model->width;
    for (int at = 0; at < tokens; at++)
        scores[at] = dot(query, keys + (int64_t)at * width, width) * job->model->scaling;
    soften(scores, tokens);
    for (int part = 0; part < width;) {
        const int parts = width - part >= PARTS * LANES ? PARTS : 1;
        if (parts == 1)
            mix(values + part, width, scores, tokens, to + part, 1);
        else
            mix(values + part, width, scores, tokens, to + part, PARTS);
        part += parts * LANES;
    }
}

/* One key-value head of one slot (chunk = slot · kinds + kind): keep the new keys and values, answer its query heads. */
static void attend(const Job *job, int chunk, Scratch *scratch) {
    const Model *model = job->model;
    const Step *step = job->step;
    const int width = model->width, kinds = model->kinds, groups = model->heads / kinds;
    const int slot = chunk / kinds, kind = chunk % kinds;
    const int first = step->is_one_answer ? 0 : slot, last = step->is_one_answer ? step->rows : slot + 1;
    const int64_t memory = (int64_t)chunk * step->capacity * width;
    float *keys = step->keys[job->index] + memory, *values = step->values[job->index] + memory;
    for (int m = first; m < last; m++) {
        const int64_t from = ((int64_t)m * kinds + kind) * width, at = (int64_t)step->positions[m] * width;
        turn_head(job, job->layer->head_norms + 1, job->key + from, m);
        memcpy(keys + at, job->key + from, sizeof(float) * width);
        memcpy(values + at, job->value + from, sizeof(float) * width);
    }
    for (int m = first; m < last; m++) {
        const int end = step->positions[m] + 1, window = job->layer->window;
        const int begin = window && end > window ? end - window : 0;
        for (int g = 0; g < groups; g++) {
            const int64_t head = ((int64_t)m * model->heads + kind * groups + g) * width;
            turn_head(job, job->layer->head_norms, job->query + head, m);
            attend_one(
                job, job->query + head, keys + (int64_t)begin * width, values + (int64_t)begin * width, end - begin,
                scratch->scores, job->answer + head
            );
        }
    }
}

#endif
