/**
 * The promise itself: mark and effect commit together, whatever happens around them.
 */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { clean, delivery, manualClock, openLab, Placed, signal, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const write = (tx: PoolClient, id: string, note = 'done'): Promise<unknown> =>
  tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [id, note]);

describe('one effect per message', () => {
  it('hands the handler payload, message and transaction, and commits mark and effect', async () => {
    const consumer = lab.make({
      handlers: [
        on(Placed, async (order, { tx, message, attempt }) => {
          expect(order).toEqual({ orderId: 'o-7', n: 3 });
          expect(message.topic).toBe('order.placed');
          await write(tx, message.id, `attempt ${attempt}`);
        }),
      ],
    });
    const sent = wire({ data: { orderId: 'o-7', n: 3 } });
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(await lab.effects()).toEqual([{ id: sent.id, note: 'attempt 1' }]);
    expect(await lab.count('inbox')).toBe(1);
  });

  it('takes the wire as text or as a value', async () => {
    const consumer = lab.make({ handlers: [on(Placed, (_order, { tx, message }) => write(tx, message.id))] });
    const sent = wire();
    await consumer.handle({ ...delivery(sent), wire: JSON.parse(sent.text) });
    expect(await lab.effects()).toHaveLength(1);
  });

  it('keeps one effect of a duplicate, later and at the same moment', async () => {
    const started = signal();
    const goOn = signal();
    let runs = 0;
    const consumer = lab.make({
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          runs += 1;
          started.fire();
          await goOn.promise;
          await write(tx, message.id);
        }),
      ],
    });
    const sent = wire();
    const first = consumer.handle(delivery(sent));
    await started.promise;
    const others = [1, 2, 3].map(() => consumer.handle(delivery(sent)));
    goOn.fire();
    expect(await Promise.all([first, ...others])).toEqual(Array(4).fill({ kind: 'done' }));
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(runs).toBe(1);
    expect(await lab.effects()).toHaveLength(1);
  });

  it('lets a waiting duplicate take over when the first one rolls back', async () => {
    const started = signal();
    const goOn = signal();
    let runs = 0;
    const consumer = lab.make({
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          runs += 1;
          const mine = runs;
          await write(tx, message.id, `run ${mine}`);
          started.fire();
          await goOn.promise;
          if (mine === 1) throw new Error('no luck');
        }),
      ],
    });
    const sent = wire();
    const first = consumer.handle(delivery(sent));
    await started.promise;
    const second = consumer.handle(delivery(sent));
    goOn.fire();
    await Promise.all([first, second]);
    // Either the second ran, or the first had it parked before: never both, never none.
    const effects = await lab.effects();
    expect(effects.length + (await lab.parked()).length).toBe(1);
    expect(effects).not.toContainEqual({ id: sent.id, note: 'run 1' });
  });

  it('keeps marks per consumer', async () => {
    const handlers = [on(Placed, (_order, { tx, message }: HandlerContext<PoolClient>) => write(tx, message.id))];
    const sent = wire();
    await lab.make({ handlers }, 'one').handle(delivery(sent));
    await lab.make({ handlers }, 'two').handle(delivery(sent));
    expect(await lab.effects()).toHaveLength(2);
  });
});

describe('failures', () => {
  it('rolls a failed attempt back and tries again', async () => {
    const consumer = lab.make({
      handlers: [
        on(Placed, async (_order, { tx, message, attempt }) => {
          await write(tx, message.id, `attempt ${attempt}`);
          if (attempt < 3) throw new Error('not yet');
        }),
      ],
    });
    const sent = wire();
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(await lab.effects()).toEqual([{ id: sent.id, note: 'attempt 3' }]);
  });

  it('does not count serialization failures as attempts', async () => {
    let runs = 0;
    const consumer = lab.make({
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (_order, { tx, message, attempt }) => {
          runs += 1;
          expect(attempt).toBe(1);
          if (runs <= 3) await tx.query("DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$");
          await write(tx, message.id);
        }),
      ],
    });
    await consumer.handle(delivery(wire()));
    expect(runs).toBe(4);
    expect(await lab.effects()).toHaveLength(1);
  });

  it('notices a handler that swallowed an SQL error', async () => {
    const consumer = lab.make({
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          await write(tx, message.id);
          await tx.query('SELECT 1/0').catch(() => {});
        }),
      ],
    });
    const sent = wire();
    await consumer.handle(delivery(sent));
    expect(await lab.effects()).toEqual([]);
    expect((await lab.parked(sent.id))[0]?.error).toMatch(/HF_TRANSACTION_ABORTED/);
  });

  it('notices a handler that ends the transaction itself', async () => {
    const consumer = lab.make({ handlers: [on(Placed, async (_order, { tx }) => void (await tx.query('ROLLBACK')))] });
    const sent = wire();
    await consumer.handle(delivery(sent));
    expect(await lab.parked(sent.id)).toMatchObject([{ reason: 'permanent error', attempts: 1 }]);
  });

  it('counts an effect that the database refuses at COMMIT as a failure', async () => {
    await lab.test.pool.query(
      'CREATE TABLE IF NOT EXISTS late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); TRUNCATE late; INSERT INTO late VALUES (1)',
    );
    const consumer = lab.make({
      retry: { attempts: 2 },
      handlers: [on(Placed, async (_order, { tx }) => void (await tx.query('INSERT INTO late VALUES (1)')))],
    });
    const sent = wire();
    await consumer.handle(delivery(sent));
    expect(await lab.parked(sent.id)).toMatchObject([{ reason: 'gave up after retries', attempts: 2 }]);
  });

  it('parks a message whose connection the handler destroys, once it has had its attempts', async () => {
    const consumer = lab.make({
      retry: { attempts: 2 },
      handlers: [
        on(Placed, async (_order, { tx }) => void (await tx.query('SELECT pg_terminate_backend(pg_backend_pid())'))),
      ],
    });
    const sent = wire();
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(await lab.parked(sent.id)).toMatchObject([{ state: 'failed', attempts: 2 }]);
  });
});

describe('a COMMIT whose connection breaks', () => {
  /** Replaces COMMIT on the handler's client, once, by what `cut` does. */
  function cutCommit(tx: PoolClient, cut: (commit: () => Promise<unknown>) => Promise<void>): void {
    // The driver's own, because the one that the handler was lent ends with the handler.
    const { query: own } = Object.getPrototypeOf(tx) as { query: (...all: unknown[]) => Promise<unknown> };
    const query = own.bind(tx);
    const { stream } = (tx as unknown as { connection: { stream: { destroy(): void } } }).connection;
    Object.assign(tx, {
      query: async (...all: unknown[]) => {
        if (all[0] !== 'COMMIT') return query(...all);
        await cut(() => query(...all));
        stream.destroy();
        throw new Error('Connection terminated unexpectedly');
      },
    });
  }

  it.each([
    { when: 'after the server committed', commits: true, runs: 1 },
    { when: 'before it reached the server', commits: false, runs: 2 },
  ])('is found out by the mark: $when', async ({ commits, runs }) => {
    let ran = 0;
    const consumer = lab.make({
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          ran += 1;
          await write(tx, message.id);
          if (ran === 1) cutCommit(tx, async (commit) => void (commits && (await commit())));
        }),
      ],
    });
    const sent = wire();
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(ran).toBe(runs);
    expect(await lab.effects()).toHaveLength(1);
    expect(await lab.parked()).toEqual([]);
  });

  it('is found out by the parking when it was the last attempt', async () => {
    const consumer = lab.make({
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          await write(tx, message.id);
          cutCommit(tx, async (commit) => void (await commit()));
        }),
      ],
    });
    expect(await consumer.handle(delivery(wire()))).toEqual({ kind: 'done' });
    expect(await lab.effects()).toHaveLength(1);
    expect(await lab.parked()).toEqual([]);
  });
});

describe('time limits', () => {
  it('aborts the signal, rolls back, and counts a failure', async () => {
    const clock = manualClock();
    const waiting = signal();
    const consumer = lab.make({
      clock,
      timeout: '10s',
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (_order, { tx, message, signal: abort }) => {
          await write(tx, message.id);
          const aborted = new Promise((_, reject) => {
            abort.addEventListener('abort', () => reject(abort.reason));
          });
          waiting.fire();
          await aborted;
        }),
      ],
    });
    const sent = wire();
    const verdict = consumer.handle(delivery(sent));
    await waiting.promise;
    await clock.advance('10s');
    expect(await verdict).toEqual({ kind: 'done' });
    expect(await lab.effects()).toEqual([]);
    expect((await lab.parked(sent.id))[0]?.error).toMatch(/HF_HANDLER_TIMEOUT.*10000 ms/);
  });

  it('cuts the connection of a handler that hangs in a statement, and frees what it locked', async () => {
    const clock = manualClock();
    let runs = 0;
    const hanging = signal();
    const consumer = lab.make({
      clock,
      timeout: '10s',
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          runs += 1;
          await write(tx, message.id, `run ${runs}`);
          if (runs > 1) return;
          const sleeping = tx.query('SELECT pg_sleep(600)');
          hanging.fire();
          await sleeping;
        }),
      ],
    });
    const sent = wire();
    const verdict = consumer.handle(delivery(sent));
    await hanging.promise;
    await clock.advance('10s');
    await clock.whenSleeping();
    await clock.advance('1s');
    // The second run needs the mark that the first one's transaction holds until its backend is ended.
    expect(await verdict).toEqual({ kind: 'done' });
    expect(await lab.effects()).toEqual([{ id: sent.id, note: 'run 2' }]);
  });

  it('lets nothing that a hanging handler does later reach the database', async () => {
    const clock = manualClock();
    const hanging = signal();
    const goOn = signal();
    let late: Promise<unknown> = Promise.resolve();
    const consumer = lab.make({
      clock,
      timeout: '10s',
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          hanging.fire();
          await goOn.promise;
          late = write(tx, message.id, 'late');
          await late;
        }),
      ],
    });
    const verdict = consumer.handle(delivery(wire()));
    await hanging.promise;
    await clock.advance('10s');
    await clock.advance('1s');
    await verdict;
    goOn.fire();
    await expect(
      (async () => {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
        await late;
      })(),
    ).rejects.toThrow();
    expect(await lab.effects()).toEqual([]);
  });

  it('gives a message back when the broker takes it away', async () => {
    const claim = new AbortController();
    const consumer = lab.make({
      handlers: [
        on(Placed, async (_order, { tx, message, signal: abort }) => {
          await write(tx, message.id);
          claim.abort(new Error('claim lost'));
          abort.throwIfAborted();
        }),
      ],
    });
    expect(await consumer.handle(delivery(wire(), { signal: claim.signal }))).toEqual({ kind: 'later', delayMs: 0 });
    expect(await lab.effects()).toEqual([]);
    expect(await lab.parked()).toEqual([]);
  });
});

describe('a database that cannot be reached', () => {
  it('holds the message, then gives it back; nothing is parked or acknowledged', async () => {
    const clock = manualClock();
    const consumer = lab.make({
      clock,
      random: () => 0.999,
      handlers: [on(Placed, (_order, { tx, message }) => write(tx, message.id))],
    });
    await lab.reachable(false);
    const verdict = consumer.handle(delivery(wire()));
    const settled = verdict.then(() => true);
    while (!(await Promise.race([settled, clock.whenSleeping().then(() => false)]))) await clock.advance('5s');
    await lab.reachable(true);
    expect(await verdict).toEqual({ kind: 'later', delayMs: 5000 });
    expect(await lab.effects()).toEqual([]);
    expect(await lab.parked()).toEqual([]);
  });

  it('goes on where it was when the database comes back, with all its attempts', async () => {
    const clock = manualClock();
    let runs = 0;
    let jitter = 0.5;
    const consumer = lab.make({
      clock,
      random: () => jitter,
      retry: { attempts: 2, within: '5s' },
      handlers: [
        on(Placed, async (_order, { tx, message, attempt }) => {
          runs += 1;
          await write(tx, message.id, `attempt ${attempt}`);
          // The time without a database is not counted, or no time would be left for this.
          if (attempt === 1) throw new Error('not yet');
        }),
      ],
    });
    await lab.reachable(false);
    const verdict = consumer.handle(delivery(wire()));
    for (let hold = 0; hold < 3; hold += 1) {
      await clock.whenSleeping();
      await clock.advance('5s');
    }
    await clock.whenSleeping();
    await lab.reachable(true);
    jitter = 0;
    await clock.advance('5s');
    expect(await verdict).toEqual({ kind: 'done' });
    expect(runs).toBe(2);
    expect((await lab.effects())[0]?.note).toBe('attempt 2');
  });
});
