/* SPDX-License-Identifier: MIT */
/*
 * The rules: one process-wide list and its counters, behind one lock that is never held while
 * anything else is called. fork() takes the lock, so that a child finds the list whole.
 */
#include "rules.h"

#include <pthread.h>
#include <stdlib.h>

#define RULES_MAX 64u

typedef struct {
    faulty_rule rule;
    uint64_t matched;
    uint64_t acted;
} counted_rule;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static counted_rule rules[RULES_MAX];
static size_t rules_count;
static uint64_t seen[FAULTY_PLACES];

static void enter(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void leave(void)
{
    (void)pthread_mutex_unlock(&lock);
}

int faulty__rules_at_fork(idem_error *error)
{
    if (pthread_atfork(enter, leave, leave))
        return idem_error_set(error, IDEM_ERR_INTERNAL, "fork handlers can't be registered");
    return IDEM_OK;
}

static int default_code(faulty_kind kind)
{
    if (kind == FAULTY_GARBAGE)
        return IDEM_ERR_CORRUPT;
    return kind == FAULTY_BEFORE ? IDEM_ERR_UNAVAILABLE : IDEM_ERR_UNCERTAIN;
}

static void fill_in(faulty_rule *rule)
{
    if (rule->places == 0)
        rule->places = FAULTY_EVERY_OP;
    if (rule->nth == 0)
        rule->nth = 1;
    if (rule->times == 0)
        rule->times = 1;
    if (rule->delay == 0)
        rule->delay = 1;
    if (rule->code == IDEM_OK)
        rule->code = default_code(rule->kind);
}

size_t faulty_add(const faulty_rule *rule)
{
    enter();
    if (rules_count == RULES_MAX)
        abort(); /* a test that adds so many forgot to clear them */
    size_t number = rules_count++;
    rules[number] = (counted_rule){.rule = *rule};
    fill_in(&rules[number].rule);
    leave();
    return number;
}

void faulty_clear(void)
{
    enter();
    rules_count = 0;
    memset(seen, 0, sizeof seen);
    leave();
}

uint64_t faulty_seen(unsigned place)
{
    enter();
    uint64_t count = place < FAULTY_PLACES ? seen[place] : 0;
    leave();
    return count;
}

uint64_t faulty_hits(size_t rule)
{
    enter();
    uint64_t count = rule < rules_count ? rules[rule].acted : 0;
    leave();
    return count;
}

static bool fits(const faulty_rule *rule, unsigned place, idem_role role, const idem_op *op)
{
    if (!(rule->places & FAULTY_ON(place)) || (rule->role && rule->role != role))
        return false;
    if (rule->key.len == 0)
        return true;
    return op && op->key.len == rule->key.len &&
           memcmp(op->key.data, rule->key.data, op->key.len) == 0;
}

/* Counts a match. True if the rule is due at it. */
static bool is_due(counted_rule *counted)
{
    uint64_t behind = ++counted->matched - counted->rule.nth; /* wraps in front of the n-th */
    return counted->matched >= counted->rule.nth && behind < counted->rule.times;
}

bool faulty__rules_match(unsigned place, idem_role role, const idem_op *op, faulty_rule *rule)
{
    bool acts = false;
    enter();
    seen[place]++;
    for (size_t i = 0; i < rules_count; i++) {
        if (!fits(&rules[i].rule, place, role, op) || !is_due(&rules[i]) || acts)
            continue;
        acts = true;
        rules[i].acted++;
        *rule = rules[i].rule;
    }
    leave();
    return acts;
}
