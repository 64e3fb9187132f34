/* SPDX-License-Identifier: MIT */
/*
 * Store URLs and the parameters behind them. What was taken apart and is written again, with every
 * byte percent-encoded, is taken apart into the same parts; and a password never comes out again,
 * wherever it ends up in a URL that was pasted without encoding it.
 */
#include "fuzz.h"

#include "params.h"
#include "url.h"

#define SECRET "hunter2"

enum { CHOICE, COUNT, TEXT, OWN };

static const idem_param own_params[OWN] = {
    [CHOICE] = {.name = "mode",
                .type = IDEM_PARAM_CHOICE,
                .fallback = "full",
                .choices = "full|normal|off"},
    [COUNT] = {.name = "capacity", .type = IDEM_PARAM_COUNT},
    [TEXT] = {.name = "db", .type = IDEM_PARAM_TEXT, .fallback = "0"},
};

static const idem_backend_ops ops = {
    .size = sizeof ops, .scheme = "fuzzed", .params = own_params, .params_count = OWN};

static bool same_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

/* ------------------------------------------------------------------------------- written again */

static char *write_encoded(char *to, const char *text)
{
    for (; *text; text++)
        to += sprintf(to, "%%%02x", (unsigned char)*text);
    return to;
}

static char *write_text(char *to, const char *text)
{
    size_t len = strlen(text);
    memcpy(to, text, len + 1);
    return to + len;
}

static char *write_authority(char *to, const idem__url *url)
{
    to = write_text(to, "//");
    if (url->user) {
        to = write_encoded(to, url->user);
        if (url->password)
            to = write_encoded(write_text(to, ":"), url->password);
        to = write_text(to, "@");
    }
    if (url->host)
        to = write_encoded(to, url->host);
    return url->port ? to + sprintf(to, ":%u", (unsigned)url->port) : to;
}

/* Behind an authority, an empty one included, a path begins with a slash. */
static void write_url(char *to, const idem__url *url)
{
    const char *path = url->path;
    to = write_text(write_text(to, url->scheme), ":");
    if (url->user || url->host || url->port || (path && path[0] == '/')) {
        to = write_authority(to, url);
        to = write_text(to, path ? "/" : "");
        path = path ? path + 1 : NULL;
    }
    if (path)
        to = write_encoded(to, path);
    *to = '\0';
}

static void check_comes_back(const idem__url *url, size_t len)
{
    idem__url again = {0};
    char *text = malloc(3 * len + 64);
    HOLDS(text != NULL);
    write_url(text, url);
    HOLDS(idem__url_parse(text, &again, NULL) == IDEM_OK);
    HOLDS(strcmp(again.scheme, url->scheme) == 0 && again.port == url->port);
    HOLDS(same_text(again.user, url->user) && same_text(again.password, url->password));
    HOLDS(same_text(again.host, url->host) && same_text(again.path, url->path));
    HOLDS(strcmp(again.display, url->display) == 0);
    idem__url_clear(&again);
    free(text);
}

/* ---------------------------------------------------------------------------------- parameters */

static void check_ranges(const idem_value *common, const idem_value *own)
{
    static const int durations[] = {IDEM__PARAM_LEASE, IDEM__PARAM_TTL, IDEM__PARAM_TIMEOUT};
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        HOLDS(common[durations[i]].number >= 1);
        HOLDS(common[durations[i]].number <= IDEM_DURATION_MAX_MS);
    }
    HOLDS(common[IDEM__PARAM_MAX_RESPONSE].number >= 1);
    HOLDS(common[IDEM__PARAM_MAX_RESPONSE].number <= UINT64_C(256) << 20);
    HOLDS(strlen(common[IDEM__PARAM_PREFIX].text) <= IDEM_PREFIX_MAX);
    HOLDS(own[CHOICE].number < 3 && own[TEXT].text != NULL);
    HOLDS(own[COUNT].text ? own[COUNT].number >= 1 : own[COUNT].number == 0);
}

static void check_params(char *query, idem_error *error)
{
    idem_value common[IDEM__PARAM_COMMON];
    idem_value own[OWN];
    int rc = idem__params_parse(query, &ops, common, own, error);
    if (rc) {
        HOLDS(rc == IDEM_ERR_ARGUMENT);
        fuzz_check_message(error, rc);
    } else {
        check_ranges(common, own);
    }
}

static void check_url(const char *text)
{
    idem__url url = {0};
    idem_error error = {0};
    int rc = idem__url_parse(text, &url, &error);
    if (rc) {
        HOLDS(rc == IDEM_ERR_ARGUMENT && url.memory == NULL && url.display == NULL);
        fuzz_check_message(&error, rc);
        return;
    }
    check_comes_back(&url, strlen(text));
    check_params(url.query, &error);
    idem__url_clear(&url);
}

/* ------------------------------------------------------------------------------------ secrets */

/* A password with the secret somewhere in it, as it is. */
static void check_secret(const char *before, const char *behind)
{
    idem__url url = {0};
    idem_error error = {0};
    size_t size = strlen(before) + strlen(behind) + 64;
    char *text = malloc(size);
    HOLDS(text != NULL);
    (void)snprintf(text, size, "redis://u:%s" SECRET "%s@h:6379/0", before, behind);
    if (idem__url_parse(text, &url, &error) == IDEM_OK) {
        HOLDS(!strstr(url.display, SECRET));
        check_params(url.query, &error);
        idem__url_clear(&url);
    }
    HOLDS(!strstr(error.message, SECRET));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_string(data, size);
    size_t half = strlen(text) / 2;
    char *behind = fuzz_string(data + half, strlen(text) - half);
    check_url(text);
    check_secret(text, "");
    check_secret("", text);
    text[half] = '\0';
    check_secret(text, behind);
    free(behind);
    free(text);
    return 0;
}
