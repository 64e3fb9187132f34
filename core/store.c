/* SPDX-License-Identifier: MIT */
/* What a store tells of itself, and what it learns. It is made and ended in open.c. */
#include "store.h"

/* Where the last begins have found nothing, a look before the insert is most likely for nothing too: after
   so few of them if the writers are free, when an insert of what is there costs little more than the look
   would have; after so many if they are not, since it then waits for their disk. */
#define FRESH_IF_IDLE 4u
#define FRESH_IF_BUSY 64u

uint64_t idem_traits(const idem_store *store)
{
    if (!store)
        return 0;
    uint64_t traits = store->ops.traits & (IDEM_TRAIT_CONCURRENT | IDEM_TRAIT_DURABLE |
                                           IDEM_TRAIT_SHARED | IDEM_TRAIT_CLOCK);
    if (!(store->ops.traits & IDEM_BACKEND_NO_BACKGROUND))
        traits |= IDEM_TRAIT_KEEPALIVE;
    if (store->ops.scan)
        traits |= IDEM_TRAIT_SCAN;
    if (store->ops.purge)
        traits |= IDEM_TRAIT_PURGE;
    return traits;
}

bool idem__store_looks_first(idem_store *store)
{
    if (!store->look_first)
        return false;
    uint32_t fresh = atomic_load_explicit(&store->fresh, memory_order_relaxed);
    return fresh < FRESH_IF_IDLE || (fresh < FRESH_IF_BUSY && !idem__lanes_idle(&store->writers));
}

void idem__store_learn(idem_store *store, bool fresh)
{
    if (!store->look_first)
        return;
    uint32_t before = atomic_load_explicit(&store->fresh, memory_order_relaxed);
    uint32_t after = !fresh ? 0 : before < FRESH_IF_BUSY ? before + 1 : before;
    if (after != before) /* that one of several is lost does no harm */
        atomic_store_explicit(&store->fresh, after, memory_order_relaxed);
}

uint64_t idem_max_response(const idem_store *store)
{
    return store ? store->max_response : 0;
}
