/* SPDX-License-Identifier: MIT */
/* The sentinels that a store knows: what is asked first, what is learned, and that it does not
   grow. */
#include <redis/sentinel_list.h>

#include <runner.h>
#include <stdio.h>

static idem__redis_sentinels *list;

static idem__redis_sentinels *make(const char *host, uint32_t port, const char *path)
{
    idem__redis_sentinels *made = NULL;
    idem__redis_fault fault = {0};
    const idem_config config = {.size = sizeof config, .host = host, .port = port, .path = path};
    ck_assert_msg(idem__redis_sentinels_make(&config, &made, &fault) == IDEM_OK, "%s",
                  fault.error.message);
    return made;
}

/* All in their order, as `host:port host:port`. */
static const char *order(void)
{
    static char text[8192];
    idem__redis_places all;
    size_t len = 0;
    idem__redis_sentinels_copy(list, &all);
    text[0] = '\0';
    for (size_t i = 0; i < all.count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s:%u", i ? " " : "",
                                all.places[i].host, (unsigned)all.places[i].port);
    return text;
}

static idem__redis_place place(const char *host, uint32_t port)
{
    idem__redis_place made = {.port = port};
    (void)snprintf(made.host, sizeof made.host, "%s", host);
    return made;
}

static void praise(const char *host, const char *const *others)
{
    idem__redis_places told = {0};
    idem__redis_place asked = place(host, 1);
    for (; *others; others++)
        idem__redis_places_add(&told, idem_str(*others), 1);
    idem__redis_sentinels_praise(list, &asked, &told);
}

static void set_up(void)
{
    list = make("a:1,b:1", 0, "/shop/7");
}

static void tear_down(void)
{
    idem__redis_sentinels_free(list);
}

static const struct {
    const char *host;
    uint32_t port;
    const char *is;
} urls[] = {
    {"a", 0, "a:26379"},
    {"a", 5, "a:5"},
    {"::1", 0, "::1:26379"},
    {"a,b:5", 0, "a:26379 b:5"},
    {"[::1],[fe80::2]:5", 0, "::1:26379 fe80::2:5"},
    {"a,a:26379,a:5", 0, "a:26379 a:5"},
};

START_TEST(the_urls_hosts_are_taken_apart)
{
    idem__redis_sentinels_free(list);
    list = make(urls[_i].host, urls[_i].port, "/shop");
    ck_assert_str_eq(order(), urls[_i].is);
    ck_assert_str_eq(list->master, "shop");
    ck_assert_uint_eq(list->db, 0);
}
END_TEST

START_TEST(what_was_told_takes_the_place_of_what_was_told_before)
{
    static const char *const first[] = {"c", "d", NULL};
    static const char *const second[] = {"b", "e", NULL};
    ck_assert_uint_eq(list->db, 7);
    praise("b", first);
    ck_assert_str_eq(order(), "b:1 c:1 d:1 a:1");
    praise("c", second); /* it is none of the URL, and stays since it has answered */
    ck_assert_str_eq(order(), "c:1 e:1 a:1 b:1");
}
END_TEST

/* As where a user may not ask for the others. */
START_TEST(nothing_told_leaves_what_is_known)
{
    static const char *const some[] = {"c", NULL};
    static const char *const none[] = {NULL};
    praise("b", some);
    praise("c", none);
    ck_assert_str_eq(order(), "c:1 a:1 b:1");
}
END_TEST

START_TEST(a_doubtful_one_is_asked_last)
{
    idem__redis_place doubtful = place("a", 1);
    idem__redis_sentinels_doubt(list, &doubtful);
    ck_assert_str_eq(order(), "b:1 a:1");
    doubtful = place("b", 1);
    idem__redis_sentinels_doubt(list, &doubtful);
    ck_assert_str_eq(order(), "a:1 b:1");
    doubtful = place("forgotten", 1);
    idem__redis_sentinels_doubt(list, &doubtful);
    ck_assert_str_eq(order(), "a:1 b:1");
}
END_TEST

START_TEST(it_does_not_grow_without_end)
{
    for (int round = 0; round < 100; round++) {
        idem__redis_places told = {0};
        idem__redis_place asked = place("a", 1);
        for (int i = 0; i < 100; i++) {
            char host[32];
            int len = snprintf(host, sizeof host, "h%d-%d", round, i);
            idem__redis_places_add(&told, (idem_bytes){host, (size_t)len}, 1);
        }
        idem__redis_sentinels_praise(list, &asked, &told);
        ck_assert_uint_eq(list->known.count, IDEM__REDIS_SENTINELS_MAX);
    }
    ck_assert_ptr_nonnull(strstr(order(), "b:1"));
}
END_TEST

START_TEST(what_is_no_place_is_not_taken)
{
    char long_name[400];
    idem__redis_places told = {0};
    memset(long_name, 'x', sizeof long_name);
    idem__redis_places_add(&told, (idem_bytes){long_name, sizeof long_name}, 1);
    idem__redis_places_add(&told, (idem_bytes){"a\0b", 3}, 1);
    idem__redis_places_add(&told, (idem_bytes){"", 0}, 1);
    idem__redis_places_add(&told, idem_str("a"), 0);
    idem__redis_places_add(&told, idem_str("a"), 65536);
    ck_assert_uint_eq(told.count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis sentinel list");
    ADD_HERE(suite, the_urls_hosts_are_taken_apart, sizeof urls / sizeof urls[0]);
    ADD_HERE(suite, what_was_told_takes_the_place_of_what_was_told_before, 1);
    ADD_HERE(suite, nothing_told_leaves_what_is_known, 1);
    ADD_HERE(suite, a_doubtful_one_is_asked_last, 1);
    ADD_HERE(suite, it_does_not_grow_without_end, 1);
    ADD_HERE(suite, what_is_no_place_is_not_taken, 1);
    return run_suite(suite);
}
