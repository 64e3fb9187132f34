/* SPDX-License-Identifier: MIT */
/*
 * The same on libuv, where the work itself takes time: a timer represents the bank's answer, and
 * the claim is kept alive until then. The payments are named on the command line.
 *
 * async_libuv redis://localhost p-1 p-2 p-1
 */
#include <idem/async.h>

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define BANK_MS 20

typedef struct {
    const char *id;
    idem_claim *claim;
    uv_timer_t bank;
} payment;

static idem_async *async;
static uv_poll_t answers;
static int failures;

static void fail(const char *id, const char *why)
{
    (void)fprintf(stderr, "%s: %s\n", id, why);
    failures++;
}

static void completed(void *user, const idem_error *error)
{
    const payment *pay = user;
    if (error->code != IDEM_OK)
        fail(pay->id, error->message);
    else
        (void)printf("charged %s\n", pay->id);
}

static void bank_answered(uv_timer_t *timer)
{
    payment *pay = timer->data;
    char response[96];
    idem_error error;
    (void)snprintf(response, sizeof response, "{\"charged\":\"%.60s\"}", pay->id);
    if (idem_async_complete(async, pay->claim, idem_str(response), completed, pay, NULL, &error))
        fail(pay->id, error.message);
    idem_claim_free(pay->claim); /* the call holds it */
}

static void begun(void *user, idem_outcome *outcome, const idem_error *error)
{
    payment *pay = user;
    if (error->code != IDEM_OK) {
        fail(pay->id, error->message);
    } else if (outcome->kind == IDEM_NEW) {
        pay->claim = outcome->claim;
        outcome->claim = NULL; /* kept beyond the outcome */
        (void)uv_timer_start(&pay->bank, bank_answered, BANK_MS, 0);
    } else if (outcome->kind == IDEM_COMPLETED) {
        (void)printf("replayed %.*s\n", (int)outcome->response.len,
                     (const char *)outcome->response.data);
    }
    idem_outcome_clear(outcome);
}

static void dispatch(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
    (void)idem_async_dispatch(async, 0);
}

/* The loop ends when no call is pending and no bank is waited for. */
static void end_when_idle(uv_prepare_t *idle)
{
    uv_loop_t *loop = idle->loop;
    const payment *pays = idle->data;
    bool busy = idem_async_pending(async) > 0;
    for (size_t i = 0; pays[i].id; i++)
        busy = busy || uv_is_active((const uv_handle_t *)&pays[i].bank);
    if (!busy)
        uv_stop(loop);
}

static void serve(uv_loop_t *loop, payment *pays, char **ids)
{
    idem_error error;
    uv_prepare_t idle = {.data = pays};
    (void)uv_poll_init(loop, &answers, idem_async_fd(async));
    (void)uv_poll_start(&answers, UV_READABLE, dispatch);
    for (size_t i = 0; ids[i]; i++) {
        pays[i].id = ids[i];
        (void)uv_timer_init(loop, &pays[i].bank);
        pays[i].bank.data = &pays[i];
        const idem_request *request =
            IDEM_REQUEST(.key = idem_str(ids[i]), .wait_ms = 10000, .flags = IDEM_KEEPALIVE);
        if (idem_async_begin(async, request, begun, &pays[i], NULL, &error))
            fail(ids[i], error.message);
    }
    (void)uv_prepare_init(loop, &idle);
    (void)uv_prepare_start(&idle, end_when_idle);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    (void)uv_prepare_stop(&idle);
    (void)uv_poll_stop(&answers); /* before the queue closes its descriptor */
}

int main(int argc, char **argv)
{
    idem_error error;
    idem_store *store = NULL;
    if (argc < 3) {
        (void)fprintf(stderr, "usage: async_libuv STORE PAYMENT...\n");
        return 64;
    }
    payment *pays = calloc((size_t)argc, sizeof *pays);
    if (!pays || idem_open(argv[1], &store, &error) || idem_async_open(store, &async, &error))
        fail(argv[1], pays ? error.message : "out of memory");
    else
        serve(uv_default_loop(), pays, argv + 2);
    idem_async_close(async);
    idem_close(store);
    free(pays);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
