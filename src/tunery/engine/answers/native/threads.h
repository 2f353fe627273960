/*
The threads of a step, and chunks of work that they claim one by one.

A thread whose core was taken away delays the others by a chunk at most. Knows jobs; nothing of what they compute.
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
`ticket` holds the number of the phase above and the chunks not yet claimed below, so that a claim fails once the phase
has passed. The caller ends a phase when all its chunks are done; it never waits for a thread to begin.
*/
static struct {
    pthread_mutex_t turn, lock; /* of steps; of `is_open` and `threads` */
    pthread_cond_t opened;
    int is_open, threads;
    _Atomic int allowed;
    _Atomic uint64_t ticket;
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

/* Claim chunks of the phase that runs until there are none; return whether there were any. */
static int help(Scratch *scratch) {
    int helped = 0;
    uint64_t ticket = atomic_load(&pool.ticket);
    while (ticket & 0xffffffffu) {
        if (!atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket - 1)) continue;
        pool.work(pool.job, (int)(uint32_t)ticket - 1, scratch);
        atomic_fetch_add(&pool.done, 1);
        helped = 1;
        ticket = atomic_load(&pool.ticket);
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
            if (own < pool.allowed && help(pool.scratches + own)) idle = 0;
            pause_after(idle);
        }
    }
    return NULL;
}

static void run(const Job *job, Work *work, int chunks) {
    pool.job = job;
    pool.work = work;
    atomic_store(&pool.done, 0);
    const uint64_t phase = (atomic_load(&pool.ticket) >> 32) + 1;
    atomic_store(&pool.ticket, phase << 32 | (uint32_t)chunks);
    help(pool.scratches);
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
