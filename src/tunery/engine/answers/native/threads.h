/*
The threads of a step, and chunks of work that they claim one by one.

Each thread has a share of chunks that lie beside each other in memory, so that what it reads comes in one stream; a
thread that is through with its own takes from the ends of others. One whose core was taken away delays the others by a
chunk at most. Knows jobs; nothing of what they compute.
*/

#ifndef TUNERY_THREADS_H
#define TUNERY_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "model.h"

enum { MAX_THREADS = 64 };
enum { SPINS = 2000, LINGER = 20000 }; /* looks for work before giving way to others, and before going to sleep */

/*
A share holds the number of its phase in the upper half, then the first chunk that is not claimed and the one behind the
last, each below 65,536 (a head of 16 million tokens), so that a claim fails once the phase has passed. The caller ends a phase when all its chunks are done; it never
waits for a thread to begin.
*/
typedef struct {
    _Alignas(64) _Atomic uint64_t left;
} Share;

static struct {
    pthread_mutex_t turn, lock; /* of steps; of `is_open` and `threads` */
    pthread_cond_t opened;
    int is_open, threads;
    _Atomic int allowed;
    Share shares[MAX_THREADS];
    uint32_t phase;
    _Atomic int done;
    Work *work;
    const Job *job;
    Scratch scratches[MAX_THREADS];
    float *memory;
    size_t bytes;
} pool = {
    .turn = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .opened = PTHREAD_COND_INITIALIZER,
    .threads = 1
};

static void pause_after(int idle) {
    if (idle > SPINS) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t share_of(uint32_t phase, uint32_t first, uint32_t end) {
    return (uint64_t)phase << 32 | first << 16 | end;
}

/* Claim a chunk: the first of a thread's own share, the last of another's; return -1 if there is none. */
static int claim(Share *share, int is_own) {
    uint64_t left = atomic_load(&share->left);
    for (;;) {
        const uint32_t first = left >> 16 & 0xffff, end = left & 0xffff;
        if (first == end) return -1;
        const uint64_t rest = is_own ? left + 0x10000 : left - 1;
        if (atomic_compare_exchange_weak(&share->left, &left, rest)) return (int)(is_own ? first : end - 1);
    }
}

/* Claim chunks of the phase that runs until there are none; return whether there were any. */
static int help(int own) {
    int helped = 0;
    const int threads = pool.allowed;
    for (int next = 0; next < threads; next++) {
        Share *share = pool.shares + (own + next) % threads;
        for (int chunk; (chunk = claim(share, !next)) >= 0; helped = 1) {
            pool.work(pool.job, chunk, pool.scratches + own);
            atomic_fetch_add(&pool.done, 1);
        }
    }
    return helped;
}

/* Waking a thread that sleeps takes up to milliseconds, so one stays awake a little longer than until the next step. */
static void *serve(void *number) {
    const int own = (int)(intptr_t)number;
    for (;;) {
        pthread_mutex_lock(&pool.lock);
        while (!pool.is_open || own >= pool.allowed) pthread_cond_wait(&pool.opened, &pool.lock);
        pthread_mutex_unlock(&pool.lock);
        for (int idle = 0; idle < LINGER; idle++) {
            if (own < pool.allowed && help(own)) idle = 0;
            pause_after(idle);
        }
    }
    return NULL;
}

static void run(const Job *job, Work *work, int chunks) {
    pool.job = job;
    pool.work = work;
    atomic_store(&pool.done, 0);
    pool.phase++;
    for (int thread = 0, threads = pool.allowed; thread < threads; thread++) {
        const uint32_t first = (uint32_t)(chunks * thread / threads), end = (uint32_t)(chunks * (thread + 1) / threads);
        atomic_store(&pool.shares[thread].left, share_of(pool.phase, first, end));
    }
    help(0);
    for (int idle = 0; atomic_load(&pool.done) < chunks; idle++) pause_after(idle);
}

static void open_pool(int threads) {
    pthread_mutex_lock(&pool.lock);
    for (; pool.threads < threads; pool.threads++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)pool.threads)) break;
        pthread_detach(thread);
    }
    pool.allowed = threads;
    pool.is_open = 1;
    if (threads > 1) pthread_cond_broadcast(&pool.opened);
    pthread_mutex_unlock(&pool.lock);
}

static void close_pool(void) {
    pthread_mutex_lock(&pool.lock);
    pool.is_open = 0;
    pthread_mutex_unlock(&pool.lock);
}

#endif
