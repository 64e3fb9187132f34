// SPDX-License-Identifier: MIT
// Measures a subject as harness.c measures programs in C: callers that begin together, some keys to warm
// up, records that are completed beforehand, and the time for each key.
//
//   main.mjs SUBJECT [--mode cycle|replay] [--callers N] [--ops N] [--records N] URL
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { subjects } from './subjects.mjs';

const WARM_UP_SHARE = 20;
const WARM_UP_LEAST = 500; // until the code has been compiled
const RESPONSE_BYTES = 256;
const LIMIT_MS = 900000;

setTimeout(() => {
  console.error('it took too long');
  process.exit(1);
}, LIMIT_MS).unref();

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mode: { type: 'string', default: 'cycle' },
    callers: { type: 'string', default: '1' },
    ops: { type: 'string', default: '1000' },
    records: { type: 'string', default: '5000' },
  },
});
const [name, url] = positionals;
const callers = Number(values.callers);
const calls = Math.max(1, Math.floor(Number(values.ops) / callers));

// The JSON text of it is as long as the response in C.
const response = { order: 'x'.repeat(RESPONSE_BYTES - JSON.stringify({ order: '' }).length) };
const subject = await subjects[name](url, response);

async function together(work) {
  await Promise.all(Array.from({ length: callers }, (_, caller) => work(caller)));
}

const records = [];
if (values.mode === 'replay') {
  for (let i = 0; i < Number(values.records); i++) records.push(randomUUID());
  await together(async (caller) => {
    for (let i = caller; i < records.length; i += callers) await subject.cycle(records[i]);
  });
}
const worked = subject.worked();

async function replayOne() {
  const given = await subject.replay(records[Math.floor(Math.random() * records.length)]);
  if (given.order.length !== response.order.length) throw new Error('another response came back');
}

const one = values.mode === 'replay' ? replayOne : () => subject.cycle(randomUUID());

async function run(times) {
  await together(async () => {
    for (let i = 0; i < times; i++) await one();
  });
}

const warmUp = Math.floor(Math.max(calls / WARM_UP_SHARE, WARM_UP_LEAST / callers)) + 1;
await run(warmUp);
const began = process.hrtime.bigint();
await run(calls);
const took = Number(process.hrtime.bigint() - began);
const fresh = values.mode === 'replay' ? 0 : (calls + warmUp) * callers;
if (subject.worked() !== worked + fresh) throw new Error('work was done another number of times');
await subject.close();
console.log(`ns=${(took / calls / callers).toFixed(2)}`);
