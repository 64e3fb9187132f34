/* SPDX-License-Identifier: MIT */
/*
 * A look that another caller has made since is as good as one's own: it has found the key in
 * progress, and the next look is put off. So of many that wait for one key, one looks at a time.
 * When it finds the key completed, or free, it forgets what was seen, and the others look for
 * themselves when they are due.
 *
 * Pauses begin short and grow. So of a crowd that has just come, more would look than a server
 * should be asked to: beyond a rate a look is left out, and the call pauses as long as it ever
 * would.
 */
#include "watch.h"

#include "clock.h"
#include "inside.h"
#include "store.h"

#define PAUSE_LIMIT_MS UINT64_C(250)
#define FIRST_PAUSE_MS 2u    /* doubled before the first look */
#define CROWD          5000u /* calls that wait */
#define LOOKS_PER_MS   10u   /* of all callers of a store that wait, as their pauses are set */
#define LOOKS_MOST     20u   /* in a millisecond, while the pauses of a crowd are still short, */
#define LOOKS_AT_ONCE  256u  /* and so many at a time */

int idem__watch_init(idem__watch *watch)
{
    memset(watch, 0, sizeof *watch);
    return pthread_mutex_init(&watch->lock, NULL) ? -1 : 0;
}

void idem__watch_destroy(idem__watch *watch)
{
    (void)pthread_mutex_destroy(&watch->lock);
}

/* FNV-1a, 64 bits. Never 0. */
static uint64_t hash_of(idem_bytes key)
{
    const uint8_t *data = key.data;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ data[i]) * UINT64_C(1099511628211);
    return hash ? hash : 1;
}

void idem__watch_note(idem_store *store, const idem__call *call, uint64_t now)
{
    idem__watch *watch = &store->watch;
    uint64_t hash = hash_of(call->key);
    bool in_progress = call->outcome == IDEM_IN_PROGRESS;
    size_t at = hash % IDEM__WATCH_SLOTS;
    idem__inside_lock(&watch->lock);
    if (in_progress || watch->slots[at].hash == hash) {
        watch->slots[at].hash = hash;
        watch->slots[at].seen_ms = in_progress ? now : 0;
        watch->slots[at].until_ms = idem__clock_after(now, call->retry_after_ms);
    }
    idem__inside_unlock(&watch->lock);
}

/* The lock is held. */
static bool may_look(idem__watch *watch, uint64_t now)
{
    uint64_t passed_ms = now - watch->counted_ms;
    if (now > watch->counted_ms) {
        uint64_t left = watch->looks_left + LOOKS_MOST * (passed_ms < 100 ? passed_ms : 100);
        watch->looks_left = left < LOOKS_AT_ONCE ? (uint32_t)left : LOOKS_AT_ONCE;
        watch->counted_ms = now;
    }
    if (watch->looks_left == 0)
        return false;
    watch->looks_left--;
    return true;
}

idem__watch_answer idem__watch_ask(idem_store *store, const idem__call *call, uint64_t now)
{
    idem__watch *watch = &store->watch;
    uint64_t hash = hash_of(call->key);
    size_t at = hash % IDEM__WATCH_SLOTS;
    uint64_t pause_ms = call->wait_pause_ms / 2;
    idem__inside_lock(&watch->lock);
    bool seen = watch->slots[at].hash == hash && watch->slots[at].seen_ms + pause_ms > now &&
                now < watch->slots[at].until_ms;
    bool crowded = !seen && !may_look(watch, now);
    idem__inside_unlock(&watch->lock);
    return seen ? IDEM__WATCH_SEEN : crowded ? IDEM__WATCH_CROWDED : IDEM__WATCH_LOOK;
}

void idem__watch_join(idem_store *store, idem__call *call)
{
    if (!call->counted)
        (void)atomic_fetch_add(&store->watch.waiting, 1);
    call->counted = true;
}

void idem__watch_leave(idem_store *store, idem__call *call)
{
    if (call->counted)
        (void)atomic_fetch_sub(&store->watch.waiting, 1);
    call->counted = false;
}

uint64_t idem__watch_first_pause_ms(const idem_store *store)
{
    size_t waiting = atomic_load(&store->watch.waiting);
    return waiting > CROWD ? waiting / LOOKS_MOST : FIRST_PAUSE_MS;
}

uint64_t idem__watch_pause_limit_ms(const idem_store *store)
{
    uint64_t fair_ms = atomic_load(&store->watch.waiting) / LOOKS_PER_MS;
    return fair_ms > PAUSE_LIMIT_MS ? fair_ms : PAUSE_LIMIT_MS;
}
