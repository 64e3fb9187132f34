/* SPDX-License-Identifier: MIT */
/*
 * The faulty backend: an instance stands in front of one of the inner backend, and hands through
 * what no fault acts on. A batch in which a fault acts is cut there: what is in front of the op
 * reaches the inner backend as one batch, the op by itself. Ops that are on their way too long
 * (IDEM_FAULT_DELAYED) wait in their instance; its lock guards them, since a concurrent backend is
 * entered by many threads. The lock is never held while the inner backend or a hook is called.
 */
#include "clock.h"
#include "delayed.h"
#include "faults.h"
#include "faulty_params.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define WRAPPED_MAX 32u
#define PREFIX      "faulty+"

/* One scheme. */
typedef struct {
    const idem_backend_ops *inner;
    idem_backend_ops ops;
    bool registered;
    char scheme[48];
} wrapped;

typedef struct {
    idem_backend base;
    const wrapped *as;
    idem_backend *inner;
    idem_config config; /* the inner instance's */
    idem__testkit_delayed on_their_way;
    idem__testkit_counted *own; /* the URL's fault; NULL: none */
} faulty;

static pthread_mutex_t schemes_lock = PTHREAD_MUTEX_INITIALIZER;
static wrapped schemes[WRAPPED_MAX];
static size_t schemes_count;

static const char *message_of(const idem_fault *fault)
{
    if (fault->message)
        return fault->message;
    if (fault->kind == IDEM_FAULT_GARBAGE)
        return "faulty: what is stored can't be understood";
    return fault->kind == IDEM_FAULT_BEFORE ? "faulty: nothing was done"
                                            : "faulty: the reply was lost";
}

/* What a slot that fails as a whole returns. */
static int fail_slot(const idem_fault *fault, idem_error *error)
{
    const char *message = message_of(fault);
    int rc = *message ? idem_error_set(error, fault->code, "%s", message) : fault->code;
    return fault->permanent ? rc | IDEM_PERMANENT : rc;
}

static void call_hook(void (*hook)(void *user, const idem_op *op), const idem_fault *fault,
                      const idem_op *op)
{
    if (hook)
        hook(fault->user, op);
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

/* Does to one op what the fault says. @return as submit() */
static int hit(faulty *self, idem_op *op, const idem_fault *fault, uint64_t deadline_ms,
               idem_error *error)
{
    idem_op *ops[] = {op};
    int rc = IDEM_OK;
    call_hook(fault->before, fault, op);
    if (fault->kind == IDEM_FAULT_DELAYED)
        idem__testkit_delay(&self->on_their_way, op, fault->delay);
    else if (fault->kind == IDEM_FAULT_GARBAGE)
        rc = find_garbage(self, op, deadline_ms, error);
    else if (fault->kind != IDEM_FAULT_BEFORE)
        rc = carry_out(self, ops, 1, deadline_ms, error);
    call_hook(fault->after, fault, op);
    if (rc)
        return rc;
    if (fault->kind == IDEM_FAULT_LATE)
        idem__testkit_sleep_until(deadline_ms + fault->late_ms);
    if (fault->stall)
        idem__testkit_sleep_until(deadline_ms);
    if (fault->kind == IDEM_FAULT_AFTER)
        lose_answer(op);
    if (fault->kind == IDEM_FAULT_BEFORE || fault->kind == IDEM_FAULT_AFTER ||
        fault->kind == IDEM_FAULT_DELAYED)
        idem_op_fail(op, fault->permanent, fault->code, "%s", message_of(fault));
    return IDEM_OK;
}

/* Fails as a whole from this op on. */
static int hit_whole(const faulty *self, idem_op *const *ops, size_t count, const idem_fault *fault,
                     uint64_t deadline_ms, idem_error *error)
{
    int rc = IDEM_OK;
    call_hook(fault->before, fault, ops[0]);
    if (fault->kind == IDEM_FAULT_AFTER)
        rc = carry_out(self, ops, count, deadline_ms, error);
    call_hook(fault->after, fault, ops[0]);
    if (rc)
        return rc;
    if (fault->stall)
        idem__testkit_sleep_until(deadline_ms);
    for (size_t i = 0; i < count; i++)
        lose_answer(ops[i]);
    return fail_slot(fault, error);
}

static int faulty_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                         uint64_t deadline_ms, idem_error *error)
{
    faulty *self = (faulty *)backend;
    size_t done = 0;
    idem_fault fault;
    idem__testkit_deliver(&self->on_their_way, self->inner, deadline_ms);
    for (size_t i = 0; i < count; i++) {
        if (!idem__testkit_faults_match(self->own, (unsigned)ops[i]->kind, self->config.role,
                                        ops[i], &fault))
            continue;
        int rc = carry_out(self, ops + done, i - done, deadline_ms, error);
        if (rc == IDEM_OK && fault.whole)
            return hit_whole(self, ops + i, count - i, &fault, deadline_ms, error);
        if (rc == IDEM_OK)
            rc = hit(self, ops[i], &fault, deadline_ms, error);
        if (rc)
            return rc;
        done = i + 1;
    }
    return carry_out(self, ops + done, count - done, deadline_ms, error);
}

/* ------------------------------------------------------------------------------ other slots */

/* The fault for a slot that is not submit. */
static idem_fault slot_fault(idem__testkit_counted *own, unsigned place, idem_role role)
{
    idem_fault fault;
    if (!idem__testkit_faults_match(own, place, role, NULL, &fault))
        return (idem_fault){.kind = IDEM_FAULT_NONE};
    if (fault.kind == IDEM_FAULT_DELAYED)
        fault.kind = IDEM_FAULT_BEFORE;
    return fault;
}

static bool is_done(const idem_fault *fault)
{
    return fault->kind != IDEM_FAULT_BEFORE && fault->kind != IDEM_FAULT_GARBAGE;
}

/* What becomes of a slot's answer. */
static int slot_answer(const idem_fault *fault, int rc, uint64_t deadline_ms, idem_error *error)
{
    call_hook(fault->after, fault, NULL);
    if (rc || fault->kind == IDEM_FAULT_NONE)
        return rc;
    if (fault->kind == IDEM_FAULT_LATE)
        idem__testkit_sleep_until(deadline_ms + fault->late_ms);
    if (fault->stall)
        idem__testkit_sleep_until(deadline_ms);
    return fault->kind == IDEM_FAULT_LATE ? rc : fail_slot(fault, error);
}

static int faulty_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                       idem_error *error)
{
    const faulty *self = (const faulty *)backend;
    idem_fault fault = slot_fault(self->own, IDEM_FAULT_SCAN, self->config.role);
    int rc = IDEM_OK;
    call_hook(fault.before, &fault, NULL);
    if (is_done(&fault))
        rc = self->as->inner->scan(self->inner, page, deadline_ms, error);
    return slot_answer(&fault, rc, deadline_ms, error);
}

static int faulty_purge(idem_backend *backend, idem_purge_portion *portion, uint64_t deadline_ms,
                        idem_error *error)
{
    const faulty *self = (const faulty *)backend;
    idem_fault fault = slot_fault(self->own, IDEM_FAULT_PURGE, self->config.role);
    int rc = IDEM_OK;
    call_hook(fault.before, &fault, NULL);
    if (is_done(&fault))
        rc = self->as->inner->purge(self->inner, portion, deadline_ms, error);
    return slot_answer(&fault, rc, deadline_ms, error);
}

static int faulty_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                        uint64_t deadline_ms, idem_error *error)
{
    const faulty *self = (const faulty *)backend;
    idem_fault fault = slot_fault(self->own, IDEM_FAULT_CHECK, self->config.role);
    int rc = IDEM_OK;
    call_hook(fault.before, &fault, NULL);
    if (is_done(&fault))
        rc = self->as->inner->check(self->inner, emit, emit_user, deadline_ms, error);
    return slot_answer(&fault, rc, deadline_ms, error);
}

static void faulty_at_fork(idem_backend *backend, idem_fork_phase phase)
{
    faulty *self = (faulty *)backend;
    if (phase == IDEM_FORK_PREPARE && self->as->inner->at_fork)
        self->as->inner->at_fork(self->inner, phase);
    if (phase == IDEM_FORK_PREPARE) {
        (void)pthread_mutex_lock(&self->on_their_way.lock);
        return;
    }
    if (phase == IDEM_FORK_CHILD)
        idem__testkit_delayed_drop(&self->on_their_way); /* each is on its way once: the parent's */
    (void)pthread_mutex_unlock(&self->on_their_way.lock);
    if (self->as->inner->at_fork)
        self->as->inner->at_fork(self->inner, phase);
}

/* ------------------------------------------------------------------------- opening, closing */

/* A scheme is never taken away again. */
static wrapped *find_scheme(const char *scheme)
{
    wrapped *found = NULL;
    (void)pthread_mutex_lock(&schemes_lock);
    for (size_t i = 0; i < schemes_count && !found; i++) {
        if (strcmp(schemes[i].scheme, scheme) == 0)
            found = &schemes[i];
    }
    (void)pthread_mutex_unlock(&schemes_lock);
    return found;
}

/* What a store is opened with: what the inner backend has prepared, and the URL's own fault. */
typedef struct {
    const wrapped *as;
    void *inner;
    bool has_fault;
    idem__testkit_counted fault;
} prepared;

static int faulty_prepare(const idem_config *config, void **made, idem_error *error)
{
    idem_fault fault = {.size = sizeof fault};
    int rc = IDEM_OK;
    prepared *it = calloc(1, sizeof *it);
    if (!it)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a store");
    it->as = find_scheme(config->scheme);
    rc = idem__testkit_faulty_read(config->values + it->as->inner->params_count, &fault, error);
    it->has_fault = rc == IDEM_OK && fault.kind != IDEM_FAULT_NONE;
    idem__testkit_fault_init(&it->fault, &fault);
    if (rc == IDEM_OK && it->as->inner->prepare) {
        idem_config inner = *config;
        inner.scheme = it->as->inner->scheme;
        rc = it->as->inner->prepare(&inner, &it->inner, error);
    }
    if (rc)
        free(it);
    else
        *made = it;
    return rc;
}

static void faulty_dispose(void *made)
{
    prepared *it = made;
    if (it->inner && it->as->inner->dispose)
        it->as->inner->dispose(it->inner);
    free(it);
}

static void faulty_close(idem_backend *backend)
{
    faulty *self = (faulty *)backend;
    self->as->inner->close(self->inner);
    idem__testkit_delayed_drop(&self->on_their_way);
    (void)pthread_mutex_destroy(&self->on_their_way.lock);
    free(self);
}

/* The inner instance is opened with its own scheme, in what it shows as well. */
static int open_inner(faulty *self, const idem_config *config, idem_error *error)
{
    self->config = *config;
    self->config.scheme = self->as->inner->scheme;
    if (strncmp(config->display, PREFIX, strlen(PREFIX)) == 0)
        self->config.display = config->display + strlen(PREFIX);
    self->config.prepared = ((prepared *)config->prepared)->inner;
    uint64_t traits = self->as->inner->traits;
    if (idem__testkit_clock_runs() && !config->clock.now_ms && (traits & IDEM_TRAIT_CLOCK) &&
        !(traits & IDEM_BACKEND_IN_PROCESS)) /* which judges by idem_monotonic_ms() as it is */
        self->config.clock = idem_testkit_clock();
    return self->as->inner->open(&self->config, &self->inner, error);
}

static int faulty_open(const idem_config *config, idem_backend **backend, idem_error *error)
{
    prepared *of_store = config->prepared;
    idem__testkit_counted *own = of_store->has_fault ? &of_store->fault : NULL;
    idem_fault fault = slot_fault(own, IDEM_FAULT_OPEN, config->role);
    faulty *self = calloc(1, sizeof *self);
    if (!self || pthread_mutex_init(&self->on_their_way.lock, NULL)) {
        free(self);
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a store");
    }
    self->as = find_scheme(config->scheme);
    self->base.ops = &self->as->ops;
    self->own = own;
    call_hook(fault.before, &fault, NULL);
    int rc = is_done(&fault) ? open_inner(self, config, error) : IDEM_OK;
    rc = slot_answer(&fault, rc, config->deadline_ms, error);
    if (rc == IDEM_OK) {
        *backend = &self->base;
        return IDEM_OK;
    }
    if (self->inner)
        self->as->inner->close(self->inner);
    (void)pthread_mutex_destroy(&self->on_their_way.lock);
    free(self);
    return rc;
}

/* ---------------------------------------------------------------------------------- register */

/* The inner backend's parameters, and behind them the fault's. */
static int join_params(const idem_backend_ops *inner, const idem_param **joined, size_t *count,
                       idem_error *error)
{
    size_t own_count;
    const idem_param *own = idem__testkit_faulty_params(&own_count);
    idem_param *made = calloc(inner->params_count + own_count, sizeof *made);
    if (!made)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a scheme");
    if (inner->params_count > 0)
        memcpy(made, inner->params, inner->params_count * sizeof *made);
    memcpy(made + inner->params_count, own, own_count * sizeof *made);
    *joined = made;
    *count = inner->params_count + own_count;
    return IDEM_OK;
}

/* It delays ops and fails them, so it is not in the process; and it submits whole batches. */
static int wrap(wrapped *as, const idem_backend_ops *inner, idem_error *error)
{
    (void)snprintf(as->scheme, sizeof as->scheme, PREFIX "%s", inner->scheme);
    as->inner = inner;
    as->ops = *inner;
    as->ops.size = sizeof as->ops;
    as->ops.traits &= ~IDEM_BACKEND_IN_PROCESS;
    as->ops.scheme = as->scheme;
    as->ops.open = faulty_open;
    as->ops.submit = faulty_submit;
    as->ops.close = faulty_close;
    as->ops.scan = inner->scan ? faulty_scan : NULL;
    as->ops.purge = inner->purge ? faulty_purge : NULL;
    as->ops.check = inner->check ? faulty_check : NULL;
    as->ops.at_fork = faulty_at_fork;
    as->ops.prepare = faulty_prepare;
    as->ops.dispose = faulty_dispose;
    as->ops.connect = NULL;
    as->ops.send = NULL;
    as->ops.receive = NULL;
    as->ops.abandon = NULL;
    as->ops.drop = NULL;
    as->ops.wants = NULL;
    return join_params(inner, &as->ops.params, &as->ops.params_count, error);
}

/* True for what is wrapped already, or wraps. Lock held. */
static bool is_wrapped(const idem_backend_ops *inner)
{
    bool found = strncmp(inner->scheme, PREFIX, strlen(PREFIX)) == 0;
    for (size_t i = 0; i < schemes_count && !found; i++)
        found = schemes[i].inner == inner || strcmp(schemes[i].inner->scheme, inner->scheme) == 0;
    return found;
}

static int wrap_all(idem_error *error)
{
    const idem_backend_ops *inner;
    int rc = IDEM_OK;
    for (size_t i = 0; rc == IDEM_OK && (inner = idem_backend_at(i)) != NULL; i++) {
        if (is_wrapped(inner))
            continue;
        if (schemes_count == WRAPPED_MAX)
            return idem_error_set(error, IDEM_ERR_FULL,
                                  "faulty: there are more than %u schemes to wrap", WRAPPED_MAX);
        rc = wrap(&schemes[schemes_count], inner, error);
        schemes_count += rc == IDEM_OK;
    }
    return rc;
}

int idem_testkit_register(idem_error *error)
{
    if (error)
        *error = (idem_error){.code = IDEM_OK};
    int rc = idem__testkit_faults_at_fork(error);
    (void)pthread_mutex_lock(&schemes_lock);
    /* All are wrapped before the first is registered: the list must not grow while it is read. */
    if (rc == IDEM_OK)
        rc = wrap_all(error);
    for (size_t i = 0; rc == IDEM_OK && i < schemes_count; i++) {
        if (!schemes[i].registered)
            rc = idem_backend_register(&schemes[i].ops, error);
        schemes[i].registered = rc == IDEM_OK;
    }
    (void)pthread_mutex_unlock(&schemes_lock);
    return rc;
}
