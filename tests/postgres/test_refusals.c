/* SPDX-License-Identifier: MIT */
/* What a server refuses, and what its administrator has set, told as what it is: may pass,
   stays, is uncertain; and never a password in a message, nor a word on stderr. */
#include "pg_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static pg_server server;
static idem_store *store;

static void set_up(void)
{
    pg_do(&server, "SET client_min_messages = error; DROP TABLE IF EXISTS idem_record;"
                   " ALTER DATABASE postgres RESET ALL; DROP ROLE IF EXISTS teller");
    store = NULL;
}

static void tear_down(void)
{
    idem_close(store);
    pg_do(&server, "ALTER DATABASE postgres RESET ALL");
}

static idem_store *with_trigger(const char *body)
{
    idem_store *opened = open_url(server.url, "");
    pg_do(&server,
          "CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s; "
          "RETURN new; END $$; CREATE TRIGGER trouble BEFORE INSERT ON idem_record FOR EACH ROW "
          "EXECUTE FUNCTION trouble()",
          body);
    return opened;
}

static int try_begin(const char *key, uint64_t timeout_ms)
{
    idem_outcome out;
    int rc =
        idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .timeout_ms = timeout_ms), &out, &err);
    if (rc == IDEM_OK)
        idem_outcome_clear(&out);
    return rc;
}

/* What may pass is repeated to the deadline, and the last try may be cut off by it. */
static void assert_not_made(const char *key, uint64_t timeout_ms)
{
    int rc = try_begin(key, timeout_ms);
    ck_assert_msg(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN, "it gave %d (%s)", rc,
                  err.message);
}

/* ------------------------------------------------------------------------------------ SQLSTATEs */

typedef struct {
    const char *state;
    int code;
    bool at_once; /* repeating is left alone */
} refusal;

static const refusal refusals[] = {
    {"40001", IDEM_ERR_UNAVAILABLE, false}, {"40P01", IDEM_ERR_UNAVAILABLE, false},
    {"53100", IDEM_ERR_FULL, true},         {"53200", IDEM_ERR_UNAVAILABLE, false},
    {"57014", IDEM_ERR_UNAVAILABLE, false}, {"58030", IDEM_ERR_UNAVAILABLE, false},
    {"42501", IDEM_ERR_UNAVAILABLE, true},  {"54000", IDEM_ERR_TOO_LARGE, true},
    {"22023", IDEM_ERR_CORRUPT, true},      {"P0001", IDEM_ERR_CORRUPT, true},
    {"XX000", IDEM_ERR_INTERNAL, true},
};

START_TEST(a_refusal_is_told_as_what_it_is)
{
    char body[100];
    const refusal *row = &refusals[_i];
    (void)snprintf(body, sizeof body, "RAISE EXCEPTION 'secret' USING errcode = '%s'", row->state);
    store = with_trigger(body);
    uint64_t began_ms = idem_monotonic_ms();
    if (row->at_once)
        assert_in_time(10000, assert_code(row->code, try_begin(KEY, 0)));
    else
        assert_says_in_the_end(row->state, assert_not_made(KEY, limit_ms));
    uint64_t took_ms = idem_monotonic_ms() - began_ms;
    ck_assert_msg(row->at_once || took_ms >= 200, "%s was given up after %llu ms", row->state,
                  (unsigned long long)took_ms);
    assert_says(row->state);
    ck_assert_ptr_null(strstr(err.message, "secret"));
    pg_do(&server, "DROP TRIGGER trouble ON idem_record");
    complete(store, KEY, "1");
}
END_TEST

/* A commit is refused behind the last statement's result. */
START_TEST(a_commit_that_is_refused_has_changed_nothing)
{
    store = open_url(server.url, "");
    pg_do(&server, "CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ "
                   "BEGIN RAISE EXCEPTION 'no' USING errcode = '53100'; END $$;"
                   " CREATE CONSTRAINT TRIGGER trouble AFTER INSERT ON idem_record DEFERRABLE"
                   " INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trouble()");
    assert_code(IDEM_ERR_FULL, try_begin(KEY, 0));
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM idem_record"), 0);
    pg_do(&server, "DROP TRIGGER trouble ON idem_record");
    complete(store, KEY, "1");
}
END_TEST

#define MANY 9

static idem_outcome begun[MANY];

static void begin_all(idem_outcome outcomes[MANY], idem_error errors[MANY], int expected)
{
    idem_request requests[MANY];
    static const char *const keys[MANY] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    for (int i = 0; i < MANY; i++) {
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
    }
    ck_assert_int_eq(idem_begin_many(store, requests, MANY, outcomes, errors, &err), expected);
}

/* Several keys at once: the one that is refused is refused alone. */
START_TEST(a_refusal_of_one_key_is_no_refusal_of_its_neighbours)
{
    idem_outcome outcomes[MANY];
    idem_error errors[MANY];
    store = with_trigger("IF new.key = 'b' THEN RAISE EXCEPTION 'no' USING errcode = '22023'; "
                         "END IF");
    begin_all(outcomes, errors, IDEM_ERR_CORRUPT);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(errors[i].code, i == 1 ? IDEM_ERR_CORRUPT : IDEM_OK);
        ck_assert(i == 1 || outcomes[i].kind == IDEM_NEW);
        idem_outcome_clear(&outcomes[i]);
    }
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM idem_record"), MANY - 1);
}
END_TEST

/* Of many keys at once some are completed, some expired, some new. */
START_TEST(each_of_many_keys_gets_its_own_answer)
{
    idem_outcome outcomes[MANY];
    idem_error errors[MANY];
    store = open_url(server.url, "");
    complete(store, "c", "3");
    complete(store, "h", "8");
    complete(store, "e", "5");
    pg_do(&server, "UPDATE idem_record SET expires = now() WHERE key = 'e'");
    begin_all(outcomes, errors, IDEM_OK);
    for (int i = 0; i < MANY; i++) {
        bool completed = i == 2 || i == 7;
        ck_assert_int_eq(outcomes[i].kind, completed ? IDEM_COMPLETED : IDEM_NEW);
        ck_assert(!completed || *(const char *)outcomes[i].response.data == '1' + i);
        idem_outcome_clear(&outcomes[i]);
    }
    begin_all(outcomes, errors, IDEM_OK);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(outcomes[i].kind, i == 2 || i == 7 ? IDEM_COMPLETED : IDEM_IN_PROGRESS);
        idem_outcome_clear(&outcomes[i]);
    }
}
END_TEST

/* A stranger's warning comes from inside of a function. */
START_TEST(a_strangers_warning_is_no_doubt)
{
    store = with_trigger("RAISE WARNING 'look at me'");
    complete(store, KEY, "1");
}
END_TEST

/* -------------------------------------------------------------------------- the administrator's */

static const char *const settings[] = {
    "default_transaction_isolation = 'serializable'",
    "statement_timeout = '1s'",
    "lock_timeout = '10ms'",
    "idle_in_transaction_session_timeout = '1s'",
    "client_encoding = 'LATIN1'",
    "synchronous_commit = 'off'",
    "intervalstyle = 'sql_standard'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = 'off'",
    "timezone = 'Asia/Kathmandu'",
    "extra_float_digits = 0",
    "search_path = nowhere, public",
};

START_TEST(the_databases_own_settings_change_nothing)
{
    idem_record record;
    pg_do(&server, "ALTER DATABASE postgres SET %s", settings[_i]);
    store = open_url(server.url, "");
    complete(store, KEY, "{\"a\":\"\\u00e4 \xc3\xa4\"}");
    assert_replays(store, KEY, "{\"a\":\"\\u00e4 \xc3\xa4\"}");
    idem_outcome out = claim(store, "held");
    assert_ok(idem_checkpoint(store, out.claim, idem_str("[1]"), &err));
    assert_ok(idem_get(store, idem_str("held"), &record, &err));
    ck_assert_uint_lt(record.age_ms, 30000);
    idem_record_clear(&record);
    assert_ok(idem_release(store, out.claim, &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_read_only_database_replays_and_says_why_it_claims_nothing)
{
    store = open_url(server.url, "");
    complete(store, KEY, "1");
    pg_do(&server, "ALTER DATABASE postgres SET default_transaction_read_only = on");
    idem_close(store);
    store = open_url(server.url, "");
    assert_replays(store, KEY, "1");
    assert_says_in_the_end("takes no writes", assert_not_made("new", limit_ms));
    pg_do(&server, "SET default_transaction_read_only = off; ALTER DATABASE postgres RESET ALL");
    complete(store, "new", "2");
}
END_TEST

START_TEST(an_open_transaction_on_a_key_is_not_waited_for_by_other_keys)
{
    store = open_url(server.url, "");
    PGconn *stranger = pg_connect(&server);
    PQclear(PQexec(stranger, "BEGIN; INSERT INTO idem_record VALUES ('held', 1, now(), now() + "
                             "'1 day', 'x')"));
    assert_says_in_the_end("another transaction holds",
                           assert_in_time(3 * limit_ms, assert_not_made("held", 3 * limit_ms)));
    complete(store, KEY, "1");
    PQclear(PQexec(stranger, "ROLLBACK"));
    PQfinish(stranger);
    complete(store, "held", "2");
}
END_TEST

static void *begin_them(void *user)
{
    idem_error errors[MANY];
    (void)user;
    begin_all(begun, errors, IDEM_OK);
    return NULL;
}

/* The batch holds `a` and waits with `b` until the stranger, which holds `b`, waits for `a`. The
   one that looks for deadlocks sooner is the one that is ended. */
START_TEST(a_deadlock_with_a_stranger_is_got_over)
{
    pthread_t thread;
    pg_do(&server, "ALTER DATABASE postgres SET deadlock_timeout = '10ms'");
    store = with_trigger("IF new.key = 'b' THEN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT"
                         " granted) AND EXISTS (SELECT FROM pg_locks WHERE relation ="
                         " 'idem_record'::regclass AND pid <> pg_backend_pid())"
                         " LOOP PERFORM pg_sleep(0.005); END LOOP; END IF");
    long long before = pg_number(&server, "SELECT deadlocks FROM pg_stat_database WHERE datname = "
                                          "'postgres'");
    PGconn *stranger = pg_connect(&server);
    PQclear(PQexec(stranger, "SET deadlock_timeout = '1min'; SET session_replication_role ="
                             " replica; BEGIN; INSERT INTO idem_record"
                             " VALUES ('b', 1, now(), now() + '1 day', 'x')"));
    ck_assert_int_eq(PQtransactionStatus(stranger), PQTRANS_INTRANS);
    ck_assert_int_eq(pthread_create(&thread, NULL, begin_them, NULL), 0);
    pg_await(&server,
             "SELECT (count(*) > 0)::int FROM pg_stat_activity WHERE wait_event ="
             " 'PgSleep' AND application_name = 'libidem'",
             1);
    PQclear(
        PQexec(stranger, "INSERT INTO idem_record VALUES ('a', 1, now(), now() + '1 day', 'x')"));
    ck_assert_int_eq(PQtransactionStatus(stranger), PQTRANS_INTRANS);
    PQclear(PQexec(stranger, "ROLLBACK"));
    PQfinish(stranger);
    (void)pthread_join(thread, NULL);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(begun[i].kind, IDEM_NEW);
        idem_outcome_clear(&begun[i]);
    }
    char asked[200];
    (void)snprintf(asked, sizeof asked,
                   "SELECT (deadlocks > %lld)::int FROM pg_stat_database WHERE"
                   " datname = 'postgres'",
                   before);
    pg_await(&server, asked, 1);
}
END_TEST

/* ------------------------------------------------------------------------------- connections */

START_TEST(sessions_that_were_ended_are_made_again)
{
    store = open_url(server.url, "");
    complete(store, KEY, "1");
    pg_do(&server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                   "application_name = 'libidem'");
    pg_await(&server, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'libidem'",
             0);
    assert_replays(store, KEY, "1");
    complete(store, "second", "2");
}
END_TEST

START_TEST(too_many_connections_may_pass)
{
    PGconn *all[80];
    size_t count = 0;
    char words[300];
    (void)snprintf(words, sizeof words, "host=%s port=%d user=teller dbname=postgres",
                   server.folder, server.port);
    pg_do(&server, "CREATE ROLE teller LOGIN");
    idem_close(open_url(server.url, ""));
    pg_do(&server, "GRANT ALL ON idem_record TO teller");
    for (; count < 80; count++) {
        all[count] = PQconnectdb(words);
        if (PQstatus(all[count]) != CONNECTION_OK)
            break;
    }
    char url[PG_URL_SIZE];
    (void)snprintf(url, sizeof url, "postgresql:///postgres?host=%s&port=%d&user=teller",
                   server.folder, server.port);
    assert_says_in_the_end(
        "53300", assert_code(IDEM_ERR_UNAVAILABLE, try_open_for(url, 2 * limit_ms, &store)));
    for (size_t i = 0; i <= count && i < 80; i++)
        PQfinish(all[i]);
    store = open_url(url, "");
    complete(store, KEY, "1");
}
END_TEST

typedef struct {
    const char *url; /* behind postgresql:// */
    int code;
    const char *says;
} bad_url;

static const bad_url bad_urls[] = {
    {"u:hunter2@127.0.0.1:1/db", IDEM_ERR_UNAVAILABLE, "can't be reached"},
    {"u:hunter2@no-such-host.invalid/db", IDEM_ERR_UNAVAILABLE, "can't be found"},
    {"u:hunter2@127.0.0.1:1/db?sslmode=hunter2", IDEM_ERR_ARGUMENT, "options"},
    {"u@h/db?password=hunter2&nonsense=1", IDEM_ERR_ARGUMENT, "table"},
    {"u:hunter2@h/db?host=x", IDEM_ERR_ARGUMENT, "twice"},
    {"u:hunter2@h/db?target_session_attrs=standby", IDEM_ERR_ARGUMENT, "primary"},
    {"u:hunter2@h/db?connect_timeout=soon", IDEM_ERR_ARGUMENT, "connect_timeout"},
    {"u:hunter2@127.0.0.1:1,127.0.0.1:2/db", IDEM_ERR_UNAVAILABLE, "can't be reached"},
};

START_TEST(a_url_that_leads_nowhere_says_so_without_its_password)
{
    char url[300];
    const bad_url *row = &bad_urls[_i];
    (void)snprintf(url, sizeof url, "postgresql://%s", row->url);
    /* sslmode is libpq's to judge, when it connects. */
    if (row->code == IDEM_ERR_ARGUMENT && !strstr(row->url, "sslmode="))
        assert_code(row->code, try_open(url, "open=lazy", &store));
    assert_says_in_the_end(row->says, assert_code(row->code, try_open_for(url, limit_ms, &store)));
    ck_assert_msg(strstr(err.message, "hunter2") == NULL || strstr(row->url, "sslmode="), "%s",
                  err.message);
}
END_TEST

START_TEST(a_database_or_a_role_that_is_not_there_is_told_at_once)
{
    char url[PG_URL_SIZE];
    (void)snprintf(url, sizeof url, "postgresql:///nobase?host=%s&port=%d&user=postgres",
                   server.folder, server.port);
    assert_in_time(10000, assert_code(IDEM_ERR_UNAVAILABLE, try_open(url, "", &store)));
    assert_says("3D000");
    (void)snprintf(url, sizeof url, "postgresql:///postgres?host=%s&port=%d&user=nobody-at-all",
                   server.folder, server.port);
    assert_in_time(10000, assert_code(IDEM_ERR_UNAVAILABLE, try_open(url, "", &store)));
    assert_says("28000");
}
END_TEST

/* libpq's words repeat names: they say nothing of this process's memory, and what is wrong there
   may pass. */
START_TEST(a_place_by_the_name_of_memory_is_no_lack_of_it)
{
    char folder[] = "/tmp/idem-memory-XXXXXX";
    char url[PG_URL_SIZE];
    char link[60];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(link, sizeof link, "%s/sockets", folder);
    ck_assert_int_eq(symlink(server.folder, link), 0);
    pg_do(&server, "ALTER DATABASE postgres SET default_transaction_read_only = on");
    (void)snprintf(url, sizeof url,
                   "postgresql:///postgres?host=%s&port=%d&user=postgres&target_session_attrs="
                   "read-write",
                   link, server.port);
    assert_says_in_the_end("read-only",
                           assert_code(IDEM_ERR_UNAVAILABLE, try_open_for(url, limit_ms, &store)));
    pg_do(&server, "SET default_transaction_read_only = off; ALTER DATABASE postgres RESET ALL");
    store = open_url(url, "");
    complete(store, KEY, "1");
    (void)unlink(link);
    (void)rmdir(folder);
}
END_TEST

START_TEST(the_first_of_several_hosts_that_answers_is_taken)
{
    char url[PG_URL_SIZE];
    (void)snprintf(url, sizeof url,
                   "postgresql://postgres@127.0.0.1:1,127.0.0.1:%d/postgres?sslmode=disable&"
                   "gssencmode=disable",
                   server.port);
    store = open_url(url, "");
    complete(store, KEY, "1");
    idem_close(store);
    store = open_url(url, "load_balance_hosts=random");
    assert_replays(store, KEY, "1");
}
END_TEST

/* ---------------------------------------------------------------------------------- the process */

/* A file of passwords that others may read makes libpq talk; the server talks anyway. */
START_TEST(nothing_is_printed)
{
    char path[] = "/tmp/idem-pg-quiet-XXXXXX";
    char text[64] = "";
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    (void)fchmod(file, 0644);
    idem_store *talking = with_trigger("RAISE NOTICE 'hello'; RAISE WARNING 'hello'");
    (void)setenv("PGPASSFILE", path, 1);
    int saved = dup(STDERR_FILENO);
    int out[2];
    ck_assert_int_eq(pipe(out), 0);
    (void)dup2(out[1], STDERR_FILENO);
    store = open_url(server.url, "");
    complete(store, KEY, "1");
    (void)unsetenv("PGPASSFILE");
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(out[1]);
    ck_assert_int_eq(read(out[0], text, sizeof text - 1), 0);
    ck_assert_str_eq(text, "");
    (void)close(out[0]);
    (void)close(file);
    (void)unlink(path);
    idem_close(talking);
}
END_TEST

START_TEST(no_descriptor_below_3_is_taken)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        idem_store *own = NULL;
        char url[2 * PG_URL_SIZE];
        (void)snprintf(url, sizeof url, "%s&" PATIENT, server.url);
        for (int fd = 0; fd < 3; fd++)
            (void)close(fd);
        int rc = idem_open(url, &own, NULL);
        for (int fd = 0; fd < 3; fd++)
            rc = rc || fcntl(fd, F_GETFD) >= 0;
        _exit(rc ? 1 : 0);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_child_that_closes_its_store_leaves_the_parents_sessions_alone)
{
    store = open_url(server.url, "");
    complete(store, KEY, "1");
    long long sessions = pg_number(&server, "SELECT count(*) FROM pg_stat_activity WHERE "
                                            "application_name = 'libidem'");
    pid_t child = fork();
    if (child == 0) {
        idem_close(store);
        _exit(0);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM pg_stat_activity WHERE "
                                        "application_name = 'libidem'"),
                     sessions);
    assert_replays(store, KEY, "1");
}
END_TEST

int main(void)
{
    pg_require();
    lateness_watch();
    pg_start(&server, NULL);
    Suite *suite = suite_create("postgres refusals");
    ADD_HERE(suite, a_refusal_is_told_as_what_it_is, sizeof refusals / sizeof refusals[0]);
    ADD_HERE(suite, a_commit_that_is_refused_has_changed_nothing, 1);
    ADD_HERE(suite, a_refusal_of_one_key_is_no_refusal_of_its_neighbours, 1);
    ADD_HERE(suite, each_of_many_keys_gets_its_own_answer, 1);
    ADD_HERE(suite, a_strangers_warning_is_no_doubt, 1);
    ADD_HERE(suite, the_databases_own_settings_change_nothing,
             sizeof settings / sizeof settings[0]);
    ADD_HERE(suite, a_read_only_database_replays_and_says_why_it_claims_nothing, 1);
    ADD_HERE(suite, an_open_transaction_on_a_key_is_not_waited_for_by_other_keys, 1);
    ADD_HERE(suite, a_deadlock_with_a_stranger_is_got_over, 1);
    ADD_HERE(suite, sessions_that_were_ended_are_made_again, 1);
    ADD_HERE(suite, too_many_connections_may_pass, 1);
    ADD_HERE(suite, a_url_that_leads_nowhere_says_so_without_its_password,
             sizeof bad_urls / sizeof bad_urls[0]);
    ADD_HERE(suite, a_database_or_a_role_that_is_not_there_is_told_at_once, 1);
    ADD_HERE(suite, a_place_by_the_name_of_memory_is_no_lack_of_it, 1);
    ADD_HERE(suite, the_first_of_several_hosts_that_answers_is_taken, 1);
    ADD_HERE(suite, nothing_is_printed, 1);
    ADD_HERE(suite, no_descriptor_below_3_is_taken, 1);
    ADD_HERE(suite, a_child_that_closes_its_store_leaves_the_parents_sessions_alone, 1);
    return run_suite(suite);
}
