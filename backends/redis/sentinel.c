/* SPDX-License-Identifier: MIT */
/*
 * Asking sentinels for the master, at every connect. Clients are not told of a failover: the master
 * that was demoted ends its connections or answers READONLY, and the connection that follows is led
 * to the new one. Whether that is a master is for the greeting to see (ROLE): a sentinel may lie
 * behind.
 *
 * Each question is a connection of its own and one pipeline: the other sentinels, and the master.
 * The other sentinels are asked for first, since an unknown name is an error reply to that. To the
 * other question it is an array that is nothing, which the wire takes for none of its answers.
 *
 * What failed with all of them is told by what answered best: that a password is missing says more
 * than that another one is down. It is permanent only if every one has said something that it will
 * say again.
 */
#include "sentinel.h"

#include "connection.h"
#include "secret.h"

#include <stdio.h>
#include <stdlib.h>

/* ---------------------------------------------------------------------------------- lifetime */

int idem__redis_sentinel_check_params(const idem_value *values, idem__redis_fault *fault)
{
    const char *password = values[IDEM__REDIS_SENTINEL_PASSWORD].text;
    const char *file = values[IDEM__REDIS_SENTINEL_PASSWORD_FILE].text;
    const char *what = NULL;
    if (password && file)
        what = "the URL has a sentinel_password and a sentinel_password_file: keep one";
    else if (values[IDEM__REDIS_SENTINEL_USER].text && !password && !file)
        what = "the URL has a sentinel_user but no sentinel_password";
    else if (file && file[0] != '/')
        what = "files in the URL are named by absolute paths: sentinel_password_file is not";
    return what ? idem__redis_fault_set(fault, true, IDEM_ERR_ARGUMENT, "redis+sentinel: %s", what)
                : IDEM_OK;
}

int idem__redis_sentinel_add(idem__redis *self, const idem_value *values, idem__redis_fault *fault)
{
    idem__redis_sentinel *sentinel = calloc(1, sizeof *sentinel);
    if (!sentinel)
        return idem__redis_fault_set(fault, false, IDEM_ERR_NO_MEMORY, "out of memory");
    sentinel->list = self->config->prepared;
    sentinel->values = values;
    sentinel->asker.config = self->config;
    sentinel->asker.host = sentinel->asked.host;
    sentinel->asker.wire.fd = -1;
    sentinel->asker.wire.name = sentinel->asker.name;
    self->sentinel = sentinel;
    self->host = sentinel->master.host;
    return IDEM_OK;
}

void idem__redis_sentinel_free(idem__redis *self)
{
    idem__redis_sentinel *sentinel = self->sentinel;
    if (!sentinel)
        return;
    idem__redis_wire_close(&sentinel->asker.wire);
    if (sentinel->asker.wire.tls)
        sentinel->asker.wire.tls->ops->free(sentinel->asker.wire.tls);
    idem_buffer_clear(&sentinel->asker.text);
    free(sentinel);
    self->sentinel = NULL;
}

/* Leads an instance to a host that was named at run time. */
static void lead(idem__redis *self, const char *kind, const idem__redis_place *place)
{
    idem__redis_name(self, kind, place->host, place->port);
    self->port = place->port;
    if (self->wire.tls && !self->config->values[IDEM__REDIS_TLS_NAME].text)
        self->wire.tls->ops->aim(self->wire.tls, place->host);
}

/* ------------------------------------------------------------------------------------ asking */

static int append_auth(idem__redis_sentinel *sentinel, idem_bytes password,
                       idem__redis_fault *fault)
{
    const char *user = sentinel->values[IDEM__REDIS_SENTINEL_USER].text;
    idem_bytes words[] = {idem_str("AUTH"), user ? idem_str(user) : password, password};
    return idem__redis_wire_append(&sentinel->asker.wire, user ? 3 : 2, words, fault);
}

/* @param[out] sent  there is a password */
static int ask_auth(idem__redis_sentinel *sentinel, bool *sent, idem__redis_fault *fault)
{
    idem__redis_secret secret;
    const char *password = sentinel->values[IDEM__REDIS_SENTINEL_PASSWORD].text;
    const char *file = sentinel->values[IDEM__REDIS_SENTINEL_PASSWORD_FILE].text;
    *sent = password || file;
    if (!file)
        return password ? append_auth(sentinel, idem_str(password), fault) : IDEM_OK;
    int rc = idem__redis_secret_read(&secret, file, sentinel->asker.name, fault);
    if (rc == IDEM_OK)
        rc = append_auth(sentinel, (idem_bytes){secret.text, secret.len}, fault);
    idem__redis_secret_wipe(&secret);
    return rc;
}

static int refuse(const idem__redis *asker, bool permanent, const char *says,
                  idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, permanent, IDEM_ERR_UNAVAILABLE, "%s %s", asker->name,
                                 says);
}

/* What an error reply of a sentinel means. */
static int judge(const idem__redis *asker, const redisReply *reply, idem__redis_fault *fault)
{
    static const struct {
        const char *beginning;
        const char *says;
    } rows[] = {
        {"NOAUTH", "wants a password: write sentinel_password= (and sentinel_user=) in the URL"},
        {"WRONGPASS", "refused sentinel_user or sentinel_password: correct them in the URL"},
        {"ERR invalid password", "refused sentinel_password: correct it in the URL"},
        {"ERR AUTH <password> called without",
         "has no password set: leave sentinel_password out of the URL, or set one"},
        {"ERR Client sent AUTH, but no password is set",
         "has no password set: leave sentinel_password out of the URL, or set one"},
        {"ERR No such master",
         "knows no master of this name: correct what follows the hosts in the URL"},
        {"NOPERM", "does not let this user ask: allow +auth, +sentinel|get-master-addr-by-name and "
                   "+sentinel|sentinels to the sentinel_user"},
        {"ERR unknown command", "is no sentinel: name the sentinels' port (26379), or write "
                                "redis://host:port for a server itself"},
    };
    idem_bytes text = {reply->str, reply->len};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (idem__redis_fault_is(text, rows[i].beginning))
            return refuse(asker, true, rows[i].says, fault);
    }
    return idem__redis_fault_take_unquoted(fault, asker->name, text);
}

static bool is_text(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0;
}

/* The fields of one sentinel: names and values in turn. */
static void learn(const redisReply *fields, idem__redis_places *others)
{
    const redisReply *host = NULL;
    const redisReply *port = NULL;
    for (size_t i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        if (is_text(fields->element[i], "ip"))
            host = fields->element[i + 1];
        else if (is_text(fields->element[i], "port"))
            port = fields->element[i + 1];
    }
    if (host && port && host->type == REDIS_REPLY_STRING && port->type == REDIS_REPLY_STRING)
        idem__redis_places_add(others, (idem_bytes){host->str, host->len},
                               strtoull(port->str, NULL, 10));
}

/* The list is optional: a user without the right to ask for it is served all the same. */
static int take_others(const idem__redis *asker, const redisReply *reply,
                       idem__redis_places *others, idem__redis_fault *fault)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return idem__redis_fault_is((idem_bytes){reply->str, reply->len}, "NOPERM")
                   ? IDEM_OK
                   : judge(asker, reply, fault);
    if (reply->type != REDIS_REPLY_ARRAY)
        return refuse(asker, false, "did not answer like a sentinel: correct the URL", fault);
    for (size_t i = 0; i < reply->elements; i++)
        learn(reply->element[i], others);
    return IDEM_OK;
}

static int take_master(const idem__redis *asker, const redisReply *reply, idem__redis_place *master,
                       idem__redis_fault *fault)
{
    idem__redis_places one = {0};
    if (reply->type == REDIS_REPLY_ERROR)
        return judge(asker, reply, fault);
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        reply->element[1]->type == REDIS_REPLY_STRING)
        idem__redis_places_add(&one, (idem_bytes){reply->element[0]->str, reply->element[0]->len},
                               strtoull(reply->element[1]->str, NULL, 10));
    if (one.count == 0)
        return refuse(asker, false, "did not answer like a sentinel: correct the URL", fault);
    *master = one.places[0];
    return IDEM_OK;
}

static int append_question(idem__redis_sentinel *sentinel, const char *question,
                           idem__redis_fault *fault)
{
    idem_bytes words[] = {idem_str("SENTINEL"), idem_str(question),
                          idem_str(sentinel->list->master)};
    return idem__redis_wire_append(&sentinel->asker.wire, 3, words, fault);
}

int idem__redis_sentinel_open(idem__redis *self, const idem__redis_place *place,
                              uint64_t deadline_ms, idem__redis_fault *fault)
{
    idem__redis_sentinel *sentinel = self->sentinel;
    idem__redis *asker = &sentinel->asker;
    redisReply *reply = NULL;
    uint64_t limit_ms;
    bool auth = false;
    sentinel->asked = *place;
    lead(asker, "the sentinel", place);
    int rc = idem__redis_link(asker, deadline_ms, &limit_ms, fault);
    if (rc)
        return rc;
    idem__redis_wire_begin(&asker->wire, true);
    rc = ask_auth(sentinel, &auth, fault);
    if (rc || !auth)
        return rc;
    rc = idem__redis_wire_reply(&asker->wire, limit_ms, &reply, fault);
    if (rc)
        idem__redis_suspect_tls(asker, limit_ms, fault);
    if (rc == IDEM_OK && reply->type == REDIS_REPLY_ERROR)
        rc = judge(asker, reply, fault);
    freeReplyObject(reply);
    return rc;
}

int idem__redis_sentinel_visit(idem__redis *self, const idem__redis_place *place,
                               uint64_t deadline_ms, idem__redis_fault *fault)
{
    idem__redis *asker = &self->sentinel->asker;
    uint64_t limit_ms;
    self->sentinel->asked = *place;
    lead(asker, "the replica", place);
    int rc = idem__redis_link(asker, deadline_ms, &limit_ms, fault);
    return rc ? rc : idem__redis_greet(asker, limit_ms, fault);
}

static int ask_one(idem__redis *self, const idem__redis_place *place, uint64_t deadline_ms,
                   idem__redis_fault *fault)
{
    idem__redis_sentinel *sentinel = self->sentinel;
    idem__redis *asker = &sentinel->asker;
    idem__redis_places others = {0};
    redisReply *reply = NULL;
    int rc = idem__redis_sentinel_open(self, place, deadline_ms, fault);
    if (rc)
        return rc;
    idem__redis_wire_begin(&asker->wire, false);
    rc = append_question(sentinel, "SENTINELS", fault);
    if (rc == IDEM_OK)
        rc = append_question(sentinel, "GET-MASTER-ADDR-BY-NAME", fault);
    if (rc == IDEM_OK)
        rc = idem__redis_wire_reply(&asker->wire, deadline_ms, &reply, fault);
    if (rc)
        idem__redis_suspect_tls(asker, deadline_ms, fault);
    if (rc)
        return rc;
    rc = take_others(asker, reply, &others, fault);
    freeReplyObject(reply);
    reply = NULL;
    if (rc == IDEM_OK)
        rc = idem__redis_wire_reply(&asker->wire, deadline_ms, &reply, fault);
    if (rc == IDEM_OK)
        rc = take_master(asker, reply, &sentinel->master, fault);
    freeReplyObject(reply);
    if (rc == IDEM_OK)
        idem__redis_sentinels_praise(sentinel->list, place, &others);
    return rc;
}

/* -------------------------------------------------------------------------------- all of them */

/* What is told if none of them knows the master. */
typedef struct {
    idem__redis_fault best;
    size_t answered; /* with something that they will say again */
} outcome;

static void note(outcome *all, const idem__redis_fault *fault)
{
    if (all->best.error.code == IDEM_OK || (fault->permanent && !all->best.permanent))
        all->best = *fault;
    all->answered += fault->permanent;
}

static int refuse_all(const outcome *all, size_t count, idem__redis_fault *fault)
{
    const idem__redis_fault *best = &all->best;
    if (best->permanent || best->error.code != IDEM_ERR_UNAVAILABLE)
        return idem__redis_fault_set(fault, all->answered == count, best->error.code, "%s",
                                     best->error.message);
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "none of %zu sentinels told the master: %.200s", count,
                                 best->error.message);
}

/* When to leave a sentinel alone: those behind it and the master need time as well. */
static uint64_t share_of(const idem__redis *self, uint64_t deadline_ms, size_t left)
{
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t most_ms = self->config->values[IDEM__REDIS_CONNECT_TIMEOUT].number;
    uint64_t share_ms = now_ms < deadline_ms ? (deadline_ms - now_ms) / (left + 1) : 0;
    return now_ms + (share_ms < most_ms ? share_ms : most_ms);
}

int idem__redis_sentinel_ask(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    idem__redis_sentinel *sentinel = self->sentinel;
    idem__redis_places all;
    outcome out = {.answered = 0};
    idem__redis_sentinels_copy(sentinel->list, &all);
    for (size_t i = 0; i < all.count; i++) {
        idem__redis_fault own = {0};
        uint64_t limit_ms = share_of(self, deadline_ms, all.count - i);
        int rc = ask_one(self, &all.places[i], limit_ms, &own);
        idem__redis_wire_close(&sentinel->asker.wire);
        if (rc == IDEM_OK) {
            lead(self, "Redis", &sentinel->master);
            return IDEM_OK;
        }
        note(&out, &own);
    }
    return refuse_all(&out, all.count, fault);
}

void idem__redis_sentinel_doubt(idem__redis *self)
{
    idem__redis_sentinels_doubt(self->sentinel->list, &self->sentinel->asked);
}
