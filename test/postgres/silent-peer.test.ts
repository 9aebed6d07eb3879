/**
 * Connections to PostgreSQL whose other end falls silent: nothing comes, nothing breaks, for good. Every part gives them up by its own
 * clock, says so, and goes on by new ones.
 */
import { getEventListeners } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { on } from '../../src/inbox/handlers/handler.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createOwnConnection } from '../../src/postgres/own-connection.ts';
import { createWaker } from '../../src/postgres/wake-up.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { delivery, openLab as openInbox, Placed, wire, type Lab as InboxLab } from '../inbox/lab.ts';
import { openLab as openSagas, gate, type Lab as SagaLab } from '../saga/lab.ts';
import { eventually } from '../support/eventually.ts';
import { startTcpProxy, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { createRelayLab } from '../support/relay-lab.ts';

let proxy: TcpProxy;
let database: Database;
/** What was said, at any level that a person looks at. */
let said: string[] = [];
const log: Logger = {
  ...silentLogger,
  warn: (_fields, text) => void said.push(text ?? ''),
  error: (_fields, text) => void said.push(text ?? ''),
  child: () => log,
};

async function open(url: string): Promise<void> {
  said = [];
  proxy = await startTcpProxy(url);
  database = openDatabase({ url: proxy.url, max: 6 });
}

async function close(): Promise<void> {
  proxy.cutAll();
  await database.close();
  await proxy.close();
}

describe('a worker', () => {
  let lab: SagaLab;
  beforeAll(async () => {
    lab = await openSagas();
  });
  beforeEach(() => open(lab.test.url));
  afterEach(async () => {
    proxy.cutAll();
    await lab.settle();
    await close();
  });
  afterAll(() => lab.dispose());

  it('goes on with its runs, commits and transaction steps alike', async () => {
    const [began, goOn] = [gate(), gate()];
    const flow = saga({
      name: 'flow',
      input: z.null(),
      steps: {
        first: step({
          run() {
            began.open();
            return goOn.promise;
          },
        }),
        second: transaction({
          retry: { attempts: 20, base: '1ms' },
          run: async (_input: null, { tx }) => void (await tx.query("INSERT INTO effect (what) VALUES ('second')")),
        }),
      },
      async run({ steps }) {
        await steps.first();
        await steps.second(null);
        return 'end';
      },
    });
    const worker = await lab.worker([flow], { database, log, lease: '3s' });
    const run = await worker.sagas.start(flow, null);
    await began.promise;
    proxy.darken();
    goOn.open();
    await lab.until(run.id, 'completed');
    expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([{ what: 'second' }]);
    expect(said.length).toBeGreaterThan(0);
  });

  it('keeps its lease while others hold every connection of its pool', async () => {
    const flow = saga({
      name: 'small',
      input: z.null(),
      steps: { only: step({ run: () => 'done' }) },
      run: ({ steps }) => steps.only(),
    });
    const worker = await lab.worker([flow], { database, log, lease: '1s' });
    const held = await Promise.all(Array.from({ length: 6 }, () => database.pool.connect()));
    const leaseUntil = async (): Promise<number> =>
      (
        await lab.test.pool.query<{ ms: number }>(
          'SELECT extract(epoch FROM lease_until)::float8 * 1000 AS ms FROM holdfast.worker WHERE id = $1',
          [worker.id],
        )
      ).rows[0]?.ms ?? 0;
    const { id } = worker;
    const before = await leaseUntil();
    await eventually(
      'the lease to be prolonged by more than itself',
      async () => (await leaseUntil()) > before + 2_000,
    );
    expect(worker.id).toBe(id);
    for (const client of held) client.release();
  });
});

describe('a relay', () => {
  it('publishes what is sent after its connections went silent', async () => {
    const lab = await createRelayLab();
    await open(lab.url);
    const { relay, transport } = await lab.relay({ lease: '3s' }, { database, log });
    await relay.start();
    await lab.write({ n: 1 });
    await lab.until(async () => lab.numbers(transport).length === 1);
    proxy.darken();
    await lab.write({ n: 2 });
    await lab.until(async () => lab.numbers(transport).includes(2));
    expect(said.length).toBeGreaterThan(0);
    await lab.close();
    await close();
  });

  it('says what its last try met, and is not taken for one that hangs while it waits longer for a slow read', async () => {
    const lab = await createRelayLab();
    await open(lab.url);
    const { relay, transport } = await lab.relay({ lease: '1s' }, { database, log });
    await relay.start();
    await lab.write({ n: 1 });
    await lab.until(async () => lab.numbers(transport).length === 1);
    const [well] = relay.states;
    expect(well).toMatchObject({ role: 'active', failure: null });
    proxy.blackOut();
    // A read had no answer, so the next one gets twice the lease or more, and a look at its liveness as much more patience.
    await lab.until(async () => (relay.states[0]?.patienceMs ?? 0) > (well?.patienceMs ?? 0));
    expect(relay.states[0]?.failure).toEqual(expect.any(String));
    proxy.lighten();
    await lab.until(async () => relay.states[0]?.failure === null && relay.states[0]?.role === 'active');
    expect(relay.states[0]).toMatchObject({ patienceMs: well?.patienceMs, trouble: null });
    proxy.cutAll();
    await lab.close();
    await close();
  });
});

describe('a consumer', () => {
  let lab: InboxLab;
  beforeAll(async () => {
    lab = await openInbox();
  });
  beforeEach(() => open(lab.test.url));
  afterEach(close);
  afterAll(() => lab.dispose());

  it('handles what comes after its connections went silent, and parks by new ones', async () => {
    let fails = false;
    const shipping = lab.make({
      database,
      log,
      timeout: '500ms',
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (_order, { tx, message }) => {
          if (fails) throw new Error('no');
          await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, 'done']);
        }),
      ],
    });
    await shipping.handle(delivery(wire()));
    proxy.darken();
    expect(await shipping.handle(delivery(wire()))).toEqual({ kind: 'done' });
    expect(await lab.effects()).toHaveLength(2);
    proxy.darken();
    fails = true;
    const sent = wire();
    expect(await shipping.handle(delivery(sent))).toEqual({ kind: 'done' });
    expect(await lab.parked(sent.id)).toHaveLength(1);
  });

  it('own statements end by their limit: a query, a transaction, a connection of its own', async () => {
    await database.query('SELECT 1');
    proxy.darken();
    await expect(database.query('SELECT 1', [], { timeoutMs: 50 })).rejects.toThrow(/Connection terminated/);
    await database.query('SELECT 1');
    proxy.darken();
    await expect(database.transaction((client) => client.query('SELECT 1'), { timeoutMs: 50 })).rejects.toThrow(
      /Connection terminated/,
    );
    const own = createOwnConnection(database, { queryTimeoutMs: 200 });
    expect(await own.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
    proxy.darken();
    await expect(own.query('SELECT 1', [])).rejects.toThrow(/timeout/);
    expect(await own.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
    await own.close();
  });

  it('a waker that hears nothing looks whether anybody is there, and listens again; however often, it leaves no listener', async () => {
    let wakes = 0;
    const sleeps: (() => void)[] = [];
    const clock = {
      ...systemClock,
      sleep: (_ms: number, signal?: AbortSignal): Promise<void> =>
        new Promise<void>((resolve) => {
          sleeps.push(resolve);
          signal?.addEventListener('abort', () => resolve(), { once: true });
        }),
    };
    const waker = createWaker({ database, onWake: () => void (wakes += 1), log, clock, answerMs: 500 });
    const listening = vi.spyOn(EventTarget.prototype, 'addEventListener');
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    await waker.start();
    for (let round = 1; round <= 12; round += 1) {
      await eventually(`connection ${round}`, async () => wakes >= round && sleeps.length > 0);
      if (round === 1) proxy.darken();
      else proxy.cutAll();
      // Its time to look, and to try again, has come.
      await eventually('another connection', async () => {
        sleeps.splice(0).forEach((wake) => wake());
        return wakes > round;
      });
    }
    await eventually('the last connection', async () => waker.listening);
    const signals = [...new Set<unknown>(listening.mock.contexts)].filter((target) => target instanceof AbortSignal);
    expect(signals.length).toBeGreaterThan(0);
    expect(Math.max(...signals.map((signal) => getEventListeners(signal, 'abort').length))).toBeLessThan(4);
    listening.mockRestore();
    expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([]);
    process.off('warning', onWarning);
    await waker.stop();
  });
});
