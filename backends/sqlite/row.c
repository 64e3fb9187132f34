/* SPDX-License-Identifier: MIT */
/*
 * A record as a row, and a row as a record. The tables are STRICT, but what is read is checked all
 * the same: other programs can write them.
 */
#include "row.h"

/* No store takes a response or a checkpoint that is longer. */
#define TEXT_MAX ((size_t)256 * 1024 * 1024)

/* The status of what is completed with a response of any bytes. A version that does not know it
   calls the row corrupt and leaves it; a column more would make it refuse the file. */
#define STATUS_COMPLETED_BYTES 3

int idem__sqlite_row_bind_bytes(sqlite3_stmt *statement, int parameter, idem_bytes bytes)
{
    if (bytes.len == 0)
        return sqlite3_bind_null(statement, parameter);
    return sqlite3_bind_blob64(statement, parameter, bytes.data, bytes.len, SQLITE_STATIC);
}

int idem__sqlite_row_bind(sqlite3_stmt *statement, const idem_record *record, uint64_t live_ms)
{
    bool any_bytes = record->encoding == IDEM_ENCODING_BYTES;
    const struct {
        int parameter;
        int64_t value;
    } numbers[] = {
        {IDEM__SQLITE_P_VERSION, (int64_t)record->version},
        {IDEM__SQLITE_P_STATUS, any_bytes ? STATUS_COMPLETED_BYTES : (int64_t)record->status},
        {IDEM__SQLITE_P_ATTEMPT, (int64_t)record->attempt},
        {IDEM__SQLITE_P_LEASE_MS, (int64_t)record->lease_ms},
        {IDEM__SQLITE_P_TTL_MS, (int64_t)record->ttl_ms},
        {IDEM__SQLITE_P_LIVE_MS, (int64_t)live_ms},
        {IDEM__SQLITE_P_CREATED_AT_MS, record->created_at_ms},
        {IDEM__SQLITE_P_UPDATED_AT_MS, record->updated_at_ms},
    };
    const struct {
        int parameter;
        idem_bytes value;
    } blobs[] = {
        {IDEM__SQLITE_P_TOKEN, {record->token, sizeof record->token}},
        {IDEM__SQLITE_P_FINGERPRINT, record->fingerprint},
        {IDEM__SQLITE_P_RESPONSE, record->response},
        {IDEM__SQLITE_P_CHECKPOINT, record->checkpoint},
    };
    int code = SQLITE_OK;
    for (size_t i = 0; code == SQLITE_OK && i < sizeof numbers / sizeof numbers[0]; i++)
        code = sqlite3_bind_int64(statement, numbers[i].parameter, numbers[i].value);
    for (size_t i = 0; code == SQLITE_OK && i < sizeof blobs / sizeof blobs[0]; i++)
        code = idem__sqlite_row_bind_bytes(statement, blobs[i].parameter, blobs[i].value);
    return code;
}

/* A number of a row. A column's value is asked for once: each question by column looks it up anew.
   @return false: it is none */
static bool take_number(sqlite3_stmt *statement, int column, int64_t *number)
{
    sqlite3_value *held = sqlite3_column_value(statement, column);
    *number = sqlite3_value_int64(held);
    return sqlite3_value_type(held) == SQLITE_INTEGER;
}

static bool take_date(sqlite3_stmt *statement, idem__sqlite_date *date)
{
    bool boot_id = take_number(statement, IDEM__SQLITE_C_AT_BOOT_ID, &date->boot_id);
    bool boot_ms = take_number(statement, IDEM__SQLITE_C_AT_BOOT_MS, &date->boot_ms);
    bool wall_ms = take_number(statement, IDEM__SQLITE_C_AT_WALL_MS, &date->wall_ms);
    return boot_id && boot_ms && wall_ms;
}

idem__sqlite_date idem__sqlite_row_date(sqlite3_stmt *statement)
{
    idem__sqlite_date date;
    (void)take_date(statement, &date);
    return date;
}

/* A row without a time counts as live: then it is read, and found to be corrupt. */
bool idem__sqlite_row_is_live(sqlite3_stmt *statement, const idem__sqlite_now *now,
                              uint64_t *age_ms)
{
    idem__sqlite_date date;
    int64_t live_ms;
    *age_ms = 0;
    if (!take_number(statement, IDEM__SQLITE_C_LIVE_MS, &live_ms) || !take_date(statement, &date))
        return true;
    *age_ms = idem__sqlite_clock_age(now, &date);
    return live_ms <= 0 || *age_ms < (uint64_t)live_ms;
}

/* A row that is being read; the first thing that is wrong stays. Nobody else uses the connection
   meanwhile, which is what values that are not protected take. */
typedef struct {
    sqlite3_stmt *statement;
    const char *wrong; /* the column */
    bool no_memory;
} reader;

/* The first column that is wrong, by its name, in front of which statements.c writes a plus. */
static void blame(reader *from, int column)
{
    const char *name = sqlite3_column_name(from->statement, column);
    if (!name)
        name = "of an unknown name"; /* out of memory */
    if (!from->wrong)
        from->wrong = *name == '+' ? name + 1 : name;
}

static int64_t read_number(reader *from, int column, int64_t min, int64_t max)
{
    sqlite3_value *held = sqlite3_column_value(from->statement, column);
    int64_t value = sqlite3_value_int64(held);
    bool right = sqlite3_value_type(held) == SQLITE_INTEGER && value >= min && value <= max;
    if (!right)
        blame(from, column);
    return value;
}

static uint64_t read_duration(reader *from, int column, int64_t min)
{
    return (uint64_t)read_number(from, column, min, (int64_t)IDEM_DURATION_MAX_MS);
}

static idem_bytes read_bytes(reader *from, int column, size_t min, size_t max)
{
    idem_bytes bytes = {NULL, 0};
    sqlite3_value *held = sqlite3_column_value(from->statement, column);
    int type = sqlite3_value_type(held);
    if (type == SQLITE_BLOB) {
        bytes.data = sqlite3_value_blob(held);
        bytes.len = (size_t)sqlite3_value_bytes(held);
        if (bytes.len > 0 && !bytes.data)
            from->no_memory = true;
    }
    bool right =
        (type == SQLITE_BLOB || type == SQLITE_NULL) && bytes.len >= min && bytes.len <= max;
    if (!right)
        blame(from, column);
    return bytes;
}

static void read_status(reader *from, idem_record *record)
{
    int64_t status =
        read_number(from, IDEM__SQLITE_C_STATUS, IDEM_STATUS_IN_PROGRESS, STATUS_COMPLETED_BYTES);
    bool is_bytes = status == STATUS_COMPLETED_BYTES;
    record->status = is_bytes ? IDEM_STATUS_COMPLETED : (idem_status)status;
    record->encoding = is_bytes ? IDEM_ENCODING_BYTES : IDEM_ENCODING_JSON;
}

static void read_fields(reader *from, idem_record *record)
{
    record->key = read_bytes(from, IDEM__SQLITE_C_KEY, 1, IDEM_KEY_MAX + IDEM_PREFIX_MAX);
    record->version = (uint64_t)read_number(from, IDEM__SQLITE_C_VERSION, INT64_MIN, INT64_MAX);
    read_status(from, record);
    record->attempt = (uint32_t)read_number(from, IDEM__SQLITE_C_ATTEMPT, 1, UINT32_MAX);
    record->lease_ms = read_duration(from, IDEM__SQLITE_C_LEASE_MS, 0);
    record->ttl_ms = read_duration(from, IDEM__SQLITE_C_TTL_MS, 0);
    (void)read_duration(from, IDEM__SQLITE_C_LIVE_MS, 1);
    (void)read_number(from, IDEM__SQLITE_C_AT_BOOT_ID, INT64_MIN, INT64_MAX);
    (void)read_number(from, IDEM__SQLITE_C_AT_BOOT_MS, INT64_MIN, INT64_MAX);
    (void)read_number(from, IDEM__SQLITE_C_AT_WALL_MS, INT64_MIN, INT64_MAX);
    record->created_at_ms = read_number(from, IDEM__SQLITE_C_CREATED_AT_MS, INT64_MIN, INT64_MAX);
    record->updated_at_ms = read_number(from, IDEM__SQLITE_C_UPDATED_AT_MS, INT64_MIN, INT64_MAX);
    record->fingerprint = read_bytes(from, IDEM__SQLITE_C_FINGERPRINT, 0, IDEM_FINGERPRINT_MAX);
    record->checkpoint = read_bytes(from, IDEM__SQLITE_C_CHECKPOINT, 0, TEXT_MAX);
    record->response = read_bytes(from, IDEM__SQLITE_C_RESPONSE, 0,
                                  record->status == IDEM_STATUS_COMPLETED ? TEXT_MAX : 0);
    idem_bytes token =
        read_bytes(from, IDEM__SQLITE_C_TOKEN, sizeof record->token, sizeof record->token);
    if (token.data && token.len == sizeof record->token)
        memcpy(record->token, token.data, sizeof record->token);
}

int idem__sqlite_row_read(sqlite3_stmt *statement, idem_record *record, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    reader from = {.statement = statement};
    memset(record, 0, sizeof *record);
    read_fields(&from, record);
    if (from.no_memory)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    if (from.wrong)
        return idem_error_set(error, IDEM_ERR_CORRUPT,
                              "the record of key %s can't be understood (column %s); it was left "
                              "as it is: fix it, or idem_forget_any() removes it",
                              idem_quote(record->key, quoted), from.wrong);
    return IDEM_OK;
}
