/* SPDX-License-Identifier: MIT */
/*
 * The ledger of webhook_consumer.c, and the store that shares its transactions. Which database
 * they are in is told by the URL alone: `sqlite:FILE` (or a plain path) or `postgresql://…`.
 */
#ifndef EXAMPLES_LEDGER_H
#define EXAMPLES_LEDGER_H

#include <idem/idem.h>

typedef struct {
    const char *event;
    const char *type;
    const char *currency;
    const char *consumer;
    int64_t value;
} ledger_entry;

typedef struct ledger ledger;

/** What a database does for the ledger. False: it failed, and has said why on stderr. */
typedef struct {
    bool (*begin)(ledger *self);
    bool (*commit)(ledger *self);
    bool (*rollback)(ledger *self);
    bool (*add)(ledger *self, const ledger_entry *entry, int64_t *number);
    bool (*print)(ledger *self);
    bool (*reset)(ledger *self);
    void (*close)(ledger *self);
} ledger_calls;

struct ledger {
    const ledger_calls *calls;
    idem_store *store; /* on the same connection */
};

/** Opens the ledger that a URL names, with a store whose keys have a prefix. NULL: it failed. */
ledger *ledger_open(const char *url, const char *prefix);

/* One for each database. */
ledger *ledger_open_sqlite(const char *path, const char *options);
ledger *ledger_open_postgres(const char *url, const char *options);

/** Says what failed, and why. @return false */
bool ledger_fail(const char *doing, const char *why);

#endif
