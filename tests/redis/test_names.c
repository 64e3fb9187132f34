/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts: looked up within the deadline, by no more threads than there are names, and again
 * for each connection. The test answers for names that end in ".test" itself; all others are the
 * system's affair.
 */
#ifdef __linux__
#define _GNU_SOURCE /* unshare() */
#endif
#include "redis_test.h"

#include <sanitized.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#endif

#define ASKERS      24
#define LOOKUPS_MAX 8

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);

/* More of a thread's own than the stacks of the library's threads have room for: all is as
   usual. */
static _Thread_local char large[600 * 1024];

static server own;

/* ---------------------------------------------------------------------------- the name server */

static atomic_bool mute; /* it never answers */
static atomic_int asked; /* how often, and by how many threads at this moment */
static atomic_int asking;
static atomic_int most_asking;
static atomic_bool unmasked; /* a thread that lets signals in has asked */
static const char
    *answers[4]; /* one after the other, the last for ever; "1.2.3.4,5.6.7.8" is a list */

static void enter(void)
{
    sigset_t held;
    int now = atomic_fetch_add(&asking, 1) + 1;
    int most = atomic_load(&most_asking);
    while (most < now && !atomic_compare_exchange_weak(&most_asking, &most, now))
        ;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &held);
    if (!sigismember(&held, SIGINT) || !sigismember(&held, SIGALRM))
        atomic_store(&unmasked, true);
}

static int answer(const char *text, const struct addrinfo *hints, struct addrinfo **list)
{
    struct addrinfo numeric = *hints;
    char copy[64];
    (void)snprintf(copy, sizeof copy, "%s", text);
    char *second = strchr(copy, ',');
    if (second)
        *second++ = '\0';
    numeric.ai_flags = AI_NUMERICHOST;
    int code = __real_getaddrinfo(copy, NULL, &numeric, list);
    return code || !second ? code : __real_getaddrinfo(second, NULL, &numeric, &(*list)->ai_next);
}

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    size_t len = strlen(host);
    if ((hints->ai_flags & AI_NUMERICHOST) || len < 5 || strcmp(host + len - 5, ".test") != 0)
        return __real_getaddrinfo(host, service, hints, list);
    enter();
    int turn = atomic_fetch_add(&asked, 1);
    while (atomic_load(&mute))
        wait_ms(5);
    int at = 0;
    while (at < turn && at < 3 && answers[at + 1])
        at++;
    int code = answers[0] ? answer(answers[at], hints, list) : EAI_NONAME;
    (void)atomic_fetch_sub(&asking, 1);
    return code;
}

/* -------------------------------------------------------------------------------------- callers */

static int try_host(const char *host, const char *params, idem_error *error)
{
    char url[SERVER_URL_SIZE];
    idem_store *store = NULL;
    (void)snprintf(url, sizeof url, "redis://%s:%d?%s", host, own.port, params);
    int rc = idem_open(url, &store, error);
    idem_close(store);
    return rc;
}

typedef struct {
    pthread_t thread;
    char host[32];
    idem_error error;
    int rc;
    uint64_t late_ms;
} asker;

static void *ask(void *user)
{
    asker *self = user;
    uint64_t queued_ms = lateness_queued_ms();
    uint64_t began_ms = idem_monotonic_ms();
    self->rc = try_host(self->host, "timeout=500ms", &self->error);
    uint64_t took_ms = idem_monotonic_ms() - began_ms;
    uint64_t may_ms = 500 + SLACK_MS + 2 * (lateness_queued_ms() - queued_ms);
    self->late_ms = took_ms > may_ms ? took_ms - may_ms : 0;
    return NULL;
}

/* So many at a time, each for a name of its own or all for one. */
static void ask_all(asker askers[ASKERS], bool apart)
{
    for (int i = 0; i < ASKERS; i++) {
        (void)snprintf(askers[i].host, sizeof askers[i].host, "h%d.test", apart ? i : 0);
        ck_assert_int_eq(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < ASKERS; i++) {
        (void)pthread_join(askers[i].thread, NULL);
        ck_assert_int_eq(askers[i].rc, IDEM_ERR_UNAVAILABLE);
        ck_assert_uint_eq(askers[i].late_ms, 0);
    }
}

static void await_none_asking(void)
{
    while (atomic_load(&asking) > 0)
        wait_ms(5);
}

START_TEST(a_name_server_that_never_answers_is_left_at_the_deadline)
{
    atomic_store(&mute, true);
    assert_in_time(500,
                   assert_code(IDEM_ERR_UNAVAILABLE, try_host("db.test", "timeout=500ms", &err)));
    assert_says("name server did not answer");
    assert_says("db.test");
    ck_assert_int_eq(atomic_load(&asked), 1);
    ck_assert(!atomic_load(&unmasked));
    assert_ok(try_host("127.0.0.1", PATIENT, &err)); /* a number asks nobody */
    answers[0] = "127.0.0.1";
    atomic_store(&mute, false);
    assert_ok(try_host("db.test", PATIENT, &err));
}
END_TEST

START_TEST(callers_that_ask_for_one_name_share_a_thread)
{
    static asker askers[ASKERS];
    atomic_store(&mute, true);
    ask_all(askers, false);
    ck_assert_int_eq(atomic_load(&asked), 1);
}
END_TEST

START_TEST(threads_that_ask_are_few)
{
    static asker askers[ASKERS];
    bool crowded = false;
    atomic_store(&mute, true);
    ask_all(askers, true);
    for (int i = 0; i < ASKERS; i++)
        crowded = crowded || strstr(askers[i].error.message, "too many other names");
    ck_assert(crowded);
    ck_assert_int_eq(atomic_load(&most_asking), LOOKUPS_MAX);
    answers[0] = "127.0.0.1";
    atomic_store(&mute, false);
    assert_ok(try_host("h99.test", PATIENT, &err));
    await_none_asking();
}
END_TEST

/* The lookup may be slower than a connection may be. */
START_TEST(a_slow_name_server_is_waited_for)
{
    asker slow = {.host = "slow.test"};
    answers[0] = "127.0.0.1";
    atomic_store(&mute, true);
    ck_assert_int_eq(pthread_create(&slow.thread, NULL, ask, &slow), 0);
    while (atomic_load(&asking) == 0)
        wait_ms(1);
    wait_ms(50);
    atomic_store(&mute, false);
    assert_ok(try_host("slow.test", "connect_timeout=10ms&" PATIENT, &err));
    (void)pthread_join(slow.thread, NULL);
    ck_assert_msg(slow.rc == IDEM_OK, "%s", slow.error.message);
}
END_TEST

START_TEST(a_name_is_asked_again_for_each_connection)
{
    answers[0] = "127.0.0.2"; /* nobody listens there */
    answers[1] = "127.0.0.1";
    assert_ok(try_host("moved.test", PATIENT, &err));
    ck_assert_int_eq(atomic_load(&asked), 2);
    answers[0] = answers[1] = NULL;
    assert_code(IDEM_ERR_UNAVAILABLE, try_host("gone.test", "timeout=300ms", &err));
    assert_says("correct the URL's host");
}
END_TEST

/* A listener that takes no more connections: whoever dials it hears nothing. */
static void make_silent(const char *host)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)own.port)};
    (void)inet_pton(AF_INET, host, &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    for (int i = 0; i < 4; i++) {
        int caller = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(caller, (struct sockaddr *)&address, sizeof address);
    }
}

START_TEST(an_address_that_is_silent_leaves_time_for_the_next)
{
    make_silent("127.0.0.3");
    answers[0] = "127.0.0.3";
    assert_in_time(500,
                   assert_code(IDEM_ERR_UNAVAILABLE, try_host("two.test", "timeout=500ms", &err)));
    atomic_store(&asked, 0);
    answers[0] = "127.0.0.3,127.0.0.1";
    assert_ok(try_host("two.test", "timeout=4s&connect_timeout=2s", &err));
    ck_assert_int_eq(atomic_load(&asked), 1);
}
END_TEST

/* The parent's threads are not the child's, and neither is what they hold. */
START_TEST(a_child_asks_for_itself)
{
    int status = -1;
    answers[0] = "127.0.0.1";
    atomic_store(&mute, true);
    assert_code(IDEM_ERR_UNAVAILABLE, try_host("child.test", "timeout=100ms", &err));
    pid_t pid = fork();
    if (pid == 0) {
        atomic_store(&mute, false);
        _exit(try_host("child.test", PATIENT, &err) == IDEM_OK ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    atomic_store(&mute, false);
    await_none_asking();
    assert_ok(try_host("child.test", PATIENT, &err));
}
END_TEST

/* ------------------------------------------------------------------------ the system's resolver */

#ifdef __linux__
static bool write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    bool written = file && fputs(text, file) >= 0;
    return file && fclose(file) == 0 && written;
}

static bool raise_loopback(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool raised = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0;
    if (fd >= 0)
        (void)close(fd);
    return raised;
}

/* A network of this process's own, with a name server that takes questions and never answers.
   False: this user, or this container, may not make one. */
static bool make_network(const char *folder)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53)};
    char resolv[160];
    char nsswitch[160];
    (void)snprintf(resolv, sizeof resolv, "%s/resolv.conf", folder);
    (void)snprintf(nsswitch, sizeof nsswitch, "%s/nsswitch.conf", folder);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 || !raise_loopback() ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        !write_file(resolv, "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n") ||
        !write_file(nsswitch, "hosts: files dns\n") ||
        mount(resolv, "/etc/resolv.conf", NULL, MS_BIND, NULL) != 0)
        return false;
    (void)mount(nsswitch, "/etc/nsswitch.conf", NULL, MS_BIND, NULL); /* where there is one */
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

/* In a child, which the network is for. Where none can be made, the tests above have shown the
   same. */
START_TEST(the_systems_resolver_is_left_at_the_deadline)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (!make_network(own.folder))
            _exit(0);
        uint64_t began_ms = idem_monotonic_ms();
        int rc = try_host("db.example.com", "timeout=500ms", &err);
        bool in_time = idem_monotonic_ms() - began_ms < 4000; /* the resolver takes 20 s */
        _exit(rc == IDEM_ERR_UNAVAILABLE && in_time && strstr(err.message, "name server") ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST
#endif

static void set_up(void)
{
    atomic_store(&mute, false);
    atomic_store(&asked, 0);
    atomic_store(&most_asking, 0);
    memset(answers, 0, sizeof answers);
}

static void tear_down(void)
{
    atomic_store(&mute, false);
    await_none_asking();
}

int main(void)
{
    Suite *suite = suite_create("redis names");
    large[sizeof large - 1] = 1; /* it is there */
    server_require();
    server_start(&own, NULL);
    ADD_HERE(suite, a_name_server_that_never_answers_is_left_at_the_deadline, 1);
    ADD_HERE(suite, callers_that_ask_for_one_name_share_a_thread, 1);
    ADD_HERE(suite, threads_that_ask_are_few, 1);
    ADD_HERE(suite, a_slow_name_server_is_waited_for, 1);
    ADD_HERE(suite, a_name_is_asked_again_for_each_connection, 1);
    ADD_HERE(suite, an_address_that_is_silent_leaves_time_for_the_next, 1);
    if (!THREAD_SANITIZED) /* it allows no threads in a child */
        ADD_HERE(suite, a_child_asks_for_itself, 1);
#ifdef __linux__
    ADD_HERE(suite, the_systems_resolver_is_left_at_the_deadline, 1);
#endif
    return run_suite(suite);
}
