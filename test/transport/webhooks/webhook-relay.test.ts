/** A relay that sends webhooks: one dead endpoint holds up no other, each key keeps its order, and what comes twice has one effect. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { createConsumer } from '../../../src/inbox/consumer.ts';
import { fingerprintOf } from '../../../src/inbox/idempotency/fingerprint.ts';
import { idempotent } from '../../../src/inbox/idempotency/idempotency.ts';
import { isHoldfastError } from '../../../src/errors.ts';
import { verifyWebhook } from '../../../src/message/webhook-signature.ts';
import type { Transport } from '../../../src/transport/port.ts';
import { createWebhookTransport } from '../../../src/transport/webhooks/webhook-transport.ts';
import type { RecordingTransport } from '../../support/recording-transport.ts';
import { createRelayLab, type RelayLab } from '../../support/relay-lab.ts';
import { SECRET, startReceiver, type Receiver } from './receiver.ts';

let lab: RelayLab;
let receiver: Receiver;
let transport: Transport;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(async () => {
  await lab.reset();
  receiver = await startReceiver();
  transport = createWebhookTransport({
    // A tenant for each key.
    endpointOf: (message) => message.key,
    endpoints: (name) => ({ url: `${receiver.url}/${name}`, secrets: SECRET, timeout: '2s' }),
    breaker: { halfOpenAfter: 1 },
    patience: '1m',
    allowHttp: true,
    allowPrivate: true,
  });
});
afterEach(async () => {
  await lab.reset();
  await transport.close();
  await receiver.close();
});
afterAll(() => lab.close());

const start = async () => (await lab.relay({}, {}, transport as RecordingTransport)).relay;
const takenBy = (who: string): number[] => receiver.taken.filter(({ path }) => path === `/in/${who}`).map(({ n }) => n);
const parked = async () =>
  (
    await lab.database.query<{ n: number; state: string }>(
      `SELECT (o.payload->>'n')::int AS n, p.state FROM holdfast.parked_message p JOIN holdfast.outbox o USING (seq) ORDER BY seq`,
    )
  ).rows;

it('parks what a dead endpoint does not take, in order, while the others go on; and sends it when it is back', async () => {
  receiver.answer = ({ path }) => (path === '/in/dead' ? 503 : 204);
  const relay = await start();
  const notes = Array.from({ length: 30 }, (_, n) => ({ n, who: ['dead', 'well', 'fine'][n % 3] ?? '' }));
  await lab.write(...notes);
  await relay.tick();
  const of = (who: string): number[] => notes.filter((note) => note.who === who).map(({ n }) => n);
  expect([takenBy('well'), takenBy('fine'), takenBy('dead')]).toEqual([of('well'), of('fine'), []]);
  expect(await parked()).toEqual(of('dead').map((n, index) => ({ n, state: index === 0 ? 'failed' : 'behind' })));
  await lab.write({ n: 30, who: 'dead' }, { n: 31, who: 'well' });
  await relay.tick();
  expect(takenBy('well')).toEqual([...of('well'), 31]);
  expect(relay.states[0]).toMatchObject({ breaker: 'closed', trouble: null, failure: null });
  await relay.stop();

  receiver.answer = () => 204;
  await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE state = 'failed'`);
  const next = await start();
  await lab.until(async () => {
    await next.tick();
    return (await parked()).length === 0;
  });
  expect(takenBy('dead')).toEqual([...of('dead'), 30]);
});

it('is refused to consumers, and to subscriptions that wait for less than a publish may take', async () => {
  const { database } = lab;
  const consumer = () => createConsumer('shipping', { database, transport, handlers: [] });
  expect(consumer).toThrow(
    expect.objectContaining({ code: 'HF_CONFIG', message: expect.stringContaining('only be sent to') }),
  );
  for (const short of [{ publishTimeout: '8s' }, { lease: '10s' }] as const) {
    const relay = lab.relay(short, {}, transport as RecordingTransport);
    await expect(relay).rejects.toThrow(/publishTimeout and lease/);
  }
});

it('has one effect at a receiver that verifies it and handles it once, though it comes twice', async () => {
  const { database } = lab;
  await database.query('CREATE TABLE IF NOT EXISTS paid (n int)');
  const server = createServer((request, response) => {
    void (async () => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      const hook = verifyWebhook({ headers: request.headers, body: Buffer.concat(parts), secrets: SECRET });
      const { data } = JSON.parse(hook.body) as { data: { n: number } };
      await database.transaction((tx) =>
        idempotent(tx, { key: `shop:${hook.id}`, fingerprint: fingerprintOf(hook.body) }, async () => {
          await tx.query('INSERT INTO paid (n) VALUES ($1)', [data.n]);
        }),
      );
      response.writeHead(204).end();
    })().catch((error: unknown) =>
      response.writeHead(isHoldfastError(error, 'HF_WEBHOOK_UNVERIFIED') ? 401 : 500).end(),
    );
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const endpoints = { shop: { url, secrets: SECRET }, stranger: { url, secrets: `whsec_${'B'.repeat(32)}` } };
    const sending = createWebhookTransport({ endpoints, allowHttp: true, allowPrivate: true });
    const routes = [{ topics: '**', to: 'shop' }];
    const { relay } = await lab.relay({ routes }, {}, sending as RecordingTransport);
    await lab.write({ n: 1 }, { n: 2 });
    await relay.tick();
    await lab.database.query(
      `INSERT INTO holdfast.replay (id, subscription, from_seq, position, to_seq)
       SELECT gen_random_uuid(), 'main', min(seq), min(seq), max(seq) FROM holdfast.outbox`,
    );
    await relay.stop();
    const again = await lab.relay({ routes }, {}, sending as RecordingTransport);
    await again.relay.tick();
    await again.relay.stop();
    const { rows } = await database.query('SELECT n FROM paid ORDER BY n');
    expect(rows).toEqual([{ n: 1 }, { n: 2 }]);
    const { rows: keys } = await database.query('SELECT count(*)::int AS count FROM holdfast.idempotency_key');
    expect(keys).toEqual([{ count: 2 }]);
    const forged = await lab.relay(
      { name: 'forged', routes: [{ topics: '**', to: 'stranger' }] },
      {},
      sending as RecordingTransport,
    );
    await forged.relay.tick();
    expect(await parked()).toEqual([
      { n: 1, state: 'failed' },
      { n: 2, state: 'behind' },
    ]);
    await forged.relay.stop();
    await sending.close();
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => void server.close(resolve));
  }
});
