/* SPDX-License-Identifier: MIT */
/* The caller's database, its connection and the store on it, in a folder of the test's. */
#ifndef IDEM_TESTS_BUSINESS_H
#define IDEM_TESTS_BUSINESS_H

#include "sqlite_support.h"

static sqlite3 *db;
static idem_store *store;

static inline void business_open(const char *schema, const char *params)
{
    idem_error error;
    make_folder();
    db = raw_open(store_path);
    raw_exec(db, schema);
    ck_assert_idem_ok(idem_sqlite_open_on(db, params, &store, &error), error);
}

static inline void business_close(void)
{
    idem_close(store);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    remove_folder();
}

#endif
