/* SPDX-License-Identifier: MIT */
/* The table of public calls. My token is fixed, so that a call can be made again as the same
   caller; another caller's is another one. Setting up never fails: the handle has no faults. */
#include "acts.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MINE       ((const uint8_t *)"my-own-token-001")
#define OTHERS     ((const uint8_t *)"others-token-002")
#define SHORT_MS   UINT64_C(5)
#define TRIES      100
#define RESPONSE   "{\"charged\": [1,2.50,\"\\u00e4\"]}"
#define CHECKPOINT "{\"step\":1}"
#define PRINT      "f-1"

static idem_bytes key(void)
{
    return idem_str(ACT_KEY);
}

static void must(int rc)
{
    if (rc)
        abort();
}

static void pass_ms(uint64_t ms)
{
    const struct timespec pause = {.tv_nsec = (long)ms * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* -------------------------------------------------------------------------------- situations */

static idem_claim *claim_as(scene *at, const uint8_t *token, uint64_t lease_ms)
{
    idem_outcome out;
    must(idem_begin(at->sound,
                    IDEM_REQUEST(.key = key(), .token = token, .lease_ms = lease_ms,
                                 .fingerprint = idem_str(PRINT)),
                    &out, NULL));
    idem_claim *claim = out.claim;
    out.claim = NULL;
    idem_outcome_clear(&out);
    if (!claim)
        abort();
    return claim;
}

static void nothing_there(scene *at)
{
    (void)at;
}

/* A claim belongs to its store: each handle has its own. */
static void claim_mine(scene *at, uint64_t lease_ms)
{
    int rc = IDEM_ERR_UNAVAILABLE;
    at->sound_claim = claim_as(at, MINE, lease_ms);
    for (int i = 0; rc && i < TRIES; i++) /* a hasty handle may not make it on a busy machine */
        rc = idem_resume(at->faulty, key(), MINE, &at->claim, NULL);
    must(rc);
}

static idem_claim *mine(const scene *at)
{
    return at->faulty == at->sound ? at->sound_claim : at->claim;
}

static void mine_live(scene *at)
{
    claim_mine(at, ACT_LONG_MS);
}

static void mine_expired(scene *at)
{
    claim_mine(at, SHORT_MS);
    pass_ms(2 * SHORT_MS);
}

static void mine_completed(scene *at)
{
    mine_live(at);
    must(idem_complete(at->sound, at->sound_claim, idem_str(RESPONSE), NULL));
}

static void others_live(scene *at)
{
    idem_claim_free(claim_as(at, OTHERS, ACT_LONG_MS));
}

static void others_expired(scene *at)
{
    idem_claim *other = claim_as(at, OTHERS, SHORT_MS);
    must(idem_checkpoint(at->sound, other, idem_str(CHECKPOINT), NULL));
    idem_claim_free(other);
    pass_ms(2 * SHORT_MS);
}

static void others_completed(scene *at)
{
    idem_claim *other = claim_as(at, OTHERS, ACT_LONG_MS);
    must(idem_complete(at->sound, other, idem_str(RESPONSE), NULL));
    idem_claim_free(other);
}

/* The other one took my claim over. */
static void mine_lost(scene *at)
{
    mine_expired(at);
    others_live(at);
}

/* It changed since my claim object saw it. */
static void mine_renewed_elsewhere(scene *at)
{
    idem_claim *again;
    mine_live(at);
    must(idem_resume(at->sound, key(), MINE, &again, NULL));
    must(idem_checkpoint(at->sound, again, idem_str(CHECKPOINT), NULL));
    idem_claim_free(again);
}

/* ------------------------------------------------------------------------------------- calls */

static int begin_with(scene *at, uint64_t flags, const char *print, char said[ACT_TEXT])
{
    idem_outcome out = {0};
    int rc = idem_begin(at->faulty,
                        IDEM_REQUEST(.key = key(), .token = MINE, .lease_ms = ACT_LONG_MS,
                                     .fingerprint = idem_str(print), .flags = flags),
                        &out, &at->err);
    (void)snprintf(said, ACT_TEXT,
                   "%d: outcome %d attempt %u claim %d response %.*s checkpoint %.*s", rc,
                   (int)out.kind, (unsigned)out.attempt, out.claim != NULL, (int)out.response.len,
                   (const char *)out.response.data, (int)out.checkpoint.len,
                   (const char *)out.checkpoint.data);
    idem_outcome_clear(&out);
    return rc;
}

static int begin(scene *at, char said[ACT_TEXT])
{
    return begin_with(at, 0, PRINT, said);
}

static int begin_no_takeover(scene *at, char said[ACT_TEXT])
{
    return begin_with(at, IDEM_NO_TAKEOVER, PRINT, said);
}

static int begin_otherwise(scene *at, char said[ACT_TEXT])
{
    return begin_with(at, 0, "f-2", said);
}

static int say(const scene *at, int rc, char said[ACT_TEXT])
{
    (void)snprintf(said, ACT_TEXT, "%d: lost %d", rc, mine(at) && idem_claim_lost(mine(at)));
    return rc;
}

static int complete(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_complete(at->faulty, mine(at), idem_str(RESPONSE), &at->err), said);
}

static int complete_bytes(scene *at, char said[ACT_TEXT])
{
    idem_bytes response = {"\xff\x01", 2};
    return say(at, idem_complete_bytes(at->faulty, mine(at), response, &at->err), said);
}

static int renew(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_renew(at->faulty, mine(at), 2 * ACT_LONG_MS, &at->err), said);
}

static int checkpoint(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_checkpoint(at->faulty, mine(at), idem_str("[2]"), &at->err), said);
}

static int release(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_release(at->faulty, mine(at), &at->err), said);
}

static int forget(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_forget(at->faulty, key(), &at->err), said);
}

static int forget_any(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_forget_any(at->faulty, key(), &at->err), said);
}

static int forget_expired(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_forget_expired(at->faulty, key(), &at->err), said);
}

static int settle(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_settle(at->faulty, key(), idem_str(RESPONSE), &at->err), said);
}

static int resume(scene *at, char said[ACT_TEXT])
{
    idem_claim *claim = NULL;
    int rc = idem_resume(at->faulty, key(), MINE, &claim, &at->err);
    (void)snprintf(said, ACT_TEXT, "%d: claim %d", rc, claim != NULL);
    idem_claim_free(claim);
    return rc;
}

static int describe(int rc, const idem_record *record, char text[ACT_TEXT])
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    (void)snprintf(text, ACT_TEXT,
                   "%d: key %.*s status %d attempt %u lease %llu print %.*s response %.*s "
                   "checkpoint %.*s token shown %d",
                   rc, (int)record->key.len, (const char *)record->key.data, (int)record->status,
                   (unsigned)record->attempt, (unsigned long long)record->lease_ms,
                   (int)record->fingerprint.len, (const char *)record->fingerprint.data,
                   (int)record->response.len, (const char *)record->response.data,
                   (int)record->checkpoint.len, (const char *)record->checkpoint.data,
                   memcmp(record->token, none, sizeof none) != 0);
    return rc;
}

static int get(scene *at, char said[ACT_TEXT])
{
    idem_record record = {0};
    int rc = idem_get(at->faulty, key(), &record, &at->err);
    (void)describe(rc, &record, said);
    idem_record_clear(&record);
    return rc;
}

static int append_key(const idem_record *record, void *user)
{
    char *said = user;
    size_t len = strlen(said);
    (void)snprintf(said + len, ACT_TEXT - len, " %.*s", (int)record->key.len,
                   (const char *)record->key.data);
    return 0;
}

static int scan(scene *at, char said[ACT_TEXT])
{
    said[0] = '\0';
    return idem_scan(at->faulty, NULL, append_key, said, &at->err);
}

/* How many were removed is not said: those of a lost reply are not counted. */
static int purge(scene *at, char said[ACT_TEXT])
{
    return say(at, idem_purge(at->faulty, 0, NULL, &at->err), said);
}

static void count_finding(void *user, const idem_finding *finding)
{
    (void)finding;
    ++*(unsigned *)user;
}

static int check(scene *at, char said[ACT_TEXT])
{
    unsigned findings = 0;
    int rc = idem_check(at->faulty, count_finding, &findings, &at->err);
    (void)snprintf(said, ACT_TEXT, "%d: %u findings", rc, findings);
    return rc;
}

/* ------------------------------------------------------------------------------------ stored */

/* The record as everybody sees it, and whose it is, as its owner finds out. */
void act_stored(const scene *at, char text[ACT_TEXT])
{
    idem_record record = {0};
    idem_claim *claim = NULL;
    int rc = idem_get(at->sound, key(), &record, NULL);
    (void)describe(rc, &record, text);
    idem_record_clear(&record);
    size_t len = strlen(text);
    bool mine = idem_resume(at->sound, key(), MINE, &claim, NULL) == IDEM_OK;
    idem_claim_free(claim);
    bool others = idem_resume(at->sound, key(), OTHERS, &claim, NULL) == IDEM_OK;
    if (others)
        idem_claim_free(claim);
    (void)snprintf(text + len, ACT_TEXT - len, " of %s",
                   mine && others ? "two"
                   : mine         ? "me"
                   : others       ? "another"
                                  : "nobody");
}

const act acts[] = {
    {.name = "begin new", .set_up = nothing_there, .call = begin},
    {.name = "begin in progress", .set_up = others_live, .call = begin},
    {.name = "begin completed", .set_up = others_completed, .call = begin},
    {.name = "begin takes over", .set_up = others_expired, .call = begin},
    {.name = "begin in doubt", .set_up = others_expired, .call = begin_no_takeover},
    {.name = "begin mismatch", .set_up = others_live, .call = begin_otherwise},
    {.name = "begin again", .set_up = mine_live, .call = begin},
    {.name = "complete", .set_up = mine_live, .call = complete},
    {.name = "complete with bytes", .set_up = mine_live, .call = complete_bytes},
    {.name = "complete late", .set_up = mine_expired, .call = complete},
    {.name = "complete again", .set_up = mine_completed, .call = complete},
    {.name = "complete lost", .set_up = mine_lost, .call = complete},
    {.name = "complete stale", .set_up = mine_renewed_elsewhere, .call = complete},
    {.name = "renew", .set_up = mine_live, .call = renew},
    {.name = "renew lost", .set_up = mine_lost, .call = renew},
    {.name = "checkpoint", .set_up = mine_live, .call = checkpoint},
    {.name = "release", .set_up = mine_live, .call = release},
    {.name = "release lost", .set_up = mine_lost, .call = release},
    {.name = "resume", .set_up = mine_live, .call = resume},
    {.name = "get", .set_up = others_completed, .call = get},
    {.name = "forget", .set_up = others_live, .call = forget},
    {.name = "forget by force", .set_up = others_live, .call = forget_any, .by_force = true},
    {.name = "forget expired", .set_up = others_expired, .call = forget_expired},
    {.name = "forget live, only if expired", .set_up = others_live, .call = forget_expired},
    {.name = "settle", .set_up = others_expired, .call = settle, .told_once = true},
    {.name = "settle live", .set_up = others_live, .call = settle},
    {.name = "scan", .needs = IDEM_TRAIT_SCAN, .set_up = others_live, .call = scan},
    {.name = "purge", .needs = IDEM_TRAIT_PURGE, .set_up = others_live, .call = purge},
    {.name = "check", .set_up = nothing_there, .call = check},
};
const size_t acts_count = sizeof acts / sizeof acts[0];
