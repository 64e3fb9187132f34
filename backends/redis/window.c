/* SPDX-License-Identifier: MIT */
/*
 * How much may be in flight on a connection: so many bytes of commands, and of answers to them. A
 * server keeps all answers in its memory until they are taken, and beside a `maxmemory` they would
 * make it full. How long an answer is nobody knows before. It is reckoned from those before and
 * from what was written: at once as long as the longest, then an eighth less with each that is
 * shorter, and longer again when a connection has failed.
 */
#include "window.h"

#define SENT_BYTES     1048576u /* of commands whose answers are awaited */
#define ANSWERS_BYTES  8388608u /* and of answers that may be so long together */
#define ANSWER_UNKNOWN 524288u  /* what the first answer of all is reckoned to take */

bool idem__redis_window_open(const idem__redis *self)
{
    const idem__redis_pipeline *pipeline = &self->pipeline;
    size_t len = self->answer_len ? self->answer_len : ANSWER_UNKNOWN;
    return pipeline->bytes < SENT_BYTES &&
           (pipeline->awaiting == 0 || (pipeline->awaiting + 1) * len <= ANSWERS_BYTES);
}

void idem__redis_window_learn(idem__redis *self, const redisReply *reply)
{
    /* Answers are texts, or arrays of one text and numbers. */
    size_t len = reply->type == REDIS_REPLY_ARRAY ? 0 : reply->len;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        len += reply->element[i]->len;
    if (self->answer_len == 0)
        self->answer_len = ANSWER_UNKNOWN;
    if (len > self->answer_len)
        self->answer_len = len;
    else if (self->answer_len > 8)
        self->answer_len -= self->answer_len / 8;
}

void idem__redis_window_learn_failure(idem__redis *self)
{
    size_t len = self->answer_len < ANSWER_UNKNOWN ? ANSWER_UNKNOWN : self->answer_len * 4;
    self->answer_len = len < ANSWERS_BYTES ? len : ANSWERS_BYTES;
}
