/* SPDX-License-Identifier: MIT */
/*
 * The recogniser of JSON texts against jansson. The two may differ in five things alone: jansson
 * keeps numbers, and refuses those that its types can't hold; it refuses unpaired surrogates and an
 * escaped NUL in a name, which the grammar allows; it nests deeper than 1,024; and it overlooks a
 * raw NUL behind a number, which no JSON text has anywhere.
 */
#include "fuzz.h"

#include "json.h"

#include <jansson.h>

/* True if an escape for half of a surrogate pair stands in the text: the other half may be wrong. */
static bool has_surrogate_escape(const char *text, size_t len)
{
    for (size_t i = 0; i + 3 < len; i++) {
        if (memcmp(text + i, "\\u", 2) == 0 && (text[i + 2] == 'd' || text[i + 2] == 'D') &&
            strchr("89abcdefABCDEF", text[i + 3]))
            return true;
    }
    return false;
}

static bool may_refuse(const json_error_t *error, const char *text, size_t len)
{
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
        return true;
    case json_error_invalid_syntax:
        return has_surrogate_escape(text, len);
    default:
        return false;
    }
}

/* The members of an object are cut out one after the other, and each is a JSON text. */
static void check_members(const char *text, size_t len, size_t members)
{
    idem__json json = {.at = text, .end = text + len};
    idem__json inner;
    idem_bytes name;
    idem_bytes value;
    size_t count = 0;
    HOLDS(idem__json_open(&json));
    while (idem__json_member(&json, count == 0, &name, &value)) {
        const char *quote = (const char *)name.data - 1;
        count++;
        HOLDS(idem__json_valid(&inner, (idem_bytes){quote, name.len + 2}) && *quote == '"');
        HOLDS(idem__json_valid(&inner, value));
        HOLDS((const char *)value.data + value.len == json.at && json.at < json.end);
    }
    HOLDS(json.problem == NULL && count >= members);
    while (json.at < json.end)
        HOLDS(strchr(" \t\r\n", *json.at++) != NULL);
}

/* A text is none any more when a bracket is left open in front of it, or follows it. */
static void check_framed(const char *text, size_t len)
{
    idem__json json;
    char *framed = malloc(len + 2);
    HOLDS(framed != NULL);
    framed[0] = '[';
    memcpy(framed + 1, text, len);
    framed[len + 1] = ']';
    HOLDS(!idem__json_valid(&json, (idem_bytes){framed, len + 1}));
    HOLDS(!idem__json_valid(&json, (idem_bytes){framed + 1, len + 1}));
    if (!idem__json_valid(&json, (idem_bytes){framed, len + 2}))
        HOLDS(strstr(json.problem, "1,024") != NULL);
    free(framed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    idem__json json;
    json_error_t error;
    json_t *value = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    bool valid = idem__json_valid(&json, (idem_bytes){data, size});
    HOLDS(valid == (json.problem == NULL) && json.at <= json.end);
    if (valid && !value)
        HOLDS(may_refuse(&error, text, size));
    if (!valid && value)
        HOLDS(strstr(json.problem, "1,024") != NULL || memchr(data, '\0', size) != NULL);
    if (valid)
        HOLDS(memchr(data, '\0', size) == NULL);
    if (valid)
        check_framed(text, size);
    if (valid && json_is_object(value))
        check_members(text, size, json_object_size(value));
    json_decref(value);
    return 0;
}
