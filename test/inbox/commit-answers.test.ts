/** What a consumer takes for done, and what not: COMMIT that was answered with ROLLBACK, and a message that could not be parked. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { PermanentError } from '../../src/errors.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { batching, handleAll, idsOf, wires } from './batch-lab.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

it('a failing statement that the handler does not await: nothing is committed, and the message is not taken for handled', async () => {
  const consumer = lab.make({
    retry: { attempts: 1 },
    handlers: [
      on(Placed, async (_order, { tx, message }) => {
        await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'lost']);
        // Not answered when the handler has resolved, so COMMIT is sent behind it.
        void tx.query('SELECT 1/0').catch(() => {});
      }),
    ],
  });
  const sent = wire();
  expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
  expect(await lab.effects()).toEqual([]);
  expect(await lab.parked(sent.id)).toMatchObject([
    { attempts: 1, error: expect.stringMatching(/HF_TRANSACTION_ABORTED/) },
  ]);
});

it('the same in the last message of a batch: the others are handled, each with its effect', async () => {
  const consumer = batching(
    lab,
    ({ n }, { tx }) => (n === 4 ? void tx.query('SELECT 1/0').catch(() => {}) : undefined),
    { retry: { attempts: 1 } },
  );
  const sent = wires(5);
  await handleAll(consumer, sent);
  expect(idsOf(await lab.effects())).toEqual(idsOf(sent.slice(0, 4)));
  expect(await lab.parked()).toMatchObject([{ message_id: sent[4]?.id }]);
});

it('a message that gives up while the database is away goes back: it is neither parked nor acknowledged', async () => {
  const claim = new AbortController();
  // Told when parking has failed for the first time.
  const log: Logger = { ...silentLogger, warn: () => claim.abort(new Error('taken away')), child: () => log };
  const consumer = lab.make({
    log,
    handlers: [
      on(Placed, async () => {
        await lab.reachable(false);
        throw new PermanentError('no such order');
      }),
    ],
  });
  const verdict = await consumer.handle(delivery(wire(), { signal: claim.signal }));
  await lab.reachable(true);
  expect(verdict).toMatchObject({ kind: 'later' });
  expect([await lab.count('inbox'), await lab.count('parked_delivery')]).toEqual([0, 0]);
});
