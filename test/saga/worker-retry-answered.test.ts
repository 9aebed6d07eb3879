/** A run whose code answers a failure behind its pivot and then ends with it: what failed is attempted anew, and may be answered anew. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError, Rejection } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { checkReplay } from '../../src/saga/replay/check-replay.ts';
import { saga, type AnySaga } from '../../src/saga/definition/definition.ts';
import { MOVES, type RunStatus } from '../../src/saga/journal/events.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import type { RunMessageBody } from '../../src/saga/store/store.ts';
import type { SagaReply } from '../../src/saga/protocol/wire.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';
import { sent } from './participant-lab.ts';

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
async function stuckBehindPivot(id: string): Promise<void> {
  expect((await lab.stuck(id)).why).toBe('forward');
  await lab.untilFree(id);
}

async function fits(code: AnySaga, id: string): Promise<void> {
  const journal = await createPostgresClientStore({ database: lab.database }).journal(id);
  const history = { id, saga: code.name, version: code.version, journal };
  expect(await checkReplay(code, history)).toMatchObject({ kind: 'fits' });
}

describe('code that answers a failure behind the pivot with further calls, and then throws it', () => {
  /** Ships, tells of a failure and throws it again, as it is or as the cause of its own error. */
  function shipping(throwing: (error: unknown) => unknown) {
    const made: string[] = [];
    const keys: string[] = [];
    const definition = saga({
      name: 'shipping',
      input: z.null(),
      signals: { go: z.null() },
      steps: {
        pay,
        ship: step({
          run: (_: null) => {
            made.push('ship');
            if (made.filter((each) => each === 'ship').length < 3) throw new PermanentError(`no truck ${made.length}`);
            return 'parcel';
          },
        }),
        tell: step({
          run: (what: string, { idempotencyKey }) => {
            made.push(`tell ${what}`);
            keys.push(idempotencyKey);
          },
        }),
        beside: step({ run: (_: null) => void made.push('beside') }),
      },
      async run({ steps, waitFor }) {
        await steps.pay(null);
        const branch = waitFor('go').then(() => steps.beside(null));
        try {
          const parcel = await steps.ship(null);
          await branch;
          return parcel;
        } catch (error) {
          await steps.tell((error as Error).message);
          await waitFor('go', { timeout: '1ms' });
          throw throwing(error);
        }
      },
    });
    return { definition, made, keys };
  }

  it.each([
    ['as it is', (error: unknown) => error],
    ['as a cause', (cause: unknown) => new Error('not shipped', { cause })],
    ['in an aggregate', (error: unknown) => new AggregateError([new Error('other'), error], 'not shipped')],
  ])('attempts it anew, and answers it anew: thrown %s', async (_how, throwing) => {
    const { definition, made, keys } = shipping(throwing);
    const { sagas } = await lab.worker([definition]);
    const run = await sagas.start(definition, null);
    await stuckBehindPivot(run.id);
    expect(made).toEqual(['ship', 'tell no truck 1']);
    await again(run.id);
    await lab.untilEvent(run.id, 'retried');
    await stuckBehindPivot(run.id);
    // The second failure is another one, so its answer is another call of the same name.
    expect(made).toEqual(['ship', 'tell no truck 1', 'ship', 'tell no truck 3']);
    expect(keys).toEqual([`${run.id}:tell`, `${run.id}:tell!2`]);
    await fits(definition, run.id);
    await again(run.id);
    await lab.untilEvent(run.id, 'done', 'ship');
    await run.signal('go', null);
    expect((await lab.until(run.id, 'completed')).result).toBe('parcel');
    expect(made.slice(4)).toEqual(['ship', 'beside']);
    await fits(definition, run.id);
  });

  it('keeps what a branch beside it has called meanwhile, and makes it no second time', async () => {
    const made: string[] = [];
    const told = gate();
    let broken = true;
    const wide = saga({
      name: 'wide',
      input: z.null(),
      steps: {
        pay,
        ship: step({
          run: (_: null) => {
            made.push('ship');
            if (broken) throw new PermanentError('no truck');
          },
        }),
        count: step({ run: (_: null) => void made.push('count') }),
        list: step({ run: (_: null) => void made.push('list') }),
        tell: step({ run: (_: null) => told.promise }),
      },
      async run({ steps }) {
        await steps.pay(null);
        const branch = steps.count(null).then(() => steps.list(null));
        try {
          await steps.ship(null);
        } catch (error) {
          await steps.tell(null);
          throw error;
        }
        await branch;
        return 'all';
      },
    });
    const { sagas } = await lab.worker([wide]);
    const { id } = await sagas.start(wide, null);
    await lab.untilEvent(id, 'called', 'tell');
    await lab.untilEvent(id, 'done', 'list');
    told.open();
    await stuckBehindPivot(id);
    broken = false;
    await again(id);
    expect((await lab.until(id, 'completed')).result).toBe('all');
    expect(made.toSorted()).toEqual(['count', 'list', 'ship', 'ship']);
    await fits(wide, id);
  });

  it('leaves alone what the code has borne before it failed for another reason', async () => {
    const made: string[] = [];
    let broken = true;
    const bearing = saga({
      name: 'bearing',
      input: z.null(),
      steps: {
        pay,
        fast: step({
          run: (_: null) => {
            made.push('fast');
            throw new Rejection('full');
          },
        }),
        slow: step({
          run: (_: null) => {
            made.push('slow');
            if (broken) throw new Rejection('closed');
          },
        }),
      },
      async run({ steps }) {
        await steps.pay(null);
        await steps.fast(null).catch(() => steps.slow(null));
      },
    });
    const { sagas } = await lab.worker([bearing]);
    const { id } = await sagas.start(bearing, null);
    await stuckBehindPivot(id);
    broken = false;
    await again(id);
    await lab.until(id, 'completed');
    expect(made).toEqual(['fast', 'slow', 'slow']);
    await fits(bearing, id);
  });
});

describe('a participant behind the pivot', () => {
  const Ship = message('ship', { schema: z.object({ n: z.number() }) });
  const Tell = message('tell', { schema: z.object({ why: z.string() }) });
  const sending = saga({
    name: 'sending',
    input: z.null(),
    steps: { pay, ship: command(Ship, { timeout: '1h' }), tell: command(Tell, { timeout: '1h' }) },
    async run({ steps }) {
      await steps.pay(null);
      try {
        await steps.ship({ n: 1 });
      } catch (error) {
        await steps.tell({ why: (error as Error).message });
        throw error;
      }
      return 'shipped';
    },
  });

  it('acts once for each attempt that a person asks for, with a record of each, however often the commands come', async () => {
    let trucks = 0;
    const keys: string[] = [];
    const dispatch = createParticipant('dispatch', {
      database: lab.database,
      transport: createMemoryTransport(),
      redeliveryHorizon: '1d',
      handlers: [
        handle(Ship, async (_command, { tx, idempotencyKey }) => {
          keys.push(idempotencyKey);
          if (trucks === 0) throw new Rejection('no truck');
          await tx.query(`INSERT INTO effect (what) VALUES ('shipped')`);
        }),
        handle(Tell, async ({ why }, { tx }) => {
          await tx.query('INSERT INTO effect (what) VALUES ($1)', [`told ${why}`]);
        }),
      ],
    });
    const { sagas } = await lab.worker([sending]);
    const { id } = await sagas.start(sending, null);
    let seen = 0;
    /** What is on its way arrives, each message twice. */
    const carry = async (): Promise<void> => {
      interface Row {
        readonly seq: number;
        readonly topic: string;
        readonly headers: { readonly headers: Record<string, string> };
        readonly payload: unknown;
      }
      const { rows } = await lab.test.pool.query<Row>(
        'SELECT seq::int, topic, headers, payload FROM holdfast.outbox WHERE seq > $1 ORDER BY seq',
        [seen],
      );
      for (const { seq, topic, headers, payload } of rows) {
        seen = seq;
        for (const messageId of [randomUUID(), randomUUID()]) {
          if (topic === 'saga.reply') {
            const reply = { ...(payload as SagaReply), kind: 'reply' } as RunMessageBody;
            await createPostgresClientStore({ database: lab.database }).postRunMessage(
              null,
              id,
              reply,
              Object.keys(MOVES) as RunStatus[],
            );
          } else
            await dispatch.handle(
              sent({ id: messageId, runId: id, type: topic, data: payload, headers: headers.headers }),
            );
        }
      }
    };
    const carried = (status: RunStatus): Promise<unknown> =>
      eventually(`the run to be ${status}`, async () => {
        await carry();
        return (await lab.view(id)).status === status;
      });
    await carried('stuck');
    await lab.untilFree(id);
    for (const _ of [2, 3]) {
      await again(id);
      await eventually('it to be retried', async () => (await lab.view(id)).status !== 'stuck');
      await carried('stuck');
      await lab.untilFree(id);
    }
    trucks = 1;
    await again(id);
    await carried('completed');
    await carry();
    expect(new Set(keys)).toEqual(new Set([1, 2, 3, 4].map((n) => `${id}:ship${n === 1 ? '' : `!${n}`}`)));
    const { rows } = await lab.test.pool.query<{ what: string }>('SELECT what FROM effect ORDER BY id');
    expect(rows.map(({ what }) => what)).toEqual(['told no truck', 'told no truck', 'told no truck', 'shipped']);
    const records = await lab.test.pool.query<{ call: string; state: string }>(
      'SELECT call, state FROM holdfast.participant_call WHERE saga_id = $1 ORDER BY call',
      [id],
    );
    expect(records.rows).toEqual([
      { call: 'ship', state: 'rejected' },
      { call: 'ship!2', state: 'rejected' },
      { call: 'ship!3', state: 'rejected' },
      { call: 'ship!4', state: 'done' },
      { call: 'tell', state: 'done' },
      { call: 'tell!2', state: 'done' },
      { call: 'tell!3', state: 'done' },
    ]);
    await fits(sending, id);
  });
});
