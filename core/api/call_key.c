/* SPDX-License-Identifier: MIT */
/* Keys are checked and prefixed here, for every call alike. */
#include "call_key.h"

#include "store.h"

int idem__call_key_check(idem_bytes key, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    if (key.len == 0 || !key.data)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the key is empty; name the operation with 1 to %u bytes",
                              IDEM_KEY_MAX);
    if (key.len > IDEM_KEY_MAX)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the key %s has %zu bytes and may have %u; use a fingerprint of it",
                              idem_quote(key, quoted), key.len, IDEM_KEY_MAX);
    return IDEM_OK;
}

int idem__call_key_make(idem__call_key *full, const idem_store *store, idem_bytes key,
                        idem_error *error)
{
    int rc = idem__call_key_check(key, error);
    if (rc)
        return rc;
    full->bytes = key;
    if (store->prefix.len > 0) {
        memcpy(full->room, store->prefix.data, store->prefix.len);
        memcpy(full->room + store->prefix.len, key.data, key.len);
        full->bytes = (idem_bytes){full->room, store->prefix.len + key.len};
    }
    return IDEM_OK;
}
