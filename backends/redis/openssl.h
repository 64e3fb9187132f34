/* SPDX-License-Identifier: MIT */
/* OpenSSL's TLS, loaded when the first connection needs it. Behind this header the names of its
   functions, and its macros, mean those of the library that was loaded. */
#ifndef IDEM_REDIS_OPENSSL_H
#define IDEM_REDIS_OPENSSL_H

#include "fault.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/** The functions that TLS takes, by themselves and by macros. Each is a member of ::idem__openssl
 *  under its own name. */
/* clang-format off */
#define IDEM__OPENSSL_FUNCTIONS(X)                                                             \
    X(ASN1_TIME_diff) X(BIO_clear_flags) X(BIO_free) X(BIO_get_data) X(BIO_get_new_index)      \
    X(BIO_meth_free) X(BIO_meth_new) X(BIO_meth_set_ctrl) X(BIO_meth_set_read)                 \
    X(BIO_meth_set_write) X(BIO_new) X(BIO_set_data) X(BIO_set_flags) X(BIO_set_init)          \
    X(ERR_clear_error) X(ERR_peek_error) X(ERR_peek_last_error) X(ERR_reason_error_string)     \
    X(SSL_CTX_ctrl) X(SSL_CTX_free) X(SSL_CTX_load_verify_locations) X(SSL_CTX_new)            \
    X(SSL_CTX_sess_set_new_cb) X(SSL_CTX_set_default_passwd_cb)                                \
    X(SSL_CTX_set_default_verify_paths) X(SSL_CTX_set_options) X(SSL_CTX_set_verify)           \
    X(SSL_CTX_use_PrivateKey_file) X(SSL_CTX_use_certificate_chain_file) X(SSL_SESSION_free)   \
    X(SSL_connect) X(SSL_ctrl) X(SSL_free) X(SSL_get0_param) X(SSL_get_certificate)            \
    X(SSL_get_error) X(SSL_get_ex_data) X(SSL_get_verify_result) X(SSL_has_pending) X(SSL_new) \
    X(SSL_peek) X(SSL_read) X(SSL_set1_host) X(SSL_set_bio) X(SSL_set_ex_data)                 \
    X(SSL_set_hostflags) X(SSL_set_quiet_shutdown) X(SSL_set_session) X(SSL_set_shutdown)      \
    X(SSL_write) X(TLS_client_method) X(X509_VERIFY_PARAM_set1_ip_asc) X(X509_free)            \
    X(X509_get0_notAfter) X(X509_verify_cert_error_string) IDEM__OPENSSL_PEER(X)
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#define IDEM__OPENSSL_PEER(X) X(SSL_get1_peer_certificate)
#else
#define IDEM__OPENSSL_PEER(X) X(SSL_get_peer_certificate)
#endif
/* clang-format on */

typedef struct {
#define IDEM__OPENSSL_MEMBER(name) __typeof__(&name) name;
    IDEM__OPENSSL_FUNCTIONS(IDEM__OPENSSL_MEMBER)
#undef IDEM__OPENSSL_MEMBER
} idem__openssl;

/** Empty until idem__openssl_load() has returned IDEM_OK. */
extern idem__openssl idem__openssl_functions;

/**
 * The first call loads the library.
 *
 * @return IDEM_ERR_UNSUPPORTED: there is none, or it is another than the headers were of
 */
int idem__openssl_load(idem__redis_fault *fault);

/* openssl.c looks them up by their names. */
#ifndef IDEM__OPENSSL_NAMES
/* clang-format off */
#define ASN1_TIME_diff (idem__openssl_functions.ASN1_TIME_diff)
#define BIO_clear_flags (idem__openssl_functions.BIO_clear_flags)
#define BIO_free (idem__openssl_functions.BIO_free)
#define BIO_get_data (idem__openssl_functions.BIO_get_data)
#define BIO_get_new_index (idem__openssl_functions.BIO_get_new_index)
#define BIO_meth_free (idem__openssl_functions.BIO_meth_free)
#define BIO_meth_new (idem__openssl_functions.BIO_meth_new)
#define BIO_meth_set_ctrl (idem__openssl_functions.BIO_meth_set_ctrl)
#define BIO_meth_set_read (idem__openssl_functions.BIO_meth_set_read)
#define BIO_meth_set_write (idem__openssl_functions.BIO_meth_set_write)
#define BIO_new (idem__openssl_functions.BIO_new)
#define BIO_set_data (idem__openssl_functions.BIO_set_data)
#define BIO_set_flags (idem__openssl_functions.BIO_set_flags)
#define BIO_set_init (idem__openssl_functions.BIO_set_init)
#define ERR_clear_error (idem__openssl_functions.ERR_clear_error)
#define ERR_peek_error (idem__openssl_functions.ERR_peek_error)
#define ERR_peek_last_error (idem__openssl_functions.ERR_peek_last_error)
#define ERR_reason_error_string (idem__openssl_functions.ERR_reason_error_string)
#define SSL_CTX_ctrl (idem__openssl_functions.SSL_CTX_ctrl)
#define SSL_CTX_free (idem__openssl_functions.SSL_CTX_free)
#define SSL_CTX_load_verify_locations (idem__openssl_functions.SSL_CTX_load_verify_locations)
#define SSL_CTX_new (idem__openssl_functions.SSL_CTX_new)
#define SSL_CTX_sess_set_new_cb (idem__openssl_functions.SSL_CTX_sess_set_new_cb)
#define SSL_CTX_set_default_passwd_cb (idem__openssl_functions.SSL_CTX_set_default_passwd_cb)
#define SSL_CTX_set_default_verify_paths (idem__openssl_functions.SSL_CTX_set_default_verify_paths)
#define SSL_CTX_set_options (idem__openssl_functions.SSL_CTX_set_options)
#define SSL_CTX_set_verify (idem__openssl_functions.SSL_CTX_set_verify)
#define SSL_CTX_use_PrivateKey_file (idem__openssl_functions.SSL_CTX_use_PrivateKey_file)
#define SSL_CTX_use_certificate_chain_file \
    (idem__openssl_functions.SSL_CTX_use_certificate_chain_file)
#define SSL_SESSION_free (idem__openssl_functions.SSL_SESSION_free)
#define SSL_connect (idem__openssl_functions.SSL_connect)
#define SSL_ctrl (idem__openssl_functions.SSL_ctrl)
#define SSL_free (idem__openssl_functions.SSL_free)
#define SSL_get0_param (idem__openssl_functions.SSL_get0_param)
#define SSL_get_certificate (idem__openssl_functions.SSL_get_certificate)
#define SSL_get_error (idem__openssl_functions.SSL_get_error)
#define SSL_get_ex_data (idem__openssl_functions.SSL_get_ex_data)
#define SSL_get_verify_result (idem__openssl_functions.SSL_get_verify_result)
#define SSL_has_pending (idem__openssl_functions.SSL_has_pending)
#define SSL_new (idem__openssl_functions.SSL_new)
#define SSL_peek (idem__openssl_functions.SSL_peek)
#define SSL_read (idem__openssl_functions.SSL_read)
#define SSL_set1_host (idem__openssl_functions.SSL_set1_host)
#define SSL_set_bio (idem__openssl_functions.SSL_set_bio)
#define SSL_set_ex_data (idem__openssl_functions.SSL_set_ex_data)
#define SSL_set_hostflags (idem__openssl_functions.SSL_set_hostflags)
#define SSL_set_quiet_shutdown (idem__openssl_functions.SSL_set_quiet_shutdown)
#define SSL_set_session (idem__openssl_functions.SSL_set_session)
#define SSL_set_shutdown (idem__openssl_functions.SSL_set_shutdown)
#define SSL_write (idem__openssl_functions.SSL_write)
#define TLS_client_method (idem__openssl_functions.TLS_client_method)
#define X509_VERIFY_PARAM_set1_ip_asc (idem__openssl_functions.X509_VERIFY_PARAM_set1_ip_asc)
#define X509_free (idem__openssl_functions.X509_free)
#define X509_get0_notAfter (idem__openssl_functions.X509_get0_notAfter)
#define X509_verify_cert_error_string (idem__openssl_functions.X509_verify_cert_error_string)
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#define SSL_get1_peer_certificate (idem__openssl_functions.SSL_get1_peer_certificate)
#else
#define SSL_get_peer_certificate (idem__openssl_functions.SSL_get_peer_certificate)
#endif
/* clang-format on */
#endif

#endif
