/* SPDX-License-Identifier: MIT */
/* Store URLs, taken apart; and that no password comes out again, however it was written. */
#include "url.h"

#include "runner.h"

#include <string.h>

typedef struct {
    const char *text;
    const char *scheme, *user, *password, *host;
    uint32_t port;
    const char *path, *query, *display;
} good_url;

static const good_url good[] = {
    {"memory://", "memory", NULL, NULL, NULL, 0, NULL, NULL, "memory:"},
    {"memory:", "memory", NULL, NULL, NULL, 0, NULL, NULL, "memory:"},
    {"MeMory://Name?a=1", "memory", NULL, NULL, "Name", 0, NULL, "a=1", "memory://Name"},
    {"sqlite:///abs/p%20a.db", "sqlite", NULL, NULL, NULL, 0, "/abs/p a.db", NULL,
     "sqlite:/abs/p a.db"},
    {"sqlite:rel/p.db?synchronous=normal", "sqlite", NULL, NULL, NULL, 0, "rel/p.db",
     "synchronous=normal", "sqlite:rel/p.db"},
    {"sqlite::memory:", "sqlite", NULL, NULL, NULL, 0, ":memory:", NULL, "sqlite::memory:"},
    {"sqlite:///a@b/c.db", "sqlite", NULL, NULL, NULL, 0, "/a@b/c.db", NULL, "sqlite:/a@b/c.db"},
    {"redis://u:p%40s@h:6379/3?prefix=x", "redis", "u", "p@s", "h", 6379, "/3", "prefix=x",
     "redis://h:6379/3"},
    {"redis://:secret@h", "redis", "", "secret", "h", 0, NULL, NULL, "redis://h"},
    {"redis://u:se@cret@h", "redis", "u", "se@cret", "h", 0, NULL, NULL, "redis://h"},
    {"redis://u@h", "redis", "u", NULL, "h", 0, NULL, NULL, "redis://h"},
    {"redis://[::1]:7/0", "redis", NULL, NULL, "::1", 7, "/0", NULL, "redis://::1:7/0"},
    {"postgresql://u:p@h1:5433,[::1]:5434,h3/db", "postgresql", "u", "p", "h1:5433,[::1]:5434,h3",
     0, "/db", NULL, "postgresql://h1:5433,[::1]:5434,h3/db"},
    {"redis://h?prefix=a%40b", "redis", NULL, NULL, "h", 0, NULL, "prefix=a%40b", "redis://h"},
    {"sqlite:///a.db?prefix=a@b", "sqlite", NULL, NULL, NULL, 0, "/a.db", "prefix=a@b",
     "sqlite:/a.db"},
    {"redis+unix:///run/r.sock?db=1", "redis+unix", NULL, NULL, NULL, 0, "/run/r.sock", "db=1",
     "redis+unix:/run/r.sock"},
};

static void assert_text(const char *got, const char *expected, const char *what)
{
    ck_assert_msg((!got && !expected) || (got && expected && strcmp(got, expected) == 0),
                  "%s is %s, not %s", what, got ? got : "NULL", expected ? expected : "NULL");
}

START_TEST(urls_are_taken_apart)
{
    idem__url url = {0};
    idem_error error = {0};
    const good_url *row = &good[_i];
    ck_assert_msg(idem__url_parse(row->text, &url, &error) == IDEM_OK, "%s", error.message);
    assert_text(url.scheme, row->scheme, "scheme");
    assert_text(url.user, row->user, "user");
    assert_text(url.password, row->password, "password");
    assert_text(url.host, row->host, "host");
    assert_text(url.path, row->path, "path");
    assert_text(url.query, row->query, "query");
    assert_text(url.display, row->display, "display");
    ck_assert_uint_eq(url.port, row->port);
    idem__url_clear(&url);
}
END_TEST

static const char *const bad[] = {
    "",
    "x",
    ":",
    "://",
    "1x://",
    "mem ory://",
    "/abs/path.db",
    "redis://h:0",
    "redis://h:65536",
    "redis://h:-1",
    "redis://h:",
    "redis://h:12a",
    "redis://h:000000000000000000001",
    "redis://[::1",
    "redis://[::1]x",
    "redis://h1,",
    "redis://,h1",
    "redis://h1,,h2",
    "redis://h1:0,h2",
    "redis://h1,h2:65536",
    "redis://h1,h2:",
    "redis://h1,[::1",
    "redis://h1,[::1]x",
    "redis://[::1],h2:1:2",
    "sqlite:a%",
    "sqlite:a%2",
    "sqlite:a%zz",
    "sqlite:a%00b",
    "sqlite:a#b",
};

START_TEST(malformed_urls_are_refused)
{
    idem__url url = {0};
    idem_error error = {0};
    ck_assert_msg(idem__url_parse(bad[_i], &url, &error) == IDEM_ERR_ARGUMENT, "%s", bad[_i]);
    ck_assert_uint_gt(strlen(error.message), 20);
    ck_assert_ptr_null(url.memory);
}
END_TEST

/* Passwords as people paste them, with characters that should have been percent-encoded. */
static const char *const leaky[] = {
    "redis://u:hunter2,x",     "redis://u:x,y:hunter2",
    "redis://u:hunter2@h:bad", "redis://u:hun/ter2@h:6379/0",
    "redis://u:x/hunter2@h",   "redis://u:hunter2?x@h:6379/0",
    "redis://u:hunter2#x@h",   "redis://u:%hunter2@h",
    "redis://u/hunter2@h",     "hunter2",
    "redis://u:x@hunter2?y@h", "redis://u:1?lease=hunter2@h",
};

START_TEST(no_password_comes_out_of_a_malformed_url)
{
    idem__url url = {0};
    idem_error error = {0};
    int rc = idem__url_parse(leaky[_i], &url, &error);
    ck_assert_msg(rc == IDEM_ERR_ARGUMENT, "%s gives %d", leaky[_i], rc);
    ck_assert_ptr_null(strstr(error.message, "hunter2"));
    ck_assert_ptr_null(strstr(error.message, "ter2"));
}
END_TEST

/* Behind, before and within every part; none of it names a store that is meant. */
static const char *const unseen[] = {
    "sqlite:///a.db\n",
    "sqlite:///a.db ",
    "sqlite:///a.db\r\n",
    "\tsqlite:///a.db",
    " sqlite:///a.db",
    "sqlite:///a b.db",
    "sqlite:///a.db?prefix=a:\n",
    "sqlite:///a.db?pre fix=a",
    "memory://\n",
    "memory:// ?prefix=a",
    "redis://h:6379\n",
    "redis://h :6379/0",
    "redis://u:hunter2\n@h",
    "redis://u:hunter2@h\v",
    "redis://u:hunter2@h\f/1",
    "redis://u:hunter2@h\x7f",
    "redis://u:hunter2@h\x1b[0m",
    "redis://u:hunter2@h\xc2\x85",
    "redis://u:hunter2@h\xc2\xa0",
    "redis://u:hunter2@h\xe2\x80\xa8",
    "redis://u:hunter2@h\xe2\x80\xae\xe2\x80\xac",
    "redis://u:hunter2@h\xe3\x80\x80",
    "\xef\xbb\xbfredis://u:hunter2@h",
    "redis://u:hunter2@h\xe2\x80\x8b",
    "\n",
    "  ",
};

START_TEST(white_space_and_control_characters_are_refused)
{
    idem__url url = {0};
    idem_error error = {0};
    ck_assert_msg(idem__url_parse(unseen[_i], &url, &error) == IDEM_ERR_ARGUMENT, "row %d", _i);
    ck_assert_msg(strstr(error.message, "white space") || strstr(error.message, "line break") ||
                      strstr(error.message, "control character"),
                  "row %d says %s", _i, error.message);
    ck_assert_ptr_null(strstr(error.message, "hunter2"));
    ck_assert_ptr_null(url.memory);
}
END_TEST

/* In percent it is meant; and letters beyond ASCII are none. */
START_TEST(what_is_percent_encoded_is_taken)
{
    idem__url url = {0};
    ck_assert_int_eq(idem__url_parse("sqlite:///a%20b%0a\xc3\xa4\xe2\x82\xac.db", &url, NULL),
                     IDEM_OK);
    ck_assert_str_eq(url.path, "/a b\n\xc3\xa4\xe2\x82\xac.db");
    idem__url_clear(&url);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("url");
    ADD_ROWS(suite, urls_are_taken_apart, good);
    ADD_ROWS(suite, malformed_urls_are_refused, bad);
    ADD_ROWS(suite, no_password_comes_out_of_a_malformed_url, leaky);
    ADD_ROWS(suite, white_space_and_control_characters_are_refused, unseen);
    ADD(suite, what_is_percent_encoded_is_taken);
    return run_suite(suite);
}
