/* SPDX-License-Identifier: MIT */
/* Every finding is made true and reported, with how to fix it; a sound server has none. */
#include "proxy.h"
#include "redis_test.h"

#include <signal.h>
#include <sys/stat.h>

#define FINDINGS_MAX 16

typedef struct {
    char what[256];
    char fix[256];
} finding;

static finding findings[FINDINGS_MAX];
static size_t finding_count;
static server redis;

static const char *const sound[] = {"--appendonly", "yes", NULL};

static void keep(void *user, const idem_finding *found)
{
    (void)user;
    ck_assert_uint_lt(finding_count, FINDINGS_MAX);
    ck_assert(!strchr(found->what, '\n') && !strchr(found->fix, '\n'));
    (void)snprintf(findings[finding_count].what, sizeof findings[0].what, "%s", found->what);
    (void)snprintf(findings[finding_count++].fix, sizeof findings[0].fix, "%s", found->fix);
}

static void look(const char *url)
{
    idem_store *store = open_url(url, "");
    finding_count = 0;
    assert_ok(idem_check(store, keep, NULL, &err));
    idem_close(store);
}

static bool reported(const char *what, const char *fix)
{
    for (size_t i = 0; i < finding_count; i++) {
        if (strstr(findings[i].what, what) && strstr(findings[i].fix, fix))
            return true;
    }
    return false;
}

static void assert_only(const char *what, const char *fix)
{
    ck_assert_msg(finding_count == 1 && reported(what, fix), "%zu findings, first: %s: %s",
                  finding_count, findings[0].what, findings[0].fix);
}

static void assert_sound(const char *url)
{
    look(url);
    ck_assert_msg(finding_count == 0, "%s", findings[0].what);
}

START_TEST(a_sound_server_has_no_findings)
{
    assert_sound(redis.url);
    assert_sound(redis.unix_url);
}
END_TEST

/* ------------------------------------------------------------------------------------- settings */

typedef struct {
    const char *make; /* with CONFIG SET in front */
    const char *undo;
    const char *what;
    const char *fix;
} setting;

static const setting settings[] = {
    {"maxmemory-policy allkeys-lru", "maxmemory-policy noeviction",
     "maxmemory-policy is allkeys-lru", "maxmemory-policy noeviction"},
    {"maxmemory-policy volatile-ttl", "maxmemory-policy noeviction",
     "maxmemory-policy is volatile-ttl", "maxmemory-policy noeviction"},
    {"appendfsync no", "appendfsync everysec", "appendfsync is no", "appendfsync everysec"},
    {"appendonly no", "appendonly yes", "persistence is off", "appendonly yes"},
    {"no-appendfsync-on-rewrite yes", "no-appendfsync-on-rewrite no",
     "no-appendfsync-on-rewrite is yes", "no-appendfsync-on-rewrite no"},
    {"maxmemory 1000000", "maxmemory 0", "of maxmemory's 1000000 bytes", "raise maxmemory"},
};

START_TEST(a_setting_that_could_lose_records_is_found)
{
    char command[80];
    (void)snprintf(command, sizeof command, "CONFIG SET %s", settings[_i].make);
    server_do(&redis, command);
    look(redis.url);
    assert_only(settings[_i].what, settings[_i].fix);
    (void)snprintf(command, sizeof command, "CONFIG SET %s", settings[_i].undo);
    server_do(&redis, command);
    assert_sound(redis.url);
}
END_TEST

START_TEST(snapshots_alone_are_found)
{
    server_do(&redis, "CONFIG SET appendonly no");
    server_do(&redis, "CONFIG SET save %s", "3600 1");
    look(redis.url);
    assert_only("since its last snapshot is gone", "appendonly yes");
    server_do(&redis, "CONFIG SET save %s", "");
    server_do(&redis, "CONFIG SET appendonly yes");
    assert_sound(redis.url);
}
END_TEST

START_TEST(many_findings_are_all_reported)
{
    server_do(&redis, "CONFIG SET maxmemory-policy allkeys-lru");
    server_do(&redis, "CONFIG SET appendfsync no");
    look(redis.url);
    ck_assert_uint_eq(finding_count, 2);
    server_do(&redis, "CONFIG SET maxmemory-policy noeviction");
    server_do(&redis, "CONFIG SET appendfsync everysec");
}
END_TEST

/* ------------------------------------------------------------------------------------- replicas */

static void wait_for_replica(void)
{
    for (int i = 0; i < 1000; i++) {
        char *info = server_text(&redis, "INFO replication");
        bool online = strstr(info, "state=online") != NULL;
        free(info);
        if (online)
            return;
        wait_ms(10);
    }
    ck_abort_msg("the replica does not come online");
}

START_TEST(replicas_that_may_be_behind_are_found)
{
    char port[16];
    server replica;
    server_do(&redis, "CONFIG SET repl-diskless-sync-delay 0");
    (void)snprintf(port, sizeof port, "%d", redis.port);
    server_start(&replica, (const char *const[]){"--replicaof", "127.0.0.1", port, "--appendonly",
                                                 "yes", NULL});
    wait_for_replica();
    look(redis.url);
    assert_only("min-replicas-to-write is 0", "min-replicas-to-write 1");
    server_do(&redis, "CONFIG SET min-replicas-to-write 1");
    assert_sound(redis.url);
    server_do(&redis, "CONFIG SET min-replicas-max-lag 0");
    look(redis.url);
    assert_only("min-replicas-to-write is without effect", "min-replicas-max-lag 10");
    server_do(&redis, "CONFIG SET min-replicas-max-lag 3600");
    look(redis.url);
    assert_only("min-replicas-max-lag is 3600", "min-replicas-max-lag 10");
    server_do(&redis, "CONFIG SET min-replicas-max-lag 10");
    look(replica.url);
    assert_only("is a replica (its link to the primary is up)", "name the primary");
    ck_assert_int_eq(kill(replica.pid, SIGSTOP), 0);
    finding_count = 0;
    for (int i = 0; i < 10 && finding_count == 0; i++) {
        wait_ms(1000);
        look(redis.url);
    }
    ck_assert_int_eq(kill(replica.pid, SIGCONT), 0);
    assert_only("s behind", "replica's load");
    server_remove(&replica);
    server_do(&redis, "CONFIG SET min-replicas-to-write 0");
}
END_TEST

/* ------------------------------------------------------------------------------------ the trial */

static void assert_nothing_left(void)
{
    ck_assert_int_eq(server_number(&redis, "DBSIZE"), 0);
}

START_TEST(a_trial_leaves_nothing_behind)
{
    assert_sound(redis.url);
    assert_nothing_left();
    proxy *between = proxy_start(redis.port);
    idem_store *cut = open_url(proxy_url(between), "timeout=300ms&prefix=cut:");
    /* What can't be removed any more is gone some seconds later. */
    proxy_add(
        between,
        (proxy_rule){
            .match = "cut:idem-doctor:", .action = PROXY_CLOSE, .times = PROXY_ALWAYS, .skip = 2});
    finding_count = 0;
    (void)idem_check(cut, keep, NULL, &err);
    char *key = server_text(&redis, "RANDOMKEY");
    ck_assert_int_eq(strncmp(key, "cut:idem-doctor:", strlen("cut:idem-doctor:")), 0);
    ck_assert_int_le(server_number(&redis, "PTTL %s", key), 10000);
    ck_assert_int_gt(server_number(&redis, "PTTL %s", key), 0);
    free(key);
    idem_close(cut);
    proxy_stop(between);
    server_do(&redis, "FLUSHALL");
}
END_TEST

static const struct {
    const char *rules;
    const char *what;
} lacking[] = {
    {"~* +@all -@scripting", "nothing can be claimed"},
    {"~* +@all -eval", "'eval'"},
    {"~* +@all -set", "NOPERM SET"},
    {"~* +@all -del", "NOPERM DEL"},
    {"~* +@all -pttl", "NOPERM PTTL"},
    {"~other:* +@all", "nothing can be claimed"},
    {"~* +@read +@connection +info +config", "nothing can be claimed"},
    {"~* +@all -scan", "lets this user list nothing"},
};

START_TEST(a_right_that_is_missing_is_found)
{
    char command[200];
    char url[200];
    server_do(&redis, "ACL SETUSER app reset");
    (void)snprintf(command, sizeof command, "ACL SETUSER app on >secret %s", lacking[_i].rules);
    server_do(&redis, command);
    (void)snprintf(url, sizeof url, "redis://app:secret@127.0.0.1:%d", redis.port);
    look(url);
    ck_assert_msg(
        reported(lacking[_i].what, strstr(lacking[_i].what, "list") ? "+scan" : "ACL SETUSER"),
        "%zu: %s", finding_count, findings[0].what);
    assert_nothing_left();
    server_do(&redis, "ACL DELUSER app");
}
END_TEST

/* An operator who may read only is told so, and that is no error. */
START_TEST(the_right_to_read_is_enough_to_look)
{
    char url[200];
    server_do(&redis, "ACL SETUSER app reset");
    server_do(&redis, "ACL SETUSER app on >secret ~* +get");
    (void)snprintf(url, sizeof url, "redis://app:secret@127.0.0.1:%d", redis.port);
    look(url);
    ck_assert(reported("nothing can be claimed", "ACL SETUSER"));
    ck_assert(reported("INFO", "+info"));
    ck_assert(reported("CONFIG GET", "+config|get"));
    ck_assert(reported("list nothing", "+scan"));
    ck_assert_uint_eq(finding_count, 4);
    server_do(&redis, "ACL DELUSER app");
}
END_TEST

static char *settings_of(void)
{
    size_t len = 1;
    redisReply *reply = server_ask(&redis, "CONFIG GET *");
    for (size_t i = 0; i < reply->elements; i++)
        len += reply->element[i]->len + 1;
    char *all = calloc(len, 1);
    ck_assert_ptr_nonnull(all);
    for (size_t i = 0; i < reply->elements; i++) {
        strcat(all, reply->element[i]->str);
        strcat(all, " ");
    }
    freeReplyObject(reply);
    return all;
}

START_TEST(looking_changes_no_setting)
{
    char *before = settings_of();
    look(redis.url);
    char *after = settings_of();
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
}
END_TEST

START_TEST(a_server_that_refuses_writes_is_found)
{
    server own;
    char path[200];
    server_start(&own, (const char *const[]){"--appendonly", "yes", "--dbfilename", "taken", NULL});
    (void)snprintf(path, sizeof path, "%s/taken", own.folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/taken/inside", own.folder);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    server_do(&own, "CONFIG SET save %s", "3600 1");
    server_do(&own, "BGSAVE");
    for (int i = 0; i < 1000 && !reported("rdb_last_bgsave_status is err", "disk"); i++) {
        wait_ms(10);
        look(own.url);
    }
    ck_assert(reported("rdb_last_bgsave_status is err", "disk"));
    ck_assert(reported("nothing can be claimed", "do what the message says"));
    server_do(&own, "CONFIG SET save %s", "");
    server_do(&own, "CONFIG SET min-replicas-to-write 1");
    look(own.url);
    ck_assert(reported("min-replicas-to-write", "do what the message says"));
    server_kill(&own);
    server_remove(&own);
}
END_TEST

/* ----------------------------------------------------------------------------- what is not told */

START_TEST(what_a_server_does_not_tell_is_found)
{
    char url[200];
    server_do(&redis, "ACL SETUSER app on >secret ~* +@all -config -info");
    (void)snprintf(url, sizeof url, "redis://app:secret@127.0.0.1:%d", redis.port);
    look(url);
    ck_assert_uint_eq(finding_count, 2);
    ck_assert(reported("CONFIG GET", "+config|get"));
    ck_assert(reported("INFO", "+info"));
    server_do(&redis, "ACL SETUSER app +info");
    server_do(&redis, "CONFIG SET maxmemory-policy allkeys-lru");
    look(url);
    /* INFO tells the policy too. */
    ck_assert_uint_eq(finding_count, 2);
    ck_assert(reported("CONFIG GET", "+config|get"));
    ck_assert(reported("maxmemory-policy is allkeys-lru", "noeviction"));
    server_do(&redis, "CONFIG SET maxmemory-policy noeviction");
    /* And whether there is persistence. */
    server_do(&redis, "CONFIG SET appendonly no");
    look(url);
    ck_assert_uint_eq(finding_count, 2);
    ck_assert(reported("aof_enabled 0", "appendonly yes"));
    server_do(&redis, "CONFIG SET appendonly yes");
    server_do(&redis, "ACL DELUSER app");
}
END_TEST

/* ----------------------------------------------------------- what only another server would say */

static void look_through(const char *command, const char *answer)
{
    proxy *between = proxy_start(redis.port);
    proxy_add(between,
              (proxy_rule){
                  .match = command, .action = PROXY_ANSWER, .times = PROXY_ALWAYS, .text = answer});
    look(proxy_url(between));
    proxy_stop(between);
}

static void look_at_info(const char *info)
{
    char answer[400];
    (void)snprintf(answer, sizeof answer, "$%zu\r\n%s\r\n", strlen(info), info);
    look_through("INFO", answer);
}

START_TEST(an_old_version_is_found)
{
    static const char *const old[] = {"redis_version:6.0.16\r\n", "redis_version:5.0.3\r\n",
                                      "# Server\r\nredis_version:2.8\r\n"};
    static const char *const young[] = {"redis_version:6.2.0\r\n", "redis_version:7.0.15\r\n",
                                        "redis_version:10.0.1\r\n", "redis_version:8.1-rc2\r\n"};
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        look_at_info(old[i]);
        assert_only("older than 6.2", "upgrade");
    }
    for (size_t i = 0; i < sizeof young / sizeof young[0]; i++) {
        look_at_info(young[i]);
        ck_assert_uint_eq(finding_count, 0);
    }
}
END_TEST

START_TEST(a_node_of_a_cluster_is_found)
{
    look_at_info("redis_version:7.0.15\r\n# Cluster\r\ncluster_enabled:1\r\n");
    assert_only("node of a cluster", "no node of a cluster");
}
END_TEST

START_TEST(a_failing_append_only_file_is_found)
{
    look_at_info("redis_version:7.0.15\r\naof_enabled:1\r\naof_last_write_status:err\r\n");
    assert_only("aof_last_write_status is err", "disk");
}
END_TEST

START_TEST(a_replica_that_is_not_online_is_found)
{
    look_at_info("role:master\r\nconnected_slaves:1\r\n"
                 "slave0:ip=127.0.0.1,port=1,state=wait_bgsave,offset=0,lag=0\r\n");
    ck_assert_uint_eq(finding_count, 2);
    ck_assert(reported("replica 0 is not online", "log"));
}
END_TEST

START_TEST(a_clock_that_is_off_is_found)
{
    static const struct {
        int64_t off_ms;
        const char *what;
    } clocks[] = {{5000, "5.0 s ahead of"},
                  {-3600000, "3600.0 s behind"},
                  {1500, "s ahead of"},
                  {0, NULL},
                  {500, NULL},
                  {-500, NULL}};
    char answer[160];
    char seconds[32];
    char us[32];
    int64_t now_ms = idem_wall_ms() + clocks[_i].off_ms;
    (void)snprintf(seconds, sizeof seconds, "%lld", (long long)(now_ms / 1000));
    (void)snprintf(us, sizeof us, "%lld", (long long)(now_ms % 1000 * 1000));
    (void)snprintf(answer, sizeof answer, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(seconds),
                   seconds, strlen(us), us);
    look_through("TIME", answer);
    if (!clocks[_i].what)
        ck_assert_msg(finding_count == 0, "%s", findings[0].what);
    else if (_i == 0) /* 4.9 if the asking took a while */
        assert_only("s ahead of", "time server");
    else
        assert_only(_i == 1 ? "s behind" : clocks[_i].what, "time server");
}
END_TEST

START_TEST(odd_answers_are_not_taken_for_sound_ones)
{
    static const char *const answers[] = {":1\r\n", "$-1\r\n", "*0\r\n",
                                          "-ERR unknown command 'INFO'\r\n"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        look_through("INFO", answers[i]);
        assert_only("INFO", "+info");
        look_through("CONFIG", answers[i]);
        ck_assert(reported("CONFIG GET", "+config|get"));
    }
}
END_TEST

static bool is_plain(const char *text)
{
    while (*text >= ' ' && *text <= '~')
        text++;
    return *text == '\0';
}

/* What an operator's terminal, or a reader of JSON, should not be given. */
START_TEST(a_finding_shows_no_odd_bytes_of_the_server)
{
    look_at_info("role:slave\r\nmaster_link_status:\xff\x7fup\r\nredis_version:2.\xc3\r\n");
    ck_assert(reported("its link to the primary is ??up", "primary"));
    ck_assert(reported("the server is Redis 2.?", "upgrade"));
    look_through("appendfsync", "*2\r\n$1\r\na\r\n$2\r\nno\r\n");
    look_through("maxmemory-policy", "*2\r\n$1\r\na\r\n$6\r\n\x1b[31m\xff\r\n");
    ck_assert(reported("maxmemory-policy is ?[31m?", "noeviction"));
    for (size_t i = 0; i < finding_count; i++)
        ck_assert(is_plain(findings[i].what));
}
END_TEST

START_TEST(a_server_that_goes_away_is_asked_again_and_is_an_error_by_the_deadline)
{
    proxy *between = proxy_start(redis.port);
    idem_store *store = open_url(proxy_url(between), "timeout=2s");
    proxy_add(between, (proxy_rule){.match = "appendfsync", .action = PROXY_CLOSE, .times = 1});
    finding_count = 0;
    assert_ok(idem_check(store, keep, NULL, &err));
    proxy_add(between, (proxy_rule){.match = "appendfsync", .action = PROXY_CLOSE, .times = 1000});
    assert_code(IDEM_ERR_UNAVAILABLE, idem_check(store, keep, NULL, &err));
    ck_assert_uint_eq(finding_count, 0);
    idem_close(store);
    proxy_stop(between);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis check");
    server_require();
    server_start(&redis, sound);
    ADD(suite, a_sound_server_has_no_findings);
    ADD_ROWS(suite, a_setting_that_could_lose_records_is_found, settings);
    ADD(suite, snapshots_alone_are_found);
    ADD(suite, many_findings_are_all_reported);
    ADD(suite, replicas_that_may_be_behind_are_found);
    ADD(suite, a_trial_leaves_nothing_behind);
    ADD_ROWS(suite, a_right_that_is_missing_is_found, lacking);
    ADD(suite, the_right_to_read_is_enough_to_look);
    ADD(suite, looking_changes_no_setting);
    ADD(suite, a_server_that_refuses_writes_is_found);
    ADD(suite, what_a_server_does_not_tell_is_found);
    ADD(suite, an_old_version_is_found);
    ADD(suite, a_node_of_a_cluster_is_found);
    ADD(suite, a_failing_append_only_file_is_found);
    ADD(suite, a_replica_that_is_not_online_is_found);
    TCase *clocks = tcase_create("a_clock_that_is_off_is_found");
    tcase_add_loop_test(clocks, a_clock_that_is_off_is_found, 0, 6);
    suite_add_tcase(suite, clocks);
    ADD(suite, odd_answers_are_not_taken_for_sound_ones);
    ADD(suite, a_server_that_goes_away_is_asked_again_and_is_an_error_by_the_deadline);
    ADD(suite, a_finding_shows_no_odd_bytes_of_the_server);
    return run_suite(suite);
}
