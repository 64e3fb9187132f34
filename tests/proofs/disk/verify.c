/* SPDX-License-Identifier: MIT */
/*
 * Looks at what a power failure has left: the store opens, each key shows a state that the calls
 * make possible, the file is sound to SQLite, claims can be used by their tokens, and the store
 * works on. All of it happens in a child, so that no connection and no cache outlives one look.
 */
#include "verify.h"

#include "platter.h"
#include "workload.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

_Noreturn static void wrong(const char *what, uint32_t key, const idem_error *error)
{
    history_fail("%s, key %u: %s", what, key, error ? error->message : "");
    _Exit(EXIT_FAILURE);
}

static void show(const key_state *state, char *buf, size_t size)
{
    if (state->present)
        (void)snprintf(buf, size, "%s, attempt %u, lease %u, claimer %u, text %u",
                       state->status == IDEM_STATUS_COMPLETED ? "completed" : "in progress",
                       state->attempt, state->lease_ms, state->claimer, state->text);
    else
        (void)snprintf(buf, size, "absent");
}

static void look_at(idem_store *store, const verification *what, uint32_t key)
{
    char name[16];
    char text[160];
    idem_record record;
    idem_error error;
    key_state *state = &told->observed[key];
    int rc = idem_get(store, history_key(key, name), &record, &error);
    memset(state, 0, sizeof *state);
    if (rc && rc != IDEM_ERR_NOT_FOUND)
        wrong("a record can't be read", key, &error);
    if (rc == IDEM_OK && !history_read(&record, state))
        wrong("a record is none that was written", key, NULL);
    if (rc == IDEM_OK)
        idem_record_clear(&record);
    told->verified++;
    if (history_allows(key, state, what->moment, what->all))
        return;
    show(state, text, sizeof text);
    history_fail("key %u is %s, and can't be", key, text);
    _Exit(EXIT_FAILURE);
}

/* The right to the work outlives the power failure: it is taken up by its token and completed. */
static void work_on(idem_store *store, uint32_t key)
{
    char name[16];
    uint8_t token[IDEM_TOKEN_SIZE];
    idem_claim *claim = NULL;
    idem_outcome outcome;
    idem_error error;
    const key_state *state = &told->observed[key];
    if (!state->present)
        return;
    history_token(state, token);
    if (idem_resume(store, history_key(key, name), token, &claim, &error))
        wrong("a claim can't be taken up", key, &error);
    if (state->status == IDEM_STATUS_IN_PROGRESS &&
        idem_complete(store, claim, idem_str("\"later\""), &error))
        wrong("a claim can't be completed", key, &error);
    idem_claim_free(claim);
    if (idem_begin(store, IDEM_REQUEST(.key = history_key(key, name)), &outcome, &error))
        wrong("a completed key can't be begun", key, &error);
    if (outcome.kind != IDEM_COMPLETED)
        wrong("a completed key is not told to be", key, NULL);
    idem_outcome_clear(&outcome);
}

static void claim_anew(idem_store *store)
{
    idem_outcome outcome;
    idem_error error;
    if (idem_begin(store, IDEM_REQUEST(.key = idem_str("afterwards")), &outcome, &error) ||
        outcome.kind != IDEM_NEW)
        wrong("a new key can't be begun", KEYS, &error);
    if (idem_complete(store, outcome.claim, idem_str("1"), &error))
        wrong("a new key can't be completed", KEYS, &error);
    idem_outcome_clear(&outcome);
}

static void check_integrity(const char *folder)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *check = NULL;
    if (sqlite3_open(platter_path(folder, FILE_DB), &db) ||
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &check, NULL) ||
        sqlite3_step(check) != SQLITE_ROW)
        history_fail("the file can't be checked: %s", sqlite3_errmsg(db));
    else if (strcmp((const char *)sqlite3_column_text(check, 0), "ok") != 0)
        history_fail("the file is not sound: %s", (const char *)sqlite3_column_text(check, 0));
    (void)sqlite3_finalize(check);
    (void)sqlite3_close(db);
    if (told->failure[0])
        _Exit(EXIT_FAILURE);
}

static void look(const void *user)
{
    const verification *what = user;
    idem_store *store = NULL;
    idem_error error;
    if (workload_open(what->folder, what->options, &store, &error))
        wrong("the store does not open", KEYS, &error);
    for (uint32_t key = 0; key < KEYS; key++)
        look_at(store, what, key);
    if (what->in_order && !history_is_prefix(told->observed, what->moment, what->all))
        wrong("the keys' states are of no one moment", KEYS, NULL);
    check_integrity(what->folder);
    for (uint32_t key = 0; key < KEYS; key++)
        work_on(store, key);
    claim_anew(store);
    idem_close(store);
    check_integrity(what->folder);
}

bool in_child(void (*run)(const void *user), const void *user)
{
    int status = -1;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        run(user);
        _Exit(told->failure[0] ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    if (!WIFEXITED(status))
        history_fail("a process ended by signal %d", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool verify(const verification *what)
{
    bool right = in_child(look, what);
    if (!right)
        history_fail("the look ended without a word");
    return right;
}
