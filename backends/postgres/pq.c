/* SPDX-License-Identifier: MIT */
/*
 * libpq brings Kerberos, LDAP and TLS along: to load them takes longer than most uses of another
 * backend. So nothing here is linked with it. The first store of this backend loads it by name,
 * once for the process; in a process that has it already, on whose connection a store may be
 * opened, that is the same library.
 */
#include "pq.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

#define OLDEST 140000 /* pipeline mode */

#if defined(__APPLE__)
#define LIBRARY "libpq.5.dylib"
#else
#define LIBRARY "libpq.so.5"
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool loaded;
static idem__pq functions;

/* ISO C has no cast from an object's address to a function's. */
static bool find(void *library, const char *name, void *place, size_t size)
{
    void *address = dlsym(library, name);
    if (address)
        memcpy(place, &address, size);
    return address != NULL;
}

static bool find_all(void *library, idem__pq *found)
{
    bool all = true;
#define FIND(name) all = find(library, #name, &found->name, sizeof found->name) && all;
    IDEM__PQ_FUNCTIONS(FIND)
#undef FIND
    return all;
}

static int load(idem_error *error)
{
    idem__pq found = {0};
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                              "the library %s of PostgreSQL can't be loaded: install it (Debian's "
                              "libpq5), or free memory and descriptors if it is there",
                              LIBRARY);
    if (!find_all(library, &found) || found.PQlibVersion() < OLDEST) {
        (void)dlclose(library);
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                              "the library %s is older than PostgreSQL 14's: install a newer one",
                              LIBRARY);
    }
    (void)find(library, "SSL_pending", &found.ssl_pending, sizeof found.ssl_pending);
    functions = found; /* it stays loaded: threads may be in it at any time */
    atomic_store_explicit(&loaded, true, memory_order_release);
    return IDEM_OK;
}

int idem__pq_load(const idem__pq **pq, idem_error *error)
{
    int rc = IDEM_OK;
    if (!atomic_load_explicit(&loaded, memory_order_acquire)) {
        (void)pthread_mutex_lock(&lock);
        if (!atomic_load_explicit(&loaded, memory_order_relaxed))
            rc = load(error);
        (void)pthread_mutex_unlock(&lock);
    }
    *pq = &functions;
    return rc;
}
