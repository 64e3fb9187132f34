/* SPDX-License-Identifier: MIT */
/* A mutex, a condition and two facts. No waiting ends by itself: a test that waits for ever is
   ended by its own time limit. */
#include "gate.h"

void gate_hold(void *user, const idem_op *op)
{
    gate *self = user;
    (void)op;
    (void)pthread_mutex_lock(&self->lock);
    self->arrived++;
    (void)pthread_cond_broadcast(&self->changed);
    while (!self->open)
        (void)pthread_cond_wait(&self->changed, &self->lock);
    (void)pthread_mutex_unlock(&self->lock);
}

void gate_await(gate *self, unsigned count)
{
    (void)pthread_mutex_lock(&self->lock);
    while (self->arrived < count)
        (void)pthread_cond_wait(&self->changed, &self->lock);
    (void)pthread_mutex_unlock(&self->lock);
}

void gate_open(gate *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->open = true;
    (void)pthread_cond_broadcast(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
}
