/* SPDX-License-Identifier: MIT */
/* Guarantee 10, the rest: a store leaves the process that uses it alone. */
#include "conformance.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef NSIG
#define SIGNALS NSIG
#else
#define SIGNALS 65
#endif

/* What is the process's own and not the store's. */
typedef struct {
    struct sigaction actions[SIGNALS];
    bool readable[SIGNALS];
    sigset_t blocked;
    char folder[1024];
    mode_t mask;
} surroundings;

static void look_around(surroundings *seen)
{
    memset(seen, 0, sizeof *seen);
    for (int number = 1; number < SIGNALS; number++)
        seen->readable[number] = sigaction(number, NULL, &seen->actions[number]) == 0;
    (void)sigprocmask(SIG_BLOCK, NULL, &seen->blocked);
    ck_assert_ptr_nonnull(getcwd(seen->folder, sizeof seen->folder));
    seen->mask = umask(0);
    (void)umask(seen->mask);
}

static bool same_set(const sigset_t *a, const sigset_t *b)
{
    for (int number = 1; number < SIGNALS; number++) {
        if (sigismember(a, number) != sigismember(b, number))
            return false;
    }
    return true;
}

static void assert_same_surroundings(const surroundings *before)
{
    surroundings now;
    look_around(&now);
    for (int number = 1; number < SIGNALS; number++) {
        const struct sigaction *was = &before->actions[number];
        const struct sigaction *is = &now.actions[number];
        if (before->readable[number])
            ck_assert_msg(was->sa_handler == is->sa_handler && was->sa_flags == is->sa_flags &&
                              same_set(&was->sa_mask, &is->sa_mask),
                          "what happens at signal %d was changed", number);
    }
    ck_assert_msg(same_set(&before->blocked, &now.blocked), "the signal mask was changed");
    ck_assert_str_eq(before->folder, now.folder);
    ck_assert_uint_eq(before->mask, now.mask);
}

/* Calls everything once, failures included. @return the number of calls that went wrong */
static int use_the_store(void)
{
    int wrong = 0;
    idem_outcome out;
    idem_outcome again;
    idem_record record;
    idem_store *store = open_more("");
    uint64_t flags = has(IDEM_TRAIT_KEEPALIVE) ? IDEM_KEEPALIVE : 0;
    wrong += idem_begin(store, IDEM_REQUEST(.key = KEY, .flags = flags), &out, &err) != IDEM_OK;
    wrong += idem_begin(other, IDEM_REQUEST(.key = KEY), &again, &err) != IDEM_OK;
    wrong += idem_complete(store, out.claim, idem_str("not JSON"), &err) != IDEM_ERR_ARGUMENT;
    wrong += idem_checkpoint(store, out.claim, idem_str("1"), &err) != IDEM_OK;
    wrong += idem_complete(store, out.claim, idem_str("2"), &err) != IDEM_OK;
    wrong += idem_renew(store, out.claim, 0, &err) != IDEM_ERR_LOST;
    wrong += idem_get(store, KEY, &record, &err) != IDEM_OK;
    wrong += idem_forget(store, KEY, &err) != IDEM_OK;
    (void)idem_purge(store, 0, NULL, &err);
    idem_record_clear(&record);
    idem_outcome_clear(&again);
    idem_outcome_clear(&out);
    idem_close(store);
    if (has(CONFORMANCE_UNREACHABLE))
        wrong += open_out_of_reach(&store) == IDEM_OK;
    return wrong;
}

START_TEST(guarantee_10_handlers_mask_folder_and_umask_stay_as_they_are)
{
    surroundings before;
    look_around(&before);
    ck_assert_int_eq(use_the_store(), 0);
    assert_same_surroundings(&before);
}
END_TEST

/* Points a descriptor at a file. @return a copy of what it was */
static int divert(int fd, int file)
{
    int copy = dup(fd);
    if (copy < 0 || dup2(file, fd) < 0)
        abort();
    return copy;
}

START_TEST(guarantee_10_nothing_is_written_to_stdout_or_stderr)
{
    char path[512];
    struct stat status;
    conformance_path(path, sizeof path, "output");
    (void)fflush(NULL);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(file, 0);
    int out = divert(STDOUT_FILENO, file);
    int errors = divert(STDERR_FILENO, file);
    int wrong = use_the_store();
    (void)fflush(NULL);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(errors, STDERR_FILENO);
    (void)close(out);
    (void)close(errors);
    ck_assert_int_eq(fstat(file, &status), 0);
    (void)close(file);
    ck_assert_int_eq(wrong, 0);
    ck_assert_msg(status.st_size == 0, "%lld bytes were written", (long long)status.st_size);
}
END_TEST

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

START_TEST(guarantee_10_a_closed_store_leaves_no_descriptor_open)
{
    (void)use_the_store();
    size_t before = open_descriptors();
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(use_the_store(), 0);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(guarantee_10_descriptors_are_closed_on_exec)
{
    bool before[1024];
    for (int fd = 0; fd < 1024; fd++)
        before[fd] = fcntl(fd, F_GETFD) != -1;
    idem_store *store = open_more("");
    idem_outcome out = BEGIN(store, .key = KEY);
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        ck_assert_msg(before[fd] || flags == -1 || (flags & FD_CLOEXEC),
                      "descriptor %d would be passed on to other programs", fd);
    }
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

void conformance_process(Suite *suite)
{
    ADD(suite, "guarantee 10 process", 0, ANY_TIME,
        guarantee_10_handlers_mask_folder_and_umask_stay_as_they_are,
        guarantee_10_nothing_is_written_to_stdout_or_stderr,
        guarantee_10_a_closed_store_leaves_no_descriptor_open,
        guarantee_10_descriptors_are_closed_on_exec);
}
