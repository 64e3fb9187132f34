/* SPDX-License-Identifier: MIT */
/*
 * The least program that opens the file of a store and reads the response of one key, as `idem run`
 * does to replay.
 *
 *   one_row URL KEY
 */
#include <sqlite3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(sqlite3 *db)
{
    (void)fprintf(stderr, "one_row: %s\n", sqlite3_errmsg(db));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static const char scheme[] = "sqlite://";
    static const char text[] = "SELECT response FROM idem_record WHERE key = ?1 AND status >= 2";
    char path[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    size_t skipped = sizeof scheme - 1;
    if (argc != 3 || strncmp(argv[1], scheme, skipped) != 0)
        return EXIT_FAILURE;
    size_t len = strcspn(argv[1] + skipped, "?");
    if (len >= sizeof path)
        return EXIT_FAILURE;
    memcpy(path, argv[1] + skipped, len);
    path[len] = '\0';
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) ||
        sqlite3_busy_timeout(db, 5000) || sqlite3_prepare_v2(db, text, -1, &row, NULL) ||
        sqlite3_bind_blob(row, 1, argv[2], (int)strlen(argv[2]), SQLITE_STATIC) ||
        sqlite3_step(row) != SQLITE_ROW || sqlite3_column_bytes(row, 0) == 0)
        return fail(db);
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(db);
    return EXIT_SUCCESS;
}
