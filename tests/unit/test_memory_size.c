/* SPDX-License-Identifier: MIT */
/*
 * What a record costs in memory, the allocator's part included: after each tenth of the records that
 * the command line asks for, since the tables are at their emptiest after they have grown.
 */
#include <idem/idem.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key has 36 bytes, as a UUID has, and a response 256. */
#define CLAIM_BYTES_MAX     120.0
#define COMPLETED_BYTES_MAX 380.0
#define STEPS               10ul

static double bytes_in_use(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)info.uordblks + (double)info.hblkhd;
}

static void die(const char *what, const idem_error *error)
{
    (void)fprintf(stderr, "%s: %s\n", what, error->message);
    exit(1);
}

/* Keys that look random, as a UUID does, and are never the same. */
static idem_bytes make_key(char buf[64], unsigned long number)
{
    unsigned long long mixed = number * 0x9e3779b97f4a7c15ull;
    int len = snprintf(buf, 64, "%08lx-%04llx-%04llx-%04llx-%012llx", number, mixed & 0xffff,
                       mixed >> 16 & 0xffff, mixed >> 32 & 0xffff, mixed >> 16);
    return (idem_bytes){buf, (size_t)len};
}

static void add(idem_store *store, unsigned long number, bool complete)
{
    static char response[256];
    char buf[64];
    idem_error error;
    idem_outcome outcome;
    idem_bytes key = make_key(buf, number);
    memset(response, 'x', sizeof response);
    response[0] = response[sizeof response - 1] = '"';
    if (key.len != 36)
        abort();
    if (idem_begin(store, IDEM_REQUEST(.key = key), &outcome, &error))
        die("begin", &error);
    if (complete &&
        idem_complete(store, outcome.claim, (idem_bytes){response, sizeof response}, &error))
        die("complete", &error);
    idem_outcome_clear(&outcome);
}

/* @return false: a record costs more than it may, or less than its bytes, which no measure can say */
static bool measure(unsigned long count, bool complete, double least, double most)
{
    idem_error error;
    idem_store *store;
    const char *kind = complete ? "completed" : "claimed";
    double before = bytes_in_use();
    double worst = 0;
    double last = 0;
    if (idem_open("memory://", &store, &error))
        die("open", &error);
    double empty = bytes_in_use() - before;
    for (unsigned long i = 1; i <= count; i++) {
        add(store, i, complete);
        if (i % (count / STEPS) != 0)
            continue;
        last = (bytes_in_use() - before - empty) / (double)i;
        worst = last > worst ? last : worst;
    }
    idem_close(store);
    double left = bytes_in_use() - before;
    (void)printf(
        "%lu %s records: %.1f bytes each, at most %.1f on the way; %.0f for an empty store; "
        "%.0f left behind\n",
        count, kind, last, worst, empty, left);
    return worst <= most && last >= least && left < 65536;
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    if (count < STEPS) {
        (void)fprintf(stderr, "usage: %s RECORDS, at least %lu\n", argv[0], STEPS);
        return 2;
    }
    bool claims = measure(count, false, 36, CLAIM_BYTES_MAX);
    bool completed = measure(count, true, 36 + 256, COMPLETED_BYTES_MAX);
    return claims && completed ? 0 : 1;
}
