/* SPDX-License-Identifier: MIT */
/*
 * lock_db FILE SECONDS: holds the writer's lock of a SQLite database for so long. Prints a line
 * once it has it.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    sqlite3 *db = NULL;
    if (argc != 3 || sqlite3_open(argv[1], &db) != SQLITE_OK ||
        sqlite3_busy_timeout(db, 60000) != SQLITE_OK ||
        sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        (void)fprintf(stderr, "lock_db: %s\n", db ? sqlite3_errmsg(db) : "usage");
        return 1;
    }
    (void)puts("locked");
    (void)fflush(stdout);
    (void)sleep((unsigned)atoi(argv[2]));
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
