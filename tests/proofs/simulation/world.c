/* SPDX-License-Identifier: MIT */
/*
 * The world's turns: which caller goes on, how far the clock moves, which late request arrives,
 * who crashes, what strangers leave in the store. After the history's last step the faults end,
 * and every call that is under way has to come to its end.
 */
#include "world.h"

#include <stdarg.h>

#define START_MS    1000u
#define QUIET_STEPS 40u /* more than any call needs for itself */

/* -------------------------------------------------------------------------------------- words */

const char *world_breach_text(breach what)
{
    static const char *const texts[] = {"nothing",
#define BREACH(name, text) text,
                                        BREACHES(BREACH)
#undef BREACH
    };
    return texts[what];
}

unsigned world_token_number(const uint8_t token[IDEM_TOKEN_SIZE])
{
    return (unsigned)token[IDEM_TOKEN_SIZE - 2] << 8 | token[IDEM_TOKEN_SIZE - 1];
}

const char *world_record_text(const ground_record *record, char buf[160])
{
    static const char *const states[] = {"nothing", "InProgress", "Completed", "garbage"};
    const short_text *const texts[] = {&record->fingerprint, &record->response,
                                       &record->checkpoint};
    static const char *const names[] = {"fingerprint", "response", "checkpoint"};
    size_t len = (size_t)snprintf(buf, 160, "%s", states[record->state]);
    if (record->state == ABSENT || record->state == GARBAGE)
        return buf;
    len +=
        (size_t)snprintf(buf + len, 160 - len,
                         " (version %llu, token %u, attempt %u, created %lld, lease %llu, "
                         "ttl %llu",
                         (unsigned long long)record->version, world_token_number(record->token),
                         record->attempt, (long long)record->created_at_ms,
                         (unsigned long long)record->lease_ms, (unsigned long long)record->ttl_ms);
    for (size_t i = 0; i < 3 && len < 160; i++) {
        if (texts[i]->len > 0)
            len += (size_t)snprintf(buf + len, 160 - len, ", %s %.*s", names[i], (int)texts[i]->len,
                                    texts[i]->data);
    }
    if (len < 160)
        (void)snprintf(buf + len, 160 - len, ")");
    return buf;
}

void world_say(const world *made, const char *format, ...)
{
    va_list args;
    if (!made->rules.trace)
        return;
    (void)fprintf(made->rules.trace, "  %3zu  t=%-5llu ", made->at_step,
                  (unsigned long long)made->truth.now_ms);
    va_start(args, format);
    (void)vfprintf(made->rules.trace, format, args);
    va_end(args);
    (void)fputc('\n', made->rules.trace);
}

void world_breach(world *made, breach what, const char *format, ...)
{
    va_list args;
    if (made->breach != BREACH_NONE)
        return;
    made->breach = what;
    va_start(args, format);
    (void)vsnprintf(made->finding, sizeof made->finding, format, args);
    va_end(args);
    world_say(made, "BROKEN: %s: %s", world_breach_text(what), made->finding);
}

/* --------------------------------------------------------------------------------------- turns */

static void move_clock(world *made, uint64_t by_ms)
{
    made->truth.now_ms += by_ms;
    made->model.now_ms = made->truth.now_ms;
    world_say(made, "%llu ms pass", (unsigned long long)by_ms);
}

/* How long until something of this record ends, give or take a millisecond; 0 if nothing does. */
static uint64_t until_the_end(const world *made, const step *now)
{
    ground_record there = ground_look(&made->model, now->word[2] % made->keys_count);
    uint64_t end_ms = there.until_ms;
    if (there.state == ABSENT)
        return 0;
    if (there.state == IN_PROGRESS && now->word[3] % 4 != 3)
        end_ms = there.stored_ms + there.lease_ms;
    end_ms = end_ms + now->word[4] % 3u - 1;
    return end_ms > made->truth.now_ms ? end_ms - made->truth.now_ms : 0;
}

static void pass_time(world *made, const step *now)
{
    uint64_t by_ms = now->word[1] % 3 == 2 ? until_the_end(made, now) : 0;
    if (by_ms == 0)
        by_ms = 1 + now->word[5] % (now->word[1] % 3 == 0 ? 4u : 40u);
    move_clock(made, by_ms);
}

static void plant(world *made, size_t key, const ground_record *record, uint64_t live_ms)
{
    char text[160];
    ground_plant(&made->truth, key, record, live_ms);
    ground_plant(&made->model, key, record, live_ms);
    world_say(made, "a stranger leaves %s at k%zu for %llu ms", world_record_text(record, text),
              key, (unsigned long long)live_ms);
}

/* Somebody opens a record in an editor, and saves it: it says the same in other bytes. */
static void seal(world *made, size_t key)
{
    made->truth.at[key].sealed = true;
    made->model.at[key].sealed = true;
    world_say(made, "a stranger rewrites k%zu by hand", key);
}

/* Garbage over whatever is there; or a record of the older format, whose writers claim a key
   only if it is absent, and complete what is theirs. */
static void stranger(world *made, const step *now)
{
    size_t key = now->word[2] % made->keys_count;
    uint64_t live_ms = 20 + now->word[3] % 80u;
    ground_record there = ground_look(&made->model, key);
    ground_record left = {.state = GARBAGE};
    bool ours = there.state == IN_PROGRESS || there.state == COMPLETED;
    if (ours && !table_tokenless(&there) && now->word[4] % 2 == 1) {
        seal(made, key);
        return;
    }
    if (now->word[1] % 4 != 3) {
        bool theirs = there.state == IN_PROGRESS && table_tokenless(&there);
        if (there.state != ABSENT && !theirs)
            return;
        left.state = theirs ? COMPLETED : IN_PROGRESS;
        left.attempt = 1;
        left.ttl_ms = live_ms;
        if (theirs)
            left.response = text_of(idem_str("\"older\""));
    }
    plant(made, key, &left, live_ms);
}

/* The store comes back without a record, as after a restart without persistence. */
static void lose(world *made, const step *now)
{
    size_t key = now->word[2] % made->keys_count;
    ground_record nothing = {.state = ABSENT};
    for (size_t i = 0; i < made->callers_count; i++) {
        if (made->callers[i].claims[key])
            made->counts->situations[SAW_STORE_LOST_CLAIM]++;
    }
    ground_plant(&made->truth, key, &nothing, 0);
    ground_plant(&made->model, key, &nothing, 0);
    world_say(made, "the store loses k%zu", key);
}

static void crash(world *made, const step *now)
{
    caller *who = &made->callers[now->word[1] % made->callers_count];
    bool keeps_tokens = now->word[2] % 2 == 0;
    world_say(made, "caller %zu crashes%s", who->number,
              keeps_tokens ? " and comes back with its tokens" : "");
    caller_crash(made, who, keeps_tokens);
}

static bool keeper_turn(world *made, const step *now)
{
    caller *who = &made->callers[now->word[1] % made->callers_count];
    return keeper_step(made, who, now->word[6] % made->keys_count, now);
}

static void turn(world *made, const step *now)
{
    unsigned draw = now->word[0] % 200u;
    if (draw >= 197)
        crash(made, now);
    else if (draw >= 194 && made->outsiders)
        stranger(made, now);
    else if (draw >= 191 && made->loses)
        lose(made, now);
    else if ((draw == 189 || draw == 190) && made->falls_silent)
        sending_silence(made, now->word[1] % 2);
    else if (draw >= 165)
        pass_time(made, now);
    else if (draw >= 145 && made->strays_count > 0)
        sending_arrive(made, now->word[1] % made->strays_count);
    else if (draw < 120 || !made->keeps || !keeper_turn(made, now))
        caller_step(made, &made->callers[now->word[1] % made->callers_count], now);
}

/* ------------------------------------------------------------------------------- a whole world */

static void set_faults(world *made, unsigned kind)
{
    /* in a thousand: -, lost request, lost reply, late, refused, refused for good, full */
    static const unsigned rates[][FAULTS_COUNT] = {{0, 10, 20, 10, 10, 2, 2},
                                                   {0, 40, 80, 80, 40, 5, 5},
                                                   {0, 100, 150, 150, 60, 10, 10},
                                                   {0, 20, 60, 300, 20, 5, 5}};
    memcpy(made->fault_rate, rates[kind], sizeof made->fault_rate);
}

static void set_up(world *made, const step *first)
{
    rules kept = made->rules;
    counts *counted = made->counts;
    memset(made, 0, sizeof *made);
    made->rules = kept;
    made->counts = counted;
    made->callers_count = 2 + first->word[0] % (CALLERS_MAX - 1);
    made->keys_count = 1 + first->word[1] % GROUND_KEYS;
    made->batch_max = first->word[2] % 2 == 0 ? 1 : 2 + first->word[3] % (BATCH_CALLS - 1);
    made->leaves = first->word[2] / 2 % 2 == 1;
    made->keeps = first->word[2] / 16 % 2 == 1;
    made->falls_silent = first->word[2] / 8 % 2 == 1;
    made->any_order = first->word[2] / 4 % 2 == 1;
    made->read_first = first->word[4] % 2 == 1;
    made->outsiders = first->word[5] % 3 == 2;
    made->loses = first->word[7] % 3 == 2;
    set_faults(made, first->word[6] % 4);
    made->truth.now_ms = made->model.now_ms = START_MS;
    for (size_t i = 0; i < made->callers_count; i++) {
        made->callers[i].number = i;
        made->callers[i].wall_skew_ms = ((int64_t)(first->word[8 + i] % 5) - 2) * 3600000;
    }
}

/* Lets a caller alone until it is done. */
static void finish(world *made, caller *who)
{
    static const step no_choice;
    for (size_t key = 0; key < made->keys_count; key++) {
        for (unsigned i = 0; i < QUIET_STEPS && keeper_step(made, who, key, &no_choice); i++)
            oracle_compare(made);
    }
    for (unsigned i = 0; who->phase != IDLE && made->breach == BREACH_NONE; i++) {
        if (i == QUIET_STEPS) {
            world_breach(made, BREACH_ENDLESS,
                         "caller %zu is alone, nothing fails, and its call does not end",
                         who->number);
            return;
        }
        caller_step(made, who, &no_choice);
        oracle_compare(made);
    }
}

static void calm_down(world *made)
{
    made->calm = true;
    world_say(made, "no more faults");
    while (made->strays_count > 0 && made->breach == BREACH_NONE)
        sending_arrive(made, made->strays_count - 1);
    for (size_t i = 0; i < made->callers_count; i++)
        finish(made, &made->callers[i]);
}

bool world_run(world *made, const step *steps, size_t count)
{
    made->at_step = 0;
    set_up(made, &steps[0]);
    for (size_t i = 1; i < count && made->breach == BREACH_NONE; i++) {
        made->at_step = i;
        turn(made, &steps[i]);
        oracle_compare(made);
        made->counts->steps++;
    }
    if (made->breach == BREACH_NONE)
        calm_down(made);
    counts unheeded;
    memset(&unheeded, 0, sizeof unheeded);
    counts *counted = made->counts;
    made->counts = &unheeded; /* what ends with the world is no crash */
    for (size_t i = 0; i < made->callers_count; i++)
        caller_crash(made, &made->callers[i], false);
    made->counts = counted;
    made->counts->histories++;
    return made->breach == BREACH_NONE;
}
