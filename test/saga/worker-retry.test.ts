/** A run that is stuck behind its pivot and is retried: what failed is attempted anew, whatever it was. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, Rejection } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { checkReplay } from '../../src/saga/replay/check-replay.ts';
import { saga, type AnySaga } from '../../src/saga/definition/definition.ts';
import type { JournalEvent, JournalRow } from '../../src/saga/journal/events.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { emptyState, type RunState } from '../../src/saga/journal/state.ts';
import { apply } from '../../src/saga/state/fold.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { SAGA_HEADERS } from '../../src/saga/protocol/wire.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const ops = { actor: 'ann', reason: 'mended' };
const again = (id: string): Promise<void> => lab.postRunMessage(id, { kind: 'retry', ...ops });
const pay = step({ pivot: true, run: (_: null) => 'paid' });

/** Stuck, and in nobody's memory. */
async function stuckBehindPivot(id: string): Promise<string> {
  const { why, message: said } = await lab.stuck(id);
  expect(why).toBe('forward');
  await lab.untilFree(id);
  return said;
}

async function fits(code: AnySaga, id: string): Promise<void> {
  const journal = await createPostgresClientStore({ database: lab.database }).journal(id);
  const history = { id, saga: code.name, version: code.version, journal };
  expect(await checkReplay(code, history)).toMatchObject({ kind: 'fits' });
}

describe('a step behind the pivot', () => {
  it.each([
    ['a permanent error', () => new PermanentError('the address is wrong')],
    ['a rejection', () => new Rejection('no room')],
  ])('that failed by %s is run anew, as often as it is retried', async (_name, refusal) => {
    let runs = 0;
    const shipping = saga({
      name: 'shipping',
      input: z.null(),
      steps: {
        pay,
        ship: step({
          deadline: '1h',
          run: (_: null) => {
            runs += 1;
            if (runs < 3) throw refusal();
            return `parcel ${runs}`;
          },
        }),
        tell: step({ run: (parcel: string) => `told of ${parcel}` }),
      },
      async run({ steps }) {
        await steps.pay(null);
        return steps.tell(await steps.ship(null));
      },
    });
    const { sagas } = await lab.worker([shipping]);
    const { id } = await sagas.start(shipping, null);
    await stuckBehindPivot(id);
    expect(runs).toBe(1);
    await again(id);
    await lab.untilEvent(id, 'retried');
    await stuckBehindPivot(id);
    expect(runs).toBe(2);
    await again(id);
    expect((await lab.until(id, 'completed')).result).toBe('told of parcel 3');
    expect(runs).toBe(3);
    await fits(shipping, id);
  });

  it('goes on in another worker as well, and what is done beside it stays done', async () => {
    const made: string[] = [];
    const bothOut = gate();
    let broken = true;
    const wide = saga({
      name: 'wide',
      input: z.null(),
      steps: {
        pay,
        a: step({
          run: (_: null) => {
            made.push('a');
            if (broken) throw new PermanentError('a is down');
            return 'a';
          },
        }),
        b: step({
          run: async (_: null) => {
            await bothOut.promise;
            made.push('b');
            return 'b';
          },
        }),
        c: step({ run: (_: null) => void made.push('c') }),
      },
      async run({ steps }) {
        await steps.pay(null);
        // The first one ends the code before the second one is done, and what follows on that one was never asked for.
        return Promise.all([steps.a(null), steps.b(null).then((b) => steps.c(null).then(() => b))]);
      },
    });
    const first = await lab.worker([wide]);
    const { id } = await first.sagas.start(wide, null);
    await lab.untilEvent(id, 'failed', 'a');
    bothOut.open();
    await stuckBehindPivot(id);
    await first.stop();
    broken = false;
    await again(id);
    await lab.worker([wide]);
    expect((await lab.until(id, 'completed')).result).toEqual(['a', 'b']);
    expect(made).toEqual(expect.arrayContaining(['a', 'a', 'b', 'c']));
    expect(made).toHaveLength(4);
    await fits(wide, id);
  });

  it('is run anew if it is a transaction', async () => {
    let runs = 0;
    const booking = saga({
      name: 'booking',
      input: z.null(),
      steps: {
        pay,
        book: transaction({
          run: async (_: null, { tx }) => {
            runs += 1;
            await tx.query(`INSERT INTO effect (what) VALUES ('booked')`);
            if (runs === 1) throw new Rejection('closed');
          },
        }),
      },
      async run({ steps }) {
        await steps.pay(null);
        await steps.book(null);
      },
    });
    const { sagas } = await lab.worker([booking]);
    const { id } = await sagas.start(booking, null);
    await stuckBehindPivot(id);
    await again(id);
    await lab.until(id, 'completed');
    expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([{ what: 'booked' }]);
    await fits(booking, id);
  });
});

describe('an error of `run` behind the pivot', () => {
  const code = (mended: boolean) =>
    saga({
      name: 'summing',
      input: z.null(),
      steps: { pay, end: step({ run: (_: null) => 'ended' }) },
      async run({ steps }) {
        await steps.pay(null);
        if (!mended) throw new Error('the sum does not fit');
        return steps.end(null);
      },
    });

  it('is gone when the code is mended', async () => {
    const old = code(false);
    const first = await lab.worker([old]);
    const { id } = await first.sagas.start(old, null);
    await stuckBehindPivot(id);
    await first.stop();
    await lab.worker([code(true)]);
    await again(id);
    expect((await lab.until(id, 'completed')).result).toBe('ended');
  });
});

describe('a full journal behind the pivot', () => {
  it('goes on where it stopped under a higher limit', async () => {
    const long = saga({
      name: 'long',
      input: z.null(),
      steps: { pay, send: step({ run: (n: number) => n }) },
      async run({ steps }) {
        await steps.pay(null);
        let sum = 0;
        for (let n = 0; n < 20; n += 1) sum += await steps.send(n, { id: `n${n}` });
        return sum;
      },
    });
    const small = await lab.worker([long], { maxEvents: 20 });
    const { id } = await small.sagas.start(long, null);
    expect(await lab.stuck(id)).toMatchObject({ why: 'journal full' });
    await lab.untilFree(id);
    await small.stop();
    await lab.worker([long]);
    await again(id);
    expect((await lab.until(id, 'completed')).result).toBe(190);
  });
});

describe('the fold', () => {
  const at = (n: number, ...events: JournalEvent[]): JournalRow => ({ n, at: n * 1_000, events });
  const fold = (rows: readonly JournalRow[]): RunState => {
    const state = emptyState();
    for (const row of rows) for (const event of row.events) apply(state, event, row.at);
    return state;
  };
  const error = { name: 'TypeError', message: 'x is undefined' };
  const retried = { t: 'retried', actor: 'ann' } as const;

  it('gives a step that was stuck at a bug the rest of its whole time, counted anew', () => {
    const called = { t: 'called', call: 'ship', kind: 'step', step: 'ship', until: 6_000 } as const;
    const state = fold([at(1, called), at(2, { t: 'stuck', why: 'code', call: 'ship', error }), at(90, retried)]);
    expect(state.calls.get('ship')).toMatchObject({ outcome: 'open', calledAt: 90_000, until: 95_000 });
  });

  it('takes back no failure that the code has borne, and opens calls in the order in which they were made', () => {
    const call = (name: string) => ({ t: 'called', call: name, kind: 'step', step: name }) as const;
    const failed = (name: string) => ({ t: 'failed', call: name, attempts: 1, error, outcome: 'definite' }) as const;
    const rows = [at(1, call('borne')), at(2, failed('borne')), at(3, call('a'), call('b')), at(4, failed('a'))];
    expect(fold(rows).failedSince).toEqual(['a']);
    const anew = { ...retried, anew: [{ call: 'a', round: 2 }] };
    const state = fold([...rows, at(5, { t: 'stuck', why: 'forward', error }), at(6, anew)]);
    expect(state.open.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(state.calls.get('a')).toMatchObject({ outcome: 'open', givenUp: false, doubt: false, round: 2 });
    expect(state.failedSince).toEqual([]);
  });
});

describe('a command behind the pivot', () => {
  const Ship = message('ship', { schema: z.object({ n: z.number() }) });
  const posting = saga({
    name: 'posting',
    input: z.null(),
    steps: { pay, ship: command(Ship, { timeout: '1h' }) },
    async run({ steps }) {
      await steps.pay(null);
      await steps.ship({ n: 1 });
      return 'shipped';
    },
  });
  const asked = async (): Promise<readonly unknown[]> =>
    (
      await lab.test.pool.query<{ call: string }>(
        `SELECT headers -> 'headers' ->> '${SAGA_HEADERS.call}' AS call FROM holdfast.outbox WHERE topic = 'ship' ORDER BY seq`,
      )
    ).rows.map(({ call }) => call);

  it('that was refused is asked anew, under a name for which the participant has no answer on record', async () => {
    const { sagas } = await lab.worker([posting]);
    const { id } = await sagas.start(posting, null);
    await lab.untilEvent(id, 'called', 'ship');
    await lab.postRunMessage(id, { kind: 'reply', call: 'ship', to: 'command', outcome: 'rejected' });
    await stuckBehindPivot(id);
    await again(id);
    await lab.untilEvent(id, 'retried');
    expect(await asked()).toEqual(['ship', 'ship!2']);
    // The first answer, come twice, is no answer to the second question.
    await lab.postRunMessage(id, { kind: 'reply', call: 'ship', to: 'command', outcome: 'rejected' });
    await lab.postRunMessage(id, { kind: 'reply', call: 'ship!2', to: 'command', outcome: 'done' });
    expect((await lab.until(id, 'completed')).result).toBe('shipped');
    expect(await lab.story(id)).not.toContain('late reply ship');
    await fits(posting, id);
  });
});

describe('a child behind the pivot', () => {
  it('that was compensated is started anew, as another run', async () => {
    let runs = 0;
    const inner = saga({
      name: 'inner',
      input: z.null(),
      steps: {
        pack: step({
          run: (_: null) => {
            runs += 1;
            if (runs === 1) throw new Rejection('no boxes');
            return 'packed';
          },
        }),
      },
      run: ({ steps }) => steps.pack(null),
    });
    const outer = saga({
      name: 'outer',
      input: z.null(),
      steps: { pay, inner: child(inner) },
      async run({ steps }) {
        await steps.pay(null);
        return steps.inner(null);
      },
    });
    const { sagas } = await lab.worker([outer, inner]);
    const { id } = await sagas.start(outer, null);
    await stuckBehindPivot(id);
    await again(id);
    expect((await lab.until(id, 'completed')).result).toBe('packed');
    const ends = await eventually('both children to have ended', async () => {
      const { rows } = await lab.test.pool.query<{ status: string }>(
        `SELECT status FROM holdfast.saga_run WHERE saga = 'inner' ORDER BY status`,
      );
      return (
        rows.every(({ status }) => status === 'compensated' || status === 'completed') &&
        rows.map(({ status }) => status)
      );
    });
    expect(ends).toEqual(['compensated', 'completed']);
    await fits(outer, id);
  });
});
