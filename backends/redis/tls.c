/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL over a socket of our own: its own BIO raises SIGPIPE, and knows no deadline. Our BIO
 * never waits, and hands on a bounded number of pieces at a time, so that a server that sends
 * without end does not hold a call: the caller looks at the clock in between.
 *
 * The program's openssl.cnf applies, as for all of its TLS; the minimum is TLS 1.2. The thread's
 * queue of OpenSSL errors is emptied before each call, since OpenSSL would take an old error for
 * ours, and after it. OpenSSL is loaded by name (openssl.h).
 */
#include "tls.h"

#include "openssl.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define PIECES_MAX 16 /* from the socket, in one call of OpenSSL */
#define FILES      3u

/* Of a file that was read. All zero: none. */
typedef struct {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} stamp;

typedef struct {
    idem__redis_tls base;
    idem__redis_tls_options options;
    char host[256]; /* that was named later */
    stamp stamps[FILES];
    SSL_CTX *context; /* NULL: to be made */
    SSL_SESSION *session;
    SSL *ssl; /* NULL: not connected */
    int fd;
    int pieces; /* that may still be received in this call */
    bool heard; /* something has come, and whether that looks like TLS */
    bool foreign;
    bool blocked; /* OpenSSL has something to send before it can go on */
    unsigned long reason;
} secure;

/* --------------------------------------------------------------------------------- the socket */

static int bio_write(BIO *bio, const char *data, int len)
{
    const secure *tls = BIO_get_data(bio);
    ssize_t count;
    do
        count = send(tls->fd, data, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    BIO_clear_retry_flags(bio);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_write(bio);
    return (int)count;
}

/* Alerts and handshakes begin with 21 and 22, and then 3. */
static void listen_in(secure *tls, const char *data)
{
    if (!tls->heard)
        tls->foreign = data[0] != 21 && data[0] != 22;
    tls->heard = true;
}

static int bio_read(BIO *bio, char *data, int len)
{
    secure *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->pieces-- <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t count = recv(tls->fd, data, (size_t)len, MSG_DONTWAIT);
    if (count > 0)
        listen_in(tls, data);
    else if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_read(bio);
    return (int)count;
}

static long bio_control(BIO *bio, int command, long number, void *data)
{
    (void)bio, (void)number, (void)data;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "idem");
    if (method && BIO_meth_set_write(method, bio_write) && BIO_meth_set_read(method, bio_read) &&
        BIO_meth_set_ctrl(method, bio_control))
        return method;
    BIO_meth_free(method);
    return NULL;
}

/* One for the process: OpenSSL numbers kinds of BIO, and has few numbers. */
static BIO_METHOD *get_method(void)
{
    static _Atomic(BIO_METHOD *) kept;
    BIO_METHOD *method = atomic_load(&kept);
    if (method)
        return method;
    BIO_METHOD *made = make_method();
    if (made && !atomic_compare_exchange_strong(&kept, &method, made)) {
        BIO_meth_free(made);
        made = method;
    }
    return made;
}

/* -------------------------------------------------------------------------------- certificates */

static int no_memory(idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, false, IDEM_ERR_NO_MEMORY, "out of memory");
}

static stamp look_at(const char *path)
{
    struct stat status;
    if (!path || stat(path, &status) != 0)
        return (stamp){0};
    return (stamp){.device = status.st_dev,
                   .inode = status.st_ino,
                   .size = status.st_size,
                   .changed = status.st_mtim};
}

static bool is_same(const stamp *one, const stamp *other)
{
    return one->device == other->device && one->inode == other->inode && one->size == other->size &&
           one->changed.tv_sec == other->changed.tv_sec &&
           one->changed.tv_nsec == other->changed.tv_nsec;
}

static void forget_session(secure *tls)
{
    SSL_SESSION_free(tls->session);
    tls->session = NULL;
}

static void forget_certificates(secure *tls)
{
    forget_session(tls);
    SSL_CTX_free(tls->context);
    tls->context = NULL;
}

/* A key that is encrypted would be asked for at the terminal. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int give_no_password(char *buf, int size, int for_writing, void *user)
{
    (void)buf, (void)size, (void)for_writing, (void)user;
    return -1;
}

/* Tickets come behind the handshake. The last one serves the next connection. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    secure *tls = SSL_get_app_data(ssl);
    SSL_SESSION_free(tls->session);
    tls->session = session;
    return 1;
}

static bool is_tls12_at_least(SSL_CTX *context)
{
    long least = SSL_CTX_get_min_proto_version(context);
    return least >= TLS1_2_VERSION || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1;
}

static int refuse_file(const secure *tls, const char *option, const char *path, const char *advice,
                       idem__redis_fault *fault)
{
    char quoted[IDEM_QUOTE_SIZE];
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                 "%s: %s %s can't be used (%.50s): %s", tls->options.server, option,
                                 idem_quote(idem_str(path), quoted), why ? why : "unknown error",
                                 advice);
}

static int load_files(secure *tls, SSL_CTX *context, idem__redis_fault *fault)
{
    const idem__redis_tls_options *options = &tls->options;
    const char *key = options->key ? options->key : options->cert;
    if (!options->ca && SSL_CTX_set_default_verify_paths(context) != 1)
        return no_memory(fault);
    if (options->ca && SSL_CTX_load_verify_locations(context, options->ca, NULL) != 1)
        return refuse_file(tls, "tls_ca", options->ca, "it has to be PEM, and readable", fault);
    if (options->cert && SSL_CTX_use_certificate_chain_file(context, options->cert) != 1)
        return refuse_file(tls, "tls_cert", options->cert, "it has to be PEM, and readable", fault);
    if (key && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return refuse_file(tls, options->key ? "tls_key" : "tls_cert", key,
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
    SSL_CTX_sess_set_new_cb(context, keep_session);
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

static int load_certificates(secure *tls, idem__redis_fault *fault)
{
    const char *const paths[FILES] = {tls->options.ca, tls->options.cert, tls->options.key};
    bool same = tls->context != NULL;
    for (size_t i = 0; i < FILES; i++) {
        stamp now = look_at(paths[i]);
        same = same && is_same(&now, &tls->stamps[i]);
        tls->stamps[i] = now;
    }
    if (same)
        return IDEM_OK;
    forget_certificates(tls);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || !is_tls12_at_least(context)) {
        SSL_CTX_free(context);
        return no_memory(fault);
    }
    set_manners(context);
    int rc = load_files(tls, context, fault);
    if (rc)
        fault->permanent = fault->permanent && !were_read(paths);
    else
        note_read(paths);
    if (rc)
        SSL_CTX_free(context);
    else
        tls->context = context;
    return rc;
}

/* ------------------------------------------------------------------------------- the handshake */

static bool is_address(const char *host)
{
    unsigned char buf[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, buf) == 1 || inet_pton(AF_INET6, host, buf) == 1;
}

/* The name that the certificate must be for. */
static bool expect_host(SSL *ssl, const char *host)
{
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int make_ssl(secure *tls, int fd, idem__redis_fault *fault)
{
    BIO_METHOD *method = get_method();
    BIO *bio = method ? BIO_new(method) : NULL;
    tls->ssl = bio ? SSL_new(tls->context) : NULL;
    if (!tls->ssl) {
        BIO_free(bio);
        return no_memory(fault);
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    tls->fd = fd;
    tls->heard = false;
    tls->foreign = false;
    tls->blocked = false;
    tls->reason = 0;
    (void)SSL_set_app_data(tls->ssl, tls);
    if (!expect_host(tls->ssl, tls->options.host) ||
        (tls->session && SSL_set_session(tls->ssl, tls->session) != 1))
        return no_memory(fault);
    return IDEM_OK;
}

static void begin_call(secure *tls)
{
    ERR_clear_error();
    tls->pieces = PIECES_MAX;
    tls->blocked = false;
}

static int refuse_certificate(const secure *tls, long verdict, idem__redis_fault *fault)
{
    const char *server = tls->options.server;
    char quoted[IDEM_QUOTE_SIZE];
    switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s has a certificate for another name than %s: correct the "
                                     "URL's host, or write tls_name=",
                                     server, idem_quote(idem_str(tls->options.host), quoted));
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s has a certificate that has expired: renew it, or look at "
                                     "this machine's clock",
                                     server);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s has a certificate that is not valid yet: look at this "
                                     "machine's clock",
                                     server);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s has a certificate of an unknown CA: name the file of its "
                                     "CA by tls_ca=",
                                     server);
    default:
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s has a certificate that can't be trusted (%.60s)", server,
                                     X509_verify_cert_error_string(verdict));
    }
}

/* An alert of the server's will come again, unless it says that something has gone wrong in it, or
   that what it was sent has been spoilt on the way. */
static bool is_lasting(unsigned long reason)
{
    int number = ERR_GET_REASON(reason);
    switch (number - SSL_AD_REASON_OFFSET) {
    case SSL_AD_INTERNAL_ERROR:
    case SSL_AD_BAD_RECORD_MAC:
    case SSL_AD_RECORD_OVERFLOW:
    case SSL_AD_DECODE_ERROR:
    case SSL_AD_DECRYPT_ERROR:
        return false;
    default:
        return number > SSL_AD_REASON_OFFSET || number == SSL_R_UNSUPPORTED_PROTOCOL ||
               number == SSL_R_NO_PROTOCOLS_AVAILABLE;
    }
}

/* The server's alerts, told by reasons of OpenSSL's. */
static int refuse_reason(const secure *tls, idem__redis_fault *fault)
{
    const char *server = tls->options.server;
    const char *text = ERR_reason_error_string(tls->reason);
    switch (ERR_GET_REASON(tls->reason)) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return idem__redis_fault_set(
            fault, true, IDEM_ERR_UNAVAILABLE,
            "%s asks for a certificate of ours: name its file by tls_cert= "
            "and its key's by tls_key=",
            server);
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s refused our certificate (%.60s): look at tls_cert= and at "
                                     "the CAs that it trusts",
                                     server, text ? text : "");
    default:
        return idem__redis_fault_set(
            fault, is_lasting(tls->reason), IDEM_ERR_UNAVAILABLE,
            "%s: TLS failed (%.60s): look at the server's TLS settings%s", server,
            text ? text : "unknown error",
            tls->options.cert ? "" : ", and whether it asks for a client certificate (tls_cert=)");
    }
}

static int refuse_handshake(const secure *tls, idem__redis_fault *fault)
{
    long verdict = SSL_get_verify_result(tls->ssl);
    if (verdict != X509_V_OK)
        return refuse_certificate(tls, verdict, fault);
    if (tls->reason)
        return refuse_reason(tls, fault);
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s closed the connection within the TLS handshake: look at its "
                                 "log and at what is between",
                                 tls->options.server);
}

/* @return true: done */
static bool shake_hands(secure *tls, uint64_t deadline_ms, bool *late)
{
    for (;;) {
        short happened;
        begin_call(tls);
        int done = SSL_connect(tls->ssl);
        int what = SSL_get_error(tls->ssl, done);
        if (done == 1)
            return true;
        if (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE) {
            tls->reason = what == SSL_ERROR_SSL ? ERR_peek_error() : 0;
            return false;
        }
        short events = what == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        *late = !idem__redis_wire_wait(tls->fd, events, deadline_ms, &happened) ||
                idem_monotonic_ms() >= deadline_ms;
        if (*late)
            return false;
    }
}

/* A connection that ended without the farewell of TLS would not let its session be resumed. In the
   child of a fork() a farewell would end the parent's. */
static void stop(idem__redis_tls *base)
{
    secure *tls = (secure *)base;
    if (!tls->ssl)
        return;
    SSL_set_quiet_shutdown(tls->ssl, 1);
    SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    tls->ssl = NULL;
}

static int start(idem__redis_tls *base, int fd, uint64_t deadline_ms, bool *silent,
                 idem__redis_fault *fault)
{
    secure *tls = (secure *)base;
    bool late = false;
    ERR_clear_error();
    int rc = load_certificates(tls, fault);
    if (rc == IDEM_OK)
        rc = make_ssl(tls, fd, fault);
    if (rc)
        goto out;
    if (shake_hands(tls, deadline_ms, &late))
        return IDEM_OK;
    *silent = (late && !tls->heard) || tls->foreign;
    rc = IDEM_ERR_UNAVAILABLE;
    if (late && tls->heard && !tls->foreign)
        rc = idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                   "%s did not end the TLS handshake by the deadline: look at its "
                                   "load, or set a longer timeout and connect_timeout",
                                   tls->options.server);
    else if (!*silent)
        rc = refuse_handshake(tls, fault);
out:
    ERR_clear_error();
    stop(base);
    forget_certificates(tls);
    return rc;
}

static void aim(idem__redis_tls *base, const char *host)
{
    secure *tls = (secure *)base;
    if (strcmp(tls->host, host) != 0)
        forget_session(tls);
    (void)snprintf(tls->host, sizeof tls->host, "%s", host);
    tls->options.host = tls->host;
}

static bool ends(const idem__redis_tls *base, bool own, int *days)
{
    const secure *tls = (const secure *)base;
    int seconds;
    X509 *peer = tls->ssl && !own ? SSL_get_peer_certificate(tls->ssl) : NULL;
    const X509 *certificate = tls->ssl && own ? SSL_get_certificate(tls->ssl) : peer;
    bool known =
        certificate && ASN1_TIME_diff(days, &seconds, NULL, X509_get0_notAfter(certificate)) == 1;
    X509_free(peer);
    return known;
}

static void free_all(idem__redis_tls *base)
{
    secure *tls = (secure *)base;
    stop(base);
    forget_certificates(tls);
    free(tls);
}

/* --------------------------------------------------------------------------------- what travels */

/* What recv() and send() would have said. */
static ssize_t end_call(secure *tls, int done)
{
    int what = done > 0 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, done);
    if (what == SSL_ERROR_SSL)
        tls->reason = ERR_peek_error();
    ERR_clear_error();
    switch (what) {
    case SSL_ERROR_NONE:
        return done;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        tls->blocked = what == SSL_ERROR_WANT_WRITE;
        errno = EAGAIN;
        return -1;
    default:
        errno = ECONNRESET;
        return -1;
    }
}

static ssize_t send_record(idem__redis_tls *base, const void *data, size_t len)
{
    secure *tls = (secure *)base;
    begin_call(tls);
    return end_call(tls, SSL_write(tls->ssl, data, len > 1 << 20 ? 1 << 20 : (int)len));
}

static ssize_t receive(idem__redis_tls *base, void *data, size_t len)
{
    secure *tls = (secure *)base;
    begin_call(tls);
    return end_call(tls, SSL_read(tls->ssl, data, (int)len));
}

static ssize_t peek(idem__redis_tls *base, void *data, size_t len)
{
    secure *tls = (secure *)base;
    begin_call(tls);
    return end_call(tls, SSL_peek(tls->ssl, data, (int)len));
}

static bool pending(const idem__redis_tls *base)
{
    const secure *tls = (const secure *)base;
    return SSL_has_pending(tls->ssl) == 1;
}

static short events_of(const idem__redis_tls *base)
{
    const secure *tls = (const secure *)base;
    return tls->blocked ? POLLOUT : 0;
}

static bool tell(const idem__redis_tls *base, idem__redis_fault *fault)
{
    const secure *tls = (const secure *)base;
    if (!tls->reason || ERR_GET_REASON(tls->reason) == 0)
        return false;
    (void)refuse_reason(tls, fault);
    return true;
}

/* ------------------------------------------------------------------------------------- lifetime */

static const idem__redis_tls_ops all_ops = {
    .start = start,
    .aim = aim,
    .ends = ends,
    .stop = stop,
    .send = send_record,
    .receive = receive,
    .peek = peek,
    .pending = pending,
    .events = events_of,
    .tell = tell,
    .free = free_all,
};

int idem__redis_tls_make(const idem__redis_tls_options *options, idem__redis_tls **made,
                         idem__redis_fault *fault)
{
    int rc = idem__openssl_load(fault);
    if (rc)
        return rc;
    secure *tls = calloc(1, sizeof *tls);
    if (!tls)
        return no_memory(fault);
    tls->base.ops = &all_ops;
    tls->options = *options;
    *made = &tls->base;
    return IDEM_OK;
}
