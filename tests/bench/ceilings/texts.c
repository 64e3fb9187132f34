/* SPDX-License-Identifier: MIT */
/* The texts are the library's own, so that a server has the same bytes to keep. */
#include "texts.h"

#include "../harness.h"

#include <string.h>

#define TOKEN_MARK "\"token\":\""

static void make_text(record_text *text, const char *response)
{
    idem_record record = {.status = response ? IDEM_STATUS_COMPLETED : IDEM_STATUS_IN_PROGRESS,
                          .response = idem_str(response),
                          .attempt = 1,
                          .token = {1},
                          .created_at_ms = idem_wall_ms(),
                          .updated_at_ms = idem_wall_ms(),
                          .lease_ms = 60000,
                          .ttl_ms = 86400000};
    idem_error error = {0};
    idem_buffer *bytes = &text->bytes;
    if (idem_record_encode(&record, bytes, &error) || idem_buffer_append(bytes, "", 1, &error))
        bench_fail("%s", error.message);
    bytes->len--; /* the NUL */
    const char *mark = strstr(bytes->data, TOKEN_MARK);
    if (!mark)
        bench_fail("a record's text has no token");
    text->token_at = (size_t)(mark - bytes->data) + strlen(TOKEN_MARK);
}

void texts_init(record_texts *texts, const char *response)
{
    memset(texts, 0, sizeof *texts);
    make_text(&texts->claimed, NULL);
    make_text(&texts->completed, response);
    texts->random = bench_now_ns();
}

void texts_clear(record_texts *texts)
{
    idem_buffer_clear(&texts->claimed.bytes);
    idem_buffer_clear(&texts->completed.bytes);
}

void texts_stamp(record_texts *texts, record_text *text, char version[16])
{
    char *data = text->bytes.data;
    bench_hex(bench_random(&texts->random), version);
    memcpy(data + TEXTS_VERSION_AT, version, 16);
    bench_hex(bench_random(&texts->random), data + text->token_at);
    bench_hex(bench_random(&texts->random), data + text->token_at + 16);
}
