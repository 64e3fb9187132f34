/* SPDX-License-Identifier: MIT */
/*
 * A consumer of payment webhooks that books each event once, however often it is delivered and
 * wherever a consumer is killed.
 *
 * The claim of an event, its row in the ledger and the stored response are one SQLite transaction:
 * all of them are there, or none is. The ledger has no unique index, so nothing but the claim
 * keeps an event from being booked twice. No transaction is open while a consumer waits.
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
#include <idem/sqlite.h>
#include <sqlite3.h>

#define LOCK_WAIT_MS   10000
#define LONGEST_NAP_MS 1000

typedef struct {
    const char *db_path;
    const char *name;        /* of this consumer, for the ledger */
    const char *events_path; /* JSON lines, one delivery in each */
    long start;              /* the line to begin with; the lines before it come last */
    long pause_ms;           /* after each delivery */
    long stall_after; /* book so many events, then stop in the middle of the next; -1: never */
    bool ledger;      /* print the ledger instead */
} settings;

typedef struct {
    const settings *set;
    sqlite3 *db;
    idem_store *store;
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

/* ------------------------------------------------------------------------------- ledger */

static bool sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    (void)fail(text, sqlite3_errmsg(db));
    return false;
}

static bool ledger_add(const consumer *c, const delivery *d)
{
    sqlite3_stmt *insert = NULL;
    const char *text = "INSERT INTO ledger (event, type, value, currency, consumer)"
                       " VALUES (?1, ?2, ?3, ?4, ?5)";
    bool ok = sqlite3_prepare_v2(c->db, text, -1, &insert, NULL) == SQLITE_OK &&
              sqlite3_bind_text(insert, 1, d->event_id, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(insert, 2, d->type, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_int64(insert, 3, delivery_value(d)) == SQLITE_OK &&
              sqlite3_bind_text(insert, 4, d->currency, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_text(insert, 5, c->set->name, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_step(insert) == SQLITE_DONE;
    if (!ok)
        (void)fail("write to the ledger", sqlite3_errmsg(c->db));
    (void)sqlite3_finalize(insert);
    return ok;
}

static bool ledger_print(const consumer *c)
{
    sqlite3_stmt *select = NULL;
    int step = SQLITE_ERROR;
    const char *text = "SELECT event, currency, value, consumer FROM ledger ORDER BY event, entry";
    if (sqlite3_prepare_v2(c->db, text, -1, &select, NULL) == SQLITE_OK) {
        while ((step = sqlite3_step(select)) == SQLITE_ROW)
            (void)printf("%s %s %" PRId64 " %s\n", (const char *)sqlite3_column_text(select, 0),
                         (const char *)sqlite3_column_text(select, 1),
                         (int64_t)sqlite3_column_int64(select, 2),
                         (const char *)sqlite3_column_text(select, 3));
    }
    if (step != SQLITE_DONE)
        (void)fail("read the ledger", sqlite3_errmsg(c->db));
    (void)sqlite3_finalize(select);
    return step == SQLITE_DONE;
}

/* ------------------------------------------------------------------------------ booking */

/* What stands here as a stall is, in real life, a power cut or the kernel's out-of-memory killer. */
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
    idem_error error;
    if (!ledger_add(c, d))
        return FAILED;
    if (c->booked == c->set->stall_after)
        stall(d);
    (void)snprintf(response, sizeof response, "{\"booked\":true,\"entry\":%" PRId64 "}",
                   (int64_t)sqlite3_last_insert_rowid(c->db));
    if (idem_complete(c->store, outcome->claim, idem_str(response), &error) != IDEM_OK)
        return fail("complete the event", error.message);
    return BOOKED;
}

/* Runs inside the caller's transaction. */
static verdict decide(const consumer *c, const delivery *d, uint64_t *retry_after_ms)
{
    idem_error error;
    idem_outcome outcome;
    verdict result = FAILED;
    if (idem_begin(c->store,
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
    if (!sql(c->db, "BEGIN IMMEDIATE"))
        return FAILED;
    verdict result = decide(c, d, retry_after_ms);
    bool keep = result == BOOKED || result == REPLAYED;
    return sql(c->db, keep ? "COMMIT" : "ROLLBACK") ? result : FAILED;
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

/* Two that switch a new database to WAL at the same time can meet SQLITE_BUSY, which SQLite does
   not wait out by itself here. */
static bool use_wal(sqlite3 *db)
{
    int rc = SQLITE_BUSY;
    for (int tries = 0; rc == SQLITE_BUSY && tries < LOCK_WAIT_MS / 10; tries++) {
        if (tries > 0)
            nap(10);
        rc = sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK)
        (void)fail("switch the database to WAL", sqlite3_errmsg(db));
    return rc == SQLITE_OK;
}

static bool consumer_open(consumer *c)
{
    idem_error error;
    if (sqlite3_open(c->set->db_path, &c->db) != SQLITE_OK) {
        (void)fail("open the database", sqlite3_errmsg(c->db));
        return false;
    }
    (void)sqlite3_busy_timeout(c->db, LOCK_WAIT_MS);
    if (!use_wal(c->db) || !sql(c->db, "PRAGMA synchronous = FULL") ||
        !sql(c->db, "CREATE TABLE IF NOT EXISTS ledger (entry INTEGER PRIMARY KEY, event TEXT,"
                    " type TEXT, value INTEGER, currency TEXT, consumer TEXT)"))
        return false;
    if (idem_sqlite_open_on(c->db, "ttl=72h", &c->store, &error) != IDEM_OK) {
        (void)fail("open the store", error.message);
        return false;
    }
    return true;
}

static void consumer_close(consumer *c)
{
    idem_close(c->store);
    (void)sqlite3_close(c->db);
}

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
        {"name", required_argument, NULL, 'n'},
        {"start", required_argument, NULL, 's'},
        {"pause-ms", required_argument, NULL, 'p'},
        {"stall-after", required_argument, NULL, 'x'},
        {"ledger", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    bool ok = true;
    int option;
    while (ok && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'd':
            set->db_path = optarg;
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
        default:
            ok = false;
            break;
        }
    }
    set->events_path = argv[optind];
    return ok && set->db_path && (set->ledger || (set->name && set->events_path));
}

int main(int argc, char **argv)
{
    settings set = {.stall_after = -1};
    consumer c = {.set = &set};
    if (!read_settings(argc, argv, &set)) {
        (void)fprintf(stderr, "usage: webhook_consumer --db FILE --name NAME [--start LINE]"
                              " [--pause-ms N] [--stall-after N] EVENTS.jsonl\n"
                              "       webhook_consumer --db FILE --ledger\n");
        return 64;
    }
    bool ok = consumer_open(&c) && (set.ledger ? ledger_print(&c) : consume(&c));
    consumer_close(&c);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
