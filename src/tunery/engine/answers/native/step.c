/*
One decoding step of a model of Llama's shape on the processor: what lean.py computes with torch's operations, in one
call. Everything is float32; weights may be kept in fewer bits and are widened as they are read, which is exact.

The sum behind each number is taken in one order, whatever the number of rows, threads or neighbours: the logits of a row
do not depend on what else is in the step. Work is cut into chunks that threads claim one by one, so that a thread whose
core was taken away delays the others by a chunk at most. Knows pointers and sizes; nothing of tokens' meaning, slots'
owners or files. step.py fills the structures, whose fields must stay the same on both sides.
*/

#include <stdint.h>
#include <stdlib.h>

#include "attention.h"
#include "packing.h"
#include "products.h"
#include "threads.h"
#include "widen.h"

enum { LINE = 16, CHUNK_ROWS = 32, HEAD_CHUNK_ROWS = 256 }; /* numbers of a cache line; rows of a matrix in a chunk */

static int chunks_of(int rows) { return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS; }

static int eights_of(int rank) { return (rank + LANES - 1) / LANES; }

/* Return the input of a place: the state of all rows, normed by this thread for itself, or what was computed before. */
static const float *input_of(const Job *job, Scratch *scratch) {
    if (job->input) return job->input;
    if (scratch->normed != job->normed) {
        const int hidden = job->model->hidden;
        for (int m = 0; m < job->step->rows; m++)
            apply_norm(job->norm, job->step->state + (int64_t)m * hidden, scratch->even + (int64_t)m * hidden, hidden);
        scratch->normed = job->normed;
    }
    return scratch->even;
}

/*
Eight low-rank products of one matrix for the rows of one adapter; the first of these rows computes all. The chunk is
(row · matrices + matrix) · eights + eight.
*/
static void narrow_products(const Job *job, int chunk, Scratch *scratch) {
    const Step *step = job->step;
    const int eights = eights_of(step->max_rank), kinds = job->last - job->first + 1;
    const int begin = chunk % eights * LANES, kind = job->first + chunk / eights % kinds,
              first = chunk / eights / kinds;
    const LowRank *const *adapters = step->adapters;
    if (!adapters[first]) return;
    for (int m = 0; m < first; m++)
        if (adapters[m] == adapters[first]) return;
    const LowRank *adapter = adapters[first] + job->index * MATRICES + kind;
    const Matrix down = {adapter->down, NULL, adapter->rank, job->layer->matrices[kind].columns, WIDE};
    const int count = smaller(LANES, adapter->rank - begin);
    const float *input = input_of(job, scratch);
    for (int m = first; m < step->rows && count > 0; m++) {
        if (adapters[m] != adapters[first]) continue;
        float *to = job->narrow + (int64_t)(kind * step->rows + m) * step->max_rank + begin;
        multiply(NULL, &down, kind, input + (int64_t)m * down.columns, 1, begin, count, to, 0);
        for (int at = 0; at < count; at++) to[at] *= adapter->scale;
    }
}

static void queries_keys_values(const Job *job, int chunk, Scratch *scratch) {
    float *to[] = {job->query, job->key, job->value};
    int kind = QUERY;
    for (; chunk >= chunks_of(job->layer->matrices[kind].rows); kind++)
        chunk -= chunks_of(job->layer->matrices[kind].rows);
    const Matrix *matrix = job->layer->matrices + kind;
    const int begin = chunk * CHUNK_ROWS, count = smaller(CHUNK_ROWS, matrix->rows - begin);
    multiply(job, matrix, kind, input_of(job, scratch), job->step->rows, begin, count, to[kind] + begin, matrix->rows);
}

/* state += W · input, for the matrix that ends a half of the layer. */
static void add_to_state(const Job *job, int chunk, Scratch *scratch) {
    (void)scratch;
    const int rows = job->step->rows, hidden = job->model->hidden, begin = chunk * CHUNK_ROWS;
    const Matrix *matrix = job->layer->matrices + job->first;
    const int count = smaller(CHUNK_ROWS, hidden - begin);
    float part[rows * CHUNK_ROWS];
    multiply(job, matrix, job->first, job->input, rows, begin, count, part, CHUNK_ROWS);
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < count; n++) job->step->state[(int64_t)m * hidden + begin + n] += part[m * CHUNK_ROWS + n];
}

static void gate_and_up(const Job *job, int chunk, Scratch *scratch) {
    const int rows = job->step->rows, inner = job->model->inner, begin = chunk * CHUNK_ROWS;
    const int count = smaller(CHUNK_ROWS, inner - begin);
    const Matrix *matrices = job->layer->matrices;
    const float *input = input_of(job, scratch);
    float gate[rows * CHUNK_ROWS], up[rows * CHUNK_ROWS];
    multiply(job, matrices + GATE, GATE, input, rows, begin, count, gate, CHUNK_ROWS);
    multiply(job, matrices + UP, UP, input, rows, begin, count, up, CHUNK_ROWS);
    for (int m = 0; m < rows; m++) {
        float *to = job->inner + (int64_t)m * inner + begin;
        for (int at = 0; at < count; at += LANES) { /* inner features come in eights, so do counts */
            Floats x = load(gate + m * CHUNK_ROWS + at);
            Floats size = (Floats)((Words)x & 0x7fffffffu), small = exponential(-size); /* never more than 1 */
            Ints is_negative = x < 0.0f;
            Floats above = (Floats)(((Ints)small & is_negative) | (~is_negative & (Ints)((Floats){0} + 1.0f)));
            *(Floats *)(to + at) = x * (above / (1.0f + small)) * load(up + m * CHUNK_ROWS + at);
        }
    }
}

static void head_logits(const Job *job, int chunk, Scratch *scratch) {
    const Matrix *head = &job->model->head;
    const int begin = chunk * HEAD_CHUNK_ROWS, count = smaller(HEAD_CHUNK_ROWS, head->rows - begin);
    multiply(
        NULL, head, 0, input_of(job, scratch), job->step->rows, begin, count, job->step->logits + begin, head->rows
    );
}

/* ---- the step ---- */

/* Take so many values from what is left, whole cache lines; with no memory yet, only count them. */
static float *take(float **at, size_t *taken, size_t values) {
    const size_t whole = (values + LINE - 1) / LINE * LINE;
    float *from = *at;
    *taken += whole;
    if (from) *at += whole;
    return from;
}

static size_t lay_out(Job *job, int scratches, float *at) {
    const Model *model = job->model;
    const Step *step = job->step;
    const size_t rows = (size_t)step->rows;
    size_t taken = 0;
    job->query = take(&at, &taken, rows * model->heads * model->width);
    job->answer = take(&at, &taken, rows * model->heads * model->width);
    job->key = take(&at, &taken, rows * model->kinds * model->width);
    job->value = take(&at, &taken, rows * model->kinds * model->width);
    job->inner = take(&at, &taken, rows * model->inner);
    job->narrow = take(&at, &taken, rows * MATRICES * step->max_rank);
    for (int thread = 0; thread < scratches; thread++) {
        float *even = take(&at, &taken, rows * model->hidden),
              *scores = take(&at, &taken, (size_t)step->capacity + LANES);
        pool.scratches[thread] = (Scratch){-1, even, scores};
    }
    return taken * sizeof(float);
}

/* Give job and scratches their memory, which is kept for the next step; return 0 if there is not enough. */
static int make_room(Job *job, int threads) {
    const int scratches =
        threads > pool.threads ? threads : pool.threads; /* one that has not seen the end may still help */
    const size_t bytes = lay_out(job, scratches, NULL);
    if (bytes > pool.bytes) {
        free(pool.memory);
        pool.memory = aligned_alloc(LINE * sizeof(float), bytes);
        pool.bytes = pool.memory ? bytes : 0;
    }
    if (pool.memory) lay_out(job, scratches, pool.memory);
    return pool.memory != NULL;
}

/* One place of low-rank products and what reads the same input: matrices first … last. */
static void run_place(Job *job, int first, int last, const float *input, const Norm *norm, Work *work, int chunks) {
    job->first = first, job->last = last, job->input = input, job->norm = norm;
    if (norm) job->normed++;
    if (job->step->max_rank)
        run(job, narrow_products, job->step->rows * (last - first + 1) * eights_of(job->step->max_rank));
    run(job, work, chunks);
}

static void run_layer(Job *job) {
    const Model *model = job->model;
    const Matrix *matrices = job->layer->matrices;
    const int together =
        chunks_of(matrices[QUERY].rows) + chunks_of(matrices[KEY].rows) + chunks_of(matrices[VALUE].rows);
    run_place(job, QUERY, VALUE, NULL, job->layer->norms, queries_keys_values, together);
    run(job, attend, (job->step->is_one_answer ? 1 : job->step->rows) * model->kinds);
    run_place(job, OUTPUT, OUTPUT, job->answer, NULL, add_to_state, chunks_of(model->hidden));
    run_place(job, GATE, UP, NULL, job->layer->norms + 1, gate_and_up, chunks_of(model->inner));
    run_place(job, DOWN, DOWN, job->inner, NULL, add_to_state, chunks_of(model->hidden));
}

/* Compute the logits that follow each row's token, and keep its keys and values; return 0 if memory is short. */
int tunery_step(const Model *model, const Step *step) {
    Job job = {.model = model, .step = step};
    const int threads = smaller(step->threads, MAX_THREADS);
    pthread_mutex_lock(&pool.turn);
    const int is_ready = make_room(&job, threads);
    if (is_ready) {
        open_pool(threads);
        for (job.index = 0; job.index < model->layer_count; job.index++) {
            job.layer = model->layers + job.index;
            run_layer(&job);
        }
        job.input = NULL, job.norm = &model->last_norm, job.normed++;
        run(&job, head_logits, (model->head.rows + HEAD_CHUNK_ROWS - 1) / HEAD_CHUNK_ROWS);
        close_pool();
    }
    pthread_mutex_unlock(&pool.turn);
    return is_ready;
}
