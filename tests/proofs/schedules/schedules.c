/* SPDX-License-Identifier: MIT */
/* What the schedules share: hooks, and the program's frame. */
#include "schedules.h"

#include <stdio.h>

void meanwhile_act(void *user, const idem_op *op)
{
    meanwhile *what = user;
    (void)op;
    what->times++;
    what->act();
}

void in_front_of(idem_op_kind kind, meanwhile *what)
{
    FAULTY(.places = FAULTY_ON(kind), .before = meanwhile_act, .user = what);
}

void behind_a_lost(idem_op_kind kind, meanwhile *what)
{
    FAULTY(.kind = FAULTY_AFTER, .places = FAULTY_ON(kind), .after = meanwhile_act, .user = what);
}

static void add_all(Suite *suite)
{
    schedules_races(suite);
    schedules_replies(suite);
    schedules_forks(suite);
    schedules_leaders(suite);
}

int schedules_main(const conformance_backend *backend)
{
    faulty_require();
    return conformance_main_with(backend, add_all);
}
