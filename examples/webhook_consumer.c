/* SPDX-License-Identifier: MIT */
/*
 * A consumer of payment webhooks that books each event once, however often it is delivered and
 * wherever a consumer is killed.
 *
 * The claim of an event, its row in the ledger and the stored response are one transaction, in
 * SQLite or in PostgreSQL (ledger.h): all of them are there, or none is. The ledger has no unique
 * index, so nothing but the claim keeps an event from being booked twice. No transaction is open
 * while a consumer waits.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <idem/idem.h>
#include <idem/jansson.h>

#include "ledger.h"

#define LONGEST_NAP_MS 1000

typedef struct {
    const char *db;          /* a URL, or the path of a SQLite file */
    const char *prefix;      /* of the keys */
    const char *name;        /* of this consumer, for the ledger */
    const char *events_path; /* JSON lines, one delivery in each */
    long start;              /* the line to begin with; the lines before it come last */
    long pause_ms;           /* after each delivery */
    long stall_after; /* book so many events, then stop in the middle of the next; -1: never */
    bool ledger;      /* print the ledger instead */
    bool reset;       /* empty it instead */
} settings;

typedef struct {
    const settings *set;
    ledger *books;
    long booked;
    long replayed;
} consumer;

/* One delivery of an event. The strings belong to the JSON value. */
typedef struct {
    json_t *json;
    const char *event_id;
    const char *type;
    const char *currency;
    json_int_t amount;
    char key[IDEM_KEY_MAX];
    size_t key_len;
    uint8_t fingerprint[32];
} delivery;

typedef enum { FAILED, BOOKED, REPLAYED, IN_PROGRESS } verdict;

static verdict fail(const char *doing, const char *why)
{
    (void)fprintf(stderr, "webhook_consumer: cannot %s: %s\n", doing, why);
    return FAILED;
}

static void nap(uint64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

/* ---------------------------------------------------------------------------- deliveries */

/* The key names the event, not the delivery: that is what makes a repeat a repeat. The fingerprint
   is made of the event too, since each delivery has its own number. */
static bool delivery_identify(delivery *d, const json_t *event, idem_error *error)
{
    idem_bytes parts[] = {idem_str("webhooks"), idem_str(d->event_id)};
    char *text = json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS);
    idem_bytes content = idem_str(text);
    bool ok = text &&
              idem_key_compose(parts, 2, d->key, sizeof d->key, &d->key_len, error) == IDEM_OK &&
              idem_fingerprint(&content, 1, d->fingerprint, error) == IDEM_OK;
    free(text);
    return ok;
}

static bool delivery_parse(delivery *d, const char *line)
{
    json_error_t json_error = {.text = ""};
    idem_error error = {.message = "out of memory"};
    json_t *event = NULL;
    d->json = json_loads(line, 0, &json_error);
    if (!d->json || json_unpack_ex(d->json, &json_error, 0, "{s:{s:s, s:s, s:{s:I, s:s}}}", "event",
                                   "id", &d->event_id, "type", &d->type, "data", "amount",
                                   &d->amount, "currency", &d->currency) != 0) {
        (void)fail("read a delivery", json_error.text);
        return false;
    }
    event = json_object_get(d->json, "event");
    if (!delivery_identify(d, event, &error)) {
        (void)fail("name the event", error.message);
        return false;
    }
    return true;
}

/* What an event does to the balance. */
static json_int_t delivery_value(const delivery *d)
{
    if (strcmp(d->type, "payment.succeeded") == 0)
        return d->amount;
    if (strcmp(d->type, "refund.created") == 0 || strcmp(d->type, "dispute.lost") == 0)
        return -d->amount;
    return 0;
}

/* ------------------------------------------------------------------------------ booking */

/* What stands here as a stall is, in real life, a power cut or the kernel's out-of-memory
   killer. */
static void stall(const delivery *d)
{
    (void)printf("stalled in %s\n", d->event_id);
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

static verdict book(const consumer *c, const delivery *d, idem_outcome *outcome)
{
    char response[96];
    int64_t number = 0;
    idem_error error;
    const ledger_entry entry = {.event = d->event_id,
                                .type = d->type,
                                .currency = d->currency,
                                .consumer = c->set->name,
                                .value = delivery_value(d)};
    if (!c->books->calls->add(c->books, &entry, &number))
        return FAILED;
    if (c->booked == c->set->stall_after)
        stall(d);
    (void)snprintf(response, sizeof response, "{\"booked\":true,\"entry\":%" PRId64 "}", number);
    if (idem_complete(c->books->store, outcome->claim, idem_str(response), &error) != IDEM_OK)
        return fail("complete the event", error.message);
    return BOOKED;
}

/* Runs inside the caller's transaction. */
static verdict decide(const consumer *c, const delivery *d, uint64_t *retry_after_ms)
{
    idem_error error;
    idem_outcome outcome;
    verdict result = FAILED;
    if (idem_begin(c->books->store,
                   IDEM_REQUEST(.key = {d->key, d->key_len},
                                .fingerprint = {d->fingerprint, sizeof d->fingerprint}),
                   &outcome, &error) != IDEM_OK)
        return fail("begin the event", error.message);

    switch (outcome.kind) {
    case IDEM_NEW:
        result = book(c, d, &outcome);
        break;
    case IDEM_COMPLETED:
        result = REPLAYED;
        break;
    case IDEM_IN_PROGRESS: /* claimed by somebody outside of these transactions */
        *retry_after_ms = outcome.retry_after_ms;
        result = IN_PROGRESS;
        break;
    case IDEM_MISMATCH:
        result = fail(d->event_id, "this event came before with other content");
        break;
    case IDEM_IN_DOUBT:
        result = fail(d->event_id, "who claimed it has stopped; look at it, then forget the key");
        break;
    }
    idem_outcome_clear(&outcome);
    return result;
}

static verdict handle_once(const consumer *c, const delivery *d, uint64_t *retry_after_ms)
{
    const ledger_calls *calls = c->books->calls;
    if (!calls->begin(c->books))
        return FAILED;
    verdict result = decide(c, d, retry_after_ms);
    bool keep = result == BOOKED || result == REPLAYED;
    bool ended = keep ? calls->commit(c->books) : calls->rollback(c->books);
    return ended ? result : FAILED;
}

static bool handle(consumer *c, const char *line)
{
    delivery d = {.json = NULL};
    uint64_t retry_after_ms = 0;
    verdict result = FAILED;
    if (delivery_parse(&d, line)) {
        while ((result = handle_once(c, &d, &retry_after_ms)) == IN_PROGRESS)
            nap(retry_after_ms < LONGEST_NAP_MS ? retry_after_ms + 1 : LONGEST_NAP_MS);
    }
    c->booked += result == BOOKED;
    c->replayed += result == REPLAYED;
    json_decref(d.json);
    return result != FAILED;
}

/* ------------------------------------------------------------------------------ program */

/* Handles the lines of a file from number `from` up to, but not including, number `to`. */
static bool consume_lines(consumer *c, FILE *file, long from, long to)
{
    char *line = NULL;
    size_t size = 0;
    bool ok = fseek(file, 0, SEEK_SET) == 0;
    for (long number = 0; ok && number < to && getline(&line, &size, file) >= 0; number++) {
        if (number < from)
            continue;
        ok = handle(c, line);
        nap((uint64_t)c->set->pause_ms);
    }
    free(line);
    return ok && !ferror(file);
}

static bool consume(consumer *c)
{
    FILE *file = fopen(c->set->events_path, "r");
    if (!file) {
        (void)fail(c->set->events_path, strerror(errno));
        return false;
    }
    bool ok =
        consume_lines(c, file, c->set->start, LONG_MAX) && consume_lines(c, file, 0, c->set->start);
    (void)fclose(file);
    if (ok)
        (void)printf("%ld deliveries: %ld booked, %ld were repeats\n", c->booked + c->replayed,
                     c->booked, c->replayed);
    return ok;
}

static bool read_number(const char *text, long *number)
{
    char *end = NULL;
    errno = 0;
    *number = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *number >= 0;
}

static bool read_settings(int argc, char **argv, settings *set)
{
    static const struct option known[] = {
        {"db", required_argument, NULL, 'd'},
        {"prefix", required_argument, NULL, 'f'},
        {"name", required_argument, NULL, 'n'},
        {"start", required_argument, NULL, 's'},
        {"pause-ms", required_argument, NULL, 'p'},
        {"stall-after", required_argument, NULL, 'x'},
        {"ledger", no_argument, NULL, 'l'},
        {"reset", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    bool ok = true;
    int option;
    while (ok && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'd':
            set->db = optarg;
            break;
        case 'f':
            set->prefix = optarg;
            break;
        case 'n':
            set->name = optarg;
            break;
        case 's':
            ok = read_number(optarg, &set->start);
            break;
        case 'p':
            ok = read_number(optarg, &set->pause_ms);
            break;
        case 'x':
            ok = read_number(optarg, &set->stall_after);
            break;
        case 'l':
            set->ledger = true;
            break;
        case 'r':
            set->reset = true;
            break;
        default:
            ok = false;
            break;
        }
    }
    set->events_path = argv[optind];
    return ok && set->db && (set->ledger || set->reset || (set->name && set->events_path));
}

static bool run(consumer *c)
{
    if (c->set->reset)
        return c->books->calls->reset(c->books);
    return c->set->ledger ? c->books->calls->print(c->books) : consume(c);
}

int main(int argc, char **argv)
{
    settings set = {.stall_after = -1, .prefix = ""};
    consumer c = {.set = &set};
    if (!read_settings(argc, argv, &set)) {
        (void)fprintf(stderr, "usage: webhook_consumer --db URL|FILE [--prefix P] --name NAME"
                              " [--start LINE] [--pause-ms N] [--stall-after N] EVENTS.jsonl\n"
                              "       webhook_consumer --db URL|FILE --ledger | --reset\n");
        return 64;
    }
    c.books = ledger_open(set.db, set.prefix);
    if (!c.books)
        return EXIT_FAILURE;
    bool ok = run(&c);
    c.books->calls->close(c.books);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
