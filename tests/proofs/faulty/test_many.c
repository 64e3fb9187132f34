/* SPDX-License-Identifier: MIT */
/*
 * Faults in the middle of idem_begin_many() and idem_complete_many(), at each operation in turn: every item
 * has the answer that it would have had without, or an error of its own that tells the truth, and those
 * beside it know nothing of it. What is stored is read through a handle without faults.
 */
#include "faulty.h"
#include "place.h"

#include "runner.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LONG_MS  UINT64_C(60000)
#define SHORT_MS UINT64_C(5)
#define MOMENTS  12 /* more operations than any of these batches sends */

/* The items of a batch, and what their keys are like before. */
enum { NEW_1, EXPIRED, LIVE, NEW_2, DONE, MINE, NEW_3, OTHER_CONTENT, ITEMS };

static const struct {
    idem_outcome_kind kind;
    uint32_t attempt;
    uint64_t lease_ms; /* of the claim that is there; 0: none */
} items[ITEMS] = {
    [NEW_1] = {IDEM_NEW, 1, 0},
    [EXPIRED] = {IDEM_NEW, 2, SHORT_MS},
    [LIVE] = {IDEM_IN_PROGRESS, 1, LONG_MS},
    [NEW_2] = {IDEM_NEW, 1, 0},
    [DONE] = {IDEM_COMPLETED, 1, LONG_MS},
    [MINE] = {IDEM_NEW, 1, LONG_MS},
    [NEW_3] = {IDEM_NEW, 1, 0},
    [OTHER_CONTENT] = {IDEM_MISMATCH, 1, LONG_MS},
};

static idem_store *sound;
static idem_store *faulty;
static idem_error err;
static idem_request requests[ITEMS];
static idem_outcome outcomes[ITEMS];
static idem_error errors[ITEMS];
static uint8_t tokens[ITEMS][IDEM_TOKEN_SIZE];
static char names[ITEMS][24];
static char texts[ITEMS][24];

#define must(call)                                                                              \
    do {                                                                                        \
        int rc_ = (call);                                                                       \
        ck_assert_msg(rc_ == IDEM_OK, "line %d: %s: %d %s", __LINE__, #call, rc_, err.message); \
    } while (0)

static char name[32];
static bool prefixed; /* the place's name stands in front of every key */

/* A key as the backend sees it. */
static idem_bytes full_key(unsigned i, char room[64])
{
    (void)snprintf(room, 64, "%s%s%.23s", prefixed ? name : "", prefixed ? ":" : "", names[i]);
    return idem_str(room);
}

static void open_stores(void)
{
    static unsigned number;
    char url[PLACE_URL_SIZE];
    (void)snprintf(name, sizeof name, "many-%ld-%u", (long)getpid(), number++);
    faulty_clear();
    place_url(url, sizeof url, "", name);
    prefixed = strstr(url, "prefix=") != NULL;
    url[strlen(url) - 1] = '\0'; /* no parameters */
    must(idem_open(url, &sound, &err));
    place_url(url, sizeof url, "faulty+", name);
    size_t len = strlen(url);
    (void)snprintf(url + len, sizeof url - len, "timeout=60s");
    must(idem_open(url, &faulty, &err));
}

static void close_stores(void)
{
    idem_close(faulty);
    idem_close(sound);
}

/* Keys that nobody has used, in the situations of the table. */
static void prepare(unsigned round)
{
    faulty_clear();
    for (unsigned i = 0; i < ITEMS; i++) {
        (void)snprintf(names[i], sizeof names[i], "%u-%u", round, i);
        (void)snprintf(texts[i], sizeof texts[i], "[%u,%u]", round, i);
        memset(tokens[i], 0, sizeof tokens[i]);
        (void)snprintf((char *)tokens[i], sizeof tokens[i], "mine %u", i);
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(names[i]);
        requests[i].lease_ms = LONG_MS;
        requests[i].token = tokens[i];
        requests[i].fingerprint = idem_str("body");
        if (items[i].lease_ms == 0)
            continue;
        idem_outcome out;
        idem_request others = requests[i];
        others.lease_ms = items[i].lease_ms;
        others.token = i == MINE ? tokens[i] : NULL;
        must(idem_begin(sound, &others, &out, &err));
        if (i == DONE)
            must(idem_complete(sound, out.claim, idem_str(texts[i]), &err));
        idem_outcome_clear(&out);
    }
    requests[OTHER_CONTENT].fingerprint = idem_str("another body");
    (void)nanosleep(&(struct timespec){.tv_nsec = 2 * (long)SHORT_MS * 1000000}, NULL);
}

static void expect_right(unsigned i)
{
    const idem_outcome *out = &outcomes[i];
    ck_assert_msg(errors[i].code == IDEM_OK, "%s: %d %s", names[i], errors[i].code,
                  errors[i].message);
    ck_assert_msg(out->kind == items[i].kind, "%s: outcome %d", names[i], (int)out->kind);
    if (out->kind != IDEM_NEW) {
        ck_assert(!out->claim);
    } else {
        ck_assert_uint_eq(out->attempt, items[i].attempt);
        ck_assert_mem_eq(idem_claim_token(out->claim), tokens[i], IDEM_TOKEN_SIZE);
    }
    if (out->kind == IDEM_COMPLETED)
        ck_assert(out->response.len == strlen(texts[i]) &&
                  memcmp(out->response.data, texts[i], out->response.len) == 0);
}

/* Completes what is claimed. @return what the call returned; errors of items that have no claim are
   IDEM_OK */
static int complete(void)
{
    idem_claim *claims[ITEMS];
    idem_bytes responses[ITEMS];
    idem_error some[ITEMS];
    size_t index[ITEMS];
    size_t count = 0;
    memset(errors, 0, sizeof errors);
    for (size_t i = 0; i < ITEMS; i++) {
        if (!outcomes[i].claim)
            continue;
        claims[count] = outcomes[i].claim;
        responses[count] = idem_str(texts[i]);
        index[count++] = i;
    }
    int rc = idem_complete_many(faulty, claims, responses, count, some, &err);
    for (size_t i = 0; i < count; i++)
        errors[index[i]] = some[i];
    return rc;
}

/* The response of an item as everybody else sees it: its own. */
static void expect_completed(unsigned i)
{
    idem_record record;
    must(idem_get(sound, requests[i].key, &record, &err));
    ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
    ck_assert_uint_eq(record.attempt, items[i].attempt);
    ck_assert_uint_eq(record.response.len, strlen(texts[i]));
    ck_assert_mem_eq(record.response.data, texts[i], record.response.len);
    idem_record_clear(&record);
}

static void clear(void)
{
    faulty_clear();
    for (size_t i = 0; i < ITEMS; i++)
        idem_outcome_clear(&outcomes[i]);
}

/* ----------------------------------------------------------------------- faults that pass by */

/* clang-format off */
static const faulty_rule passing[] = {
    {.kind = FAULTY_BEFORE},
    {.kind = FAULTY_AFTER},
    {.kind = FAULTY_DELAYED},
    {.kind = FAULTY_BEFORE, .whole = true},
    {.kind = FAULTY_AFTER, .whole = true},
    {.kind = FAULTY_BEFORE, .whole = true, .code = IDEM_ERR_UNCERTAIN},
    {.kind = FAULTY_AFTER, .times = 3},
};
/* clang-format on */

static uint64_t hits;

static void add_at(const faulty_rule *fault, unsigned moment)
{
    faulty_rule rule = *fault;
    rule.nth = moment;
    (void)faulty_add(&rule);
}

START_TEST(a_fault_in_mid_batch_changes_no_answer)
{
    hits = 0;
    for (unsigned moment = 1; moment <= MOMENTS; moment++) {
        prepare(moment);
        add_at(&passing[_i], moment);
        must(idem_begin_many(faulty, requests, ITEMS, outcomes, errors, &err));
        hits += faulty_hits(0);
        for (unsigned i = 0; i < ITEMS; i++)
            expect_right(i);
        faulty_clear();
        add_at(&passing[_i], moment);
        must(complete());
        hits += faulty_hits(0);
        for (unsigned i = 0; i < ITEMS; i++) {
            if (items[i].kind == IDEM_NEW)
                expect_completed(i);
        }
        clear();
    }
    /* Eight items are begun, five completed, each by an operation or more. */
    ck_assert_uint_ge(hits, 8 + 5);
}
END_TEST

/* ------------------------------------------------------------------------- faults that stay */

/* clang-format off */
static const faulty_rule staying[] = {
    {.kind = FAULTY_BEFORE, .permanent = true},
    {.kind = FAULTY_AFTER, .permanent = true},
    {.kind = FAULTY_BEFORE, .code = IDEM_ERR_FULL},
    {.kind = FAULTY_GARBAGE},
};
/* clang-format on */

static void add_for_key(const faulty_rule *fault, idem_bytes key, unsigned places)
{
    faulty_rule rule = *fault;
    rule.times = FAULTY_ALWAYS;
    rule.key = key;
    rule.places = places;
    (void)faulty_add(&rule);
}

/* What stands under an item's key: its version, or 0. */
static uint64_t version_of(unsigned i)
{
    idem_record record;
    int rc = idem_get(sound, requests[i].key, &record, &err);
    ck_assert(rc == IDEM_OK || rc == IDEM_ERR_NOT_FOUND);
    uint64_t version = rc ? 0 : record.version;
    if (rc == IDEM_OK)
        idem_record_clear(&record);
    return version;
}

/* The item that is hit: its error tells the truth about what was done. */
static void expect_truth(const faulty_rule *fault, unsigned i, uint64_t before)
{
    int code = errors[i].code;
    bool changed = version_of(i) != before;
    if (fault->kind == FAULTY_GARBAGE && code == IDEM_OK) {
        ck_assert_uint_eq(before, 0); /* an absent key goes through */
        return;
    }
    ck_assert_msg(!changed || code == IDEM_ERR_UNCERTAIN, "%s: changed, and %d", names[i], code);
    if (fault->kind == FAULTY_AFTER)
        ck_assert(code == IDEM_ERR_UNCERTAIN || code == IDEM_ERR_UNAVAILABLE);
    else if (fault->kind == FAULTY_GARBAGE)
        ck_assert_int_eq(code, IDEM_ERR_CORRUPT);
    else
        ck_assert_int_eq(code, fault->code ? fault->code : IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(outcomes[i].kind, 0);
    ck_assert_ptr_null(outcomes[i].claim);
}

/* Nobody is locked out by what was lost: the same callers come again. */
static void come_again(void)
{
    clear();
    must(idem_begin_many(faulty, requests, ITEMS, outcomes, errors, &err));
    for (unsigned i = 0; i < ITEMS; i++)
        expect_right(i);
}

START_TEST(a_key_that_fails_fails_alone)
{
    const faulty_rule *fault = &staying[_i];
    for (unsigned hit = 0; hit < ITEMS; hit++) {
        prepare(hit);
        uint64_t before = version_of(hit);
        char room[64];
        idem_bytes key = full_key(hit, room);
        add_for_key(fault, key, 0);
        int rc = idem_begin_many(faulty, requests, ITEMS, outcomes, errors, &err);
        ck_assert_uint_ge(faulty_hits(0) + (fault->kind == FAULTY_GARBAGE), 1);
        ck_assert_int_eq(rc, errors[hit].code);
        for (unsigned i = 0; i < ITEMS; i++) {
            if (i != hit)
                expect_right(i);
        }
        expect_truth(fault, hit, before);
        come_again();
        if (items[hit].kind == IDEM_NEW) {
            add_for_key(fault, key, FAULTY_EVERY_WRITE);
            before = version_of(hit);
            ck_assert_int_ne(complete(), IDEM_OK);
            for (unsigned i = 0; i < ITEMS; i++) {
                if (i != hit && items[i].kind == IDEM_NEW)
                    expect_completed(i);
                ck_assert_int_eq(errors[i].code != IDEM_OK, i == hit);
            }
            ck_assert((version_of(hit) != before) == (errors[hit].code == IDEM_ERR_UNCERTAIN));
            faulty_clear();
            must(complete());
            expect_completed(hit);
        }
        clear();
    }
}
END_TEST

int main(void)
{
    place_start();
    faulty_require();
    Suite *suite = suite_create("many");
    TCase *faults = tcase_create("faults in batches");
    tcase_set_timeout(faults, 60);
    tcase_add_checked_fixture(faults, open_stores, close_stores);
    tcase_add_loop_test(faults, a_fault_in_mid_batch_changes_no_answer, 0,
                        (int)(sizeof passing / sizeof passing[0]));
    tcase_add_loop_test(faults, a_key_that_fails_fails_alone, 0,
                        (int)(sizeof staying / sizeof staying[0]));
    suite_add_tcase(suite, faults);
    int failed = run_suite(suite);
    place_end();
    return failed;
}
