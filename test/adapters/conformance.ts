/**
 * What must hold in the transactions of every client and ORM, by whatever it is opened: messages and runs that are there if, and only if,
 * it commits, one effect for each message and call, and nothing left behind on its connections. One suite for all of them; a test file of
 * each gives its client.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createOutbox, item } from '../../src/outbox/outbox.ts';
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import type { Runner } from '../../src/postgres/runner.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { delivery, Placed, wire } from '../inbox/lab.ts';
import { Release, Reserve, Reserved, sent } from '../saga/participant-lab.ts';
import { gate, openLab, type Lab } from '../saga/lab.ts';
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { bookingFlow } from './booking-flow.ts';
import { shippingConsumer } from './shipping-consumer.ts';

/** A client on the database of the test, whose table is `effect (what text)`. */
export interface ClientUnderTest<Tx> {
  /** Four connections. */
  readonly runner: Runner<Tx>;
  /** What is no transaction. */
  readonly root: unknown;
  /** Inserts a row, in the client's own way. */
  write(tx: Tx, what: string): Promise<unknown>;
  /** `SELECT 1 / 0`. */
  fail(tx: Tx): Promise<unknown>;
  /** A transaction within a transaction. */
  nested(tx: Tx, fn: (tx: Tx) => Promise<void>): Promise<unknown>;
  /** The row of a statement, as the client gives it to its user. */
  read(tx: Tx, sql: string): Promise<unknown>;
  close(): Promise<unknown>;
}

const KINDS_OF_VALUES =
  "SELECT 9007199254740993::int8 AS big, 1.50::numeric AS amount, true AS yes, '2026-01-02T03:04:05Z'::timestamptz AS at, '{\"a\": 1}'::jsonb AS doc";
/** Ours, or what the client itself says of the next statement. */
const ABORTED = /HF_TRANSACTION_ABORTED|division by zero|current transaction is aborted/;
const isCommit = (bytes: Buffer): boolean => /\bcommit\b/i.test(bytes.toString('latin1'));

export function describeClient<Tx extends TransactionHandle>(
  name: string,
  open: (url: string) => Promise<ClientUnderTest<Tx>>,
): void {
  describe(`transactions of ${name}`, () => {
    let lab: Lab;
    let proxy: TcpProxy;
    let client: ClientUnderTest<Tx>;
    const outbox = createOutbox();
    beforeAll(async () => {
      lab = await openLab();
      proxy = await startTcpProxy(lab.test.url);
      client = await open(proxy.url);
    });
    afterEach(async () => {
      proxy.judge = () => 'pass';
      await lab.settle();
      await lab.test.pool.query('TRUNCATE holdfast.inbox, holdfast.parked_delivery, holdfast.participant_call');
    });
    afterAll(async () => {
      await client.close();
      await proxy.close();
      await lab.dispose();
    });

    const list = async (sql: string): Promise<readonly unknown[]> =>
      (await lab.test.pool.query<{ it: unknown }>(sql)).rows.map(({ it: each }) => each);
    const effects = (): Promise<readonly unknown[]> => list('SELECT what AS it FROM effect ORDER BY id');
    const messages = (): Promise<readonly unknown[]> =>
      list("SELECT payload ->> 'orderId' AS it FROM holdfast.outbox WHERE topic = 'order.placed' ORDER BY seq");
    const order = (orderId: string) => ({ orderId, n: 1 });
    const transaction = <T>(fn: (tx: Tx) => Promise<T>): Promise<T> => client.runner.transaction(fn);
    const failing = (fn: (tx: Tx) => Promise<unknown>): Promise<unknown> =>
      transaction(async (tx) => {
        await fn(tx);
        throw new Error('on purpose');
      }).catch((error: unknown) => error);

    describe('outbox.send', () => {
      it('goes with the transaction, in order, one by one and as a batch', async () => {
        await transaction(async (tx) => {
          await client.write(tx, 'row');
          await outbox.send(tx, Placed, order('one'), { key: "o'Neill ? $1" });
          await outbox.send(tx, Placed, order('two \\ "quoted" 日本 ? $1'));
          await outbox.sendAll(tx, [item(Placed, order('three')), item(Placed, order('four'))]);
        });
        expect(await effects()).toEqual(['row']);
        expect(await messages()).toEqual(['one', 'two \\ "quoted" 日本 ? $1', 'three', 'four']);
        expect(await list("SELECT key AS it FROM holdfast.outbox WHERE payload ->> 'orderId' = 'one'")).toEqual([
          "o'Neill ? $1",
        ]);
      });

      it('is rolled back with it', async () => {
        const error = await failing(async (tx) => {
          await outbox.send(tx, Placed, order('lost'));
          await client.write(tx, 'lost');
        });
        expect(error).toMatchObject({ message: 'on purpose' });
        expect([await effects(), await messages()]).toEqual([[], []]);
      });

      it('belongs to the nested transaction that it is sent in', async () => {
        await transaction(async (tx) => {
          await outbox.send(tx, Placed, order('outer'));
          await client
            .nested(tx, async (inner) => {
              await outbox.send(inner, Placed, order('lost'));
              throw new Error('on purpose');
            })
            .catch(() => {});
          await client.nested(tx, async (inner) => void (await outbox.send(inner, Placed, order('inner'))));
        });
        expect(await messages()).toEqual(['outer', 'inner']);
      });

      it('refuses what is no transaction, and says what to pass', async () => {
        await expect(outbox.send(client.root as Tx, Placed, order('never'))).rejects.toMatchObject({
          code: 'HF_NOT_IN_TRANSACTION',
          message: expect.stringMatching(/Pass the|Take a client/),
        });
        expect(await messages()).toEqual([]);
      });

      it('refuses an aborted transaction, and says what to do', async () => {
        let error: unknown;
        await failing(async (tx) => {
          await client.fail(tx).catch(() => {});
          error = await outbox.send(tx, Placed, order('never')).catch((failure: unknown) => failure);
        });
        expect(error).toMatchObject({
          code: 'HF_NOT_IN_TRANSACTION',
          message: expect.stringMatching(/aborted.*Roll back/s),
        });
      });

      it('says of an id that is there already what it is', async () => {
        const id = randomUUID();
        const error = await transaction(async (tx) => {
          await outbox.send(tx, Placed, order('one'), { id });
          await outbox.send(tx, Placed, order('two'), { id });
        }).catch((failure: unknown) => failure);
        expect(error).toMatchObject({ code: 'HF_MESSAGE_DUPLICATE' });
        expect(await messages()).toEqual([]);
      });

      it('refuses a transaction that has ended', async () => {
        let kept: Tx | undefined;
        await transaction(async (tx) => {
          kept = tx;
          await client.write(tx, 'row');
        });
        await expect(outbox.send(kept as Tx, Placed, order('never'))).rejects.toMatchObject({
          code: 'HF_NOT_IN_TRANSACTION',
        });
        expect(await messages()).toEqual([]);
      });
    });

    it('leaves type parsers and prepared statements as they were', async () => {
      const prepared = "SELECT coalesce(string_agg(name, ',' ORDER BY name), '') AS names FROM pg_prepared_statements";
      await transaction(async (tx) => {
        const before = [await client.read(tx, KINDS_OF_VALUES), await client.read(tx, prepared)];
        const seen = await client.read(tx, prepared);
        await outbox.send(tx, Placed, order('one'));
        expect([await client.read(tx, KINDS_OF_VALUES), await client.read(tx, prepared)]).toEqual([before[0], seen]);
      });
    });

    describe('sagas.start', () => {
      const flow = saga({ name: 'flow', input: z.null(), steps: {}, run: async () => 'done' });

      it('starts a run if, and only if, the transaction commits', async () => {
        const sagas = lab.client([flow]);
        await failing((tx) => sagas.start(tx, flow, null));
        expect(await list('SELECT id AS it FROM holdfast.saga_run')).toEqual([]);
        await lab.worker([flow]);
        const run = await transaction(async (tx) => {
          await client.write(tx, 'row');
          return sagas.start(tx, flow, null, { key: 'k' });
        });
        expect(await run.result()).toBe('done');
        await expect(sagas.start(client.root as Tx, flow, null)).rejects.toMatchObject({
          code: 'HF_NOT_IN_TRANSACTION',
        });
      });
    });

    describe('a consumer', () => {
      const consumer = (told: Parameters<typeof shippingConsumer<Tx>>[2] = {}) =>
        shippingConsumer(client, outbox, told);

      it('has effect, mark and messages in one commit, and one effect for each message', async () => {
        const shipping = consumer();
        const placed = wire({ data: order('a') });
        for (const each of [placed, placed, placed])
          expect(await shipping.handle(delivery(each))).toEqual({ kind: 'done' });
        expect([await effects(), await messages()]).toEqual([['a'], ['after a']]);
      });

      it.each(['inbox.handler:after', 'inbox.commit:before', 'inbox.commit:after'])(
        'has one effect when it dies at %s',
        async (point) => {
          const dies = { at: point as string | null };
          const shipping = consumer({ dies });
          const placed = wire({ data: order('b') });
          await expect(shipping.handle(delivery(placed))).rejects.toThrow(point);
          expect(await effects()).toEqual(point === 'inbox.commit:after' ? ['b'] : []);
          dies.at = null;
          expect(await shipping.handle(delivery(placed, { redeliveries: 1 }))).toEqual({ kind: 'done' });
          expect([await effects(), await messages()]).toEqual([['b'], ['after b']]);
        },
      );

      it.each(['hides', 'takes no notice of'])(
        'whose handler %s that its connection is cut runs it again',
        async (how) => {
          const cut = (tx: Tx) =>
            client.read(tx, 'SELECT 1 AS cut_here').catch(() => {
              if (how === 'hides') throw new Error('no');
            });
          const act = async (tx: Tx, runs: number) => void (runs === 1 && (await cut(tx)));
          const shipping = consumer({ act, attempts: 1 });
          proxy.judge = (bytes) => (bytes.includes('cut_here') ? 'before' : 'pass');
          expect(await shipping.handle(delivery(wire({ data: order('cut') })))).toEqual({ kind: 'done' });
          expect([await effects(), await messages()]).toEqual([['cut'], ['after cut']]);
        },
      );

      it('has one effect when COMMIT, or its answer, is lost', async () => {
        const shipping = consumer({ attempts: 1 });
        for (const fate of ['before', 'after'] as const) {
          const placed = wire({ data: order(fate) });
          proxy.judge = (bytes) => {
            if (!isCommit(bytes)) return 'pass';
            proxy.judge = () => 'pass';
            return fate;
          };
          const first = await shipping.handle(delivery(placed));
          if (first.kind !== 'done') await shipping.handle(delivery(placed, { redeliveries: 1 }));
        }
        expect([await effects(), await messages()]).toEqual([
          ['before', 'after'],
          ['after before', 'after after'],
        ]);
      });

      it('commits nothing when the handler swallows what aborted the transaction', async () => {
        const shipping = consumer({ act: (tx) => client.fail(tx).catch(() => {}) });
        await shipping.handle(delivery(wire({ data: order('c') })));
        expect([await effects(), await messages()]).toEqual([[], []]);
        expect(await list('SELECT error::text AS it FROM holdfast.parked_delivery')).toEqual([
          expect.stringMatching(ABORTED),
        ]);
      });
    });

    it('a participant answers a command and its compensation, each once', async () => {
      const stock = createParticipant('stock', {
        runner: client.runner,
        transport: createMemoryTransport(),
        random: () => 0,
        redeliveryHorizon: '1d',
        handlers: (handle) => [
          handle(Reserve, { reply: Reserved }, async ({ sku, count }, { tx }) => {
            await client.write(tx, `reserve ${sku}`);
            return { reservation: `r-${count}` };
          }),
          handle(Release, { compensates: Reserve, reply: Reserved }, async ({ sku }, { tx, command, reply }) => {
            await client.write(tx, `release ${sku} ${command?.count ?? '?'} ${reply?.reservation ?? '?'}`);
          }),
        ],
      });
      for (const role of ['command', 'compensation'] as const)
        for (const id of [randomUUID(), randomUUID()])
          expect(await stock.handle(sent({ id, role, outcome: 'done' }))).toEqual({ kind: 'done' });
      expect(await effects()).toEqual(['reserve book', 'release book 2 r-2']);
      expect(await list("SELECT payload ->> 'outcome' AS it FROM holdfast.outbox")).toEqual(Array(4).fill('done'));
    });

    describe('a transaction step', () => {
      const flowOf = (act: (tx: Tx, attempt: number) => Promise<unknown>, attempts = 2) =>
        bookingFlow(client, outbox, { act, attempts });

      it('has its effect, its messages and its record in one commit', async () => {
        const flow = flowOf(async () => {});
        await lab.worker([flow]);
        const run = await lab.client([flow]).start(flow, null);
        expect(await run.result()).toBe('book');
        expect([await effects(), await messages()]).toEqual([['book', 'last'], ['book']]);
        expect(await lab.story(run.id)).toEqual(['called book', 'done book', 'called last', 'done last', 'completed']);
        const setting = "SELECT current_setting('idle_in_transaction_session_timeout') AS it";
        expect(JSON.stringify(await transaction((tx) => client.read(tx, setting)))).toMatch(/"0"/);
      });

      it('is tried again when it fails, and compensated when it gives up', async () => {
        const flow = flowOf(async (tx, attempt) => {
          if (attempt === 1) await client.fail(tx);
          throw new Error('no');
        });
        await lab.worker([flow]);
        const run = await lab.client([flow]).start(flow, null);
        await lab.until(run.id, 'compensated');
        expect([await effects(), await messages()]).toEqual([['book', 'not book done'], ['book']]);
      });

      it.each(['hides', 'takes no notice of'])(
        'whose connection is cut is made again, if its handler %s that',
        async (how) => {
          const cut = (tx: Tx) =>
            client.read(tx, 'SELECT 1 AS cut_here').catch(() => {
              if (how === 'hides') throw new Error('no');
            });
          const flow = flowOf(async (tx, attempt) => void (attempt === 1 && (await cut(tx))), 1);
          proxy.judge = (bytes) => (bytes.includes('cut_here') ? 'before' : 'pass');
          await lab.worker([flow]);
          const run = await lab.client([flow]).start(flow, null);
          await lab.until(run.id, 'completed');
          expect(await lab.untilEvent(run.id, 'attempt failed', 'last')).toMatchObject({ broken: 1 });
          expect([await effects(), await messages()]).toEqual([['book', 'last'], ['book']]);
        },
      );

      it('commits nothing when the handler swallows what aborted the transaction', async () => {
        const flow = flowOf((tx) => client.fail(tx).catch(() => {}), 1);
        await lab.worker([flow]);
        const run = await lab.client([flow]).start(flow, null);
        const { error } = await lab.until(run.id, 'compensated');
        expect(JSON.stringify(error)).toMatch(ABORTED);
        expect(await effects()).toEqual(['book', 'not book done']);
      });

      it.each(['saga.transaction:before', 'saga.transaction:after'])(
        'has one effect when its worker dies at %s',
        async (point) => {
          const flow = flowOf(async () => {});
          const death = gate();
          let deaths = 0;
          const worker = await lab.worker([flow], {
            crashPoint(at) {
              if (at !== point || deaths > 0) return;
              deaths += 1;
              death.open();
              throw new Error('killed');
            },
          });
          const { id } = worker;
          const run = await lab.client([flow]).start(flow, null);
          await death.promise;
          await lab.takeOver(id);
          await lab.until(run.id, 'completed');
          expect([await effects(), await messages()]).toEqual([['book', 'last'], ['book']]);
        },
      );

      it.each(['before', 'after', 'late'] as const)('has one effect when COMMIT is cut (%s)', async (fate) => {
        const flow = flowOf(async () => {});
        const cut = new Promise<void>((resolve) => {
          proxy.judge = (bytes) => {
            if (!isCommit(bytes)) return 'pass';
            proxy.judge = () => 'pass';
            resolve();
            return fate;
          };
        });
        await lab.worker([flow]);
        const run = await lab.client([flow]).start(flow, null);
        await cut;
        await lab.until(run.id, 'completed');
        expect([await effects(), await messages()]).toEqual([['book', 'last'], ['book']]);
      });
    });
  });
}
