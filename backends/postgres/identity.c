/* SPDX-License-Identifier: MIT */
/*
 * One store is one store: what its first connection has found, later ones have to find too, by
 * whichever instance they are made. A host's name may lead to another server by then, the table may
 * have been replaced, and a role's search_path may name another schema first: records that are
 * elsewhere would be new there.
 *
 * A table keeps its oid when it is emptied, rewritten or renamed, and on physical standbys.
 */
#include "identity.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    pthread_mutex_t lock;
    char server[24]; /* empty: not known */
    char table[24];  /* its oid; empty: not known */
    char name[IDEM__POSTGRES_TABLE_SIZE];
} identity;

void *idem__postgres_identity_new(void)
{
    identity *made = calloc(1, sizeof *made);
    if (made && pthread_mutex_init(&made->lock, NULL)) {
        free(made);
        made = NULL;
    }
    return made;
}

void idem__postgres_identity_free(void *self)
{
    identity *ended = self;
    (void)pthread_mutex_destroy(&ended->lock);
    free(ended);
}

bool idem__postgres_identity_recall(idem__postgres *self)
{
    identity *shared = self->config->prepared;
    if (self->joined || !shared)
        return false;
    (void)pthread_mutex_lock(&shared->lock);
    bool known = shared->table[0] != '\0';
    if (known)
        memcpy(self->table, shared->name, sizeof self->table);
    (void)pthread_mutex_unlock(&shared->lock);
    return known;
}

int idem__postgres_identity_agree(const idem__postgres *self, const char *server, const char *table,
                                  idem__postgres_fault *fault)
{
    identity *shared = self->config->prepared;
    if (self->joined || !shared)
        return IDEM_OK;
    (void)pthread_mutex_lock(&shared->lock);
    bool same_server = !shared->server[0] || strcmp(shared->server, server) == 0;
    bool same_table = !shared->table[0] || !*table || strcmp(shared->table, table) == 0;
    if (same_server && !shared->table[0] && *table) {
        (void)snprintf(shared->server, sizeof shared->server, "%s", server);
        (void)snprintf(shared->table, sizeof shared->table, "%s", table);
        memcpy(shared->name, self->table, sizeof shared->name);
    }
    (void)pthread_mutex_unlock(&shared->lock);
    if (!same_server)
        return idem__postgres_fault_set(
            fault, true, IDEM_ERR_UNAVAILABLE,
            "%s is another server than the one that this store was opened on (its system "
            "identifier differs): open the store again if that is meant",
            self->name);
    if (!same_table)
        return idem__postgres_fault_set(
            fault, true, IDEM_ERR_UNAVAILABLE,
            "%s: table %s is another table than the one that this store was opened on: open the "
            "store again if that is meant",
            self->name, self->table);
    return IDEM_OK;
}
