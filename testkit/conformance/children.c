/* SPDX-License-Identifier: MIT */
/* Starting children, hearing from them, and what each can do to show that its handles work. */
#include "children.h"

#include "leave.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_TIMEOUT_S 300u

void limit_child(void)
{
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(CHILD_TIMEOUT_S);
}

child start_child(int (*work)(int to))
{
    child started;
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    (void)fflush(NULL);
    started.pid = fork();
    ck_assert_int_ge(started.pid, 0);
    if (started.pid == 0) {
        limit_child();
        (void)close(ends[0]);
        leave(work ? work(ends[1]) : 0);
    }
    (void)close(ends[1]);
    started.from = ends[0];
    return started;
}

void read_from(const child *started, void *buf, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(started->from, (char *)buf + done, size - done);
        ck_assert_msg(got > 0, "the child wrote %zu bytes of %zu", done, size);
        done += (size_t)got;
    }
}

bool write_to(int to, const void *buf, size_t size)
{
    return write(to, buf, size) == (ssize_t)size;
}

void join_child(const child *started)
{
    int status = 0;
    ck_assert_int_eq(waitpid(started->pid, &status, 0), started->pid);
    (void)close(started->from);
    ck_assert_msg(!WIFSIGNALED(status), "the child was ended by signal %d", WTERMSIG(status));
    ck_assert_msg(WEXITSTATUS(status) == 0, "the child failed at step %d", WEXITSTATUS(status));
}

int whole_cycle(idem_store *store, const char *key, const char *response)
{
    idem_outcome out;
    const idem_request *request = IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS);
    if (idem_begin(store, request, &out, NULL))
        return 1;
    int rc = out.kind != IDEM_NEW || idem_complete(store, out.claim, idem_str(response), NULL);
    idem_outcome_clear(&out);
    if (rc || idem_begin(store, request, &out, NULL))
        return 2;
    rc = out.kind != IDEM_COMPLETED || out.response.len != strlen(response);
    idem_outcome_clear(&out);
    return rc ? 3 : 0;
}
