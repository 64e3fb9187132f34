/* SPDX-License-Identifier: MIT */
/*
 * A program that has closed its own first three descriptors: a store takes none of these numbers,
 * so that what the program prints later goes to no server. The descriptors stay behind at exec(),
 * too.
 */
#include "redis_test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static server redis;

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
}

static void tear_down(void)
{
}

static bool any_below_three(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            return true;
    }
    return false;
}

static void close_first_three(void)
{
    for (int fd = 0; fd < 3; fd++)
        (void)close(fd);
}

/* In a child, whose exit status tells: checks and messages need a descriptor. */
static int use_store(const char *url)
{
    idem_store *store = NULL;
    idem_outcome out;
    close_first_three();
    if (idem_open(url, &store, NULL) != IDEM_OK)
        return 1;
    if (any_below_three())
        return 2;
    if (idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, NULL) != IDEM_OK ||
        out.kind != IDEM_NEW)
        return 3;
    server_do(&redis, "CLIENT KILL TYPE normal SKIPME yes"); /* the next one is another socket */
    close_first_three(); /* hiredis, by which the test asked, leaves its descriptor 0 open */
    if (idem_complete(store, out.claim, idem_str("1"), NULL) != IDEM_OK)
        return 4;
    if (any_below_three())
        return 5;
    for (int fd = 3; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            return 6;
    }
    idem_outcome_clear(&out);
    idem_close(store);
    return any_below_three() ? 7 : 0;
}

START_TEST(a_store_takes_none_of_the_first_three_descriptors)
{
    char named[SERVER_URL_SIZE];
    (void)snprintf(named, sizeof named, "redis://localhost:%d", redis.port);
    const char *const urls[] = {redis.url, redis.unix_url, named};
    int status = -1;
    (void)fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        /* What the test's own program has open is not the store's. */
        for (int fd = 3; fd < 64; fd++)
            (void)close(fd);
        _exit(use_store(urls[_i]));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    idem_store *store = open_url(redis.url, "");
    assert_replays(store, KEY, "1");
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis descriptors");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, a_store_takes_none_of_the_first_three_descriptors, 3);
    return run_suite(suite);
}
