/* SPDX-License-Identifier: MIT */
/*
 * The protocol of one key, for Spin: callers that run core/protocol/protocol.c's state machine over one record,
 * and an environment that loses replies, delays requests, and lets leases and retention end. A step
 * is one operation of the store together with what the protocol makes of its answer; between two
 * steps anybody may pause for ever. Nothing counts: calls, losses, renewals and takeovers may go on
 * without end, so what is bounded is how many callers there are, and how many requests are late at
 * the same time. README.md says which part stands for which function, and why it is enough.
 *
 * Set with -D: CALLERS; LATE, requests under way that were given up; SHARED, how many of the callers, the
 * first ones, have one token; DETAIL, every step of a call that fails, checkpoints, and begins that
 * look first; FRESH, callers take fresh tokens; REINSTATE, claims put back what the store has lost; OPERATOR,
 * somebody settles and forgets what has expired; PLAIN, versions as plain numbers; PROGRESS, for the formula.
 */
#ifndef CALLERS
#define CALLERS 3
#endif
#ifndef LATE
#define LATE 1
#endif
#ifndef SHARED
#define SHARED 1
#endif
#ifndef DETAIL
#define DETAIL 0
#endif
#ifndef FRESH
#define FRESH 0
#endif
#ifndef REINSTATE
#define REINSTATE 0
#endif
#ifndef OPERATOR
#define OPERATOR 0
#endif

/* ---------------------------------------------------------------------------------- the mutants */

#define NONE 0
#define REUSED_VERSION 1       /* a repeat keeps the version of the write that it repeats */
#define RENEWAL_KEEPS 2        /* a renewal keeps the record's version */
#define VERSION_RESTARTS 3     /* every takeover stamps the same version */
#define COMPLETE_UNCHECKED 4   /* complete replaces whatever is there */
#define TAKEOVER_UNCHECKED 5   /* so does a takeover */
#define RELEASE_UNCHECKED 6    /* release removes whatever is there */
#define ABSENT_IS_NEW 7        /* begin believes an absent key to be its own */
#define RENEWAL_UNCHECKED 8    /* renew and checkpoint replace whatever is there */
#define LEASE_IGNORED 9        /* begin takes over a claim whose lease is live */
#define MINE_IGNORED 10        /* begin does not know its own token */
#define MINE_FIRST 11          /* begin looks at the token before the status */
#define OTHERS_ADOPTED 12      /* a claim's call goes on from a record of another token */
#define COMPLETED_ADOPTED 13   /* a claim's call goes on from a completed record */
#define NOTHING_ADOPTED 14     /* a claim's call does not go on from what it found */
#define RELEASE_GIVES_UP 15    /* neither does release, which is content with that */
#define OWN_REPLY_LOST 16      /* complete does not know its own completed record */
#define ANYBODYS_COMPLETE 17   /* complete takes anybody's completed record for its own */
#define ENDED_REPLACED 18      /* a resumed claim that is completed is changed by its version */
#define ENDED_REMOVED 19       /* such a claim is released by its version */
#define DOUBT_FORGOTTEN 20     /* a lost reply is forgotten when the repeat changed nothing */
#define CHECKPOINT_DROPPED 21  /* a takeover leaves the checkpoint behind */
#define TAKEOVER_AGAIN 22      /* a takeover that failed is repeated without looking anew */
#define ENDED_REMEMBERED 23    /* a claim takes in the record that its complete wrote */
#define FORGETFUL_CLAIM 24     /* a claim does not take in what its renewal wrote */
#define ADOPTED_IN_NAME 25     /* a claim's call goes on, but expects the version that it held */
#define LEASE_KEPT 26          /* begin tells New of its own claim though the lease has ended */
#define REINSERT_UNCHECKED 27  /* a reinstatement replaces whatever is there */
#define ENDED_REINSTATED 28    /* a claim that its owner has ended is put back */
#define REINSERT_FORGETS 29    /* a reinstatement leaves the checkpoint behind */
#define LATE_REINSERT 30       /* none: asks what a late reinstatement can do */
#define SETTLE_UNCHECKED 31    /* settle completes whatever is there */
#define FORGET_UNCHECKED 32    /* forget, only if expired, removes whatever is there */

/* Which one is built in: the verifier reads its number from the environment, so that it is compiled
   once for all of them. */
#define MUTANT mutant
hidden byte mutant;
c_decl {
    \#include <stdlib.h>
};

/* ------------------------------------------------------------------------------- the guarantees */

/* What an assertion is about stands in its text, by the name of a variable that is always false. */
hidden byte guarantee_1, guarantee_2, guarantee_3, guarantee_4, guarantee_5, guarantee_6, table, ended_stays;
#define ONE_LIVE_CLAIM(holds) assert((holds) || guarantee_1)
#define RESPONSE_STAYS(holds) assert((holds) || guarantee_2)
#define TAKEN_IS_TAKEN(holds) assert((holds) || guarantee_3)
#define CHECKPOINT_KEPT(holds) assert((holds) || guarantee_4)
#define NOT_LOCKED_OUT(holds) assert((holds) || guarantee_5)
#define HONEST_ERROR(holds) assert((holds) || guarantee_6)
#define AS_SPECIFIED(holds) assert((holds) || table)
/* What its owner has ended does not come back, unless by a request that is late. */
#define ENDED_STAYS(holds) assert((holds) || (LATE > 0 && MUTANT != LATE_REINSERT) || ended_stays)

/* -------------------------------------------------------------------------------------- the state */

mtype = { none,
    begin, begin_no_takeover, resume, complete, renew, checkpoint, release, /* calls */
    insert, takeover, change, remove, get, reinsert,                        /* operations */
    settle_it, forget_it,                                                   /* an operator's */
    new_claim, in_progress, completed, in_doubt,                            /* outcomes */
    ok, failed };

#define TOKEN(i) ((i) < SHARED -> 0 : (i))
#define DEAD(i) (CALLERS + (i)) /* the token that caller i had before its fresh one */
#define OPERATORS (2 * CALLERS) /* an operator's token, and his response */
#define GONE 0                  /* a version that the record had and can't have again */

typedef Record {
    mtype status; /* none: absent; in_progress; completed */
    bool expired; /* the lease ran out */
    byte token;
    byte version;
    bool has_checkpoint;
    byte response /* whose */
};

typedef Caller {
    /* idem_claim: what the caller holds between its calls */
    bool claims;
    byte claim_version;
    bool claim_checkpoint;
    bool claim_ended;
    bool claim_reinstates;
    bool gave_back; /* its last claim ended by release, and it has begun nothing since */

    /* idem__call: the call under way */
    mtype call;
    mtype op;
    byte version; /* held.version; in begin seen.version: what the operation expects */
    bool text;    /* held.checkpoint; in begin seen.checkpoint */
    bool ended;   /* held.status is completed */
    bool doubt;

    bool changed; /* not the caller's to know: an operation of this call was carried out */
    byte sent     /* REUSED_VERSION: the version of the last write */
};

/* A write that its sender has given up, and that may still arrive. */
typedef Request {
    mtype op; /* none: there is none */
    mtype call;
    byte token;
    byte sender;
    byte expected;
    byte version; /* PLAIN only: elsewhere it is drawn on arrival, since nobody can see it before */
    bool has_checkpoint
};

/* What an operator has seen and is about to decide. */
mtype operator;
byte operator_version;

Record rec;
Caller caller[CALLERS];
Request late[LATE + 1]; /* the last one is never used: an array has at least one element */

/* What was promised to a caller whose complete returned ok. */
bool promised;
byte promised_token;
byte promised_response;

#ifdef PROGRESS
bool moved; /* in the last step a call ended, or the network failed somebody */
#define MOVED(value) moved = value
#else
#define MOVED(value) skip
#endif

#define ME caller[i]

/* Scratch within one step; 0 between steps or never read before it is written. */
hidden byte k;
hidden byte taken;

/* The operation that is being carried out, and whether it changed the record. */
hidden byte actor; /* which caller; CALLERS: none of them */
hidden byte store_op;
hidden byte store_call;
hidden byte store_token;
hidden byte store_sender;
hidden byte store_actor; /* who sent it */
hidden byte store_expected;
hidden byte store_checkpoint;
hidden byte stamp;
hidden byte applied;

/* ---------------------------------------------------------------------------------- the versions */

inline clear_request(r)
{
    late[r].op = none;
    late[r].call = none;
    late[r].token = 0;
    late[r].sender = 0;
    late[r].expected = GONE;
    late[r].version = 0;
    late[r].has_checkpoint = false
}

#ifdef PLAIN
/* The smallest number that nobody remembers is as good as one never used before. */
#define VERSIONS (1 + 3 * CALLERS + 2 * LATE + 2)
inline draw()
{
    stamp = (MUTANT == VERSION_RESTARTS -> 2 : 1);
    do
    :: stamp < VERSIONS ->
        taken = (rec.status != none && rec.version == stamp);
        k = 0;
        do
        :: k < CALLERS ->
            taken = taken || caller[k].claim_version == stamp || caller[k].version == stamp ||
                caller[k].sent == stamp;
            k++
        :: else -> break
        od;
        k = 0;
        do
        :: k < LATE ->
            taken = taken || (late[k].op != none &&
                (late[k].expected == stamp || late[k].version == stamp));
            k++
        :: else -> break
        od;
        if
        :: taken -> stamp++
        :: else -> break
        fi
    :: else -> assert(false) /* VERSIONS is too small */
    od
}
inline leave_version() { skip }
#else
/* A version that has left the record never comes back: whoever remembers it remembers nothing, and a
   request that expects it can be forgotten. Then 1 is free again. Without DETAIL a call that expects it
   ends as well: its operation could only fail, and lead to what the caller gets by calling anew. */
inline draw() { stamp = 1 }
inline leave_version()
{
    k = 0;
    do
    :: k < CALLERS ->
        if
        :: caller[k].claims ->
            caller[k].claim_version = GONE;
            caller[k].claim_checkpoint = REINSTATE && caller[k].claim_checkpoint
        :: else
        fi;
        if
        :: caller[k].op == takeover || caller[k].op == change || caller[k].op == remove ->
            caller[k].version = GONE;
            caller[k].text = REINSTATE && caller[k].text;
            if
            :: !DETAIL && k != actor -> caller[k].call = none; caller[k].op = none
            :: else
            fi
        :: else
        fi;
        k++
    :: else -> break
    od;
    k = 0;
    do
    :: k < LATE ->
        if
        :: late[k].op != none && late[k].op != insert && late[k].op != reinsert -> clear_request(k)
        :: else
        fi;
        k++
    :: else -> break
    od;
    operator_version = GONE
}
#endif

/* ------------------------------------------------------------------------------------- the store */

inline make_absent()
{
    if
    :: rec.status != none -> leave_version()
    :: else
    fi;
    rec.status = none;
    rec.expired = false;
    rec.token = 0;
    rec.version = GONE;
    rec.has_checkpoint = false;
    rec.response = 0;
    promised = false;
    promised_token = 0;
    promised_response = 0
}

#define UNCHECKED \
    ((MUTANT == COMPLETE_UNCHECKED && store_call == complete) || \
     (MUTANT == TAKEOVER_UNCHECKED && store_op == takeover) || \
     (MUTANT == RELEASE_UNCHECKED && store_op == remove) || \
     (MUTANT == RENEWAL_UNCHECKED && (store_call == renew || store_call == checkpoint)))

#define INSERTS (store_op == insert || (store_op == reinsert && MUTANT != REINSERT_UNCHECKED))

/* The store's compare. */
#define MATCHES \
    (INSERTS -> rec.status == none : (store_op == reinsert || \
        (store_op != get && rec.status != none && (rec.version == store_expected || UNCHECKED))))

/* What must be true whenever an operation changes a record that is there. */
inline may_change()
{
    TAKEN_IS_TAKEN(store_op == takeover || rec.token == store_token);
    RESPONSE_STAYS(rec.status != completed && !promised);
    ONE_LIVE_CLAIM(store_op != takeover || rec.expired || rec.token == store_token);
    CHECKPOINT_KEPT((store_op != takeover && store_call != renew) || rec.has_checkpoint == store_checkpoint)
}

inline put()
{
    ENDED_STAYS(store_op != reinsert || !caller[store_actor].gave_back);
    if
    :: rec.status != none && !(MUTANT == RENEWAL_KEEPS && store_call == renew) -> leave_version()
    :: else
    fi;
    rec.version = (MUTANT == RENEWAL_KEEPS && store_call == renew -> rec.version :
        (MUTANT == VERSION_RESTARTS && store_op == takeover -> 1 : stamp));
    rec.status = (store_call == complete -> completed : in_progress);
    rec.expired = false;
    rec.token = store_token;
    rec.has_checkpoint = (store_call == checkpoint ||
        (store_call != complete && store_op != insert && store_checkpoint &&
            !(store_op == reinsert && MUTANT == REINSERT_FORGETS)));
    rec.response = (store_call == complete -> store_sender : 0)
}

inline store()
{
    applied = MATCHES;
    if
    :: applied && rec.status != none -> may_change()
    :: else
    fi;
    if
    :: applied && store_op == remove -> make_absent()
    :: applied && store_op != remove -> put()
    :: else
    fi
}

/* ---------------------------------------------------------------------------------- the protocol */

#define MINE (rec.token == TOKEN(i))

inline end_call()
{
    ME.call = none;
    ME.op = none;
    ME.version = GONE;
    ME.text = false;
    ME.ended = false;
    ME.doubt = false;
    ME.changed = false;
    ME.sent = 0;
    MOVED(true)
}

/* first_op(): a begin looks first in some stores and inserts at once in others. */
inline first_op()
{
    if
    :: ME.call == begin || ME.call == begin_no_takeover ->
        ME.version = GONE;
        ME.text = false;
        if
        :: ME.op = insert
        :: DETAIL -> ME.op = get
        fi
    :: ME.call == resume -> ME.op = get
    :: ME.call == release ->
        ME.op = (ME.ended && MUTANT != ENDED_REMOVED -> get : remove)
    :: else ->
        ME.op = (ME.ended && MUTANT != ENDED_REPLACED -> get : change)
    fi
}

/* again() */
inline repeat()
{
    if
    :: MUTANT == TAKEOVER_AGAIN && ME.op == takeover
    :: else -> first_op()
    fi
}

/* idem__claim_new(), idem__claim_take_news() with the record as it is now. */
inline take_claim()
{
    ME.claims = true;
    ME.claim_ended = (rec.status == completed);
    ME.claim_version = rec.version;
    ME.claim_checkpoint = rec.has_checkpoint
}

/* What begin tells its caller. */
inline outcome(what)
{
    ONE_LIVE_CLAIM(what != new_claim || (rec.status == in_progress && MINE));
    RESPONSE_STAYS(!promised || (what == completed && rec.response == promised_response));
    NOT_LOCKED_OUT((what != in_progress && what != in_doubt) || !MINE);
    AS_SPECIFIED(what != new_claim || MUTANT == ABSENT_IS_NEW || !rec.expired);
    if
    :: what == new_claim ->
        take_claim();
        ME.claim_reinstates = REINSTATE;
        ME.gave_back = false
    :: else
    fi;
    end_call()
}

/* judge() */
inline judge()
{
    if
    :: rec.status == completed && !(MUTANT == MINE_FIRST && MINE) -> outcome(completed)
    :: else ->
        if
        :: MINE && MUTANT != MINE_IGNORED && (!rec.expired || MUTANT == LEASE_KEPT) -> outcome(new_claim)
        :: else ->
            if
            :: !rec.expired && MUTANT != LEASE_IGNORED -> outcome(in_progress)
            :: else ->
                if
                :: ME.call == begin_no_takeover && !(MINE && MUTANT != MINE_IGNORED) -> outcome(in_doubt)
                :: else ->
                    ME.op = takeover;
                    ME.version = rec.version;
                    ME.text = rec.has_checkpoint && MUTANT != CHECKPOINT_DROPPED
                fi
            fi
        fi
    fi
}

/* The key was absent when the operation looked. */
inline believe_absent()
{
    if
    :: MUTANT == ABSENT_IS_NEW -> outcome(new_claim)
    :: else ->
        ME.op = insert;
        ME.version = GONE;
        ME.text = false
    fi
}

/* begin_answer() */
inline begin_answer()
{
    if
    :: applied -> outcome(new_claim)
    :: !applied && rec.status != none -> judge()
    :: else -> believe_absent()
    fi
}

/* still_held() */
#define STILL_HELD (rec.status != none && \
    (rec.status == in_progress || MUTANT == COMPLETED_ADOPTED) && \
    (MINE || MUTANT == OTHERS_ADOPTED) && MUTANT != NOTHING_ADOPTED)

/* The claim has ended, or may have: it is not put back any more. */
inline end_claim()
{
    if
    :: MUTANT != ENDED_REINSTATED -> ME.claim_reinstates = false
    :: else
    fi
}

inline adopt(next_op)
{
    ME.op = next_op;
    ME.version = (MUTANT == ADOPTED_IN_NAME -> ME.version : rec.version);
    ME.text = rec.has_checkpoint;
    ME.ended = false
}

/* What complete, renew and checkpoint tell their caller. */
inline result(what)
{
    if
    :: what == ok && ME.call == complete ->
        RESPONSE_STAYS(!promised || promised_token == TOKEN(i));
        TAKEN_IS_TAKEN(rec.status != none && MINE);
        RESPONSE_STAYS(rec.status == completed);
        promised = true;
        promised_token = rec.token;
        promised_response = rec.response
    :: what == ok && ME.call != complete ->
        TAKEN_IS_TAKEN(rec.status == in_progress && MINE);
        AS_SPECIFIED(!rec.expired && (ME.call == renew || rec.has_checkpoint))
    :: what == failed && ME.call == complete -> NOT_LOCKED_OUT(rec.status == none || !MINE)
    :: else -> NOT_LOCKED_OUT(rec.status != in_progress || !MINE)
    fi;
    if
    :: what == ok && ((ME.call != complete && MUTANT != FORGETFUL_CLAIM) || MUTANT == ENDED_REMEMBERED) ->
        take_claim()
    :: else
    fi;
    if
    :: what == failed || ME.call == complete -> end_claim()
    :: else
    fi;
    end_call()
}

/* change_answer() */
inline change_answer()
{
    CHECKPOINT_KEPT(!applied || store_op != reinsert || ME.call != renew || rec.has_checkpoint == ME.text);
    if
    :: applied -> result(ok)
    :: !applied && STILL_HELD -> adopt(change)
    :: else ->
        if
        :: ME.call == complete && rec.status != none && MUTANT != OWN_REPLY_LOST &&
            (MINE || MUTANT == ANYBODYS_COMPLETE) -> result(ok)
        :: else ->
            if
            :: ME.claim_reinstates && rec.status == none && !ME.ended -> ME.op = reinsert; ME.version = GONE
            :: else -> result(failed)
            fi
        fi
    fi
}

/* release_answer() */
inline release_answer()
{
    if
    :: !applied && STILL_HELD && MUTANT != RELEASE_GIVES_UP -> adopt(remove)
    :: else ->
        AS_SPECIFIED(rec.status != in_progress || !MINE);
        end_claim();
        ME.gave_back = REINSTATE;
        end_call()
    fi
}

/* resume_answer() */
inline resume_answer()
{
    if
    :: rec.status != none && MINE ->
        take_claim();
        ME.claim_reinstates = false;
        ME.gave_back = false
    :: else
    fi;
    end_call()
}

/* the table of behaviours */
inline answer()
{
    MOVED(false);
    if
    :: ME.call == begin || ME.call == begin_no_takeover -> begin_answer()
    :: ME.call == resume -> resume_answer()
    :: ME.call == release -> release_answer()
    :: else -> change_answer()
    fi
}

/* ----------------------------------------------------------------------------------- the callers */

/* A fresh token: the one that caller i had so far is nobody's from now on. */
inline take_fresh_token()
{
    ME.claims = false;
    ME.claim_version = GONE;
    ME.claim_checkpoint = false;
    ME.claim_ended = false;
    if
    :: rec.status != none && MINE -> rec.token = DEAD(i)
    :: else
    fi;
    if
    :: promised && promised_token == TOKEN(i) -> promised_token = DEAD(i)
    :: else
    fi;
    k = 0;
    do
    :: k < LATE ->
        if
        :: late[k].op != none && late[k].token == TOKEN(i) -> late[k].token = DEAD(i)
        :: else
        fi;
        k++
    :: else -> break
    od
}

/* Only where it matters (something in the store or on the way has the old one) and while nothing has
   the one before. */
#define REMEMBERS(r, who) (late[r].op != none && late[r].token == (who))
#if LATE == 0
#define UNDER_WAY(who) false
#elif LATE == 1
#define UNDER_WAY(who) REMEMBERS(0, who)
#else
#define UNDER_WAY(who) (REMEMBERS(0, who) || REMEMBERS(1, who))
#endif
#define TOKEN_MATTERS(who) ((rec.status != none && rec.token == (who)) || UNDER_WAY(who))
#define MAY_TAKE_FRESH_TOKEN FRESH && \
    (i >= SHARED || SHARED == 1) && TOKEN_MATTERS(TOKEN(i)) && !TOKEN_MATTERS(DEAD(i))

inline start_call(kind)
{
    ME.call = kind;
    if
    :: kind == complete || kind == renew || kind == checkpoint || kind == release ->
        ME.version = ME.claim_version;
        ME.text = ME.claim_checkpoint;
        ME.ended = ME.claim_ended
    :: else
    fi
}

/* Any call that the public interface allows. */
inline choose_call()
{
    if
    :: start_call(begin)
    :: start_call(begin_no_takeover)
    :: MAY_TAKE_FRESH_TOKEN -> d_step { take_fresh_token(); start_call(begin) }
    :: start_call(resume)
    :: ME.claims -> start_call(complete)
    :: ME.claims -> start_call(renew)
    :: DETAIL && ME.claims -> start_call(checkpoint)
    :: ME.claims -> start_call(release)
    fi;
    first_op()
}

#define WRITES (ME.op != get)

/* The operation that the call wants, stamped. */
inline take_op()
{
    if
    :: MUTANT == REUSED_VERSION && ME.sent != 0 -> stamp = ME.sent
    :: else -> draw()
    fi;
    actor = i;
    store_actor = i;
    store_op = ME.op;
    store_call = (ME.call == begin_no_takeover -> begin : ME.call);
    store_token = TOKEN(i);
    store_sender = (ME.call == complete -> i : 0);
    store_expected = ME.version;
    store_checkpoint = ME.text
}

inline forget_doubt()
{
    if
    :: MUTANT == DOUBT_FORGOTTEN -> ME.doubt = false
    :: else
    fi
}

inline send_late(r)
{
    d_step {
        take_op();
        late[r].op = store_op;
        late[r].call = store_call;
        late[r].token = store_token;
        late[r].sender = store_sender;
        late[r].expected = store_expected;
        late[r].has_checkpoint = store_checkpoint;
#ifdef PLAIN
        late[r].version = stamp;
#endif
        ME.changed = true; /* or will be */
        ME.doubt = true;
        ME.sent = (MUTANT == REUSED_VERSION -> stamp : 0);
        MOVED(true)
    }
}

/* Without DETAIL a call that is about to do what it would do if it were called anew counts as ended: its
   caller may call again. */
inline settle()
{
    if
    :: !DETAIL && ME.op != reinsert && ((ME.op == insert) || (ME.call != begin && ME.call != begin_no_takeover &&
        ME.call != none && ME.version == ME.claim_version && ME.ended == ME.claim_ended)) -> end_call()
    :: else
    fi
}

/* A caller's next operation, and all that can become of it. */
inline carry_out()
{
    if
    /* it is carried out and answered */
    :: d_step { take_op(); store(); answer(); settle() }
    /* the insert was too late, and what was in its way has gone before it was read */
    :: ME.op == insert && rec.status == none -> d_step { believe_absent(); MOVED(true); settle() }
    /* it is carried out, and the reply is lost */
    :: WRITES -> d_step {
        take_op();
        store();
        ME.changed = true;
        ME.doubt = true;
        ME.sent = (MUTANT == REUSED_VERSION -> stamp : 0);
        MOVED(true)
    }; repeat()
    /* it is carried out later, if ever */
    :: WRITES && LATE > 0 && late[0].op == none -> send_late(0); repeat(); settle()
    :: WRITES && LATE > 1 && late[0].op != none && late[1 % (LATE + 1)].op == none -> send_late(1); repeat()
    /* it is not carried out, and the caller knows that, or doesn't */
    :: DETAIL -> d_step { forget_doubt(); MOVED(true) }; repeat(); settle()
    :: DETAIL && WRITES -> d_step { ME.doubt = true; MOVED(true) }; repeat(); settle()
    fi
}

/* The deadline has come. */
inline give_up()
{
    HONEST_ERROR(ME.doubt || !ME.changed);
    if
    :: ME.doubt && (ME.call == complete || ME.call == release) -> end_claim()
    :: else
    fi;
    end_call()
}

proctype run_caller(byte i)
{
end:
    do
    :: atomic { ME.call == none -> choose_call(); carry_out() }
    :: atomic { ME.call != none -> carry_out() }
    :: d_step { ME.call != none -> give_up() }
    od
}

/* ------------------------------------------------------------------------------- the environment */

inline arrive(r)
{
#ifdef PLAIN
    stamp = late[r].version;
#else
    draw();
#endif
    actor = CALLERS;
    store_op = late[r].op;
    store_call = late[r].call;
    store_token = late[r].token;
    store_actor = (store_token < CALLERS -> store_token : store_token - CALLERS); /* SHARED is 1 there */
    store_sender = late[r].sender;
    store_expected = late[r].expected;
    store_checkpoint = late[r].has_checkpoint;
    clear_request(r);
    store();
    MOVED(false)
}

/* idem_settle() and idem_forget_expired(): an operator looks, and decides about what it has seen, at any
   later time. A reply that is lost is a look that comes after the decision. */
inline look_on(what)
{
    operator = what;
    operator_version = rec.version
}

inline decide()
{
    actor = CALLERS;
    if
    :: rec.status != none && (rec.version == operator_version ||
        (operator == settle_it && MUTANT == SETTLE_UNCHECKED) ||
        (operator == forget_it && MUTANT == FORGET_UNCHECKED)) ->
        RESPONSE_STAYS(rec.status != completed && !promised);
        TAKEN_IS_TAKEN(rec.expired);
        if
        :: operator == forget_it -> make_absent()
        :: else ->
            leave_version();
            draw();
            rec.version = stamp;
            rec.status = completed;
            rec.expired = false;
            rec.token = OPERATORS;
            rec.has_checkpoint = false;
            rec.response = OPERATORS;
            promised = true;
            promised_token = OPERATORS;
            promised_response = OPERATORS
        fi
    :: else
    fi;
    operator = none;
    operator_version = GONE;
    MOVED(false)
}

proctype environment()
{
end:
    do
    /* a lease runs out */
    :: d_step { rec.status == in_progress && !rec.expired -> rec.expired = true; MOVED(false) }
    /* retention ends, not before the lease; or an operator forgets the key, at any time */
    :: d_step { rec.status != none -> actor = CALLERS; make_absent(); MOVED(false) }
    /* a request that was given up arrives, or never will */
    :: d_step { LATE > 0 && late[0].op != none -> arrive(0) }
    :: d_step { LATE > 0 && late[0].op != none -> clear_request(0); MOVED(false) }
    :: d_step { LATE > 1 && late[1 % (LATE + 1)].op != none -> arrive(1) }
    :: d_step { LATE > 1 && late[1 % (LATE + 1)].op != none -> clear_request(1); MOVED(false) }
    /* an operator looks at what has expired, and decides about it */
    :: d_step { OPERATOR && operator == none && rec.status == in_progress && rec.expired -> look_on(settle_it) }
    :: d_step { OPERATOR && operator == none && rec.status == in_progress && rec.expired -> look_on(forget_it) }
    :: d_step { OPERATOR && operator != none -> decide() }
    od
}

init {
    c_code { mutant = getenv("MUTANT") ? atoi(getenv("MUTANT")) : 0; };
    d_step {
        k = 0;
        operator = none;
        rec.status = none;
        do
        :: k < CALLERS -> caller[k].call = none; caller[k].op = none; k++
        :: else -> break
        od;
        k = 0;
        do
        :: k <= LATE -> late[k].op = none; late[k].call = none; k++
        :: else -> break
        od
    }
    atomic {
        byte n = 0;
        do
        :: n < CALLERS -> run run_caller(n); n++
        :: else -> break
        od;
        run environment()
    }
}

#ifdef PROGRESS
ltl calls_end { [] <> moved }
#endif
