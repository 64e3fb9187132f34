/* SPDX-License-Identifier: MIT */
/* The texts of records that a ceiling sends to a server. They are made once; of each only the
   version and the token are written anew. */
#ifndef IDEM_BENCH_TEXTS_H
#define IDEM_BENCH_TEXTS_H

#include <idem/backend.h>

#define TEXTS_LIFE       "86400000" /* a retention of 24 h, as a command says it */
#define TEXTS_VERSION_AT 12u        /* behind `{"version":"` */

typedef struct {
    idem_buffer bytes;
    size_t token_at;
} record_text;

typedef struct {
    record_text claimed;
    record_text completed;
    uint64_t random;
} record_texts;

/** Ends with texts_clear(). */
void texts_init(record_texts *texts, const char *response);
void texts_clear(record_texts *texts);

/** Gives one of the two a version and a token that no other has. */
void texts_stamp(record_texts *texts, record_text *text, char version[16]);

#endif
