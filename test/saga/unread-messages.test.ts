/**
 * Whatever lies unread for a run, in whatever order, while nobody has it: who takes it up brings it to its end, and what was accepted takes
 * effect or is recorded as refused. All orders of a few messages. On PostgreSQL.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { saga, type AnySaga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import type { RunMessageBody } from '../../src/saga/store/store.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const Ask = message('unread.ask', { schema: z.null() });
const Pay = message('unread.pay', { schema: z.null() });
const ask = command(Ask, { timeout: '1h' });
const reply = (call: string): RunMessageBody => ({ kind: 'reply', call, to: 'command', outcome: 'done' });
const cancel: RunMessageBody = { kind: 'cancel' };

const toAnEnd = saga({ name: 'to-an-end', input: z.null(), steps: { ask }, run: ({ steps }) => steps.ask(null) });
const toAPivot = saga({
  name: 'to-a-pivot',
  input: z.null(),
  steps: { ask, seal: step({ run: () => {}, pivot: true }) },
  async run({ steps }) {
    await steps.ask(null);
    await steps.seal();
  },
});
const toATransaction = saga({
  name: 'to-a-transaction',
  input: z.null(),
  steps: { ask, seal: transaction({ run: () => {}, pivot: true }) },
  async run({ steps }) {
    await steps.ask(null);
    await steps.seal();
  },
});
const betweenPivots = saga({
  name: 'between-pivots',
  input: z.null(),
  steps: { ask, pay: command(Pay, { timeout: '1h', pivot: true }), seal: step({ run: () => {}, pivot: true }) },
  async run({ steps }) {
    await Promise.all([steps.pay(null), steps.ask(null).then(() => steps.seal())]);
  },
});

/** Each order once. */
function orders(messages: readonly RunMessageBody[]): readonly (readonly RunMessageBody[])[] {
  if (messages.length === 0) return [[]];
  const seen = new Set<string>();
  return messages
    .flatMap((first, place) => orders(messages.toSpliced(place, 1)).map((rest) => [first, ...rest]))
    .filter((order) => {
      const text = JSON.stringify(order);
      return !seen.has(text) && seen.add(text);
    });
}

const short = (order: readonly RunMessageBody[]): string =>
  order.map((body) => (body.kind === 'reply' ? `reply to ${body.call}` : body.kind)).join(', ');

/** Starts a run for each order, has its messages lie there while there is no worker, and gives what became of each. */
async function taken(definition: AnySaga, called: readonly string[], all: readonly (readonly RunMessageBody[])[]) {
  const worker = await lab.worker([definition]);
  const runs = await Promise.all(all.map(() => worker.sagas.start(definition as typeof toAnEnd, null)));
  for (const { id } of runs) for (const call of called) await lab.untilEvent(id, 'called', call);
  await worker.stop();
  for (const [place, { id }] of runs.entries()) for (const body of all[place] ?? []) await lab.postRunMessage(id, body);
  await lab.worker([definition]);
  return Promise.all(
    runs.map(async ({ id }, place) => {
      const order = all[place] ?? [];
      const cancelled = order.includes(cancel);
      const undecided = called.includes('pay');
      const { status, refused } = await lab.until(id, cancelled && !undecided ? 'compensated' : 'completed');
      return { order: short(order), status, refused: refused.length };
    }),
  );
}

describe('messages that lie unread in any order', () => {
  const few = [...orders([reply('ask'), cancel]), ...orders([reply('ask'), reply('ask'), cancel, cancel])];

  it.each([
    ['its end', toAnEnd],
    ['its pivot', toAPivot],
    ['a pivot that is a transaction', toATransaction],
  ] as const)('a cancellation among them takes effect before %s', async (_, definition) => {
    const all = [[reply('ask')], ...few];
    const became = await taken(definition, ['ask'], all);
    expect(became).toEqual(
      all.map((order) => ({
        order: short(order),
        status: order.includes(cancel) ? 'compensated' : 'completed',
        refused: 0,
      })),
    );
  });

  it('one that waits for a pivot keeps the run from no other, and is answered', async () => {
    const all = [
      ...orders([reply('ask'), reply('pay'), cancel]),
      ...orders([reply('ask'), reply('pay'), cancel, cancel]),
    ];
    const became = await taken(betweenPivots, ['ask', 'pay'], all);
    expect(became).toEqual(
      all.map((order) => ({
        order: short(order),
        status: 'completed',
        refused: order.filter((body) => body === cancel).length,
      })),
    );
  });
});
