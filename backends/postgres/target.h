/* SPDX-License-Identifier: MIT */
/* Where a URL leads: its parameters, hosts and table. */
#ifndef IDEM_POSTGRES_TARGET_H
#define IDEM_POSTGRES_TARGET_H

#include "instance.h"

/** The rows of the table of URL parameters. Those from IDEM__POSTGRES_LIBPQ on are libpq's, and are
 *  handed on to it under their names. */
enum {
    IDEM__POSTGRES_TABLE,
    IDEM__POSTGRES_CONNECT_TIMEOUT,
    IDEM__POSTGRES_LOAD_BALANCE,
    IDEM__POSTGRES_LIBPQ,
    IDEM__POSTGRES_PARAMS = 41,
    IDEM__POSTGRES_LIBPQ_MAX = 64
};

extern const idem_param idem__postgres_params_table[IDEM__POSTGRES_PARAMS];

/** One address to try. Empty: libpq's own default. */
typedef struct {
    char host[256];
    char hostaddr[64];
    char port[64];
} idem__postgres_address;

#define IDEM__POSTGRES_ADDRESSES_MAX 32u

/** Reads the URL into the instance: name and table. @return IDEM_ERR_ARGUMENT */
int idem__postgres_target_read(idem__postgres *self, idem__postgres_fault *fault);

/** Takes `table=` apart into a quoted name. @return IDEM_ERR_ARGUMENT */
int idem__postgres_target_table(idem__postgres *self, const char *text,
                                idem__postgres_fault *fault);

/** Writes a name as SQL takes it as it is. `out` has room for 2 * 63 + 3 bytes. */
void idem__postgres_target_quote(const char *name, char *out);

/** How long the making of a connection may take. */
uint64_t idem__postgres_target_limit_ms(const idem__postgres *self);

/**
 * Finds the addresses to try, in their order; looks names up. @return how many
 *
 * @param[out] code  what the lookup of the last name that failed gave; 0: none failed
 */
size_t idem__postgres_target_addresses(const idem__postgres *self,
                                       idem__postgres_address *addresses, int *code);

/** libpq's parameters for one address; the arrays have room for IDEM__POSTGRES_LIBPQ_MAX. */
void idem__postgres_target_words(const idem__postgres *self, const idem__postgres_address *address,
                                 const char **names, const char **values);

#endif
