/* SPDX-License-Identifier: MIT */
#include "delays.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

bool delays_open(delays *self, uint64_t delay_ns)
{
    *self = (delays){.delay_ns = delay_ns,
                     .timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    return self->timer >= 0;
}

void delays_close(delays *self)
{
    while (self->first) {
        delayed *at = self->first;
        self->first = at->next;
        free(at);
    }
    (void)close(self->timer);
}

void delays_put(delays *self, const delayed *what, const char *data)
{
    delayed *made = malloc(sizeof *made + what->len);
    if (!made)
        abort();
    *made = *what;
    made->next = NULL;
    made->due_ns = now_ns() + self->delay_ns;
    memcpy(made->data, data, what->len);
    if (self->first)
        self->last->next = made;
    else
        self->first = made;
    self->last = made;
}

static void arm(delays *self)
{
    if (self->first->due_ns == self->armed_ns)
        return;
    self->armed_ns = self->first->due_ns;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(self->armed_ns / NS_PER_S),
                                           .tv_nsec = (long)(self->armed_ns % NS_PER_S)}};
    if (timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &when, NULL))
        abort();
}

delayed *delays_take(delays *self)
{
    delayed *due = self->first;
    if (!due)
        return NULL;
    if (due->due_ns > now_ns()) {
        arm(self);
        return NULL;
    }
    self->first = due->next;
    return due;
}
