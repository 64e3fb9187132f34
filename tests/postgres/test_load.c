/* SPDX-License-Identifier: MIT */
/* libpq is loaded when it is first needed, by whichever thread: a fork() in the middle of that
   leaves the child able to load it, too. */
#include "runner.h"

#include <idem/postgres.h>

#include <libpq-fe.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_S 20

void *__real_dlopen(const char *file, int flags); /* NOLINT: the linker's names */
void *__wrap_dlopen(const char *file, int flags); /* NOLINT */

static bool forks;
static pid_t child;

/* A connection that leads nowhere: what can be known of it takes libpq. */
static int open_on_nothing(void)
{
    idem_store *store = NULL;
    PGconn *nowhere = PQconnectdb("no such option");
    int rc = idem_postgres_open_on(nowhere, NULL, &store, NULL);
    PQfinish(nowhere);
    return rc;
}

/* As if another thread had forked here: the child has what this one has half done. */
void *__wrap_dlopen(const char *file, int flags) /* NOLINT */
{
    if (forks) {
        forks = false;
        child = fork();
        if (child == 0) {
            (void)alarm(CHILD_S); /* instead of waiting for a lock that nobody gives back */
            _exit(open_on_nothing());
        }
    }
    return __real_dlopen(file, flags);
}

START_TEST(a_fork_while_libpq_is_loaded_leaves_the_child_able_to_load_it)
{
    int status = 0;
    forks = true;
    ck_assert_int_eq(open_on_nothing(), IDEM_ERR_UNAVAILABLE);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == IDEM_ERR_UNAVAILABLE, "status %#x",
                  (unsigned)status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("postgres load");
    ADD(suite, a_fork_while_libpq_is_loaded_leaves_the_child_able_to_load_it);
    return run_suite(suite);
}
