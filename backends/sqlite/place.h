/* SPDX-License-Identifier: MIT */
/* Which file a store is: one for all instances of the store, for as long as it is open. */
#ifndef IDEM_SQLITE_PLACE_H
#define IDEM_SQLITE_PLACE_H

#include "instance.h"

#include <sys/types.h>

/** Resolves the path of a URL, once for a store, and reads what a new file is to be like. With
 *  `defaults` the parameters are not looked at.
 *  @return IDEM_ERR_ARGUMENT, IDEM_ERR_UNAVAILABLE, IDEM_ERR_NO_MEMORY */
int idem__sqlite_place_make(const idem_config *config, bool defaults, idem__sqlite_place **place,
                            idem_error *error);

/** Frees it. @param place  may be NULL */
void idem__sqlite_place_free(void *place);

/** The path to open; it stays for as long as the place does. */
const char *idem__sqlite_place_path(const idem__sqlite_place *place);

/** The mode that the URL asks for. */
mode_t idem__sqlite_place_mode(const idem__sqlite_place *place);

/** The path as a URI for SQLite. @return NULL: no memory; else free() it */
char *idem__sqlite_place_uri(const idem__sqlite_place *place, const char *query);

/** True if the file may be read, its folder can't be written, and there is no log. */
bool idem__sqlite_place_is_quiet(const idem__sqlite_place *place);

/** Makes sure, before a file is opened or used, that the one at the path is the store's. The first
 *  time it creates the file if there is none. @return IDEM_ERR_UNAVAILABLE: it is gone, or another
 *  file is there */
int idem__sqlite_place_look(idem__sqlite *self, idem__sqlite_fault *fault);

/** Which file it is, once one was opened. @param[out] born_ns  when it was made; 0: not known
 *  @return false: none was */
bool idem__sqlite_place_identity(idem__sqlite_place *place, uint64_t *inode, uint64_t *born_ns);

/** The same for the file that was just opened, before anything of it is read. The first one that is
 *  opened is the store's from then on. */
int idem__sqlite_place_settle(idem__sqlite *self, idem__sqlite_fault *fault);

#endif
