/* SPDX-License-Identifier: MIT */
/* A gate that holds threads at one point, such as a hook of the faulty backend, until it is opened. */
#ifndef IDEM_TESTS_FAULTY_GATE_H
#define IDEM_TESTS_FAULTY_GATE_H

#include <idem/backend.h>

#include <pthread.h>

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned arrived;
    bool open;
} gate;

#define GATE_CLOSED                                                            \
    {                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

/** The hook: `user` is the gate. Waits until it is open. */
void gate_hold(void *user, const idem_op *op);

/** Waits until so many threads have arrived, in all. */
void gate_await(gate *self, unsigned count);

/** Lets all through, from now on. */
void gate_open(gate *self);

#endif
