/* SPDX-License-Identifier: MIT */
/* Slots of keys, maps of slots, redirections, lists of hosts: what is read, and what is refused. */
#include "redis_test.h"

#include "redis/cluster_map.h"

static const struct {
    const char *key;
    const char *same; /* has to be in the same slot */
} tags[] = {
    {"{user1000}.following", "user1000"},
    {"{user1000}.followers", "user1000"},
    {"foo{bar}{zap}", "bar"},
    {"foo{bar}", "bar"},
    {"foo{{bar}}zap", "{bar"},
    {"}{a}", "a"},
};

START_TEST(a_hash_tag_decides_about_a_key_s_slot)
{
    ck_assert_uint_eq(idem__redis_key_slot(idem_str(tags[_i].key)),
                      idem__redis_key_slot(idem_str(tags[_i].same)));
}
END_TEST

static const char *const untagged[] = {"foo{}{bar}", "foo{}", "a{b", "a}b{", "{", "}"};

START_TEST(what_is_no_hash_tag_is_part_of_the_key)
{
    idem_bytes key = idem_str(untagged[_i]);
    ck_assert_uint_eq(idem__redis_key_slot(key),
                      idem__redis_key_slot_crc16(key.data, key.len) % IDEM__REDIS_SLOTS);
}
END_TEST

START_TEST(the_checksum_is_that_of_the_specification)
{
    ck_assert_uint_eq(idem__redis_key_slot_crc16("123456789", 9), 0x31c3);
    ck_assert_uint_eq(idem__redis_key_slot_crc16("", 0), 0);
    ck_assert_uint_eq(idem__redis_key_slot(idem_str("foo")), 12182);
    ck_assert_uint_eq(idem__redis_key_slot(idem_str("somekey")), 11058);
    ck_assert_uint_eq(idem__redis_key_slot((idem_bytes){"\0\xff", 2}), 0x1ef0 % IDEM__REDIS_SLOTS);
}
END_TEST

/* ---------------------------------------------------------------------------------------- maps */

static const idem__redis_address asked = {.host = "10.0.0.9", .port = 7000};

static idem__redis_map *read_map(const char *text, idem__redis_fault *fault)
{
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    ck_assert_int_eq(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    ck_assert_ptr_nonnull(reply);
    idem__redis_map *map = idem__redis_map_read(reply, &asked, "it", fault);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return map;
}

#define RANGE(first, last) ":" first "\r\n:" last "\r\n"
#define NODE(host, port)   "*3\r\n" host "\r\n:" port "\r\n$2\r\nid\r\n"

static const struct {
    const char *node;
    const char *host;
} hosts[] = {
    {NODE("$9\r\n127.0.0.1", "7001"), "127.0.0.1"},
    {NODE("$3\r\n::1", "7001"), "::1"},
    {NODE("$14\r\nnode.internal.", "7001"), "node.internal."},
    {NODE("$0\r\n", "7001"), "10.0.0.9"},
    {NODE("$-1", "7001"), "10.0.0.9"},
    {NODE("$1\r\n?", "7001"), "10.0.0.9"},
    {"*4\r\n$1\r\n?\r\n:7001\r\n$2\r\nid\r\n*2\r\n$2\r\nip\r\n$8\r\n10.1.2.3\r\n", "10.1.2.3"},
    {"*4\r\n$-1\r\n:7001\r\n$2\r\nid\r\n*0\r\n", "10.0.0.9"},
    {"*2\r\n$9\r\n127.0.0.1\r\n:7001\r\n", "127.0.0.1"},
};

START_TEST(a_node_s_host_is_what_clients_are_to_use)
{
    char text[300];
    idem__redis_fault fault = {0};
    (void)snprintf(text, sizeof text, "*1\r\n*3\r\n" RANGE("0", "16383") "%s", hosts[_i].node);
    idem__redis_map *map = read_map(text, &fault);
    ck_assert_msg(map != NULL, "%s", fault.error.message);
    ck_assert_uint_eq(map->count, 1);
    ck_assert_uint_eq(map->owned, IDEM__REDIS_SLOTS);
    ck_assert_str_eq(map->members[0].address.host, hosts[_i].host);
    ck_assert_uint_eq(map->members[0].address.port, 7001);
    idem__redis_map_free(map);
}
END_TEST

START_TEST(ranges_masters_and_replicas_are_told_apart)
{
    idem__redis_fault fault = {0};
    idem__redis_map *map = read_map("*3\r\n"
                                    "*4\r\n" RANGE("0", "99") NODE("$1\r\na", "1")
                                        NODE("$1\r\nb", "2") "*3\r\n" RANGE("200", "200")
                                            NODE("$1\r\nc", "3") "*4\r\n" RANGE("300", "16383")
                                                NODE("$1\r\na", "1") NODE("$1\r\nb", "2"),
                                    &fault);
    ck_assert_msg(map != NULL, "%s", fault.error.message);
    ck_assert_uint_eq(map->count, 3);
    ck_assert_uint_eq(map->owned, 100 + 1 + 16084);
    ck_assert_uint_eq(map->owner[0], 0);
    ck_assert_uint_eq(map->owner[99], 0);
    ck_assert_uint_eq(map->owner[100], IDEM__REDIS_NO_OWNER);
    ck_assert_uint_eq(map->owner[200], 2);
    ck_assert_uint_eq(map->owner[16383], 0);
    ck_assert(map->members[1].replica && map->members[1].master == 0);
    ck_assert(!map->members[2].replica);
    idem__redis_map_free(map);
}
END_TEST

START_TEST(an_empty_map_is_read_and_has_no_owners)
{
    idem__redis_fault fault = {0};
    idem__redis_map *map = read_map("*0\r\n", &fault);
    ck_assert_ptr_nonnull(map);
    ck_assert_uint_eq(map->owned, 0);
    idem__redis_map_free(map);
}
END_TEST

static const char *const bad_maps[] = {
    "+OK\r\n",
    "$-1\r\n",
    "*1\r\n:1\r\n",
    "*1\r\n*2\r\n" RANGE("0", "1"),
    "*1\r\n*3\r\n" RANGE("0", "16384") NODE("$1\r\na", "1"),
    "*1\r\n*3\r\n" RANGE("-1", "5") NODE("$1\r\na", "1"),
    "*1\r\n*3\r\n" RANGE("6", "5") NODE("$1\r\na", "1"),
    "*1\r\n*3\r\n" RANGE("0", "5") NODE("$1\r\na", "0"),
    "*1\r\n*3\r\n" RANGE("0", "5") NODE("$1\r\na", "65536"),
    "*1\r\n*3\r\n" RANGE("0", "5") "*1\r\n$1\r\na\r\n",
    "*1\r\n*3\r\n" RANGE("0", "5") NODE(":7", "1"),
    "*1\r\n*3\r\n$1\r\n0\r\n:5\r\n" NODE("$1\r\na", "1"),
};

START_TEST(what_is_no_map_is_refused)
{
    idem__redis_fault fault = {0};
    ck_assert_ptr_null(read_map(bad_maps[_i], &fault));
    ck_assert_int_eq(fault.error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert(!fault.permanent);
}
END_TEST

/* -------------------------------------------------------------------------------- redirections */

static const struct {
    const char *text;
    bool ask;
    unsigned slot;
    const char *host; /* NULL: refused */
    unsigned port;
} redirects[] = {
    {"MOVED 3999 127.0.0.1:6381", false, 3999, "127.0.0.1", 6381},
    {"ASK 0 node.example.com:1", true, 0, "node.example.com", 1},
    {"MOVED 16383 ::1:7000", false, 16383, "::1", 7000},
    {"MOVED 5 :7001", false, 5, "10.0.0.9", 7001},
    {"MOVED 5 ?:7001", false, 5, NULL, 0},
    {"MOVED 16384 a:1", false, 0, NULL, 0},
    {"MOVED x a:1", false, 0, NULL, 0},
    {"MOVED 5 a", false, 0, NULL, 0},
    {"MOVED 5 a:", false, 0, NULL, 0},
    {"MOVED 5 a:0", false, 0, NULL, 0},
    {"MOVED 5 a:65536", false, 0, NULL, 0},
    {"MOVED 5 a:1x", false, 0, NULL, 0},
    {"MOVED ", false, 0, NULL, 0},
    {"ASK", true, 0, NULL, 0},
};

START_TEST(a_redirection_names_a_node_or_is_refused)
{
    idem__redis_redirect read = {0};
    bool good = idem__redis_redirect_read(redirects[_i].text, &asked, &read);
    ck_assert_int_eq(good, redirects[_i].host != NULL);
    if (!good)
        return;
    ck_assert_int_eq(read.ask, redirects[_i].ask);
    ck_assert_uint_eq(read.slot, redirects[_i].slot);
    ck_assert_str_eq(read.to.host, redirects[_i].host);
    ck_assert_uint_eq(read.to.port, redirects[_i].port);
}
END_TEST

/* ----------------------------------------------------------------------------- lists of hosts */

static const struct {
    const char *hosts;
    uint32_t port;
    size_t count; /* 0: refused */
    const char *last;
    unsigned last_port;
} lists[] = {
    {"a", 0, 1, "a", 6379},           {"a", 7, 1, "a", 7},         {"::1", 7, 1, "::1", 7},
    {"a:1,b:2", 0, 2, "b", 2},        {"a,b", 0, 2, "b", 6379},    {"a:1,[::1]:2", 0, 2, "::1", 2},
    {"a:1,[::1]", 0, 2, "::1", 6379}, {"a,", 0, 0, NULL, 0},       {",a", 0, 0, NULL, 0},
    {"a:0,b", 0, 0, NULL, 0},         {"a:1,b:x", 0, 0, NULL, 0},  {"a:1,[::1", 0, 0, NULL, 0},
    {"a:1,[::1]2", 0, 0, NULL, 0},    {"a:1,[]:2", 0, 0, NULL, 0},
};

START_TEST(a_list_of_hosts_is_read_or_refused)
{
    size_t count = 0;
    idem__redis_fault fault = {0};
    idem__redis_address *list =
        idem__redis_addresses_read(lists[_i].hosts, lists[_i].port, &count, &fault);
    ck_assert_uint_eq(count, lists[_i].count);
    ck_assert_int_eq(fault.error.code, list ? IDEM_OK : IDEM_ERR_ARGUMENT);
    if (list) {
        ck_assert_str_eq(list[count - 1].host, lists[_i].last);
        ck_assert_uint_eq(list[count - 1].port, lists[_i].last_port);
    }
    free(list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis cluster map");
    ADD(suite, the_checksum_is_that_of_the_specification);
    ADD_ROWS(suite, a_hash_tag_decides_about_a_key_s_slot, tags);
    ADD_ROWS(suite, what_is_no_hash_tag_is_part_of_the_key, untagged);
    ADD_ROWS(suite, a_node_s_host_is_what_clients_are_to_use, hosts);
    ADD(suite, ranges_masters_and_replicas_are_told_apart);
    ADD(suite, an_empty_map_is_read_and_has_no_owners);
    ADD_ROWS(suite, what_is_no_map_is_refused, bad_maps);
    ADD_ROWS(suite, a_redirection_names_a_node_or_is_refused, redirects);
    ADD_ROWS(suite, a_list_of_hosts_is_read_or_refused, lists);
    return run_suite(suite);
}
