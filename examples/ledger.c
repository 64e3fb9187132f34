/* SPDX-License-Identifier: MIT */
/* From a URL to the database behind it. */
#include "ledger.h"

#include <stdio.h>
#include <string.h>

bool ledger_fail(const char *doing, const char *why)
{
    (void)fprintf(stderr, "webhook_consumer: cannot %s: %s\n", doing, why);
    return false;
}

static bool has_scheme(const char *url, const char *scheme)
{
    return strncmp(url, scheme, strlen(scheme)) == 0;
}

ledger *ledger_open(const char *url, const char *prefix)
{
    char options[128];
    (void)snprintf(options, sizeof options, "ttl=72h&prefix=%s", prefix);
    if (has_scheme(url, "postgresql:") || has_scheme(url, "postgres:")) {
#ifdef WITH_POSTGRES
        return ledger_open_postgres(url, options);
#else
        (void)ledger_fail("open the ledger", "this build has no PostgreSQL");
        return NULL;
#endif
    }
    return ledger_open_sqlite(has_scheme(url, "sqlite:") ? url + strlen("sqlite:") : url, options);
}
