/* SPDX-License-Identifier: MIT */
/*
 * A consumer that takes many messages from its queue at a time: all are begun together and
 * completed together, so that they share a round trip, or a transaction. A queue may deliver a
 * message twice, so one of these is there twice.
 *
 * batch sqlite:///tmp/orders.db
 */
#include <idem/idem.h>

#include <stdio.h>

#define COUNT 4

static const char *const messages[COUNT] = {"order-1", "order-2", "order-1", "order-3"};

/* Begins all, does the work of those that are new, completes them. The others stay in the queue,
   to be delivered again, or are done. */
static int consume(idem_store *store, unsigned *charged, unsigned *done)
{
    idem_request requests[COUNT];
    idem_outcome outcomes[COUNT];
    idem_error errors[COUNT]; /* one for each: items fail one by one */
    idem_claim *claims[COUNT];
    idem_bytes responses[COUNT];
    size_t new_count = 0;
    for (size_t i = 0; i < COUNT; i++) {
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(messages[i]);
    }
    int rc = idem_begin_many(store, requests, COUNT, outcomes, errors, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        if (errors[i].code) {
            (void)fprintf(stderr, "%s: %s\n", messages[i], errors[i].message);
        } else if (outcomes[i].kind == IDEM_NEW) {
            claims[new_count] = outcomes[i].claim; /* here the order is charged */
            responses[new_count++] = idem_str("{\"charged\":true}");
        } else if (outcomes[i].kind == IDEM_COMPLETED) {
            ++*done;
        }
    }
    int completed = idem_complete_many(store, claims, responses, new_count, errors, NULL);
    for (size_t i = 0; i < new_count; i++) {
        if (errors[i].code)
            (void)fprintf(stderr, "%s\n", errors[i].message);
        else
            ++*charged;
    }
    for (size_t i = 0; i < COUNT; i++)
        idem_outcome_clear(&outcomes[i]); /* whatever became of it */
    return rc ? rc : completed;
}

int main(int argc, char **argv)
{
    idem_store *store;
    idem_error error;
    unsigned charged = 0;
    unsigned done = 0;
    if (idem_open(argc > 1 ? argv[1] : "memory://", &store, &error)) {
        (void)fprintf(stderr, "batch: %s\n", error.message);
        return 1;
    }
    int rc = consume(store, &charged, &done);
    (void)printf("%u charged, %u done before\n", charged, done);
    idem_close(store);
    return rc ? 1 : 0;
}
