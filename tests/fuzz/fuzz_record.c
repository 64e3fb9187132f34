/* SPDX-License-Identifier: MIT */
/*
 * Records and their JSON form. An input that begins with a brace is a text that a store might hold:
 * it is refused with an error that names the key, or what was read comes back when it is written
 * and read again, and agrees with what jansson reads. Any other input is the making of a record,
 * which has to come back in every field.
 */
#include "fuzz.h"

#include "json.h"
#include "record.h"

#include <inttypes.h>
#include <jansson.h>

#define KEY    idem_str("tenant:charge-42")
#define QUOTED "\"tenant:charge-42\""

static const char *const values[] = {"null",
                                     "1",
                                     "[]",
                                     " {\"a\":[1,2]}\n",
                                     "18446744073709551616",
                                     "1e400",
                                     "\"\\ud800\"",
                                     "\"\\u0000\"",
                                     "{\"response\":\"Completed\"}",
                                     "\"}\""};

static bool is_json(idem_bytes text)
{
    idem__json json;
    return idem__json_valid(&json, text);
}

/* A record is one level deeper than the response in it. */
static bool is_record_json(idem_bytes text)
{
    idem__json json;
    return idem__json_valid(&json, text) || strstr(json.problem, "1,024") != NULL;
}

static void check_same(const idem_record *a, const idem_record *b)
{
    HOLDS(fuzz_same(a->key, b->key) && fuzz_same(a->fingerprint, b->fingerprint));
    HOLDS(fuzz_same(a->response, b->response) && fuzz_same(a->checkpoint, b->checkpoint));
    HOLDS(a->encoding == b->encoding);
    HOLDS(a->status == b->status && a->attempt == b->attempt && a->version == b->version);
    HOLDS(memcmp(a->token, b->token, IDEM_TOKEN_SIZE) == 0);
    HOLDS(a->created_at_ms == b->created_at_ms && a->updated_at_ms == b->updated_at_ms);
    HOLDS(a->lease_ms == b->lease_ms && a->ttl_ms == b->ttl_ms);
}

/* Writes the record, reads it and writes it again: the same record, and the same text. */
static void check_comes_back(const idem_record *record)
{
    idem_buffer text = {0};
    idem_buffer again = {0};
    idem_record read = {0};
    idem_error error = {0};
    char version[32];
    HOLDS(idem_record_encode(record, &text, &error) == IDEM_OK);
    HOLDS(is_record_json((idem_bytes){text.data, text.len}));
    (void)snprintf(version, sizeof version, "{\"version\":\"%016" PRIx64 "\"", record->version);
    HOLDS(text.len > strlen(version) && memcmp(text.data, version, strlen(version)) == 0);
    HOLDS(idem_record_decode(record->key, text.data, text.len, &read, &error) == IDEM_OK);
    check_same(&read, record);
    HOLDS(idem_record_encode(&read, &again, &error) == IDEM_OK);
    HOLDS(fuzz_same((idem_bytes){text.data, text.len}, (idem_bytes){again.data, again.len}));
    idem_record_clear(&read);
    idem_buffer_clear(&again);
    idem_buffer_clear(&text);
}

/* What a record that was read promises to those who work with it. */
static void check_sound(const idem_record *record)
{
    HOLDS(fuzz_same(record->key, KEY));
    HOLDS(record->status == IDEM_STATUS_IN_PROGRESS || record->status == IDEM_STATUS_COMPLETED);
    HOLDS(record->encoding == IDEM_ENCODING_JSON || record->encoding == IDEM_ENCODING_BYTES);
    if (record->encoding == IDEM_ENCODING_JSON) {
        HOLDS((record->status == IDEM_STATUS_COMPLETED) == (record->response.len > 0));
        HOLDS(record->response.len == 0 || is_json(record->response));
    } else {
        HOLDS(record->status == IDEM_STATUS_COMPLETED && !idem__record_is_tokenless(record));
    }
    HOLDS(record->checkpoint.len == 0 || is_json(record->checkpoint));
    HOLDS(record->attempt >= 1 && record->fingerprint.len <= IDEM_FINGERPRINT_MAX);
    if (idem__record_is_tokenless(record)) {
        HOLDS(record->lease_ms == 0 && record->ttl_ms == 0);
        return;
    }
    HOLDS(record->lease_ms >= 1 && record->lease_ms <= IDEM_DURATION_MAX_MS);
    HOLDS(record->ttl_ms >= 1 && record->ttl_ms <= IDEM_DURATION_MAX_MS);
}

static bool member_is(const json_t *object, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value && strcmp(value, text) == 0;
}

/* A status that is there twice would be one to us and another to other readers. */
static void check_one_status(const char *text, size_t len)
{
    idem__json json = {.at = text, .end = text + len};
    idem_bytes name;
    idem_bytes value;
    size_t found = 0;
    bool first = true;
    HOLDS(idem__json_open(&json));
    for (; idem__json_member(&json, first, &name, &value); first = false)
        found += fuzz_same(name, idem_str("status"));
    HOLDS(found == 1);
}

/* jansson's reading of the same text, where it has one. */
static void check_against_jansson(const char *text, size_t len, const idem_record *record)
{
    char version[32];
    json_t *object = json_loadb(text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    if (!object)
        return;
    bool completed = record->status == IDEM_STATUS_COMPLETED;
    (void)snprintf(version, sizeof version, "%016" PRIx64, record->version);
    HOLDS(member_is(object, "status", completed ? "Completed" : "InProgress"));
    if (!idem__record_is_tokenless(record)) {
        HOLDS(member_is(object, "version", version));
        HOLDS(json_integer_value(json_object_get(object, "attempt")) == record->attempt);
        HOLDS(json_integer_value(json_object_get(object, "lease_ms")) ==
              (json_int_t)record->lease_ms);
        HOLDS(json_integer_value(json_object_get(object, "ttl_ms")) == (json_int_t)record->ttl_ms);
    }
    const json_t *response = json_object_get(object, "response");
    if (record->encoding == IDEM_ENCODING_BYTES) {
        HOLDS(member_is(object, "encoding", "base64") && json_is_string(response));
    } else if (completed && response) {
        json_t *read = json_loadb(record->response.data, record->response.len,
                                  JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        HOLDS(json_equal(read, response));
        json_decref(read);
    }
    json_decref(object);
}

static void decode(const char *text, size_t len)
{
    idem_record record = {0};
    idem_error error = {0};
    int rc = idem_record_decode(KEY, text, len, &record, &error);
    if (rc) {
        HOLDS(rc == IDEM_ERR_CORRUPT && record.memory == NULL && record.key.data == NULL);
        fuzz_check_message(&error, rc);
        HOLDS(strstr(error.message, QUOTED) != NULL);
        return;
    }
    HOLDS(is_record_json((idem_bytes){text, len}));
    check_sound(&record);
    check_one_status(text, len);
    check_against_jansson(text, len, &record);
    check_comes_back(&record);
    idem_record_clear(&record);
}

static idem_bytes draw_value(fuzz_source *source)
{
    return idem_str(values[fuzz_below(source, sizeof values / sizeof values[0])]);
}

/* A moment that RFC 3339 can write. */
static int64_t draw_time(fuzz_source *source)
{
    return (int64_t)(fuzz_number(source, 6) % UINT64_C(253402300800000));
}

static void make(fuzz_source *source)
{
    idem_record record = {.status = fuzz_below(source, 2) ? IDEM_STATUS_COMPLETED
                                                          : IDEM_STATUS_IN_PROGRESS};
    record.version = fuzz_number(source, 8);
    record.attempt = (uint32_t)fuzz_number(source, 4);
    record.attempt += record.attempt == 0;
    record.lease_ms = 1 + fuzz_number(source, 6) % IDEM_DURATION_MAX_MS;
    record.ttl_ms = 1 + fuzz_number(source, 6) % IDEM_DURATION_MAX_MS;
    record.created_at_ms = draw_time(source);
    record.updated_at_ms = draw_time(source);
    for (size_t i = 0; i < IDEM_TOKEN_SIZE; i++)
        record.token[i] = fuzz_byte(source);
    record.token[0] |= 1;
    if (record.status == IDEM_STATUS_COMPLETED && fuzz_below(source, 2)) {
        record.encoding = IDEM_ENCODING_BYTES;
        record.response = fuzz_bytes(source, 80);
    } else if (record.status == IDEM_STATUS_COMPLETED)
        record.response = draw_value(source);
    else if (fuzz_below(source, 2))
        record.checkpoint = draw_value(source);
    record.fingerprint = fuzz_bytes(source, fuzz_below(source, IDEM_FINGERPRINT_MAX + 1));
    record.key = fuzz_bytes(source, IDEM_KEY_MAX + IDEM_PREFIX_MAX);
    check_comes_back(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_source source = {data, size};
    if (size > 0 && data[0] == '{')
        decode((const char *)data, size);
    else
        make(&source);
    return 0;
}
