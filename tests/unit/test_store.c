/* SPDX-License-Identifier: MIT */
/*
 * The public calls on a backend that fails as it is told: one key, kept in a variable, with a
 * script of faults. A fault strikes before an operation is carried out (nothing was done) or after
 * (done, and the reply lost). Shown here: what is repeated, what is not, which code each fault ends
 * in, and that the deadline is kept.
 */
#include <idem/backend.h>

#include "runner.h"
#include "store.h"

#include <string.h>

typedef enum { NO_FAULT, BEFORE, AFTER } fault_kind;

/* The one record, and what is to go wrong with the next operations on it. */
typedef struct {
    bool present;
    idem_record record; /* its bytes in text */
    char text[2][64];
    fault_kind faults[8];
    size_t fault_count;
    size_t op_count;
    size_t insert_count;
    idem_op_kind first_kind; /* of the ops since it was last set to 0 */
    int code;                /* of a fault before */
    bool permanent;
    bool always;
    uint64_t last_version;
    bool version_reused;
} world;

typedef struct {
    idem_backend base;
    world *world;
} instance;

static instance the_instance;

static int open_world(const idem_config *config, idem_backend **backend, idem_error *error)
{
    (void)error;
    the_instance.world = config->context;
    *backend = &the_instance.base;
    return IDEM_OK;
}

static void close_world(idem_backend *backend)
{
    (void)backend;
}

static idem_bytes keep(char room[64], idem_bytes bytes)
{
    ck_assert_uint_le(bytes.len, 64);
    if (bytes.len > 0)
        memcpy(room, bytes.data, bytes.len);
    return (idem_bytes){room, bytes.len};
}

static void store_record(world *to, const idem_record *record)
{
    to->version_reused = to->version_reused || record->version == to->last_version;
    to->last_version = record->version;
    to->record = *record;
    to->record.key = idem_str("k");
    to->record.response = keep(to->text[0], record->response);
    to->record.checkpoint = keep(to->text[1], record->checkpoint);
    to->present = true;
}

static void carry_out(world *on, idem_op *op)
{
    bool matches = on->present && (op->any_version || on->record.version == op->expected);
    if (op->kind == IDEM_OP_INSERT ? !on->present : op->kind != IDEM_OP_GET && matches) {
        op->applied = true;
        if (op->kind == IDEM_OP_REMOVE)
            on->present = false;
        else
            store_record(on, op->record);
    } else if (on->present) {
        ck_assert_int_eq(idem_record_copy(&on->record, &op->found, NULL), IDEM_OK);
        op->has_found = true;
    }
}

static int submit_to_world(idem_backend *backend, idem_op *const *ops, size_t count,
                           uint64_t deadline_ms, idem_error *error)
{
    world *on = ((instance *)backend)->world;
    (void)deadline_ms;
    for (size_t i = 0; i < count; i++) {
        size_t nth = on->op_count++;
        on->insert_count += ops[i]->kind == IDEM_OP_INSERT;
        if (!on->first_kind)
            on->first_kind = ops[i]->kind;
        fault_kind fault = on->always ? on->faults[0] : NO_FAULT;
        if (nth < on->fault_count)
            fault = on->faults[nth];
        if (fault == BEFORE && on->permanent)
            idem_op_fail(ops[i], true, on->code, "a fault before");
        else if (fault == BEFORE)
            return idem_error_set(error, on->code, "a fault before");
        else
            carry_out(on, ops[i]);
        if (fault == AFTER) {
            idem_record_clear(&ops[i]->found);
            ops[i]->applied = ops[i]->has_found = false;
            return idem_error_set(error, IDEM_ERR_UNCERTAIN, "a reply was lost");
        }
    }
    return IDEM_OK;
}

static const idem_backend_ops world_ops = {
    .size = sizeof world_ops,
    .scheme = "world",
    .open = open_world,
    .submit = submit_to_world,
    .close = close_world,
};

static idem_store *open_with_traits(world *on, uint64_t traits)
{
    idem_store *store = NULL;
    idem_backend_ops ops = world_ops;
    ops.traits = traits;
    memset(on, 0, sizeof *on);
    on->code = IDEM_ERR_UNAVAILABLE;
    ck_assert_int_eq(idem_open_backend(&ops, on, "timeout=300ms", &store, NULL), IDEM_OK);
    return store;
}

static idem_store *open_on(world *on)
{
    return open_with_traits(on, 0);
}

static void set_faults(world *on, size_t count, fault_kind first, fault_kind second)
{
    on->op_count = 0;
    on->fault_count = count;
    on->faults[0] = first;
    on->faults[1] = second;
}

static int begin(idem_store *store, idem_outcome *out, idem_error *error)
{
    return idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), out, error);
}

static const fault_kind pairs[][2] = {
    {NO_FAULT, NO_FAULT}, {BEFORE, NO_FAULT}, {AFTER, NO_FAULT}, {BEFORE, BEFORE},
    {BEFORE, AFTER},      {AFTER, BEFORE},    {AFTER, AFTER},
};

/* Guarantee 5: whatever is lost, the calls come to the same end. */
START_TEST(lost_requests_and_replies_are_repeated_to_the_same_end)
{
    world on;
    idem_outcome out;
    idem_error error;
    idem_store *store = open_on(&on);
    for (int kind = 0; kind < 4; kind++) {
        on.present = false;
        set_faults(&on, 2, pairs[_i][0], pairs[_i][1]);
        ck_assert_msg(begin(store, &out, &error) == IDEM_OK, "%s", error.message);
        ck_assert(out.kind == IDEM_NEW && out.attempt == 1);
        set_faults(&on, 2, pairs[_i][0], pairs[_i][1]);
        int rc = kind == 0   ? idem_complete(store, out.claim, idem_str("[1.0]"), &error)
                 : kind == 1 ? idem_renew(store, out.claim, 5000, &error)
                 : kind == 2 ? idem_checkpoint(store, out.claim, idem_str("2"), &error)
                             : idem_release(store, out.claim, &error);
        ck_assert_msg(rc == IDEM_OK, "%d: %s", kind, error.message);
        ck_assert_int_eq(on.present, kind != 3);
        ck_assert_int_eq(on.record.status == IDEM_STATUS_COMPLETED, kind == 0);
        ck_assert(kind != 1 || on.record.lease_ms == 5000);
        ck_assert(kind != 2 || on.record.checkpoint.len == 1);
        on.record.status = IDEM_STATUS_IN_PROGRESS;
        idem_outcome_clear(&out);
    }
    ck_assert(!on.version_reused);
    idem_close(store);
}
END_TEST

START_TEST(a_store_that_cannot_be_reached_is_unavailable_by_the_deadline)
{
    world on;
    idem_outcome out = {.attempt = 77};
    idem_error error;
    idem_store *store = open_on(&on);
    set_faults(&on, 1, BEFORE, NO_FAULT);
    on.always = true;
    uint64_t start = idem_monotonic_ms();
    ck_assert_int_eq(begin(store, &out, &error), IDEM_ERR_UNAVAILABLE);
    uint64_t took = idem_monotonic_ms() - start;
    ck_assert_msg(took >= 250 && took < 4500, "%d ms", (int)took);
    ck_assert_str_eq(error.message, "a fault before");
    ck_assert_uint_gt(on.op_count, 3); /* it was tried again, with pauses that grow */
    ck_assert_uint_lt(on.op_count, 60);
    ck_assert(!on.present && out.attempt == 0); /* it can be cleared */
    idem_close(store);
}
END_TEST

START_TEST(doubt_that_stays_is_uncertain)
{
    world on;
    idem_outcome out;
    idem_error error;
    idem_store *store = open_on(&on);
    set_faults(&on, 1, AFTER, NO_FAULT);
    on.always = true;
    ck_assert_int_eq(begin(store, &out, &error), IDEM_ERR_UNCERTAIN);
    ck_assert(on.present); /* and so it was */
    on.always = false;
    on.fault_count = 0;
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k"), .token = on.record.token),
                                &out, &error),
                     IDEM_OK);
    ck_assert(out.kind == IDEM_NEW && out.attempt == 1);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

START_TEST(what_repeating_cannot_mend_is_not_repeated)
{
    static const int codes[] = {IDEM_ERR_UNAVAILABLE, IDEM_ERR_FULL, IDEM_ERR_CORRUPT,
                                IDEM_ERR_TOO_LARGE, IDEM_ERR_NO_MEMORY};
    world on;
    idem_outcome out;
    idem_error error;
    idem_store *store = open_on(&on);
    for (int i = 0; i < 5; i++) {
        set_faults(&on, 1, BEFORE, NO_FAULT);
        on.code = codes[i];
        on.permanent = true;
        ck_assert_int_eq(begin(store, &out, &error), codes[i]);
        ck_assert_uint_eq(on.op_count, 1);
    }
    idem_close(store);
}
END_TEST

static void count_events(void *user, const idem_event *event)
{
    int *count = user;
    ck_assert_int_eq(event->kind, IDEM_EVENT_RETRY);
    ck_assert_int_eq(event->code, IDEM_ERR_UNAVAILABLE);
    ck_assert(event->key.len == 1 && memcmp(event->key.data, "k", 1) == 0);
    ck_assert_str_eq(event->message, "a fault before");
    (*count)++;
}

static idem_backend_ops registered_ops;
static world registered_world;

static int open_registered(const idem_config *config, idem_backend **backend, idem_error *error)
{
    (void)config, (void)error;
    the_instance.world = &registered_world;
    *backend = &the_instance.base;
    return IDEM_OK;
}

START_TEST(the_hook_is_told_of_every_repeat)
{
    int events = 0;
    idem_store *store = NULL;
    idem_outcome out;
    registered_ops = world_ops;
    registered_ops.scheme = "world";
    registered_ops.open = open_registered;
    ck_assert_int_eq(idem_backend_register(&registered_ops, NULL), IDEM_OK);
    const idem_options options = {
        .size = sizeof options, .on_event = count_events, .event_user = &events};
    ck_assert_int_eq(idem_open_with("world:?prefix=app:", &options, &store, NULL), IDEM_OK);
    registered_world.code = IDEM_ERR_UNAVAILABLE;
    set_faults(&registered_world, 2, BEFORE, BEFORE);
    ck_assert_int_eq(begin(store, &out, NULL), IDEM_OK);
    ck_assert_int_eq(events, 2);
    idem_outcome_clear(&out);
    idem_close(store);
}
END_TEST

/* What a begin's first op is. */
static idem_op_kind first_op(world *on, idem_store *store, uint64_t wait_ms, idem_outcome *out)
{
    on->first_kind = 0;
    on->op_count = 0;
    on->insert_count = 0;
    ck_assert_int_eq(
        idem_begin(store, IDEM_REQUEST(.key = idem_str("k"), .wait_ms = wait_ms), out, NULL),
        IDEM_OK);
    return on->first_kind;
}

START_TEST(begin_looks_first_unless_the_last_keys_were_new)
{
    world on;
    idem_outcome out;
    idem_store *store = open_with_traits(&on, IDEM_BACKEND_READ_FIRST);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(first_op(&on, store, 0, &out), i < 4 ? IDEM_OP_GET : IDEM_OP_INSERT);
        ck_assert_uint_eq(on.op_count, i < 4 ? 2 : 1);
        ck_assert_int_eq(idem_release(store, out.claim, NULL), IDEM_OK);
        idem_outcome_clear(&out);
    }
    ck_assert_int_eq(first_op(&on, store, 0, &out), IDEM_OP_INSERT);
    idem_claim *claim = out.claim;
    /* One that is there is found by the insert; then it is looked for. */
    ck_assert_int_eq(first_op(&on, store, 0, &out), IDEM_OP_INSERT);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
    ck_assert_int_eq(first_op(&on, store, 0, &out), IDEM_OP_GET);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
    idem_claim_free(claim);
    idem_close(store);
}
END_TEST

START_TEST(who_waits_for_a_key_looks_and_does_not_insert)
{
    world on;
    idem_outcome out;
    idem_claim *claim = NULL;
    idem_store *store = open_with_traits(&on, IDEM_BACKEND_READ_FIRST);
    for (int i = 0; i < 5; i++) {
        if (claim)
            ck_assert_int_eq(idem_release(store, claim, NULL), IDEM_OK);
        idem_claim_free(claim);
        (void)first_op(&on, store, 0, &out);
        claim = out.claim;
    }
    ck_assert_int_eq(first_op(&on, store, 50, &out), IDEM_OP_INSERT);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
    ck_assert_uint_gt(on.op_count, 1);
    ck_assert_uint_eq(on.insert_count, 1);
    idem_claim_free(claim);
    idem_close(store);
}
END_TEST

static idem_outcome_kind begin_kept(idem_store *store, const uint8_t *token, idem_outcome *out)
{
    idem_error error = {0};
    int rc = idem_begin(store,
                        IDEM_REQUEST(.key = idem_str("k"), .token = token, .flags = IDEM_KEEPALIVE),
                        out, &error);
    ck_assert_msg(rc == IDEM_OK, "%s", error.message);
    return out->kind;
}

static const struct {
    bool begun_again;
    bool unreachable;
} claimings[] = {{false, false}, {true, false}, {false, true}};

START_TEST(only_a_claim_starts_the_keepalives_thread)
{
    static const uint8_t token[IDEM_TOKEN_SIZE] = {1};
    world on;
    idem_outcome claimed;
    idem_outcome out;
    idem_store *store = open_with_traits(&on, IDEM_BACKEND_READ_FIRST);
    ck_assert_int_eq(
        idem_begin(store, IDEM_REQUEST(.key = idem_str("k"), .token = token), &claimed, NULL),
        IDEM_OK);
    ck_assert_int_eq(begin_kept(store, NULL, &out), IDEM_IN_PROGRESS);
    idem_outcome_clear(&out);
    ck_assert_int_eq(idem_checkpoint(store, claimed.claim, idem_str("1"), NULL), IDEM_OK);
    ck_assert(!idem__keepalive_is_running(&store->keeper));
    if (claimings[_i].begun_again) {
        ck_assert_int_eq(begin_kept(store, token, &out), IDEM_NEW);
        idem_outcome_clear(&claimed);
        claimed = out;
    } else {
        ck_assert_int_eq(idem_release(store, claimed.claim, NULL), IDEM_OK);
        idem_outcome_clear(&claimed);
        if (claimings[_i].unreachable)
            set_faults(&on, 2, BEFORE, AFTER);
        ck_assert_int_eq(begin_kept(store, NULL, &claimed), IDEM_NEW);
    }
    ck_assert(idem__keepalive_is_running(&store->keeper));
    idem_outcome_clear(&claimed);
    idem_close(store);
}
END_TEST

START_TEST(a_look_that_fails_until_the_deadline_says_why)
{
    world on;
    idem_outcome out;
    idem_error error;
    idem_store *store = open_with_traits(&on, IDEM_BACKEND_READ_FIRST);
    on.always = true;
    on.faults[0] = BEFORE;
    for (int i = 0; i < 2; i++) {
        const uint64_t timeout_ms = i == 0 ? 1 : 100; /* for few repeats, and for many */
        ck_assert_int_eq(idem_begin(store,
                                    IDEM_REQUEST(.key = idem_str("k"), .timeout_ms = timeout_ms,
                                                 .flags = IDEM_KEEPALIVE),
                                    &out, &error),
                         IDEM_ERR_UNAVAILABLE);
        ck_assert_ptr_nonnull(strstr(error.message, "a fault before"));
        ck_assert(i == 0 || idem__keepalive_is_running(&store->keeper));
    }
    idem_close(store);
}
END_TEST

static uint64_t stand_still(void *user)
{
    (void)user;
    return 1;
}

START_TEST(a_clock_for_a_backend_that_takes_none_is_unsupported)
{
    idem_store *store = NULL;
    idem_error error;
    idem_backend_ops ops = world_ops;
    ops.scheme = "timeless";
    ck_assert_int_eq(idem_backend_register(&ops, NULL), IDEM_OK);
    const idem_options options = {.size = sizeof options, .clock = {.now_ms = stand_still}};
    ck_assert_int_eq(idem_open_with("timeless:", &options, &store, &error), IDEM_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "timeless"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    ADD_ROWS(suite, lost_requests_and_replies_are_repeated_to_the_same_end, pairs);
    ADD(suite, a_store_that_cannot_be_reached_is_unavailable_by_the_deadline);
    ADD(suite, doubt_that_stays_is_uncertain);
    ADD(suite, what_repeating_cannot_mend_is_not_repeated);
    ADD(suite, the_hook_is_told_of_every_repeat);
    ADD(suite, begin_looks_first_unless_the_last_keys_were_new);
    ADD(suite, who_waits_for_a_key_looks_and_does_not_insert);
    ADD_ROWS(suite, only_a_claim_starts_the_keepalives_thread, claimings);
    ADD(suite, a_look_that_fails_until_the_deadline_says_why);
    ADD(suite, a_clock_for_a_backend_that_takes_none_is_unsupported);
    return run_suite(suite);
}
