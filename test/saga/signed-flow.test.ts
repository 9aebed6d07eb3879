/**
 * A saga over a broker that somebody else can write to: with signatures on both ways, a forged command has no effect and a forged reply
 * completes no step, and the true ones still do.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { writeSagaCall } from '../../src/saga/protocol/wire.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import type { Transport } from '../../src/transport/port.ts';
import { wire } from '../inbox/lab.ts';
import { eventually } from '../support/eventually.ts';
import { rowsWith } from '../support/rows-with.ts';
import { sharedRedisUrl, uniquePrefix } from '../support/servers.ts';
import { openLab, type Lab } from './lab.ts';

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const keys = { k1: SECRET };

const Charge = message('signed.charge', { schema: z.object({ amount: z.number() }) });
const Charged = message('signed.charged', { schema: z.object({ receipt: z.string() }) });
const order = saga({
  name: 'signed',
  input: z.object({ amount: z.number() }),
  steps: { charge: command(Charge, { reply: Charged, pivot: true }) },
  run: async ({ steps, input }) => (await steps.charge(input)).receipt,
});

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** Somebody with the address of the broker, and nothing else. */
async function forge(broker: Transport, destination: string, type: string, data: unknown, headers: object) {
  const id = randomUUID();
  const text = JSON.stringify({ ...(JSON.parse(wire({ id, type, data }).text) as object), headers });
  const publisher = broker.publisher();
  const { signal } = new AbortController();
  await publisher.publish([{ id, topic: type, key: null, destination, wire: text, replayId: null }], { signal });
  await publisher.close();
}

const parked = async (consumer: string) =>
  (
    await lab.test.pool.query<{ reason: string }>('SELECT reason FROM holdfast.parked_delivery WHERE consumer = $1', [
      consumer,
    ])
  ).rows;

it('goes by what participant and saga have signed, not by what lies in the broker', async () => {
  const transport = createBullmqTransport({ connection: sharedRedisUrl(), prefix: uniquePrefix() });
  const charged: number[] = [];
  const payment = createParticipant('payment', {
    database: lab.database,
    transport,
    redeliveryHorizon: '1d',
    signatures: { keys },
    handlers: [
      handle(Charge, { reply: Charged }, async ({ amount }) => {
        charged.push(amount);
        return { receipt: `r-${amount}` };
      }),
    ],
  });
  const routes = [
    { topics: 'signed.*', to: 'payment' },
    { topics: 'saga.reply', to: 'saga-replies' },
  ];
  const relay = createRelay({
    database: lab.database,
    subscriptions: [{ name: 'main', transport, routes, signing: { keys } }],
  });
  onTestFinished(async () => {
    await Promise.all([payment.stop(), relay.stop()]);
    await transport.close();
  });
  const worker = await lab.worker([order], { replies: { transport, signatures: { keys } } });
  const run = await worker.sagas.start(order, { amount: 5 });
  await lab.untilEvent(run.id, 'called', 'charge');

  const reply = { runId: run.id, call: 'charge', to: 'command', outcome: 'done', output: { receipt: 'invented' } };
  await forge(transport, 'saga-replies', 'saga.reply', reply, {});
  await eventually('the forged reply to be parked', async () => (await parked('saga-replies')).length === 1);
  expect(await lab.story(run.id)).toEqual(['called charge']);

  const call = { runId: run.id, call: 'charge', role: 'command', replyTo: 'saga.reply', outcome: null } as const;
  await payment.start();
  await forge(transport, 'payment', 'signed.charge', { amount: 1_000_000 }, writeSagaCall(call));
  await eventually('the forged command to be parked', async () => (await parked('payment')).length === 1);

  await relay.start();
  expect(await run.result()).toBe('r-5');
  expect(charged).toEqual([5]);
  for (const consumer of ['payment', 'saga-replies'])
    expect(await parked(consumer)).toEqual([{ reason: 'its signature is not accepted' }]);
  expect(await rowsWith(lab.test.pool, SECRET.slice('whsec_'.length, -2))).toEqual([]);
  expect(await rowsWith(lab.test.pool, run.id)).not.toEqual([]);
});
