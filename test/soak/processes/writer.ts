/**
 * A writer of a soak: sends the flood, and places orders, each with the run that carries it out. It goes as fast as it was told and as there is
 * room: when too much is under way, it waits.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { log, report, runProgram } from '../../../demo/processes/link.ts';
import { openSagas } from '../../../demo/saga.ts';
import { changeMind, takeOrder } from '../../../demo/services/orders.ts';
import { orderAt, regretOf } from '../../../demo/world.ts';
import { isHoldfastError, openDatabase, type Database } from '../../../src/index.ts';
import { passesByItself } from '../../../src/postgres/sql-state.ts';
import { FLOODS, type Flood } from '../flood/messages.ts';
import { drawPlan, writeFlood } from '../flood/writing.ts';
import type { Gate, Said, SoakSettings } from '../setting.ts';
import { createDeath, moveWallClock } from './lead.ts';

const LANES = 3;
const WAIT_MS = 20;
const AFTER_ERROR_MS = 200;
const TELL_EVERY_MS = 250;
const TRANSACTION_WITHIN_MS = 25_000;

await runProgram((sent) => {
  const settings = sent as SoakSettings;
  moveWallClock(settings.clockAheadMs);
  const { world, databases, load } = settings;
  const death = createDeath();
  const open = (name: 'flood' | 'orders', max: number): Database =>
    withLimit(openDatabase({ url: databases[name], max, applicationName: 'soak writer' }));
  const flood = open('flood', LANES + 1);
  const shop = open('orders', 4);
  const sagas = openSagas(shop);
  const room = { floods: [] as readonly Flood[], orders: false };
  let acknowledged: { streams: Record<string, number>; orders: number } = { streams: {}, orders: 0 };
  let stopping = false;
  let working: Promise<unknown> = Promise.resolve();
  let telling: NodeJS.Timeout | undefined;

  function tell(): void {
    const said: Said = { kind: 'acknowledged', ...acknowledged };
    acknowledged = { streams: {}, orders: 0 };
    report({ kind: 'told', said });
  }

  /** Does it again and again, at a rate, and goes on after errors of servers. Other errors end the process. */
  async function goOn(rate: number, hasRoom: () => boolean, once: () => Promise<number>): Promise<void> {
    let dueMs = performance.now();
    while (!stopping) {
      const nowMs = performance.now();
      // What could not be done in time is not made up for.
      dueMs = Math.max(dueMs, nowMs - 1_000);
      if (!hasRoom() || dueMs > nowMs) {
        await sleep(WAIT_MS);
        continue;
      }
      try {
        dueMs += ((await once()) * 1_000) / rate;
      } catch (error) {
        if (!isOfServer(error)) throw error;
        report({ kind: 'count', what: 'writes that failed', by: 1 });
        await sleep(AFTER_ERROR_MS);
      }
    }
  }

  async function sendSome(): Promise<number> {
    const plan = drawPlan(Math.random, room.floods);
    const reached = await writeFlood(flood, plan, () => death.point());
    for (const [stream, n] of reached ?? [])
      acknowledged.streams[stream] = Math.max(n, acknowledged.streams[stream] ?? 0);
    return reached === null ? 0 : plan.parts.reduce((sum, { messages }) => sum + messages, 0);
  }

  async function placeOne(): Promise<number> {
    const { rows } = await shop.query<{ n: string }>(`SELECT nextval('order_number') AS n`);
    const order = orderAt(world, Number(rows[0]?.n));
    await takeOrder({ database: shop, world }, sagas, order);
    acknowledged.orders += 1;
    if (regretOf(world, order.orderId) === 'soon') {
      void changeMind({ database: shop, world }, sagas, order).catch((error: unknown) => {
        if (!isOfServer(error) && !isHoldfastError(error, 'HF_NOT_FOUND')) throw error;
      });
    }
    return 1;
  }

  return {
    async start() {
      const lanes = Array.from({ length: LANES }, () =>
        goOn(load.messages / LANES, () => room.floods.length > 0, sendSome),
      );
      working = Promise.all([...lanes, goOn(load.orders, () => room.orders, placeOne)]);
      working.catch((error: unknown) => {
        log.error({ err: error }, 'a writer failed');
        process.exit(1);
      });
      telling = setInterval(tell, TELL_EVERY_MS);
    },
    async stop() {
      stopping = true;
      await working;
      clearInterval(telling);
      tell();
    },
    close: async () => void (await Promise.all([flood.close(), shop.close()])),
    dieAtWork: () => death.dieAtWork(),
    hear(message) {
      const { kind, floods, orders } = message as Gate;
      if (kind !== 'gate') return;
      room.floods = FLOODS.filter(({ name }) => floods.includes(name));
      room.orders = orders;
    },
  };
});

/** A transaction whose server says nothing any more is given up, as a service has to see to for its own. */
function withLimit(database: Database): Database {
  return {
    ...database,
    transaction: (fn, options) => database.transaction(fn, { timeoutMs: TRANSACTION_WITHIN_MS, ...options }),
  };
}

function isOfServer(error: unknown): boolean {
  return (
    passesByItself(error) ||
    isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE') ||
    isHoldfastError(error, 'HF_COMMIT_IN_DOUBT')
  );
}
