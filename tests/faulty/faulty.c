/* SPDX-License-Identifier: MIT */
/*
 * The faulty backend: an instance stands in front of one of the inner backend, and hands through
 * what no rule acts on. A batch in which a rule acts is cut there: what is in front of the op
 * reaches the inner backend as one batch, the op by itself. Ops that are on their way too long
 * (FAULTY_DELAYED) wait in their instance; its lock guards them, since a concurrent backend is
 * entered by many threads. The lock is never held while the inner backend or a hook is called.
 */
#include "rules.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WRAPPED_MAX 16u
#define PREFIX      "faulty+"

/* One scheme. */
typedef struct {
    const idem_backend_ops *inner;
    idem_backend_ops ops;
    char scheme[48];
} wrapped;

/* An op that will be carried out later, on copies of its bytes. */
typedef struct delayed {
    struct delayed *next;
    idem_op op;
    idem_record record;
    uint64_t delay; /* in front of how many batches it still is not */
} delayed;

typedef struct {
    idem_backend base;
    const wrapped *as;
    idem_backend *inner;
    idem_config config; /* the inner instance's */
    pthread_mutex_t lock;
    delayed *on_their_way;
} faulty;

static wrapped schemes[WRAPPED_MAX];
static size_t schemes_count;

static void sleep_until(uint64_t until_ms)
{
    uint64_t now = idem_monotonic_ms();
    while (now < until_ms) {
        uint64_t left = until_ms - now;
        struct timespec pause = {.tv_sec = (time_t)(left / 1000),
                                 .tv_nsec = (long)(left % 1000) * 1000000};
        (void)nanosleep(&pause, NULL);
        now = idem_monotonic_ms();
    }
}

static const char *message_of(const faulty_rule *rule)
{
    if (rule->message)
        return rule->message;
    if (rule->kind == FAULTY_GARBAGE)
        return "faulty: what is stored can't be understood";
    return rule->kind == FAULTY_BEFORE ? "faulty: nothing was done" : "faulty: the reply was lost";
}

/* What a slot that fails as a whole returns. */
static int fail_slot(const faulty_rule *rule, idem_error *error)
{
    const char *message = message_of(rule);
    int rc = *message ? idem_error_set(error, rule->code, "%s", message) : rule->code;
    return rule->permanent ? rc | IDEM_PERMANENT : rc;
}

static void call_hook(void (*hook)(void *user, const idem_op *op), const faulty_rule *rule,
                      const idem_op *op)
{
    if (hook)
        hook(rule->user, op);
}

/* ------------------------------------------------------------------------- ops on their way */

static void free_delayed(delayed *late)
{
    idem_record_clear(&late->record);
    idem_record_clear(&late->op.found);
    free(late);
}

static void drop_delayed(faulty *self)
{
    while (self->on_their_way) {
        delayed *late = self->on_their_way;
        self->on_their_way = late->next;
        free_delayed(late);
    }
}

/* Takes the next op that is due out of the list. With `count_down` this is a new batch. */
static delayed *next_delivery(faulty *self, bool count_down)
{
    delayed *due = NULL;
    (void)pthread_mutex_lock(&self->lock);
    for (delayed *at = self->on_their_way; count_down && at; at = at->next)
        at->delay--;
    delayed **at = &self->on_their_way;
    while (*at && (*at)->delay > 0)
        at = &(*at)->next;
    if (*at) {
        due = *at;
        *at = due->next;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return due;
}

/* Whatever they find and whether they succeed: nobody waits for their answers any more. */
static void deliver(faulty *self, uint64_t deadline_ms)
{
    for (delayed *due = next_delivery(self, true); due; due = next_delivery(self, false)) {
        idem_op *ops[] = {&due->op};
        (void)self->as->inner->submit(self->inner, ops, 1, deadline_ms, NULL);
        free_delayed(due);
    }
}

static void send_on_its_way(faulty *self, const idem_op *op, const faulty_rule *rule)
{
    delayed *late = calloc(1, sizeof *late);
    idem_record of_key = {.key = op->key};
    if (!late || idem_record_copy(op->record ? op->record : &of_key, &late->record, NULL))
        abort(); /* these tests do not run out of memory */
    late->op.kind = op->kind;
    late->op.any_version = op->any_version;
    late->op.key = late->record.key;
    late->op.record = op->record ? &late->record : NULL;
    late->op.live_ms = op->live_ms;
    late->op.expected = op->expected;
    late->delay = rule->delay;
    (void)pthread_mutex_lock(&self->lock);
    late->next = self->on_their_way;
    self->on_their_way = late;
    (void)pthread_mutex_unlock(&self->lock);
}

/* --------------------------------------------------------------------------------- one batch */

static int carry_out(const faulty *self, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                     idem_error *error)
{
    return count > 0 ? self->as->inner->submit(self->inner, ops, count, deadline_ms, error)
                     : IDEM_OK;
}

/* Makes an op blank again, unless the inner backend failed it. */
static void lose_answer(idem_op *op)
{
    idem_record_clear(&op->found);
    op->applied = false;
    op->has_found = false;
}

/* True if there is something under the op's key. */
static bool is_there(const faulty *self, const idem_op *op, uint64_t deadline_ms)
{
    idem_op look = {.kind = IDEM_OP_GET, .key = op->key};
    idem_op *ops[] = {&look};
    int rc = carry_out(self, ops, 1, deadline_ms, NULL);
    bool there = rc == IDEM_OK && (look.has_found || look.error.code == IDEM_ERR_CORRUPT);
    idem_record_clear(&look.found);
    return there;
}

static int find_garbage(const faulty *self, idem_op *op, uint64_t deadline_ms, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    idem_op *ops[] = {op};
    if ((op->kind == IDEM_OP_REMOVE && op->any_version) || !is_there(self, op, deadline_ms))
        return carry_out(self, ops, 1, deadline_ms, error);
    idem_op_fail(op, true, IDEM_ERR_CORRUPT, "faulty: the record of %s can't be understood",
                 idem_quote(op->key, quoted));
    return IDEM_OK;
}

/* Does to one op what the rule says. @return as submit() */
static int hit(faulty *self, idem_op *op, const faulty_rule *rule, uint64_t deadline_ms,
               idem_error *error)
{
    idem_op *ops[] = {op};
    int rc = IDEM_OK;
    call_hook(rule->before, rule, op);
    if (rule->kind == FAULTY_DELAYED)
        send_on_its_way(self, op, rule);
    else if (rule->kind == FAULTY_GARBAGE)
        rc = find_garbage(self, op, deadline_ms, error);
    else if (rule->kind != FAULTY_BEFORE)
        rc = carry_out(self, ops, 1, deadline_ms, error);
    call_hook(rule->after, rule, op);
    if (rc)
        return rc;
    if (rule->kind == FAULTY_LATE)
        sleep_until(deadline_ms + rule->late_ms);
    if (rule->stall)
        sleep_until(deadline_ms);
    if (rule->kind == FAULTY_AFTER)
        lose_answer(op);
    if (rule->kind == FAULTY_BEFORE || rule->kind == FAULTY_AFTER || rule->kind == FAULTY_DELAYED)
        idem_op_fail(op, rule->permanent, rule->code, "%s", message_of(rule));
    return IDEM_OK;
}

/* Fails as a whole from this op on. */
static int hit_whole(const faulty *self, idem_op *const *ops, size_t count, const faulty_rule *rule,
                     uint64_t deadline_ms, idem_error *error)
{
    int rc = IDEM_OK;
    call_hook(rule->before, rule, ops[0]);
    if (rule->kind == FAULTY_AFTER)
        rc = carry_out(self, ops, count, deadline_ms, error);
    call_hook(rule->after, rule, ops[0]);
    if (rc)
        return rc;
    if (rule->stall)
        sleep_until(deadline_ms);
    for (size_t i = 0; i < count; i++)
        lose_answer(ops[i]);
    return fail_slot(rule, error);
}

static int faulty_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                         uint64_t deadline_ms, idem_error *error)
{
    faulty *self = (faulty *)backend;
    size_t done = 0;
    faulty_rule rule;
    deliver(self, deadline_ms);
    for (size_t i = 0; i < count; i++) {
        if (!faulty__rules_match((unsigned)ops[i]->kind, self->config.role, ops[i], &rule))
            continue;
        int rc = carry_out(self, ops + done, i - done, deadline_ms, error);
        if (rc == IDEM_OK && rule.whole)
            return hit_whole(self, ops + i, count - i, &rule, deadline_ms, error);
        if (rc == IDEM_OK)
            rc = hit(self, ops[i], &rule, deadline_ms, error);
        if (rc)
            return rc;
        done = i + 1;
    }
    return carry_out(self, ops + done, count - done, deadline_ms, error);
}

/* ------------------------------------------------------------------------------ other slots */

/* The rule for a slot that is not submit. */
static faulty_rule slot_rule(unsigned place, idem_role role)
{
    faulty_rule rule;
    if (!faulty__rules_match(place, role, NULL, &rule))
        return (faulty_rule){.kind = FAULTY_NONE};
    if (rule.kind == FAULTY_DELAYED)
        rule.kind = FAULTY_BEFORE;
    return rule;
}

static bool is_done(const faulty_rule *rule)
{
    return rule->kind != FAULTY_BEFORE && rule->kind != FAULTY_GARBAGE;
}

/* What becomes of a slot's answer. */
static int slot_answer(const faulty_rule *rule, int rc, uint64_t deadline_ms, idem_error *error)
{
    call_hook(rule->after, rule, NULL);
    if (rc || rule->kind == FAULTY_NONE)
        return rc;
    if (rule->kind == FAULTY_LATE)
        sleep_until(deadline_ms + rule->late_ms);
    if (rule->stall)
        sleep_until(deadline_ms);
    return rule->kind == FAULTY_LATE ? rc : fail_slot(rule, error);
}

static int faulty_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                       idem_error *error)
{
    const faulty *self = (const faulty *)backend;
    faulty_rule rule = slot_rule(FAULTY_SCAN, self->config.role);
    int rc = IDEM_OK;
    call_hook(rule.before, &rule, NULL);
    if (is_done(&rule))
        rc = self->as->inner->scan(self->inner, page, deadline_ms, error);
    return slot_answer(&rule, rc, deadline_ms, error);
}

static int faulty_purge(idem_backend *backend, idem_purge_portion *portion, uint64_t deadline_ms,
                        idem_error *error)
{
    const faulty *self = (const faulty *)backend;
    faulty_rule rule = slot_rule(FAULTY_PURGE, self->config.role);
    int rc = IDEM_OK;
    call_hook(rule.before, &rule, NULL);
    if (is_done(&rule))
        rc = self->as->inner->purge(self->inner, portion, deadline_ms, error);
    return slot_answer(&rule, rc, deadline_ms, error);
}

static int faulty_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                        uint64_t deadline_ms, idem_error *error)
{
    const faulty *self = (const faulty *)backend;
    faulty_rule rule = slot_rule(FAULTY_CHECK, self->config.role);
    int rc = IDEM_OK;
    call_hook(rule.before, &rule, NULL);
    if (is_done(&rule))
        rc = self->as->inner->check(self->inner, emit, emit_user, deadline_ms, error);
    return slot_answer(&rule, rc, deadline_ms, error);
}

static void faulty_at_fork(idem_backend *backend, idem_fork_phase phase)
{
    faulty *self = (faulty *)backend;
    if (phase == IDEM_FORK_PREPARE && self->as->inner->at_fork)
        self->as->inner->at_fork(self->inner, phase);
    if (phase == IDEM_FORK_PREPARE) {
        (void)pthread_mutex_lock(&self->lock);
        return;
    }
    if (phase == IDEM_FORK_CHILD)
        drop_delayed(self); /* each is on its way once: the parent's */
    (void)pthread_mutex_unlock(&self->lock);
    if (self->as->inner->at_fork)
        self->as->inner->at_fork(self->inner, phase);
}

/* ------------------------------------------------------------------------- opening, closing */

static const wrapped *find_scheme(const char *scheme)
{
    size_t i = 0;
    while (i < schemes_count && strcmp(schemes[i].scheme, scheme) != 0)
        i++;
    return i < schemes_count ? &schemes[i] : NULL;
}

static void faulty_close(idem_backend *backend)
{
    faulty *self = (faulty *)backend;
    self->as->inner->close(self->inner);
    drop_delayed(self);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

/* The inner instance is opened with its own scheme, in what it shows as well. */
static int open_inner(faulty *self, const idem_config *config, idem_error *error)
{
    self->config = *config;
    self->config.scheme = self->as->inner->scheme;
    if (strncmp(config->display, PREFIX, strlen(PREFIX)) == 0)
        self->config.display = config->display + strlen(PREFIX);
    return self->as->inner->open(&self->config, &self->inner, error);
}

static int faulty_open(const idem_config *config, idem_backend **backend, idem_error *error)
{
    faulty_rule rule = slot_rule(FAULTY_OPEN, config->role);
    faulty *self = calloc(1, sizeof *self);
    if (!self || pthread_mutex_init(&self->lock, NULL)) {
        free(self);
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a store");
    }
    self->as = find_scheme(config->scheme);
    self->base.ops = &self->as->ops;
    call_hook(rule.before, &rule, NULL);
    int rc = is_done(&rule) ? open_inner(self, config, error) : IDEM_OK;
    rc = slot_answer(&rule, rc, config->deadline_ms, error);
    if (rc == IDEM_OK) {
        *backend = &self->base;
        return IDEM_OK;
    }
    if (self->inner)
        self->as->inner->close(self->inner);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    return rc;
}

/* ---------------------------------------------------------------------------------- register */

static void wrap(wrapped *as, const idem_backend_ops *inner)
{
    (void)snprintf(as->scheme, sizeof as->scheme, PREFIX "%s", inner->scheme);
    as->inner = inner;
    as->ops = *inner;
    as->ops.traits &= ~IDEM_BACKEND_IN_PROCESS; /* it delays ops, and fails them */
    as->ops.scheme = as->scheme;
    as->ops.open = faulty_open;
    as->ops.submit = faulty_submit;
    as->ops.connect = NULL; /* all goes through submit */
    as->ops.send = NULL;
    as->ops.receive = NULL;
    as->ops.abandon = NULL;
    as->ops.drop = NULL;
    as->ops.wants = NULL;
    as->ops.close = faulty_close;
    as->ops.scan = inner->scan ? faulty_scan : NULL;
    as->ops.purge = inner->purge ? faulty_purge : NULL;
    as->ops.check = inner->check ? faulty_check : NULL;
    as->ops.at_fork = faulty_at_fork;
}

int faulty_register(idem_error *error)
{
    const idem_backend_ops *inner;
    int rc = faulty__rules_at_fork(error);
    /* All are wrapped before the first is registered: the list must not grow while it is read. */
    for (size_t i = 0; (inner = idem_backend_at(i)) != NULL && schemes_count < WRAPPED_MAX; i++)
        wrap(&schemes[schemes_count++], inner);
    for (size_t i = 0; rc == IDEM_OK && i < schemes_count; i++)
        rc = idem_backend_register(&schemes[i].ops, error);
    return rc;
}
