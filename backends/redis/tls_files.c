/* SPDX-License-Identifier: MIT */
/*
 * The certificates of a store over TLS. Their files are looked at before each handshake, since they
 * are renewed under way. A file that is wrong at first is wrong for good; one that was right once
 * may be in the middle of its renewal.
 */
#include "tls_files.h"

#include <stdatomic.h>

#define FILES IDEM__REDIS_TLS_FILES

static int no_memory(idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, false, IDEM_ERR_NO_MEMORY, "out of memory");
}

static idem__redis_tls_stamp look_at(const char *path)
{
    struct stat status;
    if (!path || stat(path, &status) != 0)
        return (idem__redis_tls_stamp){0};
    return (idem__redis_tls_stamp){.device = status.st_dev,
                                   .inode = status.st_ino,
                                   .size = status.st_size,
                                   .changed = status.st_mtim};
}

static bool is_same(const idem__redis_tls_stamp *one, const idem__redis_tls_stamp *other)
{
    return one->device == other->device && one->inode == other->inode && one->size == other->size &&
           one->changed.tv_sec == other->changed.tv_sec &&
           one->changed.tv_nsec == other->changed.tv_nsec;
}

/* A key that is encrypted would be asked for at the terminal. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int give_no_password(char *buf, int size, int for_writing, void *user)
{
    (void)buf, (void)size, (void)for_writing, (void)user;
    return -1;
}

static bool is_tls12_at_least(SSL_CTX *context)
{
    long least = SSL_CTX_get_min_proto_version(context);
    return least >= TLS1_2_VERSION || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1;
}

static int refuse_file(const idem__redis_tls_options *options, const char *option, const char *path,
                       const char *advice, idem__redis_fault *fault)
{
    char quoted[IDEM_QUOTE_SIZE];
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    return idem__redis_fault_set(
        fault, true, IDEM_ERR_UNAVAILABLE, "%s: %s %s can't be used (%.50s): %s", options->server,
        option, idem_quote(idem_str(path), quoted), why ? why : "unknown error", advice);
}

static int load_files(const idem__redis_tls_options *options, SSL_CTX *context,
                      idem__redis_fault *fault)
{
    const char *key = options->key ? options->key : options->cert;
    if (!options->ca && SSL_CTX_set_default_verify_paths(context) != 1)
        return no_memory(fault);
    if (options->ca && SSL_CTX_load_verify_locations(context, options->ca, NULL) != 1)
        return refuse_file(options, "tls_ca", options->ca, "it has to be PEM, and readable", fault);
    if (options->cert && SSL_CTX_use_certificate_chain_file(context, options->cert) != 1)
        return refuse_file(options, "tls_cert", options->cert, "it has to be PEM, and readable",
                           fault);
    if (key && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return refuse_file(options, options->key ? "tls_key" : "tls_cert", key,
                           "the key has to be PEM without a passphrase, readable, and the "
                           "certificate's",
                           fault);
    return IDEM_OK;
}

static void set_manners(SSL_CTX *context)
{
    SSL_CTX_set_default_passwd_cb(context, give_no_password);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
    /* A server that is killed says no farewell. Where an answer ends is told by the answer. */
    (void)SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_cache_mode(context,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
}

/* Names of files that this process has read, as hashes: what is wrong with them later may be that
   they are being renewed, and passes. One that was pushed out by another's is told at once. */
static _Atomic uint64_t read_before[64];

static uint64_t hash_of(const char *const paths[FILES])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < FILES; i++) {
        for (const char *at = paths[i] ? paths[i] : ""; *at; at++)
            hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
        hash = (hash ^ '\n') * UINT64_C(0x100000001b3);
    }
    return hash;
}

static bool were_read(const char *const paths[FILES])
{
    uint64_t hash = hash_of(paths);
    return atomic_load(&read_before[hash % 64]) == hash;
}

static void note_read(const char *const paths[FILES])
{
    uint64_t hash = hash_of(paths);
    atomic_store(&read_before[hash % 64], hash);
}

int idem__redis_tls_files_load(idem__redis_tls_files *files, const idem__redis_tls_options *options,
                               SSL_CTX **context, bool *anew, idem__redis_fault *fault)
{
    const char *const paths[FILES] = {options->ca, options->cert, options->key};
    bool same = *context != NULL;
    for (size_t i = 0; i < FILES; i++) {
        idem__redis_tls_stamp now = look_at(paths[i]);
        same = same && is_same(&now, &files->stamps[i]);
        files->stamps[i] = now;
    }
    *anew = !same;
    if (same)
        return IDEM_OK;
    SSL_CTX_free(*context);
    *context = NULL;
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());
    if (!made || !is_tls12_at_least(made)) {
        SSL_CTX_free(made);
        return no_memory(fault);
    }
    set_manners(made);
    int rc = load_files(options, made, fault);
    if (rc) {
        fault->permanent = fault->permanent && !were_read(paths);
        SSL_CTX_free(made);
        return rc;
    }
    note_read(paths);
    *context = made;
    return IDEM_OK;
}
