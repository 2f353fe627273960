/*
What a step is given, which step.py fills in with the same fields, and what its parts share while it runs.

Every array is float32 unless said otherwise, its sizes in brackets.
*/

#ifndef TUNERY_MODEL_H
#define TUNERY_MODEL_H

#include "weights.h"

enum { QUERY, KEY, VALUE, OUTPUT, GATE, UP, DOWN, MATRICES };

typedef struct {
    const float *scale;
    float epsilon;
} Norm;

typedef struct {
    Matrix matrices[MATRICES];
    Norm norms[2];      /* before attention, before the feed-forward part */
    Norm head_norms[2]; /* of each query and key head; scale NULL: none */
    int32_t window;     /* tokens that a token sees, itself included; 0: all */
} Layer;

typedef struct {
    const Layer *layers;
    Matrix head;
    Norm last_norm;
    int32_t layer_count, hidden, inner, heads, kinds, width;
    float scaling;
} Model;

typedef struct {
    const float *down, *up; /* A [rank, columns] and B [rows, rank]; rank 0: none */
    int32_t rank;
    float scale;
} LowRank;

typedef struct {
    int32_t rows, is_one_answer, threads, max_rank, capacity;
    const int32_t *positions;           /* of each row's new token */
    const float *cosines, *sines;       /* [rows, width] */
    float *const *keys, *const *values; /* of each layer [slots, kinds, capacity, width] */
    const LowRank *const *adapters;     /* of each row [layers, MATRICES] or NULL */
    float *state;                       /* [rows, hidden], the embedded tokens; overwritten */
    float *logits;                      /* [rows, rows of the head] */
} Step;

typedef struct {
    int normed; /* number of the normalization that `even` holds */
    float *even, *scores;
} Scratch;

typedef struct Job Job;
typedef void Work(const Job *job, int chunk, Scratch *scratch);

struct Job {
    const Model *model;
    const Step *step;
    const Layer *layer;
    const Norm *norm;
    int index, normed;
    const float *input; /* of the low-rank products and of the products after them; NULL: the state, normed */
    int first, last;    /* matrices of this place */
    float *narrow;      /* [MATRICES, rows, max_rank] low-rank products, scaled */
    float *query, *key, *value, *answer, *inner;
};

#endif
