/**
 * Replies that are handed to a run in the memory of the worker that holds it: acknowledged once what came of them is durable, and stored
 * like any other when they cannot be taken that way.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import type { SagaReply } from '../../src/saga/protocol/wire.ts';
import type { Worker, WorkerOptions } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import type { Delivery, Transport, Verdict } from '../../src/transport/port.ts';
import { delivery, wire } from '../inbox/lab.ts';
import { eventually } from '../support/eventually.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => lab.test.pool.query('TRUNCATE holdfast.inbox, holdfast.parked_delivery'));
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const Item = z.object({ item: z.string() });
const Reserve = message('handed.reserve', { schema: Item });
const Reserved = message('handed.reserved', { schema: z.object({ place: z.string() }) });
const Release = message('handed.release', { schema: Item });
const Ship = message('handed.ship', { schema: Item });

const order = saga({
  name: 'handed',
  input: z.object({ item: z.string(), next: z.enum(['end', 'fail', 'wait']) }),
  signals: { go: z.null() },
  steps: {
    reserve: command(Reserve, { reply: Reserved, compensate: { message: Release, payload: ({ input }) => input } }),
    ship: command(Ship, { pivot: true }),
  },
  async run({ steps, waitFor, input: { item, next } }) {
    const { place } = await steps.reserve({ item });
    if (next === 'fail') throw new Error('sold');
    if (next === 'wait') await waitFor('go');
    await steps.ship({ item });
    return place;
  },
});

/** A worker with its reply queue in the hands of the test. */
async function open(options: Partial<WorkerOptions> = {}): Promise<{
  readonly worker: Worker;
  readonly reply: (runId: string, reply?: Partial<SagaReply>, rest?: Partial<Delivery>) => Promise<Verdict>;
  readonly handle: (sent: Delivery) => Promise<Verdict>;
}> {
  const memory = createMemoryTransport();
  let handle = (_: Delivery): Promise<Verdict> => Promise.reject(new Error('The worker has not started.'));
  const transport: Transport = {
    ...memory,
    receiver(destination, given, receive) {
      handle = given;
      return memory.receiver(destination, given, receive);
    },
  };
  const worker = await lab.worker([order], { replies: { transport }, ...options });
  return {
    worker,
    handle: (sent) => handle(sent),
    reply: (runId, reply = {}, rest = {}) => handle(delivery(replyWire(runId, reply), rest)),
  };
}

function replyWire(runId: string, reply: Partial<SagaReply> = {}): ReturnType<typeof wire> {
  const data = { runId, call: 'reserve', to: 'command', outcome: 'done', output: { place: 'A4' }, ...reply };
  return wire({ type: 'saga.reply', data });
}

async function count(table: 'inbox' | 'saga_mail' | 'parked_delivery'): Promise<number> {
  const { rows } = await lab.test.pool.query<{ n: number }>(`SELECT count(*)::int AS n FROM holdfast.${table}`);
  return rows[0]?.n ?? -1;
}

async function waiting(runId: string, call: string): Promise<void> {
  await lab.untilEvent(runId, 'called', call);
  await lab.until(runId, 'waiting');
}

const DONE = { kind: 'done' };
const shipped = { call: 'ship', output: undefined };

/** Resolves with what the promise has come to within a moment. */
const within = async <T>(promise: Promise<T>, ms: number): Promise<T | 'nothing'> =>
  Promise.race([promise, new Promise<'nothing'>((resolve) => void setTimeout(() => resolve('nothing'), ms))]);

it('a reply to a run that is here needs neither a mark nor a row, and its commit has the next command', async () => {
  const { worker, reply } = await open();
  const run = await worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(run.id, 'reserve');
  const commits = worker.progress.commits;
  expect(await reply(run.id)).toEqual(DONE);
  expect(worker.progress.commits).toBe(commits + 1);
  expect(await lab.story(run.id)).toEqual(['called reserve', 'done reserve', 'called ship']);
  expect(await reply(run.id, shipped)).toEqual(DONE);
  expect(await run.result()).toBe('A4');
  expect(await count('inbox')).toBe(0);
  expect(await count('saga_mail')).toBe(0);
});

it('a reply is acknowledged only when what came of it is durable', async () => {
  const { worker, reply } = await open();
  const run = await worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(run.id, 'reserve');
  const release = await lab.holdCommits();
  const verdict = reply(run.id);
  const meanwhile = await within(verdict, 300);
  // Also when the next line fails: the lab could not end with commits held.
  await release();
  expect(meanwhile).toBe('nothing');
  expect(await verdict).toEqual(DONE);
  expect(await lab.story(run.id)).toEqual(['called reserve', 'done reserve', 'called ship']);
});

it('what a worker takes in that has lost its lease counts for nothing: the reply is stored, for whoever has the run next', async () => {
  const first = await open();
  const run = await first.worker.sagas.start(order, { item: 'tea', next: 'wait' });
  await waiting(run.id, 'reserve');
  const { id } = first.worker;
  // It does not know yet, and takes the reply in.
  await lab.test.pool.query(`UPDATE holdfast.worker SET lease_until = now() - interval '1 second' WHERE id = $1`, [id]);
  expect(await first.reply(run.id)).toEqual(DONE);
  expect(await lab.story(run.id)).toEqual(['called reserve']);
  expect([await count('inbox'), await count('saga_mail')]).toEqual([1, 1]);
  await lab.takeOver(id);
  await lab.untilEvent(run.id, 'done', 'reserve');
  expect(await count('saga_mail')).toBe(0);
});

it('a worker that dies before its commit acknowledges nothing', async () => {
  let dying = false;
  const { worker, reply } = await open({
    crashPoint(point) {
      if (dying && point === 'saga.commit:before') throw new Error('killed');
    },
  });
  const run = await worker.sagas.start(order, { item: 'tea', next: 'wait' });
  await waiting(run.id, 'reserve');
  const { id } = worker;
  dying = true;
  // The consumer lives on in this test, and stores it.
  expect(await reply(run.id)).toEqual(DONE);
  expect([await count('inbox'), await count('saga_mail')]).toEqual([1, 1]);
  dying = false;
  await lab.takeOver(id);
  await lab.untilEvent(run.id, 'done', 'reserve');
});

it('one that was recorded by a commit whose answer was lost changes nothing when it is stored after that', async () => {
  let dying = false;
  const { worker, reply } = await open({
    crashPoint(point) {
      if (dying && point === 'saga.commit:after') throw new Error('killed');
    },
  });
  const run = await worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(run.id, 'reserve');
  const { id } = worker;
  dying = true;
  expect(await reply(run.id)).toEqual(DONE);
  dying = false;
  expect(await lab.story(run.id)).toEqual(['called reserve', 'done reserve', 'called ship']);
  expect(await count('saga_mail')).toBe(1);
  await lab.takeOver(id);
  await eventually('the reply to be taken in', async () => (await count('saga_mail')) === 0);
  expect((await lab.story(run.id)).filter((event) => /reserve|ship/.test(event))).toEqual([
    'called reserve',
    'done reserve',
    'called ship',
  ]);
});

it('the same delivery twice, at once and later, is told once', async () => {
  const { worker, handle, reply } = await open();
  const run = await worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(run.id, 'reserve');
  const sent = delivery(replyWire(run.id));
  expect(await Promise.all([handle(sent), handle(sent), handle(sent)])).toEqual([DONE, DONE, DONE]);
  expect(await handle(sent)).toEqual(DONE);
  expect(await handle({ ...sent, redeliveries: 1 })).toEqual(DONE);
  await eventually('all of them to be taken in', async () => (await count('saga_mail')) === 0);
  expect(await reply(run.id, shipped)).toEqual(DONE);
  expect(await run.result()).toBe('A4');
  expect(await handle(sent)).toEqual(DONE);
  expect(await lab.story(run.id)).toEqual(['called reserve', 'done reserve', 'called ship', 'done ship', 'completed']);
});

it('replies to compensations, and what cannot be read, are stored with their mark', async () => {
  const { worker, handle, reply } = await open();
  const run = await worker.sagas.start(order, { item: 'tea', next: 'fail' });
  await waiting(run.id, 'reserve');
  await reply(run.id);
  await lab.until(run.id, 'compensating');
  const sent = delivery(replyWire(run.id, { to: 'compensation', output: undefined }));
  expect(await Promise.all([handle(sent), handle(sent)])).toEqual([DONE, DONE]);
  await lab.until(run.id, 'compensated');
  expect(await count('inbox')).toBe(1);

  const other = await worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(other.id, 'reserve');
  expect(await reply(other.id, { output: { place: 7 } })).toEqual(DONE);
  expect(await count('inbox')).toBe(2);
  expect(await lab.untilEvent(other.id, 'failed', 'reserve')).toMatchObject({ outcome: 'unknown' });
});

it('a reply for a run in the hands of another worker is stored, and found there', async () => {
  const first = await open();
  const run = await first.worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(run.id, 'reserve');
  const second = await open();
  expect(await second.reply(run.id)).toEqual(DONE);
  expect(await count('inbox')).toBe(1);
  await lab.untilEvent(run.id, 'called', 'ship');
  expect(await first.reply(run.id, shipped)).toEqual(DONE);
  expect(await run.result()).toBe('A4');
  expect(await count('inbox')).toBe(1);
});

it('a run that is to be compensated before its end gives the reply back, and both are told', async () => {
  const { worker, reply } = await open({ idlePoll: '10s' });
  const run = await worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(run.id, 'reserve');
  // The pivot is about to begin while this lies there unseen: that commit is refused.
  const client = await lab.test.pool.connect();
  await client.query('BEGIN; LOCK TABLE holdfast.saga_mail IN ACCESS EXCLUSIVE MODE');
  await client.query(
    `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body) VALUES ($1, 'handed', 1, 'cancel', '{"kind":"cancel"}')`,
    [run.id],
  );
  const verdict = reply(run.id);
  expect(await within(verdict, 200)).toBe('nothing');
  await client.query('COMMIT');
  client.release();
  expect(await verdict).toEqual(DONE);
  await lab.untilEvent(run.id, 'undoing');
  await lab.untilEvent(run.id, 'late reply', 'reserve');
  expect(await lab.story(run.id)).not.toContain('called ship');
  await eventually('the run to be compensating', async () => {
    await reply(run.id, { to: 'compensation', output: undefined });
    return (await lab.view(run.id)).status === 'compensated';
  });
});

it('a reply that comes when a timer was due goes by the store, behind what came before the timer', async () => {
  const late = saga({
    name: 'handed-late',
    input: z.null(),
    steps: { reserve: command(Reserve, { timeout: '1h' }) },
    deadline: '1ms',
    async run({ steps }) {
      await steps.reserve({ item: 'tea' });
    },
  });
  const memory = createMemoryTransport();
  let handle = (_: Delivery): Promise<Verdict> => Promise.reject(new Error('The worker has not started.'));
  const transport: Transport = {
    ...memory,
    receiver(destination, given, receive) {
      handle = given;
      return memory.receiver(destination, given, receive);
    },
  };
  const worker = await lab.worker([late], { replies: { transport } });
  const run = await worker.sagas.start(late, null);
  await new Promise((resolve) => void setTimeout(resolve, 5));
  const done = await handle(delivery(replyWire(run.id, { output: undefined })));
  expect(done).toEqual(DONE);
  expect(await count('inbox')).toBe(1);
  await lab.until(run.id, 'compensated');
});

it('a worker that is stopping leaves its replies to the others', async () => {
  const first = await open();
  const run = await first.worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(run.id, 'reserve');
  const release = await lab.holdCommits();
  const verdict = first.reply(run.id);
  expect(await within(verdict, 100)).toBe('nothing');
  const stopped = first.worker.stop({ signal: AbortSignal.timeout(5_000) });
  await release();
  expect(await verdict).toEqual(DONE);
  await stopped;
  const second = await open();
  await lab.untilEvent(run.id, 'called', 'ship');
  await lab.until(run.id, 'waiting');
  await eventually('the reply to be taken', async () => {
    await second.reply(run.id, shipped);
    return (await lab.view(run.id)).status === 'completed';
  });
});

it('a delivery that is taken away while it waits is given back, and harms nothing when it comes again', async () => {
  const { worker, handle } = await open();
  const run = await worker.sagas.start(order, { item: 'tea', next: 'end' });
  await waiting(run.id, 'reserve');
  const sent = replyWire(run.id);
  const claim = new AbortController();
  const release = await lab.holdCommits();
  const verdict = handle(delivery(sent, { signal: claim.signal }));
  claim.abort(new Error('the lock was lost'));
  expect(await verdict).toEqual({ kind: 'later', delayMs: 0 });
  await release();
  expect(await handle(delivery(sent))).toEqual(DONE);
  await eventually('it to be taken in', async () => (await count('saga_mail')) === 0);
  expect(await lab.story(run.id)).toEqual(['called reserve', 'done reserve', 'called ship']);
});
