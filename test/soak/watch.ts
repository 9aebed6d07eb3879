/**
 * The judge at work: looks again and again, tells writers whether there is room, has what is parked mended, and knows when nothing moves any more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError } from '../../src/errors.ts';
import { passesByItself } from '../../src/postgres/sql-state.ts';
import type { Crew } from './crew.ts';
import { FLOODS } from './flood/messages.ts';
import { openFloodLedger, readSent } from './judge/flood-ledger.ts';
import { openOrderLedger, type OrdersState } from './judge/order-ledger.ts';
import {
  ghostsIn,
  handledOf,
  isHandledUpTo,
  missingMessages,
  type Missing,
  type StreamsState,
} from './judge/streams.ts';
import { lookAtWorld, resupply, wrongAtAnyTime, type WorldLook } from './judge/world-look.ts';
import { mendParked } from './operator.ts';
import type { SoakDatabases } from './servers.ts';
import { WRITERS } from './setting.ts';

export interface View {
  readonly streams: StreamsState;
  readonly handled: number;
  readonly missing: Missing;
  readonly orders: OrdersState;
  readonly world: WorldLook;
  /** All that was sent before has been handled, in milliseconds since the epoch; 0: not known yet. */
  readonly settledMs: number;
}

export interface WatchOptions {
  readonly crew: Crew;
  readonly databases: SoakDatabases;
  /** More than that under way, and writers wait: of messages, an equal part of it for each flood. */
  readonly most: { readonly messages: number; readonly orders: number };
  /** Whether there is to be load. */
  readonly isLoaded: () => boolean;
  readonly onView: (view: View) => void;
  readonly onMended: (count: number) => void;
  /** What is wrong now, once. */
  readonly onWrong: (sentence: string) => void;
  /** For the log. */
  readonly note: (text: string) => void;
}

export interface Watch {
  /** Resolves with what there is when it is as wanted; null when nothing has moved for minutes. */
  reach(goal: (view: View) => boolean | Promise<boolean>): Promise<View | null>;
  stop(): Promise<void>;
}

const LATE_MS = 90_000;
const LOOK_EVERY_MS = 1_500;
const MEND_EVERY_MS = 5_000;
const RESUPPLY_EVERY_MS = 10_000;
/** When nothing at all has changed for so long, nothing will. */
const STALLED_MS = 180_000;

export function startWatch(options: WatchOptions): Watch {
  const { crew, databases, most, isLoaded, onView, onMended, onWrong, note } = options;
  const flood = openFloodLedger(databases.sink);
  const orders = openOrderLedger(databases);
  const mended = every(MEND_EVERY_MS, async () => onMended(await mendParked(databases)));
  const supplied = every(RESUPPLY_EVERY_MS, () => resupply(databases));
  let view: View | undefined;
  const settled = createSettled();
  let looks = 0;
  let isOver = false;
  let lastMove = '';
  let movedMs = performance.now();

  async function look(): Promise<void> {
    // Handled before sent: what is handled has been sent by then.
    const streams = await flood.look();
    // What has been sent by now; it may take a while until the rest is seen.
    const atMs = Date.now();
    const sent = await readSent(databases.flood);
    const ordersNow = await orders.look();
    const world = await lookAtWorld(databases);
    const missing = missingMessages(streams, sent);
    const settledMs = settled(streams, { atMs, sent });
    view = { streams, handled: handledOf(streams), missing, orders: ordersNow, world, settledMs };
    for (const sentence of [...ghostsIn(streams, sent), ...wrongAtAnyTime(world)]) onWrong(sentence);
    for (const name of WRITERS)
      crew.fleet.tell(name, {
        kind: 'gate',
        floods: isLoaded() && !isLate(view) ? floodsWithRoom(missing, most.messages) : [],
        orders: isLoaded() && world.openOrders < most.orders,
      });
    const move = JSON.stringify([view.handled, ordersNow.orders, world]);
    if (move !== lastMove) movedMs = performance.now();
    lastMove = move;
    looks += 1;
    onView(view);
    await mended();
    if (isLoaded()) await supplied();
  }

  const looking = (async () => {
    while (!isOver) {
      // A server that is away is back at the next look, or the one after it.
      await look().catch((error: unknown) => {
        if (!passesByItself(error) && !(error instanceof HoldfastError))
          onWrong(`the judge could not look: ${String(error)}`);
        note(`The judge could not look: ${String(error)}`);
      });
      await sleep(LOOK_EVERY_MS);
    }
  })();

  return {
    async reach(goal) {
      movedMs = performance.now();
      // What was seen before may have been on its way to change.
      const after = looks + 1;
      for (;;) {
        if (view !== undefined && looks > after && (await goal(view))) return view;
        if (performance.now() - movedMs > STALLED_MS) return null;
        await sleep(200);
      }
    },
    async stop() {
      isOver = true;
      await looking;
    },
  };
}

/** Whether something waits so long that an outbox may soon not have it any more, and an operator could not send it again. */
function isLate({ settledMs }: View): boolean {
  return settledMs !== 0 && Date.now() - settledMs > LATE_MS;
}

function floodsWithRoom({ ofStream }: Missing, most: number): readonly string[] {
  return FLOODS.filter(({ streams }) => {
    const behind = streams.reduce((sum, stream) => sum + (ofStream.get(stream) ?? 0), 0);
    return behind < most / FLOODS.length;
  }).map(({ name }) => name);
}

/** What had been sent at a time. */
interface SentAt {
  readonly atMs: number;
  readonly sent: ReadonlyMap<string, number>;
}

/** Since when something that was sent waits to be handled, told look by look. */
function createSettled(): (streams: StreamsState, seen: SentAt) => number {
  const waiting: SentAt[] = [];
  let settledMs = 0;
  return (streams, seen) => {
    waiting.push(seen);
    for (let first = waiting[0]; first !== undefined && isHandledUpTo(streams, first.sent); first = waiting[0]) {
      settledMs = first.atMs;
      waiting.shift();
    }
    return settledMs;
  };
}

/** Not sooner than so long after the last time. */
function every(ms: number, act: () => Promise<unknown>): () => Promise<void> {
  let dueMs = 0;
  return async () => {
    if (performance.now() < dueMs) return;
    dueMs = performance.now() + ms;
    await act();
  };
}
