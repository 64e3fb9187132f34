/* SPDX-License-Identifier: MIT */
/* Delayed ops, on copies of their bytes: the caller has gone on long before they are carried out.
   */
#include "delayed.h"

#include <stdlib.h>

typedef struct idem__testkit_late {
    struct idem__testkit_late *next;
    idem_op op;
    idem_record record;
    uint64_t delay; /* in front of how many batches it still is not */
} late;

static void free_late(late *it)
{
    idem_record_clear(&it->record);
    idem_record_clear(&it->op.found);
    free(it);
}

void idem__testkit_delayed_drop(idem__testkit_delayed *list)
{
    while (list->first) {
        late *it = list->first;
        list->first = it->next;
        free_late(it);
    }
}

/* Takes the next op that is due out of the list. With `count_down` this is a new batch. */
static late *next_delivery(idem__testkit_delayed *list, bool count_down)
{
    late *due = NULL;
    (void)pthread_mutex_lock(&list->lock);
    for (late *at = list->first; count_down && at; at = at->next)
        at->delay -= at->delay > 0; /* one that is due may be another thread's to carry out */
    late **at = &list->first;
    while (*at && (*at)->delay > 0)
        at = &(*at)->next;
    if (*at) {
        due = *at;
        *at = due->next;
    }
    (void)pthread_mutex_unlock(&list->lock);
    return due;
}

/* Whatever they find and whether they succeed: nobody waits for their answers any more. */
void idem__testkit_deliver(idem__testkit_delayed *list, idem_backend *to, uint64_t deadline_ms)
{
    for (late *due = next_delivery(list, true); due; due = next_delivery(list, false)) {
        idem_op *ops[] = {&due->op};
        (void)to->ops->submit(to, ops, 1, deadline_ms, NULL);
        free_late(due);
    }
}

void idem__testkit_delay(idem__testkit_delayed *list, idem_op *op, uint64_t delay)
{
    late *it = calloc(1, sizeof *it);
    idem_record of_key = {.key = op->key};
    if (!it || idem_record_copy(op->record ? op->record : &of_key, &it->record, NULL)) {
        free(it);
        idem_op_fail(op, true, IDEM_ERR_NO_MEMORY, "faulty: out of memory for a delayed operation");
        return;
    }
    it->op.kind = op->kind;
    it->op.any_version = op->any_version;
    it->op.key = it->record.key;
    it->op.record = op->record ? &it->record : NULL;
    it->op.live_ms = op->live_ms;
    it->op.expected = op->expected;
    it->delay = delay;
    (void)pthread_mutex_lock(&list->lock);
    it->next = list->first;
    list->first = it;
    (void)pthread_mutex_unlock(&list->lock);
}
