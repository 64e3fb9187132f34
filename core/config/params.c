/* SPDX-License-Identifier: MIT */
/*
 * URL parameters. One row of a table makes the parser, the message that lists what is known, the
 * command's listing and the documents. A name is repeated in a message only if it looks like one:
 * it could be the end of a password with a `?` in it.
 */
#include "params.h"

#include "units.h"
#include "url.h"

#include <stdio.h>

static const idem_param common_params[IDEM__PARAM_COMMON] = {
    [IDEM__PARAM_LEASE] = {.name = "lease",
                           .type = IDEM_PARAM_DURATION,
                           .fallback = "60s",
                           .help = "how long a claim is good for without renewal"},
    [IDEM__PARAM_TTL] = {.name = "ttl",
                         .type = IDEM_PARAM_DURATION,
                         .fallback = "24h",
                         .help = "how long a record lives after its last change"},
    [IDEM__PARAM_PREFIX] = {.name = "prefix",
                            .type = IDEM_PARAM_TEXT,
                            .fallback = "",
                            .help = "put in front of every key as it is; end it with a separator "
                                    "(`shop:`), to keep users of one store apart"},
    [IDEM__PARAM_MAX_RESPONSE] = {.name = "max_response",
                                  .type = IDEM_PARAM_SIZE,
                                  .fallback = "8MiB",
                                  .help = "the largest response or checkpoint, up to 256MiB"},
    [IDEM__PARAM_TIMEOUT] = {.name = "timeout",
                             .type = IDEM_PARAM_DURATION,
                             .fallback = "5s",
                             .help = "how long a call may take before it fails"},
    [IDEM__PARAM_OPEN] = {.name = "open",
                          .type = IDEM_PARAM_CHOICE,
                          .fallback = "now",
                          .help =
                              "now: opening fails if the store can't be reached by the timeout; "
                              "lazy: the first call connects",
                          .choices = "now|lazy"},
};

const idem_param *idem_common_params(size_t *count)
{
    if (count)
        *count = IDEM__PARAM_COMMON;
    return common_params;
}

static int choose(const char *choices, const char *text, uint64_t *index, idem_error *error)
{
    size_t len = strlen(text);
    const char *at = choices;
    for (uint64_t i = 0;; i++) {
        size_t choice_len = strcspn(at, "|");
        if (choice_len == len && memcmp(at, text, len) == 0) {
            *index = i;
            return IDEM_OK;
        }
        if (at[choice_len] == '\0')
            return idem_error_set(error, IDEM_ERR_ARGUMENT, "it is one of %s", choices);
        at += choice_len + 1;
    }
}

static int read_value(const idem_param *param, const char *text, idem_value *value,
                      idem_error *error)
{
    value->text = text;
    switch (param->type) {
    case IDEM_PARAM_DURATION:
        return idem_duration_parse(text, &value->number, error);
    case IDEM_PARAM_SIZE:
        return idem_size_parse(text, &value->number, error);
    case IDEM_PARAM_COUNT:
        return idem__units_count_parse(text, &value->number, error);
    case IDEM_PARAM_CHOICE:
        return choose(param->choices, text, &value->number, error);
    case IDEM_PARAM_TEXT:
        return IDEM_OK;
    }
    return idem_error_set(error, IDEM_ERR_INTERNAL, "a parameter of an unknown type");
}

static int fill_defaults(const idem_param *params, size_t count, idem_value *values,
                         idem_error *error)
{
    int rc = IDEM_OK;
    for (size_t i = 0; i < count && rc == IDEM_OK; i++) {
        values[i] = (idem_value){NULL, 0};
        if (params[i].fallback)
            rc = read_value(&params[i], params[i].fallback, &values[i], error);
    }
    return rc;
}

static const idem_param *find(const idem_param *params, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(params[i].name, name) == 0)
            return &params[i];
    }
    return NULL;
}

static void list_names(const idem_backend_ops *ops, char *buf, size_t size)
{
    size_t at = 0;
    static const char cut[] = ", …";
    for (size_t i = 0; i < IDEM__PARAM_COMMON + ops->params_count; i++) {
        const idem_param *param =
            i < IDEM__PARAM_COMMON ? &common_params[i] : &ops->params[i - IDEM__PARAM_COMMON];
        if (at + strlen(param->name) + sizeof ", " + sizeof cut > size) {
            memcpy(buf + at, cut, sizeof cut);
            return;
        }
        int len = snprintf(buf + at, size - at, "%s%s", i ? ", " : "", param->name);
        at += len > 0 ? (size_t)len : 0;
    }
}

static int unknown(const char *name, const idem_backend_ops *ops, idem_error *error)
{
    char known[160] = "";
    bool plain = strlen(name) <= 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name);
    list_names(ops, known, sizeof known);
    return idem_error_set(error, IDEM_ERR_ARGUMENT, "%s: has no option%s%s%s; known ones: %s",
                          ops->scheme, plain ? " \"" : " of this name", plain ? name : "",
                          plain ? "\"" : "", known);
}

/* Reads one `name=value`. A value that was set already differs from its default in its address. */
static int read_pair(char *pair, const idem_backend_ops *ops, idem_value *common, idem_value *own,
                     idem_error *error)
{
    char *text = strchr(pair, '=');
    if (text)
        *text++ = '\0';
    const idem_param *param = find(common_params, IDEM__PARAM_COMMON, pair);
    idem_value *value = NULL;
    if (param)
        value = &common[param - common_params];
    else if ((param = find(ops->params, ops->params_count, pair)) != NULL)
        value = &own[param - ops->params];
    if (!param)
        return unknown(pair, ops, error);
    if (!text)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "option %s has no value; write %s=…",
                              param->name, param->name);
    if (value->text != param->fallback)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "option %s is there twice; keep one",
                              param->name);
    if (!idem__url_decode(text))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "option %s has a malformed %%, or %%00; write %% as %%25",
                              param->name);
    idem_error reason = {0};
    int rc = read_value(param, text, value, &reason);
    if (rc)
        (void)idem_error_set(error, rc, "option %s: %s", param->name, reason.message);
    return rc;
}

static int check_common(const idem_value *common, idem_error *error)
{
    if (strlen(common[IDEM__PARAM_PREFIX].text) > IDEM_PREFIX_MAX)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "option prefix is longer than %u bytes",
                              IDEM_PREFIX_MAX);
    if (common[IDEM__PARAM_MAX_RESPONSE].number > UINT64_C(256) * 1024 * 1024)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "option max_response is at most 256MiB");
    return IDEM_OK;
}

int idem__params_parse(char *query, const idem_backend_ops *ops, idem_value *common,
                       idem_value *own, idem_error *error)
{
    int rc = fill_defaults(common_params, IDEM__PARAM_COMMON, common, error);
    if (rc == IDEM_OK)
        rc = fill_defaults(ops->params, ops->params_count, own, error);
    while (rc == IDEM_OK && query && *query) {
        char *next = strchr(query, '&');
        if (next)
            *next++ = '\0';
        rc = read_pair(query, ops, common, own, error);
        query = next;
    }
    return rc ? rc : check_common(common, error);
}
