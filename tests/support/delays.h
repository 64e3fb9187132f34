/* SPDX-License-Identifier: MIT */
/*
 * Chunks that a relay holds back, all for the same time: they fall due in the order of their
 * arrival, so one queue serves all links. For one thread, which a timer of the kernel's wakes:
 * epoll's clock is too coarse.
 */
#ifndef IDEM_TESTS_DELAYS_H
#define IDEM_TESTS_DELAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct delayed {
    struct delayed *next;
    uint64_t due_ns;
    size_t link;
    unsigned serial; /* of the link when it came */
    int way;
    size_t len; /* 0: nothing more comes */
    char data[];
} delayed;

typedef struct {
    uint64_t delay_ns;
    int timer; /* to be waited for, edge by edge: each setting is one, and it is never read */
    uint64_t armed_ns; /* when it goes off */
    delayed *first;
    delayed *last;
} delays;

bool delays_open(delays *self, uint64_t delay_ns);
void delays_close(delays *self);

void delays_put(delays *self, const delayed *what, const char *data);

/** What is due, one after the other; free it. NULL: nothing is, and the timer is set. */
delayed *delays_take(delays *self);

#endif
