/* SPDX-License-Identifier: MIT */
/*
 * Options, callers and the time that they take. Callers are threads of this process, or processes
 * of their own. Each first completes its share of the records, then warms up with some keys of the
 * kind that is measured; all begin together, and the time counts from the first to begin until the
 * last has ended. What they have to say to each other is on a board of shared memory.
 */
#include "harness.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP_SHARE 20u /* one key in so many is added in front, to warm up */
/* No program runs longer, whatever becomes of who started it; large stores take long to fill. */
#define LIMIT_SECONDS      900u
#define FILL_LIMIT_SECONDS 3600u

typedef struct {
    pthread_barrier_t ready;
    pthread_barrier_t warm;
    uint64_t began_ns[BENCH_CALLERS_MAX];
    uint64_t ended_ns[BENCH_CALLERS_MAX];
    uint32_t latency_ns[]; /* of each call, caller by caller */
} board;

typedef struct {
    const bench_subject *subject;
    const bench_options *options;
    void *shared;
    board *said;
    size_t number;
    uint64_t random;
    uint64_t fresh; /* the number of the next fresh key */
    bench_key keys[BENCH_BATCH_MAX];
} caller;

/* ----------------------------------------------------------------------------------- callers */

static void fill_keys(caller *self)
{
    const bench_options *options = self->options;
    for (size_t i = 0; i < options->batch; i++) {
        if (options->mode == BENCH_REPLAY)
            self->keys[i] = bench_key_record(
                options->seed, bench_random(&self->random) % options->records, options->records);
        else
            self->keys[i] = bench_key_fresh(options->seed, self->fresh++);
    }
}

static void complete_records(caller *self, void *mine)
{
    const bench_options *options = self->options;
    if (options->mode != BENCH_REPLAY)
        return;
    size_t count = 0;
    for (uint64_t i = self->number; i < options->records; i += options->callers) {
        self->keys[count++] = bench_key_record(options->seed, i, options->records);
        if (count < options->batch && i + options->callers < options->records)
            continue;
        self->subject->work[BENCH_CYCLE](mine, self->keys, count);
        count = 0;
    }
}

static void work(caller *self, void *mine, uint64_t calls)
{
    bench_work *one = self->subject->work[self->options->mode];
    for (uint64_t i = 0; i < calls; i++) {
        fill_keys(self);
        one(mine, self->keys, self->options->batch);
    }
}

/* At a fixed rate each call has its time, whatever became of those before: what makes one late is
   part of how long it takes. */
static uint64_t wait_turn(const caller *self, uint64_t call, uint64_t from_ns)
{
    const bench_options *options = self->options;
    uint64_t number = call * options->callers + self->number;
    uint64_t due_ns = from_ns + number * 1000000000u / options->rate;
    struct timespec due = {.tv_sec = (time_t)(due_ns / 1000000000u),
                           .tv_nsec = (long)(due_ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) != 0)
        continue;
    return due_ns;
}

static void work_with_latency(caller *self, void *mine, uint64_t calls, uint64_t begin_ns)
{
    bench_work *one = self->subject->work[self->options->mode];
    uint32_t *latency_ns = self->said->latency_ns + self->number * calls;
    for (uint64_t i = 0; i < calls; i++) {
        fill_keys(self);
        uint64_t began_ns = self->options->rate > 0 ? wait_turn(self, i, begin_ns) : bench_now_ns();
        one(mine, self->keys, self->options->batch);
        uint64_t took_ns = bench_now_ns() - began_ns;
        latency_ns[i] = took_ns < UINT32_MAX ? (uint32_t)took_ns : UINT32_MAX;
    }
}

static void *run_caller(void *argument)
{
    caller *self = argument;
    const bench_subject *subject = self->subject;
    uint64_t calls = self->options->calls;
    void *mine = subject->enter ? subject->enter(self->shared) : self->shared;
    self->random = self->options->seed + self->number;
    self->fresh = (uint64_t)self->number << 40;
    complete_records(self, mine);
    (void)pthread_barrier_wait(&self->said->ready);
    work(self, mine, self->options->warm_up);
    (void)pthread_barrier_wait(&self->said->warm);
    self->said->began_ns[self->number] = bench_now_ns();
    if (self->options->latency)
        work_with_latency(self, mine, calls, self->said->began_ns[self->number]);
    else
        work(self, mine, calls);
    self->said->ended_ns[self->number] = bench_now_ns();
    if (subject->leave)
        subject->leave(mine);
    return NULL;
}

static void run_threads(caller *callers, const bench_options *options)
{
    pthread_t threads[BENCH_CALLERS_MAX];
    for (size_t i = 0; i < options->callers; i++) {
        if (pthread_create(&threads[i], NULL, run_caller, &callers[i]))
            bench_fail("no thread can be started");
    }
    for (size_t i = 0; i < options->callers; i++)
        (void)pthread_join(threads[i], NULL);
}

static _Noreturn void run_process(caller *self)
{
    (void)alarm(LIMIT_SECONDS); /* not inherited */
    self->shared = self->subject->open(self->options);
    (void)run_caller(self);
    self->subject->close(self->shared);
    _exit(EXIT_SUCCESS);
}

/* Where one fails the others would wait for it. */
static void run_processes(caller *callers, const bench_options *options)
{
    pid_t children[BENCH_CALLERS_MAX];
    bool failed = false;
    for (size_t i = 0; i < options->callers; i++) {
        children[i] = fork();
        if (children[i] < 0)
            bench_fail("no process can be started");
        if (children[i] == 0)
            run_process(&callers[i]);
    }
    for (size_t i = 0; i < options->callers; i++) {
        int status = 0;
        pid_t ended = wait(&status);
        for (size_t j = 0; !failed && status != 0 && j < options->callers; j++) {
            if (children[j] != ended)
                (void)kill(children[j], SIGKILL);
        }
        failed = failed || status != 0;
    }
    if (failed)
        bench_fail("a process failed");
}

/* ------------------------------------------------------------------------------------ results */

/* What of this process is in memory. */
static double resident_bytes(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    (void)malloc_trim(0);
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm || fscanf(statm, "%llu %llu", &size, &resident) != 2)
        bench_fail("/proc/self/statm can't be read");
    (void)fclose(statm);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static int compare_latencies(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void print_latencies(board *said, size_t count)
{
    qsort(said->latency_ns, count, sizeof said->latency_ns[0], compare_latencies);
    static const struct {
        const char *name;
        size_t per_mille;
    } shown[] = {{"p50", 500}, {"p99", 990}, {"p999", 999}};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        size_t place = count * shown[i].per_mille / 1000;
        (void)printf(" %s_us=%.1f", shown[i].name, (double)said->latency_ns[place] / 1e3);
    }
    (void)printf(" max_us=%.1f", (double)said->latency_ns[count - 1] / 1e3);
}

static void print_results(board *said, const bench_options *options, double grown_bytes)
{
    uint64_t began_ns = UINT64_MAX;
    uint64_t ended_ns = 0;
    uint64_t calls = options->calls * options->callers;
    uint64_t made = options->warm_up * options->callers + calls;
    for (size_t i = 0; i < options->callers; i++) {
        if (said->began_ns[i] < began_ns)
            began_ns = said->began_ns[i];
        if (said->ended_ns[i] > ended_ns)
            ended_ns = said->ended_ns[i];
    }
    (void)printf("ns=%.2f bytes=%.1f",
                 (double)(ended_ns - began_ns) / (double)calls / (double)options->batch,
                 grown_bytes / (double)made / (double)options->batch);
    if (options->latency)
        print_latencies(said, calls);
    (void)printf("\n");
}

static board *make_board(const bench_options *options)
{
    pthread_barrierattr_t between_processes;
    size_t size = sizeof(board);
    if (options->latency)
        size += options->calls * options->callers * sizeof(uint32_t);
    board *said = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (said == MAP_FAILED)
        bench_fail("out of memory");
    (void)pthread_barrierattr_init(&between_processes);
    (void)pthread_barrierattr_setpshared(&between_processes, PTHREAD_PROCESS_SHARED);
    (void)pthread_barrier_init(&said->ready, &between_processes, (unsigned)options->callers);
    (void)pthread_barrier_init(&said->warm, &between_processes, (unsigned)options->callers);
    return said;
}

static void run(const bench_subject *subject, const bench_options *options)
{
    caller *callers = bench_alloc(options->callers * sizeof *callers);
    board *said = make_board(options);
    void *shared = options->processes ? NULL : subject->open(options);
    for (size_t i = 0; i < options->callers; i++)
        callers[i] = (caller){subject, options, shared, said, i, 0, 0, {{{0}}}};
    double before_bytes = resident_bytes();
    if (options->processes)
        run_processes(callers, options);
    else
        run_threads(callers, options);
    double grown_bytes = resident_bytes() - before_bytes;
    if (!options->processes)
        subject->close(shared);
    print_results(said, options, grown_bytes);
    free(callers);
}

/* ------------------------------------------------------------------------------------ options */

static const char *const mode_names[BENCH_MODES] = {"claim", "cycle", "replay", "turn", "rest"};

static uint64_t read_number(const char *text, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno || end == text || *end || number < 1 || number > max)
        bench_fail("%s is not a number from 1 to %llu", text, (unsigned long long)max);
    return number;
}

static bench_mode read_mode(const char *text)
{
    for (int i = 0; i < BENCH_MODES; i++) {
        if (strcmp(text, mode_names[i]) == 0)
            return (bench_mode)i;
    }
    bench_fail("%s is no mode: claim, cycle, replay, turn or rest", text);
}

/* A JSON text of this length. */
static char *make_response(size_t len)
{
    static const char head[] = "{\"order\":\"";
    static const char tail[] = "\"}";
    char *text = bench_alloc(len + 1);
    memset(text, 'x', len);
    memcpy(text, head, sizeof head - 1);
    memcpy(text + len - (sizeof tail - 1), tail, sizeof tail);
    return text;
}

static void read_option(int option, bench_options *options)
{
    switch (option) {
    case 'm':
        options->mode = read_mode(optarg);
        break;
    case 'c':
        options->callers = read_number(optarg, BENCH_CALLERS_MAX);
        break;
    case 'o':
        options->ops = read_number(optarg, 1000000000);
        break;
    case 'r':
        options->records = read_number(optarg, 1000000000);
        break;
    case 'b':
        options->batch = read_number(optarg, BENCH_BATCH_MAX);
        break;
    case 'n':
        options->rounds = read_number(optarg, 1000);
        break;
    case 's':
        options->sizes = optarg;
        break;
    case 'a':
        options->rate = read_number(optarg, 1000000);
        options->latency = true;
        break;
    case 'w':
        options->window = read_number(optarg, 4096);
        break;
    case 'i':
        options->beside = read_number(optarg, 1000000);
        break;
    case 't':
        options->rest_s = read_number(optarg, 600);
        break;
    case 'p':
        options->processes = true;
        break;
    case 'l':
        options->latency = true;
        break;
    default:
        bench_fail("usage: [--mode claim|cycle|replay|turn|rest] [--callers N] [--ops N] "
                   "[--records N] [--batch N] [--processes] [--latency] [--rate N] [--window N] "
                   "[--beside N] [--rest SECONDS] [--sizes N,N… --rounds N] PLACE");
    }
}

static void read_options(int argc, char **argv, bench_options *options)
{
    static const struct option known[] = {
        {"mode", required_argument, NULL, 'm'},   {"callers", required_argument, NULL, 'c'},
        {"ops", required_argument, NULL, 'o'},    {"records", required_argument, NULL, 'r'},
        {"batch", required_argument, NULL, 'b'},  {"rounds", required_argument, NULL, 'n'},
        {"sizes", required_argument, NULL, 's'},  {"processes", no_argument, NULL, 'p'},
        {"latency", no_argument, NULL, 'l'},      {"rate", required_argument, NULL, 'a'},
        {"window", required_argument, NULL, 'w'}, {"beside", required_argument, NULL, 'i'},
        {"rest", required_argument, NULL, 't'},   {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) !=
           -1) // NOLINT(concurrency-mt-unsafe)
        read_option(option, options);
    if (optind != argc - 1)
        bench_fail("name one place");
    options->place = argv[optind];
    options->calls = options->ops / options->callers / options->batch;
    if (options->calls == 0)
        options->calls = 1;
    options->warm_up = options->calls / WARM_UP_SHARE + 1;
}

int bench_main(int argc, char **argv, const bench_subject *subject)
{
    bench_options options = {.callers = 1,
                             .batch = 1,
                             .ops = 1000,
                             .records = 5000,
                             .rounds = 1,
                             .window = 64,
                             .rest_s = 12,
                             .response_len = 256,
                             .seed = bench_now_ns()};
    read_options(argc, argv, &options);
    if (!subject->work[options.mode])
        bench_fail("this program can't %s", mode_names[options.mode]);
    (void)alarm(options.sizes ? FILL_LIMIT_SECONDS : LIMIT_SECONDS);
    char *response = make_response(options.response_len);
    options.response = response;
    if (options.sizes)
        bench_sizes(subject, &options);
    else
        run(subject, &options);
    free(response);
    return EXIT_SUCCESS;
}
