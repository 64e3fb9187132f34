/* SPDX-License-Identifier: MIT */
/*
 * A record's JSON form: what is written is read back, records of the format's first writer are
 * read as what they mean, and whatever is malformed is refused with the key in the message.
 */
#include <idem/backend.h>

#include "runner.h"

#include <stdio.h>
#include <string.h>

#define KEY idem_str("charge-42")
#define TIMES \
    "\"created_at\":\"2026-11-23T16:00:00.000Z\",\"updated_at\":\"2026-11-23T16:00:01.250Z\""
#define OWNED   "\"token\":\"000102030405060708090a0b0c0d0e0f\",\"version\":\"00000000000000ff\","
#define LENGTHS "\"attempt\":1,\"lease_ms\":60000,\"ttl_ms\":86400000"

static bool same(idem_bytes a, idem_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static int decode(const char *text, idem_record *record, idem_error *error)
{
    memset(record, 0, sizeof *record);
    return idem_record_decode(KEY, text, strlen(text), record, error);
}

static void assert_round_trip(const idem_record *record)
{
    idem_buffer text = {0};
    idem_record read = {0};
    ck_assert_int_eq(idem_record_encode(record, &text, NULL), IDEM_OK);
    ck_assert_int_eq(idem_record_decode(record->key, text.data, text.len, &read, NULL), IDEM_OK);
    ck_assert(same(read.key, record->key));
    ck_assert(same(read.fingerprint, record->fingerprint));
    ck_assert(same(read.response, record->response));
    ck_assert(same(read.checkpoint, record->checkpoint));
    ck_assert_mem_eq(read.token, record->token, IDEM_TOKEN_SIZE);
    ck_assert(read.status == record->status && read.attempt == record->attempt);
    ck_assert(read.version == record->version);
    ck_assert(read.created_at_ms == record->created_at_ms);
    ck_assert(read.updated_at_ms == record->updated_at_ms);
    ck_assert(read.lease_ms == record->lease_ms && read.ttl_ms == record->ttl_ms);
    ck_assert_int_eq(read.encoding, record->encoding);
    idem_record_clear(&read);
    idem_buffer_clear(&text);
}

static idem_record sample(void)
{
    return (idem_record){.key = KEY,
                         .status = IDEM_STATUS_IN_PROGRESS,
                         .attempt = 3,
                         .token = {1, 2, 3, 0xff},
                         .version = UINT64_C(0xfedcba9876543210),
                         .created_at_ms = INT64_C(1795449600000),
                         .updated_at_ms = INT64_C(1795449600999),
                         .lease_ms = 60000,
                         .ttl_ms = IDEM_DURATION_MAX_MS};
}

START_TEST(every_field_comes_back)
{
    uint8_t fingerprint[IDEM_FINGERPRINT_MAX];
    for (size_t i = 0; i < sizeof fingerprint; i++)
        fingerprint[i] = (uint8_t)(i * 5);
    idem_record record = sample();
    assert_round_trip(&record);
    record.fingerprint = (idem_bytes){fingerprint, sizeof fingerprint};
    record.checkpoint = idem_str(" {\"step\": 2, \"a\":1.0 } ");
    assert_round_trip(&record);
    record.status = IDEM_STATUS_COMPLETED;
    record.checkpoint = (idem_bytes){NULL, 0};
    record.response = idem_str("18446744073709551616");
    record.attempt = UINT32_MAX;
    record.version = 0;
    record.created_at_ms = 0;
    record.updated_at_ms = INT64_C(253402300799999);
    assert_round_trip(&record);
    record.encoding = IDEM_ENCODING_BYTES;
    for (size_t len = 0; len <= sizeof fingerprint; len++) {
        record.response = (idem_bytes){fingerprint, len};
        assert_round_trip(&record);
    }
}
END_TEST

/* A reader that knows nothing of `encoding` takes the response for a string. */
START_TEST(any_bytes_are_base64_beside_their_encoding)
{
    static const struct {
        idem_bytes bytes;
        const char *text;
    } rows[] = {{{"", 0}, "\"response\":\"\",\"encoding\":\"base64\"}"},
                {{"\0", 1}, "\"response\":\"AA==\",\"encoding\":\"base64\"}"},
                {{"\xff\xfe", 2}, "\"response\":\"//4=\",\"encoding\":\"base64\"}"},
                {{"1,\"", 3}, "\"response\":\"MSwi\",\"encoding\":\"base64\"}"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        idem_buffer text = {0};
        idem_record record = sample();
        record.status = IDEM_STATUS_COMPLETED;
        record.encoding = IDEM_ENCODING_BYTES;
        record.response = rows[i].bytes;
        ck_assert_int_eq(idem_record_encode(&record, &text, NULL), IDEM_OK);
        ck_assert_int_eq(idem_buffer_append(&text, "", 1, NULL), IDEM_OK);
        ck_assert_ptr_nonnull(strstr(text.data, rows[i].text));
        idem_buffer_clear(&text);
    }
}
END_TEST

/* The member says nothing where there is no response, or no token: the format's first writer has
   none. */
START_TEST(an_encoding_without_a_response_of_ours_is_passed_over)
{
    static const char *const texts[] = {
        "{\"status\":\"InProgress\"," TIMES "," OWNED LENGTHS ",\"encoding\":\"gzip\"}",
        "{\"status\":\"Completed\"," TIMES ",\"response\":\"AA==\",\"encoding\":\"base64\"}"};
    idem_record record;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_int_eq(decode(texts[i], &record, NULL), IDEM_OK);
        ck_assert_int_eq(record.encoding, IDEM_ENCODING_JSON);
        idem_record_clear(&record);
    }
}
END_TEST

START_TEST(the_text_is_this)
{
    idem_buffer text = {0};
    idem_record record = sample();
    record.status = IDEM_STATUS_COMPLETED;
    record.response = idem_str("{ \"a\" : 1.0 }");
    ck_assert_int_eq(idem_record_encode(&record, &text, NULL), IDEM_OK);
    ck_assert_int_eq(idem_buffer_append(&text, "", 1, NULL), IDEM_OK);
    ck_assert_str_eq(text.data, "{\"version\":\"fedcba9876543210\",\"status\":\"Completed\","
                                "\"created_at\":\"2026-11-23T16:00:00.000Z\","
                                "\"updated_at\":\"2026-11-23T16:00:00.999Z\",\"attempt\":3,"
                                "\"lease_ms\":60000,\"ttl_ms\":3155760000000,"
                                "\"token\":\"010203ff000000000000000000000000\","
                                "\"response\":{ \"a\" : 1.0 }}");
    idem_buffer_clear(&text);
}
END_TEST

START_TEST(the_first_format_is_read)
{
    idem_record record;
    ck_assert_int_eq(decode("{\"status\":\"InProgress\"," TIMES "}", &record, NULL), IDEM_OK);
    ck_assert_int_eq(record.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert(record.lease_ms == 0 && record.ttl_ms == 0 && record.attempt == 1);
    ck_assert(record.updated_at_ms - record.created_at_ms == 1250);
    idem_record_clear(&record);
    ck_assert_int_eq(decode("{\"status\":\"Completed\",\"response\":{\"charged\":true},"
                            "\"created_at\":\"2026-11-23T16:00:00Z\","
                            "\"updated_at\":\"2026-11-23T16:00:00.123456789Z\"}",
                            &record, NULL),
                     IDEM_OK);
    ck_assert(same(record.response, idem_str("{\"charged\":true}")));
    ck_assert(record.updated_at_ms - record.created_at_ms == 123);
    idem_record_clear(&record);
}
END_TEST

START_TEST(the_first_format_leaves_a_null_response_out)
{
    idem_record record;
    ck_assert_int_eq(decode("{\"status\":\"Completed\"," TIMES "}", &record, NULL), IDEM_OK);
    ck_assert(same(record.response, idem_str("null")));
    idem_record_clear(&record);
}
END_TEST

START_TEST(unknown_members_and_any_order_are_fine)
{
    idem_record record;
    ck_assert_int_eq(decode(" { \"later\":[1,{}], " LENGTHS ", " TIMES ", " OWNED
                            " \"status\" : \"InProgress\" } ",
                            &record, NULL),
                     IDEM_OK);
    ck_assert(record.version == 0xff && record.token[15] == 0x0f);
    idem_record_clear(&record);
}
END_TEST

#define BYTES(members) "{\"status\":\"Completed\"," TIMES "," OWNED LENGTHS "," members "}"

static const char *const corrupt[] = {
    "",
    "null",
    "[]",
    "\"x\"",
    "{}",
    "{\"status\":\"InProgress\"}",
    "{\"status\":\"InProgress\"," TIMES "",
    "{\"status\":\"InProgress\"," TIMES "}x",
    "{\"status\":\"InProgress\",\"status\":\"Completed\"," TIMES "}",
    "{\"status\":\"inprogress\"," TIMES "}",
    "{\"status\":1," TIMES "}",
    "{\"status\":\"InProgress\",\"created_at\":1,\"updated_at\":\"2026-11-23T16:00:01.250Z\"}",
    "{\"status\":\"InProgress\",\"created_at\":\"2026-11-23 16:00:00.000Z\","
    "\"updated_at\":\"2026-11-23T16:00:01.250Z\"}",
    "{\"status\":\"InProgress\",\"created_at\":\"2026-13-23T16:00:00.000Z\","
    "\"updated_at\":\"2026-11-23T16:00:01.250Z\"}",
    "{\"status\":\"InProgress\",\"created_at\":\"2026-11-23T16:00:00.000+01:00\","
    "\"updated_at\":\"2026-11-23T16:00:01.250Z\"}",
    "{\"status\":\"InProgress\"," TIMES "," LENGTHS
    ",\"token\":\"00\",\"version\":\"00000000000000ff\"}",
    "{\"status\":\"InProgress\"," TIMES "," LENGTHS
    ",\"token\":\"00000000000000000000000000000000\",\"version\":\"00000000000000ff\"}",
    "{\"status\":\"InProgress\"," TIMES "," LENGTHS
    ",\"token\":\"000102030405060708090a0b0c0d0e0g\",\"version\":\"00000000000000ff\"}",
    "{\"status\":\"InProgress\"," TIMES "," LENGTHS
    ",\"token\":\"000102030405060708090a0b0c0d0e0f\"}",
    "{\"status\":\"InProgress\"," TIMES "," LENGTHS
    ",\"token\":\"000102030405060708090a0b0c0d0e0f\",\"version\":255}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED "\"attempt\":0,\"lease_ms\":1,\"ttl_ms\":1}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED
    "\"attempt\":4294967296,\"lease_ms\":1,\"ttl_ms\":1}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED "\"attempt\":1.0,\"lease_ms\":1,\"ttl_ms\":1}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED "\"attempt\":1,\"lease_ms\":-1,\"ttl_ms\":1}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED "\"attempt\":1,\"lease_ms\":0,\"ttl_ms\":1}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED
    "\"attempt\":1,\"lease_ms\":18446744073709551617,\"ttl_ms\":1}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED "\"attempt\":1,\"lease_ms\":1}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED LENGTHS ",\"fingerprint\":\"\"}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED LENGTHS ",\"fingerprint\":\"abc\"}",
    "{\"status\":\"InProgress\"," TIMES "," OWNED LENGTHS ",\"fingerprint\":7}",
    BYTES("\"response\":\"AA==\",\"encoding\":\"gzip\""),
    BYTES("\"response\":\"AA==\",\"encoding\":7"),
    BYTES("\"response\":\"AA==\",\"encoding\":\"base64\",\"encoding\":\"base64\""),
    BYTES("\"encoding\":\"base64\""),
    BYTES("\"response\":{\"a\":1},\"encoding\":\"base64\""),
    BYTES("\"response\":null,\"encoding\":\"base64\""),
    BYTES("\"response\":\"A\",\"encoding\":\"base64\""),
    BYTES("\"response\":\"AA\",\"encoding\":\"base64\""),
    BYTES("\"response\":\"AA=A\",\"encoding\":\"base64\""),
    BYTES("\"response\":\"AA==AA==\",\"encoding\":\"base64\""),
    BYTES("\"response\":\"AB==\",\"encoding\":\"base64\""),
    BYTES("\"response\":\"====\",\"encoding\":\"base64\""),
    BYTES("\"response\":\"AA-_\",\"encoding\":\"base64\""),
    BYTES("\"response\":\" AA=\",\"encoding\":\"base64\""),
    BYTES("\"response\":\"\\u0041A==\",\"encoding\":\"base64\""),
};

START_TEST(corrupt_records_are_named_and_refused)
{
    idem_record record;
    idem_error error = {0};
    int rc = decode(corrupt[_i], &record, &error);
    ck_assert_msg(rc == IDEM_ERR_CORRUPT, "row %d: %d", _i, rc);
    ck_assert_int_eq(error.code, IDEM_ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error.message, "charge-42"));
    ck_assert_ptr_null(record.memory);
}
END_TEST

static const char *const no_moments[] = {
    "2026-02-30T00:00:00Z", "2026-00-01T00:00:00Z",     "2026-01-00T00:00:00Z",
    "2026-11-31T00:00:00Z", "2026-11-23T24:00:00Z",     "2026-11-23T16:60:00Z",
    "2026-11-23T16:00:61Z", "9999-12-31T23:59:60.000Z",
};

static int decode_created(const char *created, idem_record *record)
{
    char text[200];
    (void)snprintf(text, sizeof text,
                   "{\"status\":\"InProgress\",\"created_at\":\"%s\","
                   "\"updated_at\":\"2026-11-23T16:00:01.250Z\"}",
                   created);
    return decode(text, record, NULL);
}

START_TEST(a_time_that_there_is_not_is_corrupt)
{
    idem_record record = {0};
    ck_assert_int_eq(decode_created(no_moments[_i], &record), IDEM_ERR_CORRUPT);
}
END_TEST

/* As text, and in milliseconds. */
static const struct {
    const char *text;
    int64_t unix_ms;
} moments[] = {
    {"0000-01-01T00:00:00.000Z", INT64_C(-62167219200000)},
    {"1969-12-31T23:59:59.999Z", -1},
    {"1970-01-01T00:00:00.000Z", 0},
    {"2024-02-29T23:59:59.001Z", INT64_C(1709251199001)},
    {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
};

START_TEST(every_time_that_is_read_is_written_again)
{
    idem_buffer text = {0};
    idem_record record = {0};
    ck_assert_int_eq(decode_created(moments[_i].text, &record), IDEM_OK);
    ck_assert_int_eq(record.created_at_ms, moments[_i].unix_ms);
    ck_assert_int_eq(idem_record_encode(&record, &text, NULL), IDEM_OK);
    ck_assert_int_eq(idem_buffer_append(&text, "", 1, NULL), IDEM_OK);
    ck_assert_ptr_nonnull(strstr(text.data, moments[_i].text));
    idem_buffer_clear(&text);
    idem_record_clear(&record);
}
END_TEST

START_TEST(a_copy_owns_its_bytes)
{
    char response[] = "\"abc\"";
    idem_record record = sample();
    idem_record copy = {0};
    record.response = idem_str(response);
    ck_assert_int_eq(idem_record_copy(&record, &copy, NULL), IDEM_OK);
    memset(response, 'x', sizeof response - 1);
    ck_assert(same(copy.response, idem_str("\"abc\"")));
    ck_assert(same(copy.key, KEY) && copy.fingerprint.len == 0 && !copy.fingerprint.data);
    idem_record_clear(&copy);
    ck_assert(!copy.memory && copy.key.len == 0);
    idem_record_clear(&copy);
    idem_record_clear(NULL);
}
END_TEST

START_TEST(times_that_are_left)
{
    idem_record record = sample();
    record.ttl_ms = 1000;
    record.lease_ms = 5000;
    record.age_ms = 4999;
    ck_assert(idem_record_live_ms(&record) == 6000);
    ck_assert(idem_record_lease_left_ms(&record) == 1);
    ck_assert(idem_record_retention_left_ms(&record) == 1001);
    record.age_ms = 5000;
    ck_assert(idem_record_lease_left_ms(&record) == 0);
    ck_assert(idem_record_retention_left_ms(&record) == 1000);
    record.lease_ms = IDEM_DURATION_MAX_MS;
    ck_assert(idem_record_live_ms(&record) == IDEM_DURATION_MAX_MS);
    record.ttl_ms = UINT64_MAX; /* whatever a backend has read */
    ck_assert(idem_record_live_ms(&record) == IDEM_DURATION_MAX_MS);
    record.ttl_ms = 1000;
    record.lease_ms = 5000;
    record.age_ms = UINT64_MAX;
    ck_assert(idem_record_retention_left_ms(&record) == 0);
    record.status = IDEM_STATUS_COMPLETED;
    record.age_ms = 10;
    ck_assert(idem_record_live_ms(&record) == 1000);
    ck_assert(idem_record_lease_left_ms(&record) == 0);
    ck_assert(idem_record_retention_left_ms(&record) == 990);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record");
    ADD(suite, every_field_comes_back);
    ADD(suite, the_text_is_this);
    ADD(suite, any_bytes_are_base64_beside_their_encoding);
    ADD(suite, an_encoding_without_a_response_of_ours_is_passed_over);
    ADD(suite, the_first_format_is_read);
    ADD(suite, the_first_format_leaves_a_null_response_out);
    ADD(suite, unknown_members_and_any_order_are_fine);
    ADD_ROWS(suite, corrupt_records_are_named_and_refused, corrupt);
    ADD_ROWS(suite, a_time_that_there_is_not_is_corrupt, no_moments);
    ADD_ROWS(suite, every_time_that_is_read_is_written_again, moments);
    ADD(suite, a_copy_owns_its_bytes);
    ADD(suite, times_that_are_left);
    return run_suite(suite);
}
