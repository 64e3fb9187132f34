/* SPDX-License-Identifier: MIT */
/*
 * One begin of a new key, called from a function of its own that a tool finds by its name. A few
 * begins go before, since the first ones connect and prepare what the others find.
 *
 *   one_begin URL
 */
#include "harness.h"

#include <idem/idem.h>

#include <stdlib.h>

__attribute__((noinline)) int measured_begin(idem_store *store, const idem_request *request,
                                             idem_outcome *outcome, idem_error *error);

int measured_begin(idem_store *store, const idem_request *request, idem_outcome *outcome,
                   idem_error *error)
{
    return idem_begin(store, request, outcome, error);
}

/* Another key each time, claimed by CALL. */
static void begin(idem_store *store, uint64_t number,
                  int (*call)(idem_store *, const idem_request *, idem_outcome *, idem_error *))
{
    bench_key key = bench_key_fresh(1, number);
    idem_request request;
    idem_outcome outcome;
    idem_error error;
    idem_request_init(&request);
    request.key = (idem_bytes){key.text, BENCH_KEY_LEN};
    if (call(store, &request, &outcome, &error))
        bench_fail("%s", error.message);
    if (outcome.kind != IDEM_NEW)
        bench_fail("the key is not new");
    idem_outcome_clear(&outcome);
}

int main(int argc, char **argv)
{
    idem_store *store;
    idem_error error;
    if (argc != 2)
        bench_fail("usage: one_begin URL");
    if (idem_open(argv[1], &store, &error))
        bench_fail("%s", error.message);
    for (uint64_t i = 0; i < 8; i++)
        begin(store, i, idem_begin);
    begin(store, 8, measured_begin);
    idem_close(store);
    return EXIT_SUCCESS;
}
