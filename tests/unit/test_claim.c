/* SPDX-License-Identifier: MIT */
/* What a claim remembers of its record: copies, which outlive what they were made of and those who
   read them. */
#include "claim.h"

#include "runner.h"
#include "store.h"

static idem_store store = {.id = 7, .prefix = {"shop:", 5}};
static idem_claim *claim;
static char key[] = "charge-42";
static char print[] = "fingerprint";

static idem_bytes bytes(const char *text)
{
    return idem_str(text);
}

static bool is(idem_bytes given, const char *text)
{
    return given.len == strlen(text) && memcmp(given.data, text, given.len) == 0;
}

static void set_up(void)
{
    memcpy(key, "charge-42", sizeof key);
    ck_assert_int_eq(idem__claim_new(&store, bytes(key), bytes(print), &claim, NULL), IDEM_OK);
}

static void tear_down(void)
{
    idem__claim_drop(claim);
}

/* A record as an operation gives it: its bytes are the reply's, which goes away. */
static idem_record reply(uint64_t version, const char *checkpoint)
{
    return (idem_record){.key = bytes("shop:charge-42"),
                         .fingerprint = bytes(print),
                         .checkpoint = checkpoint ? bytes(checkpoint) : (idem_bytes){NULL, 0},
                         .status = IDEM_STATUS_IN_PROGRESS,
                         .attempt = 3,
                         .lease_ms = 5000,
                         .version = version,
                         .token = "0123456789abcde"};
}

START_TEST(its_key_is_a_copy_with_the_prefix_and_the_caller_sees_it_without)
{
    memset(key, 'x', sizeof key - 1);
    ck_assert(is(claim->held.key, "shop:charge-42"));
    ck_assert(is(idem__claim_key(claim), "charge-42"));
    ck_assert(is(claim->held.fingerprint, print));
    ck_assert_ptr_ne(claim->held.fingerprint.data, print);
    ck_assert_uint_eq(claim->store_id, 7);
    ck_assert(!idem_claim_lost(claim));
}
END_TEST

START_TEST(numbers_are_taken_in_without_a_block_of_bytes)
{
    idem_record held = reply(11, NULL);
    idem__claim_take(claim, &held);
    ck_assert_uint_eq(claim->held.version, 11);
    ck_assert_uint_eq(claim->held.attempt, 3);
    ck_assert_mem_eq(idem_claim_token(claim), held.token, IDEM_TOKEN_SIZE);
    ck_assert_ptr_null(claim->bytes);
    ck_assert_ptr_ne(claim->held.key.data, held.key.data);
    ck_assert(!claim->stale);
}
END_TEST

START_TEST(a_checkpoint_is_copied)
{
    char text[] = "{\"page\":7}";
    idem_record held = reply(12, text);
    idem__claim_take(claim, &held);
    memset(text, 'x', sizeof text - 1);
    ck_assert(is(claim->held.checkpoint, "{\"page\":7}"));
    ck_assert(is(idem__claim_key(claim), "charge-42"));
    ck_assert(is(claim->held.fingerprint, print));
    ck_assert_ptr_nonnull(claim->bytes);
}
END_TEST

/* A record of another caller's may have another fingerprint than the one that the claim was made
   with: what is there counts. */
START_TEST(a_fingerprint_of_another_length_is_taken_as_it_is_there)
{
    idem_record held = reply(13, NULL);
    held.fingerprint = bytes("of another length");
    idem__claim_take(claim, &held);
    ck_assert(is(claim->held.fingerprint, "of another length"));
}
END_TEST

START_TEST(a_call_keeps_the_bytes_that_it_was_given)
{
    idem_record first;
    idem__claim_news news;
    idem_record held = reply(14, "{\"page\":1}");
    idem__claim_take(claim, &held);
    idem__claim_bytes *kept = idem__claim_hold(claim, &first);
    held = reply(15, "{\"page\":2}");
    idem__claim_news_make(&news, claim, &held, kept);
    ck_assert(news.whole);
    idem__claim_take_news(claim, &news);
    idem__claim_news_clear(&news); /* the claim's own reference to the first is gone */
    ck_assert(is(first.checkpoint, "{\"page\":1}"));
    ck_assert(is(claim->held.checkpoint, "{\"page\":2}"));
    ck_assert_uint_eq(claim->held.version, 15);
    idem__claim_release_bytes(kept);
}
END_TEST

START_TEST(a_renewal_shares_the_bytes)
{
    idem_record now;
    idem__claim_news news;
    idem_record held = reply(16, "{\"page\":1}");
    idem__claim_take(claim, &held);
    idem__claim_bytes *kept = idem__claim_hold(claim, &now);
    now.version = 17;
    idem__claim_news_make(&news, claim, &now, kept);
    ck_assert_ptr_eq(news.bytes, kept);
    idem__claim_take_news(claim, &news);
    idem__claim_news_clear(&news);
    idem__claim_release_bytes(kept);
    ck_assert_ptr_eq(claim->bytes, kept);
    ck_assert_uint_eq(atomic_load(&kept->refs), 1);
    ck_assert_uint_eq(claim->held.version, 17);
    ck_assert(is(claim->held.checkpoint, "{\"page\":1}"));
}
END_TEST

START_TEST(news_that_had_no_memory_make_it_stale_and_change_nothing)
{
    idem_record held = reply(18, "{\"page\":1}");
    idem__claim_news news = {.whole = false};
    idem__claim_take(claim, &held);
    idem__claim_take_news(claim, &news);
    ck_assert(claim->stale);
    ck_assert_uint_eq(claim->held.version, 18);
    ck_assert(is(claim->held.checkpoint, "{\"page\":1}"));
    idem__claim_take(claim, &held);
    ck_assert(!claim->stale);
}
END_TEST

START_TEST(the_last_reference_frees_it)
{
    (void)atomic_fetch_add(&claim->refs, 1);
    idem__claim_drop(claim);
    ck_assert_uint_eq(atomic_load(&claim->refs), 1);
    ck_assert(is(idem__claim_key(claim), "charge-42"));
}
END_TEST

START_TEST(a_retention_is_bounded_and_0_leaves_it)
{
    idem_claim_set_ttl(claim, 5000);
    ck_assert_uint_eq(claim->ttl_ms, 5000);
    idem_claim_set_ttl(claim, 0);
    ck_assert_uint_eq(claim->ttl_ms, 5000);
    idem_claim_set_ttl(claim, UINT64_MAX);
    ck_assert_uint_eq(claim->ttl_ms, IDEM_DURATION_MAX_MS);
    idem_claim_set_ttl(NULL, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claim");
    ADD_HERE(suite, its_key_is_a_copy_with_the_prefix_and_the_caller_sees_it_without, 1);
    ADD_HERE(suite, numbers_are_taken_in_without_a_block_of_bytes, 1);
    ADD_HERE(suite, a_checkpoint_is_copied, 1);
    ADD_HERE(suite, a_fingerprint_of_another_length_is_taken_as_it_is_there, 1);
    ADD_HERE(suite, a_call_keeps_the_bytes_that_it_was_given, 1);
    ADD_HERE(suite, a_renewal_shares_the_bytes, 1);
    ADD_HERE(suite, news_that_had_no_memory_make_it_stale_and_change_nothing, 1);
    ADD_HERE(suite, the_last_reference_frees_it, 1);
    ADD_HERE(suite, a_retention_is_bounded_and_0_leaves_it, 1);
    return run_suite(suite);
}
