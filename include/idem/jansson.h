/* SPDX-License-Identifier: MIT */
/**
 * @file idem/jansson.h
 * @brief Responses as jansson values. Header only: libidem itself does not need jansson.
 *
 * Text that goes through jansson is not kept byte for byte; idem_complete() and
 * idem_outcome::response do that.
 */
#ifndef IDEM_JANSSON_H
#define IDEM_JANSSON_H

#include <errno.h>
#include <idem/idem.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Writes a code and a message into an error, which may be NULL. @return `code` */
static inline int idem__json_fail(idem_error *error, int code, const char *message)
{
    if (error) {
        error->code = code;
        (void)snprintf(error->message, sizeof error->message, "%s", message);
    }
    return code;
}

/**
 * Completes a claim with a JSON value. See idem_complete().
 *
 * @param response  borrowed; any JSON value.
 * @return as idem_complete(); IDEM_ERR_ARGUMENT: `response` is NULL, or jansson can't write it;
 *         IDEM_ERR_NO_MEMORY.
 */
static inline int idem_complete_json(idem_store *store, idem_claim *claim, const json_t *response,
                                     idem_error *error)
{
    if (!response)
        return idem__json_fail(error, IDEM_ERR_ARGUMENT, "the response is NULL; give a JSON value");
    errno = 0; /* jansson does not tell why, but malloc() does */
    char *text = json_dumps(response, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text && errno == ENOMEM)
        return idem__json_fail(error, IDEM_ERR_NO_MEMORY, "out of memory for the response");
    if (!text)
        return idem__json_fail(error, IDEM_ERR_ARGUMENT,
                               "jansson can't write the response; check its strings and depth");
    int rc = idem_complete(store, claim, idem_str(text), error);
    free(text);
    return rc;
}

/**
 * The response of a completed outcome as a JSON value, or NULL with `error` set: IDEM_ERR_ARGUMENT
 * if the outcome is not IDEM_COMPLETED, IDEM_ERR_UNSUPPORTED if the response was stored by
 * idem_complete_bytes() or jansson can't hold the value (an integer beyond 64 bits, an unpaired
 * surrogate), or IDEM_ERR_NO_MEMORY.
 *
 * @par Ownership  a new reference, the caller's; it does not depend on the outcome.
 */
static inline json_t *idem_outcome_json(const idem_outcome *outcome, idem_error *error)
{
    json_error_t parse_error;
    if (!outcome || outcome->kind != IDEM_COMPLETED) {
        (void)idem__json_fail(error, IDEM_ERR_ARGUMENT, "only a completed outcome has a response");
        return NULL;
    }
    if (outcome->encoding != IDEM_ENCODING_JSON) {
        (void)idem__json_fail(error, IDEM_ERR_UNSUPPORTED,
                              "the response is no JSON: idem_complete_bytes() stored it; use its "
                              "bytes");
        return NULL;
    }
    errno = 0;
    json_t *value = json_loadb((const char *)outcome->response.data, outcome->response.len,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL, &parse_error);
    if (!value && errno == ENOMEM) {
        (void)idem__json_fail(error, IDEM_ERR_NO_MEMORY, "out of memory for the response");
        return NULL;
    }
    if (!value) { /* not jansson's own text: it quotes from the response */
        char message[96];
        (void)snprintf(message, sizeof message,
                       "jansson can't hold the response (line %d, column %d); use its bytes",
                       parse_error.line, parse_error.column);
        (void)idem__json_fail(error, IDEM_ERR_UNSUPPORTED, message);
        return NULL;
    }
    if (error) {
        error->code = IDEM_OK;
        error->message[0] = '\0';
    }
    return value;
}

#ifdef __cplusplus
}
#endif

#endif
