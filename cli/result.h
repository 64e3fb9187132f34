/* SPDX-License-Identifier: MIT */
/* What `idem run` stores as the response, and reads back. */
#ifndef IDEM_CLI_RESULT_H
#define IDEM_CLI_RESULT_H

#include "output.h"

/** One stream's output: what is kept of it, and how much there was. */
typedef struct {
    idem_bytes kept;
    uint64_t total;
    size_t first; /**< so many of the kept bytes are the first; the others are the last */
    bool closed;  /**< its reader went away, and CMD could write no more */
    void *memory; /**< what `kept` lives in, if the result owns it */
} cli_result_stream;

typedef struct {
    int code;    /**< 0 to 255 */
    int signal;  /**< the one that CMD died of; 0: none */
    bool merged; /**< stdout and stderr went to one file, and are in `out` in their order */
    cli_result_stream out;
    cli_result_stream err;
} cli_result;

/** How much of each stream can be kept so that the response is at most `max_response` long;
 *  0: not even a result without output has room. */
size_t cli_result_limit(uint64_t max_response);

/** True if not all of the output is there. */
bool cli_result_is_cut(const cli_result_stream *stream);

/** Appends the result's JSON form. */
void cli_result_encode(const cli_result *result, cli_text *text);

/** Reads it. @param[out] result  owns its bytes; end it with cli_result_clear()
 *  @return false if this is no result of `idem run` */
bool cli_result_decode(idem_bytes response, cli_result *result);
void cli_result_clear(cli_result *result);

#endif
