/** Runs whose values are encrypted, among workers of which not all have the key. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import { restartRun } from '../../src/operations/sagas/restart-run.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { parseHistory, readHistories } from '../../src/saga/journal/histories.ts';
import { checkReplay } from '../../src/saga/replay/check-replay.ts';
import { createSagaReplies } from '../../src/saga/protocol/replies.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { delivery, wire } from '../inbox/lab.ts';
import { openLab, type Lab } from './lab.ts';

const A = Buffer.alloc(32, 1).toString('base64');
const B = Buffer.alloc(32, 2).toString('base64');
const codec = createAesGcmCodec({ keys: { a: A } });
const rotated = createAesGcmCodec({ keys: { a: A, b: B }, use: 'b' });

const told: string[] = [];
const declared = {
  name: 'hidden-run',
  input: z.object({ text: z.string() }),
  signals: { word: z.string() },
  steps: {
    echo: step({
      run({ text }: { text: string }) {
        told.push(text);
        return text.toUpperCase();
      },
    }),
  },
};
const flow = saga({
  ...declared,
  async run({ steps, input, waitFor }) {
    const text = await steps.echo(input);
    return `${text} ${await waitFor('word')}`;
  },
});

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(async () => {
  await lab.settle();
  told.length = 0;
});
afterAll(() => lab.dispose());

function logger() {
  const lines: string[] = [];
  const say = (fields: object, text: string): void => void lines.push(`${text} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: say, info: say, warn: say, error: say, child: () => log };
  return { log, lines };
}

it('are left by a worker that cannot read them, untouched, for one that can', async () => {
  const sagas = createSagas({ database: lab.database, sagas: [flow], codec });
  const run = await sagas.start(flow, { text: 'tea' });
  const { log, lines } = logger();
  const without = await lab.worker([flow], { log });
  await without.tick();
  await lab.untilFree(run.id);
  expect(told).toEqual([]);
  expect(await lab.story(run.id)).toEqual([]);
  expect(lines.filter((line) => line.includes('cannot be read here'))).toEqual([
    expect.stringContaining('"code":"HF_PAYLOAD_ENCRYPTED","why":"no codec","key":"a"'),
  ]);
  await without.stop();
  await lab.test.pool.query('UPDATE holdfast.saga_run SET wake_at = now() WHERE id = $1', [run.id]);
  await lab.worker([flow], { codec });
  await run.signal('word', 'now');
  expect(await run.result()).toBe('TEA now');
  expect(told).toEqual(['tea']);
});

it('go on when they were begun without a codec, and when its key is replaced', async () => {
  const plain = createSagas({ database: lab.database, sagas: [flow] });
  const run = await plain.start(flow, { text: 'tea' }, { key: 'one' });
  const first = await lab.worker([flow], { codec });
  await lab.until(run.id, 'waiting');
  await first.stop();
  const next = createSagas({ database: lab.database, sagas: [flow], codec: rotated });
  await lab.worker([flow], { codec: rotated });
  await next.handle(flow, run.id).signal('word', 'later');
  expect(await next.handle(flow, run.id).result()).toBe('TEA later');
  // Who asks without the key is told so.
  await expect(plain.handle(flow, run.id).result()).rejects.toMatchObject({ code: 'HF_PAYLOAD_ENCRYPTED' });
});

it('are the same under one key, whichever key their input was encrypted with', async () => {
  const old = createSagas({ database: lab.database, sagas: [flow], codec });
  const next = createSagas({ database: lab.database, sagas: [flow], codec: rotated });
  const run = await old.start(flow, { text: 'tea' }, { key: 'two' });
  expect((await old.start(flow, { text: 'tea' }, { key: 'two' })).sameInput).toBe(true);
  expect((await next.start(flow, { text: 'tea' }, { key: 'two' })).sameInput).toBe(true);
  const other = await next.start(flow, { text: 'milk' }, { key: 'two' });
  expect([other.id, other.sameInput]).toEqual([run.id, false]);
});

it('can be started once more by a person who cannot read them', async () => {
  const sagas = createSagas({ database: lab.database, sagas: [flow], codec });
  await lab.worker([flow], { codec });
  const run = await sagas.start(flow, { text: 'tea' });
  await lab.until(run.id, 'waiting');
  await run.cancel();
  await run.result().catch(() => undefined);
  const again = await restartRun(lab.database, run.id, {}, { actor: 'test', reason: 'once more' });
  const handle = sagas.handle(flow, again.id);
  await handle.signal('word', 'again');
  expect(await handle.result()).toBe('TEA again');
});

it('are held against new code by who has the key', async () => {
  const sagas = createSagas({ database: lab.database, sagas: [flow], codec });
  const run = await sagas.start(flow, { text: 'tea' });
  await lab.worker([flow], { codec });
  await lab.until(run.id, 'waiting');
  const [read] = await readHistories(lab.database, { saga: flow.name });
  const rows = JSON.stringify({ id: run.id, rows: read?.journal });
  expect(rows).not.toContain('tea');
  const history = parseHistory(rows);
  expect(await checkReplay(flow, history, { codec })).toEqual({ kind: 'fits', next: [], ended: false });
  const other = saga({ ...declared, run: async ({ steps }) => steps.echo({ text: 'coffee' }) });
  expect(await checkReplay(other, history, { codec })).toMatchObject({
    kind: 'mismatch',
    message: expect.stringMatching(/the input .*tea.*coffee/),
  });
  const strange = createAesGcmCodec({ keys: { b: B } });
  for (const options of [{}, { codec: strange }])
    await expect(checkReplay(flow, history, options)).rejects.toMatchObject({ code: 'HF_PAYLOAD_ENCRYPTED' });
  await run.cancel();
});

it('keep replies to themselves, also those that wait in their table for who has the run', async () => {
  const transport = createMemoryTransport();
  const sagas = createSagas({ database: lab.database, sagas: [flow], codec });
  const run = await sagas.start(flow, { text: 'tea' });
  const replies = createSagaReplies({ database: lab.database, transport, redeliveryHorizon: '1d', codec });
  const data = { runId: run.id, call: 'echo', to: 'command', outcome: 'done', output: { card: 'secret-1' } };
  await replies.handle(delivery(wire({ type: 'saga.reply', data })));
  const { rows } = await lab.test.pool.query<{ body: unknown }>('SELECT body FROM holdfast.saga_mail');
  expect(rows).toMatchObject([{ body: { kind: 'reply', call: 'echo', output: { $enc: 'a' } } }]);
  expect(JSON.stringify(rows)).not.toContain('secret-1');
});
