/* SPDX-License-Identifier: MIT */
/*
 * Payments on plain epoll: one thread, any number of payments at once. Each input line names a
 * payment; however often it comes, it is charged once. While a payment is in progress its repeats
 * wait, and do not delay others.
 *
 *     printf 'p-1\np-2\np-1\n' | async_epoll sqlite:payments.db
 */
#include <idem/async.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

typedef struct {
    char id[64];
    char response[96];
} payment;

static idem_async *async;
static int failures;

static void fail(const char *id, const idem_error *error)
{
    (void)fprintf(stderr, "%s: %s\n", id, error->message);
    failures++;
}

/* The last callback of a payment frees it. */
static void completed(void *user, const idem_error *error)
{
    payment *pay = user;
    if (error->code != IDEM_OK)
        fail(pay->id, error);
    else
        (void)printf("charged %s\n", pay->id);
    free(pay);
}

static void begun(void *user, idem_outcome *outcome, const idem_error *error)
{
    payment *pay = user;
    idem_error refused;
    bool done = true;
    if (error->code != IDEM_OK) {
        fail(pay->id, error);
    } else if (outcome->kind == IDEM_NEW) {
        /* Here the money is moved. The claim may be freed below: the call holds it. */
        (void)snprintf(pay->response, sizeof pay->response, "{\"charged\":\"%s\"}", pay->id);
        done = idem_async_complete(async, outcome->claim, idem_str(pay->response), completed, pay,
                                   NULL, &refused) != IDEM_OK;
        if (done)
            fail(pay->id, &refused);
    } else if (outcome->kind == IDEM_COMPLETED) {
        (void)printf("replayed %.*s\n", (int)outcome->response.len,
                     (const char *)outcome->response.data);
    } else {
        (void)printf("%s is in progress elsewhere\n", pay->id);
    }
    idem_outcome_clear(outcome);
    if (done)
        free(pay);
}

static void take(const char *id, size_t len)
{
    idem_error error;
    payment *pay = calloc(1, sizeof *pay);
    if (!pay || len == 0 || len >= sizeof pay->id) {
        free(pay);
        return;
    }
    memcpy(pay->id, id, len);
    const idem_request *request = IDEM_REQUEST(.key = idem_str(pay->id), .wait_ms = 10000);
    if (idem_async_begin(async, request, begun, pay, NULL, &error) != IDEM_OK) {
        fail(pay->id, &error);
        free(pay);
    }
}

/* Takes the lines that have come. False: there will be no more. */
static bool read_lines(void)
{
    static char buffer[4096];
    static size_t held;
    ssize_t got = read(STDIN_FILENO, buffer + held, sizeof buffer - held);
    char *line = buffer;
    if (got <= 0)
        return false;
    held += (size_t)got;
    for (char *end; (end = memchr(line, '\n', held)); line = end + 1) {
        take(line, (size_t)(end - line));
        held -= (size_t)(end - line) + 1;
    }
    memmove(buffer, line, held);
    return held < sizeof buffer;
}

static int serve(void)
{
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event lines = {.events = EPOLLIN, .data.fd = STDIN_FILENO};
    struct epoll_event answers = {.events = EPOLLIN, .data.fd = idem_async_fd(async)};
    bool open = true;
    if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, lines.data.fd, &lines) ||
        epoll_ctl(loop, EPOLL_CTL_ADD, answers.data.fd, &answers))
        return -1;
    while (open || idem_async_pending(async) > 0) {
        struct epoll_event event;
        if (epoll_wait(loop, &event, 1, -1) < 1)
            continue;
        if (event.data.fd == STDIN_FILENO)
            open = read_lines();
        else
            (void)idem_async_dispatch(async, 0);
        if (!open)
            (void)epoll_ctl(loop, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    }
    return close(loop);
}

int main(int argc, char **argv)
{
    idem_error error = {0};
    idem_store *store = NULL;
    if (idem_open(argc > 1 ? argv[1] : "memory://", &store, &error) != IDEM_OK ||
        idem_async_open(store, &async, &error) != IDEM_OK)
        fail("payments", &error);
    else if (serve() != 0)
        perror("async_epoll");
    idem_async_close(async);
    idem_close(store);
    return failures == 0 && error.code == IDEM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
