/* SPDX-License-Identifier: MIT */
/*
 * The caller is checked here: limits, JSON, structs of another version of the header. The protocol
 * and the backends can rely on it. Keys are checked in call_key.c.
 */
#include "validate.h"

#include "json.h"
#include "store.h"

/* No version of the header has a struct that is larger; a size beyond it was never set. */
#define STRUCT_MAX 4096u

int idem__validate_struct(const char *what, const void *given, size_t least, void *read,
                          size_t read_size, idem_error *error)
{
    const unsigned char *bytes = given;
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < least || size > STRUCT_MAX)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the size of the %s is not set; write .size = sizeof(idem_%s)", what,
                              what);
    for (size_t i = read_size; i < size; i++) {
        if (bytes[i] != 0)
            return idem_error_set(error, IDEM_ERR_ARGUMENT,
                                  "the %s sets a field that libidem %s does not know; leave it "
                                  "zero, or update the library",
                                  what, idem_version());
    }
    memset(read, 0, read_size);
    memcpy(read, given, size < read_size ? size : read_size);
    return IDEM_OK;
}

int idem__validate_duration(const char *name, uint64_t ms, idem_error *error)
{
    if (ms <= IDEM_DURATION_MAX_MS)
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_ARGUMENT, "%s is longer than 100 years", name);
}

int idem__validate_bytes(const idem_store *store, const char *what, idem_bytes bytes,
                         idem_error *error)
{
    if (!bytes.data && bytes.len > 0)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the %s is NULL but has a length", what);
    if (bytes.len > store->max_response)
        return idem_error_set(error, IDEM_ERR_TOO_LARGE,
                              "the %s has %zu bytes and the store takes %llu; store a reference to "
                              "it, or open the store with a larger max_response",
                              what, bytes.len, (unsigned long long)store->max_response);
    return IDEM_OK;
}

int idem__validate_json(const idem_store *store, const char *what, idem_bytes text,
                        idem_error *error)
{
    idem__json json;
    int rc = idem__validate_bytes(store, what, text, error);
    if (rc || idem__json_valid(&json, text))
        return rc;
    return idem_error_set(error, IDEM_ERR_ARGUMENT, "the %s is not JSON: %s at byte %zu", what,
                          json.problem, text.len ? (size_t)(json.at - (const char *)text.data) : 0);
}

bool idem__validate_no_token(const uint8_t *token)
{
    static const uint8_t nobody[IDEM_TOKEN_SIZE];
    return !token || memcmp(token, nobody, sizeof nobody) == 0;
}

int idem__validate_keepalive(const idem_store *store, idem_error *error)
{
    if (idem_traits(store) & IDEM_TRAIT_KEEPALIVE)
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                          "%s: the store is used by the caller's thread alone and can't keep "
                          "claims alive; call idem_renew()",
                          store->ops.scheme);
}

static int read_request(const idem_request *request, idem_request *read, idem_error *error)
{
    if (!request || request->size < offsetof(idem_request, fingerprint))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the request is NULL or its size is not set; make it with "
                              "IDEM_REQUEST() or idem_request_init()");
    if (request->size == sizeof *read) {
        *read = *request;
        return IDEM_OK;
    }
    return idem__validate_struct("request", request, offsetof(idem_request, fingerprint), read,
                                 sizeof *read, error);
}

int idem__validate_request(const idem_store *store, const idem_request *request, idem_request *read,
                           idem_error *error)
{
    int rc = read_request(request, read, error);
    if (rc == IDEM_OK)
        rc = idem__validate_duration("lease_ms", read->lease_ms, error);
    if (rc == IDEM_OK)
        rc = idem__validate_duration("ttl_ms", read->ttl_ms, error);
    if (rc == IDEM_OK)
        rc = idem__validate_duration("timeout_ms", read->timeout_ms, error);
    if (rc == IDEM_OK)
        rc = idem__validate_duration("wait_ms", read->wait_ms, error);
    if (rc)
        return rc;
    if (read->fingerprint.len > IDEM_FINGERPRINT_MAX ||
        (read->fingerprint.len > 0 && !read->fingerprint.data))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a fingerprint has at most %u bytes; use idem_fingerprint()",
                              IDEM_FINGERPRINT_MAX);
    if (read->token && idem__validate_no_token(read->token))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the token is all zero; use the one of an earlier claim, or NULL");
    if (read->flags & ~(IDEM_KEEPALIVE | IDEM_NO_TAKEOVER | IDEM_REINSTATE))
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the request has an unknown flag");
    return read->flags & IDEM_KEEPALIVE ? idem__validate_keepalive(store, error) : IDEM_OK;
}
