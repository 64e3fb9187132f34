/* SPDX-License-Identifier: MIT */
/*
 * One op on its way out: the form that it is sent in, and what is said of it when the connection
 * fails.
 *
 * The first inserts of a connection are sent as the script PROVE, which refuses where this user
 * could not complete or release what it claims; so no caller is told New in vain. From then on SET
 * does it.
 */
#include "request.h"

#include "instance.h"

#define TEXT_KEPT_MAX 65536u /* capacity that an instance may keep */

idem__redis_request idem__redis_request_make(const idem__redis *self, idem_op *op)
{
    static const idem__redis_script scripts[] = {
        [IDEM_OP_INSERT] = IDEM__REDIS_INSERT,
        [IDEM_OP_REPLACE] = IDEM__REDIS_REPLACE,
        [IDEM_OP_REMOVE] = IDEM__REDIS_REMOVE,
        [IDEM_OP_GET] = IDEM__REDIS_READ,
    };
    idem__redis_request made = {.op = op,
                                .script = scripts[op->kind],
                                .form = self->no_names ? IDEM__REDIS_BY_TEXT : IDEM__REDIS_BY_NAME,
                                .asking = self->asking,
                                .begin = IDEM__REDIS_NOT_SENT};
    if (op->kind == IDEM_OP_INSERT && !self->proved) {
        made.script = IDEM__REDIS_PROVE;
        made.form = IDEM__REDIS_BY_TEXT; /* which takes a right, too */
    } else if (op->kind == IDEM_OP_INSERT ? !self->no_nx_get
                                          : op->kind == IDEM_OP_REMOVE && op->any_version) {
        made.form = IDEM__REDIS_COMMAND;
    } else if (op->kind == IDEM_OP_GET && self->no_scripts) {
        made.form = IDEM__REDIS_BY_READS;
    }
    return made;
}

size_t idem__redis_request_replies(const idem__redis_request *at)
{
    size_t count = at->form == IDEM__REDIS_BY_READS ? 3 : 1;
    return at->asking ? 2 * count : count;
}

/* ASKING holds for the one command behind it. */
static int put(idem__redis *self, const idem__redis_request *at, size_t count,
               const idem_bytes *words, idem__redis_fault *fault)
{
    idem_bytes asking = idem_str("ASKING");
    int rc = at->asking ? idem__redis_wire_append(&self->wire, 1, &asking, fault) : IDEM_OK;
    return rc ? rc : idem__redis_wire_append(&self->wire, count, words, fault);
}

/* How the text of a record of this version begins. */
static idem_bytes beginning_of(uint64_t version, char out[IDEM__REDIS_BEGINNING_LEN])
{
    static const char digits[] = "0123456789abcdef";
    char *at = out + IDEM__REDIS_BEGINNING_LEN;
    *--at = '"';
    for (int i = 0; i < 16; i++, version >>= 4)
        *--at = digits[version & 15];
    memcpy(out, "{\"version\":\"", (size_t)(at - out));
    return (idem_bytes){out, IDEM__REDIS_BEGINNING_LEN};
}

/* True if it is sent with the record of its op; else it takes what is there. */
static bool stores(const idem__redis_request *at)
{
    return at->op->record && at->script != IDEM__REDIS_READ && at->script != IDEM__REDIS_REWRITE;
}

static int append_script(idem__redis *self, const idem__redis_request *at, idem_bytes life,
                         idem__redis_fault *fault)
{
    bool by_text = at->form == IDEM__REDIS_BY_TEXT;
    const idem__redis_source *source = &idem__redis_sources[at->script];
    char beginning[IDEM__REDIS_BEGINNING_LEN];
    idem_bytes words[7] = {idem_str(by_text ? "EVAL" : "EVALSHA"),
                           idem_str(by_text ? source->text : source->sha1), idem_str("1"),
                           at->op->key};
    size_t count = 4;
    if (at->script == IDEM__REDIS_REPLACE || at->script == IDEM__REDIS_REMOVE)
        words[count++] = beginning_of(at->op->expected, beginning);
    if (at->script != IDEM__REDIS_REMOVE && stores(at)) {
        words[count++] = (idem_bytes){self->text.data, self->text.len};
        words[count++] = life;
    }
    return put(self, at, count, words, fault);
}

static int append_command(idem__redis *self, const idem__redis_request *at, idem_bytes life,
                          idem__redis_fault *fault)
{
    idem_bytes set[] = {idem_str("SET"),
                        at->op->key,
                        {self->text.data, self->text.len},
                        idem_str("NX"),
                        idem_str("GET"),
                        idem_str("PX"),
                        life};
    idem_bytes del[] = {idem_str("DEL"), at->op->key};
    if (at->op->kind == IDEM_OP_REMOVE)
        return put(self, at, 2, del, fault);
    return put(self, at, sizeof set / sizeof set[0], set, fault);
}

static int append_reads(idem__redis *self, const idem__redis_request *at, idem__redis_fault *fault)
{
    idem_bytes get[] = {idem_str("GET"), at->op->key};
    idem_bytes pttl[] = {idem_str("PTTL"), at->op->key};
    int rc = put(self, at, 2, get, fault);
    if (rc == IDEM_OK)
        rc = put(self, at, 2, pttl, fault);
    return rc ? rc : put(self, at, 2, get, fault);
}

bool idem__redis_request_append(idem__redis *self, idem__redis_request *at)
{
    idem__redis_fault fault = {0};
    idem__redis_wire *wire = &self->wire;
    idem_buffer *text = &self->text;
    size_t expected = wire->expected;
    char digits[IDEM__REDIS_DIGITS_MAX];
    idem_bytes life = idem__redis_wire_number(at->op->record ? at->op->live_ms : 0, digits);
    int rc = IDEM_OK;
    text->len = 0;
    at->begin = idem__redis_wire_end(wire);
    if (stores(at))
        rc = idem_record_encode(at->op->record, text, &fault.error);
    if (rc == IDEM_OK && at->form == IDEM__REDIS_BY_READS)
        rc = append_reads(self, at, &fault);
    else if (rc == IDEM_OK && at->form == IDEM__REDIS_COMMAND)
        rc = append_command(self, at, life, &fault);
    else if (rc == IDEM_OK)
        rc = append_script(self, at, life, &fault);
    at->end = idem__redis_wire_end(wire);
    /* What was stored will be the answer for later callers. */
    if (text->len > self->answer_len)
        self->answer_len = text->len;
    if (text->capacity > TEXT_KEPT_MAX)
        idem_buffer_clear(text);
    if (rc) {
        idem__redis_wire_cut(wire, at->begin, wire->expected - expected);
        at->begin = IDEM__REDIS_NOT_SENT;
        idem_op_fail(at->op, true, rc, "%s", fault.error.message);
    }
    return rc == IDEM_OK;
}

/* -------------------------------------------------------------------- no answer, or a wrong one */

void idem__redis_request_take_back(idem_op *op)
{
    idem_record_clear(&op->found);
    op->has_found = false;
    op->applied = false;
    op->permanent = false;
    op->error = (idem_error){0};
}

/* A refused change made none, and whatever refused it may be over when the call comes again. */
void idem__redis_request_fail(const idem__redis *self, idem__redis_request *at,
                              const idem__redis_fault *fault)
{
    bool sent = at->begin < idem__redis_wire_sent(&self->wire);
    at->answered = at->answered || sent;
    idem__redis_request_take_back(at->op);
    if (sent && at->script != IDEM__REDIS_READ)
        idem_op_fail(at->op, false, IDEM_ERR_UNCERTAIN, "%s; the change may have been made",
                     fault->error.message);
    else
        idem_op_fail(at->op, fault->permanent, fault->error.code, "%s", fault->error.message);
}

void idem__redis_request_distrust(idem__redis_request *at, const idem__redis_fault *fault)
{
    if (!at->answered)
        return;
    idem__redis_request_take_back(at->op);
    if (at->op->kind == IDEM_OP_GET)
        idem_op_fail(at->op, false, IDEM_ERR_UNAVAILABLE, "%s", fault->error.message);
    else
        idem_op_fail(at->op, false, IDEM_ERR_UNCERTAIN, "%s; the change may have been made",
                     fault->error.message);
}
