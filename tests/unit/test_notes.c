/* SPDX-License-Identifier: MIT */
/* Events that are noted and told later: copies, in their order. */
#include "notes.h"

#include "runner.h"

#include <stdio.h>
#include <string.h>

static void add(idem__notes *notes, int number)
{
    char key[16];
    char message[32];
    (void)snprintf(key, sizeof key, "key-%d", number);
    (void)snprintf(message, sizeof message, "message %d", number);
    idem_event event = {.kind = IDEM_EVENT_RETRY,
                        .code = number,
                        .key = {key, number ? strlen(key) : 0},
                        .message = message};
    idem__notes_add(notes, &event);
    memset(key, '#', sizeof key); /* what the event was made of may be gone when it is told */
    memset(message, '#', sizeof message);
}

static void assert_next(idem__notes *notes, int number)
{
    char key[16];
    char message[32];
    idem__note *note = idem__notes_take(notes);
    ck_assert_ptr_nonnull(note);
    const idem_event *event = idem__note_event(note);
    (void)snprintf(key, sizeof key, "%s%.0d", number ? "key-" : "", number);
    (void)snprintf(message, sizeof message, "message %d", number);
    ck_assert_int_eq(event->kind, IDEM_EVENT_RETRY);
    ck_assert_int_eq(event->code, number);
    ck_assert_uint_eq(event->key.len, strlen(key));
    ck_assert_int_eq(memcmp(event->key.data, key, strlen(key)), 0);
    ck_assert_str_eq(event->message, message);
    idem__note_free(note);
}

START_TEST(events_are_told_in_the_order_in_which_they_came)
{
    idem__notes notes = {NULL, NULL};
    ck_assert_ptr_null(idem__notes_take(&notes));
    for (int i = 0; i < 3; i++)
        add(&notes, i);
    assert_next(&notes, 0);
    add(&notes, 3);
    for (int i = 1; i < 4; i++)
        assert_next(&notes, i);
    ck_assert_ptr_null(idem__notes_take(&notes));
    add(&notes, 4);
    assert_next(&notes, 4);
}
END_TEST

START_TEST(all_can_be_moved_behind_others)
{
    idem__notes some = {NULL, NULL};
    idem__notes others = {NULL, NULL};
    idem__notes_move(&some, &others);
    ck_assert_ptr_null(idem__notes_take(&some));
    add(&others, 1);
    idem__notes_move(&some, &others);
    add(&others, 2);
    add(&others, 3);
    idem__notes_move(&some, &others);
    add(&some, 4);
    ck_assert_ptr_null(idem__notes_take(&others));
    for (int i = 1; i < 5; i++)
        assert_next(&some, i);
    ck_assert_ptr_null(idem__notes_take(&some));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notes");
    ADD(suite, events_are_told_in_the_order_in_which_they_came);
    ADD(suite, all_can_be_moved_behind_others);
    return run_suite(suite);
}
