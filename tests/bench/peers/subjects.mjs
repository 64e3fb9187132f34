// SPDX-License-Identifier: MIT
// What a user of node would pick, each on the client that its documents name. A subject gives two
// calls: cycle(key) does new work under a key, replay(key) asks for it again and is given the response.
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency';
import { CachePersistenceLayer } from '@aws-lambda-powertools/idempotency/cache';
import { Idempotency } from '@node-idempotency/core';
import { RedisStorageAdapter } from '@node-idempotency/storage-adapter-redis';
import { createClient } from '@redis/client';

async function powertools(url, response) {
  const client = await createClient({ url }).connect();
  let worked = 0;
  const work = makeIdempotent(
    async () => {
      worked++;
      return response;
    },
    {
      persistenceStore: new CachePersistenceLayer({ client }),
      config: new IdempotencyConfig({ eventKeyJmesPath: 'key' }),
    }
  );
  return {
    cycle: (key) => work({ key }),
    replay: (key) => work({ key }),
    worked: () => worked,
    close: () => client.close(),
  };
}

async function nodeIdempotency(url, response) {
  const storage = new RedisStorageAdapter({ url });
  await storage.connect();
  const idempotency = new Idempotency(storage);
  const request = (key) => ({
    method: 'POST',
    path: '/order',
    headers: { 'idempotency-key': key },
  });
  let worked = 0;
  return {
    async cycle(key) {
      if (await idempotency.onRequest(request(key))) throw new Error('a fresh key was there');
      worked++;
      await idempotency.onResponse(request(key), { body: response });
    },
    async replay(key) {
      const given = await idempotency.onRequest(request(key));
      if (!given) throw new Error('a response is gone');
      return given.body;
    },
    worked: () => worked,
    close: () => storage.disconnect(),
  };
}

export const subjects = { powertools, 'node-idempotency': nodeIdempotency };
