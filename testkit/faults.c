/* SPDX-License-Identifier: MIT */
/*
 * The faults: one process-wide list and its counters, behind one lock that is never held while
 * anything else is called. fork() takes the lock, so that a child finds the list whole.
 */
#include "faults.h"

#include <pthread.h>
#include <stdlib.h>

#define FAULTS_MAX 64u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static idem__testkit_counted faults[FAULTS_MAX];
static size_t faults_count;
static bool forks_known;
static uint64_t seen[IDEM_FAULT_PLACES];

static void enter(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void leave(void)
{
    (void)pthread_mutex_unlock(&lock);
}

int idem__testkit_faults_at_fork(idem_error *error)
{
    enter();
    bool known = forks_known;
    forks_known = true;
    leave();
    if (!known && pthread_atfork(enter, leave, leave))
        return idem_error_set(error, IDEM_ERR_INTERNAL, "fork handlers can't be registered");
    return IDEM_OK;
}

static int default_code(idem_fault_kind kind)
{
    if (kind == IDEM_FAULT_GARBAGE)
        return IDEM_ERR_CORRUPT;
    return kind == IDEM_FAULT_BEFORE ? IDEM_ERR_UNAVAILABLE : IDEM_ERR_UNCERTAIN;
}

static void fill_in(idem_fault *fault)
{
    if (fault->places == 0)
        fault->places = IDEM_FAULT_EVERY_OP;
    if (fault->nth == 0)
        fault->nth = 1;
    if (fault->times == 0)
        fault->times = 1;
    if (fault->delay == 0)
        fault->delay = 1;
    if (fault->code == IDEM_OK)
        fault->code = default_code(fault->kind);
}

void idem__testkit_fault_init(idem__testkit_counted *counted, const idem_fault *fault)
{
    size_t size = fault->size && fault->size < sizeof *fault ? fault->size : sizeof *fault;
    *counted = (idem__testkit_counted){.chance = fault->seed};
    memcpy(&counted->fault, fault, size);
    fill_in(&counted->fault);
}

size_t idem_testkit_fault_add(const idem_fault *fault)
{
    size_t number = SIZE_MAX;
    enter();
    if (faults_count < FAULTS_MAX) {
        number = faults_count++;
        idem__testkit_fault_init(&faults[number], fault);
    }
    leave();
    return number;
}

void idem_testkit_faults_clear(void)
{
    enter();
    faults_count = 0;
    memset(seen, 0, sizeof seen);
    leave();
}

uint64_t idem_testkit_fault_seen(unsigned place)
{
    enter();
    uint64_t count = place < IDEM_FAULT_PLACES ? seen[place] : 0;
    leave();
    return count;
}

uint64_t idem_testkit_fault_hits(size_t fault)
{
    enter();
    uint64_t count = fault < faults_count ? faults[fault].acted : 0;
    leave();
    return count;
}

static bool fits(const idem_fault *fault, unsigned place, idem_role role, const idem_op *op)
{
    if (!(fault->places & IDEM_FAULT_ON(place)) || (fault->role && fault->role != role))
        return false;
    if (fault->key.len == 0)
        return true;
    return op && op->key.len == fault->key.len &&
           memcmp(op->key.data, fault->key.data, op->key.len) == 0;
}

/* splitmix64 (Steele, Lea, Flood): every seed gives a sequence of its own. */
static uint64_t next_number(uint64_t *state)
{
    uint64_t number = *state += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

/* Counts a match. True if the fault is due at it. */
static bool is_due(idem__testkit_counted *counted)
{
    const idem_fault *fault = &counted->fault;
    uint64_t behind = ++counted->matched - fault->nth; /* wraps in front of the n-th */
    if (counted->matched < fault->nth || behind >= fault->times)
        return false;
    return fault->percent == 0 || next_number(&counted->chance) % 100 < fault->percent;
}

bool idem__testkit_faults_match(idem__testkit_counted *own, unsigned place, idem_role role,
                                const idem_op *op, idem_fault *fault)
{
    bool acts = false;
    enter();
    seen[place]++;
    for (size_t i = 0; i <= faults_count; i++) {
        idem__testkit_counted *at = i < faults_count ? &faults[i] : own;
        if (!at || !fits(&at->fault, place, role, op) || !is_due(at) || acts)
            continue;
        acts = true;
        at->acted++;
        *fault = at->fault;
    }
    leave();
    return acts;
}
