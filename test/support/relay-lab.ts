/**
 * A database with an outbox, relays on it, and a transport that remembers.
 */
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import type { SubscriptionOptions } from '../../src/relay/subscription/options.ts';
import { createRelay, type Relay, type RelayOptions } from '../../src/relay/relay.ts';
import { systemClock, type Clock } from '../../src/runtime/clock.ts';
import { eventually } from './eventually.ts';
import { recordingTransport, type RecordingTransport } from './recording-transport.ts';
import { createTestDatabase } from './servers.ts';

const schema = z.object({ n: z.number(), who: z.string().default('me'), text: z.string().optional() });
const Note = message('note.taken', { schema, key: (note) => note.who });
const Other = message('other.note', { schema });

export interface Note {
  readonly n: number;
  readonly who?: string;
  readonly text?: string;
}

export interface RelayLab {
  readonly url: string;
  readonly database: Database;
  /** A prepared relay with one subscription 'main' that sends everything to 'all'. Stopped by reset() and close(). */
  relay(
    subscription?: Partial<SubscriptionOptions>,
    options?: Partial<RelayOptions>,
    transport?: RecordingTransport,
  ): Promise<{ relay: Relay; transport: RecordingTransport }>;
  send(
    tx: TransactionHandle,
    note: Note,
    options?: { id?: string; delay?: number; deliverAt?: Date },
  ): Promise<{ id: string }>;
  /** All in one transaction. */
  write(...notes: Note[]): Promise<void>;
  writeOther(note: Note): Promise<void>;
  /** The numbers of the notes that went out, in order. */
  numbers(transport: RecordingTransport): number[];
  /** The system's clock, with a monotonic time that skip() moves on, as if this process alone had slept. */
  skippingClock(): Clock;
  skip(ms: number): void;
  /** Polls a condition in the database or another process, as eventually() does. */
  until(condition: () => Promise<boolean>): Promise<void>;
  reset(): Promise<void>;
  close(): Promise<void>;
}

export async function createRelayLab(): Promise<RelayLab> {
  const test = await createTestDatabase({ migrate: true });
  const database = openDatabase({ url: test.url, max: 20 });
  const outbox = createOutbox();
  const relays: Relay[] = [];
  let skippedMs = 0;
  const stopAll = () => Promise.all(relays.splice(0).map((relay) => relay.stop()));
  return {
    url: test.url,
    database,
    async relay(subscription = {}, options = {}, transport = recordingTransport()) {
      const relay = createRelay({
        database,
        subscriptions: [{ name: 'main', transport, routes: [{ topics: '**', to: 'all' }], ...subscription }],
        ...options,
      });
      relays.push(relay);
      await relay.prepare();
      return { relay, transport };
    },
    send: (tx, note, options) => outbox.send(tx, Note, note, options),
    async write(...notes) {
      await database.transaction(async (tx) => {
        for (const note of notes) await outbox.send(tx, Note, note);
      });
    },
    async writeOther(note) {
      await database.transaction((tx) => outbox.send(tx, Other, note));
    },
    numbers: (transport) => transport.data<{ n: number }>().map((note) => note.n),
    skippingClock: () => ({ ...systemClock, monotonic: () => systemClock.monotonic() + skippedMs }),
    skip(ms) {
      skippedMs += ms;
    },
    async until(condition) {
      await eventually(condition.toString(), condition);
    },
    async reset() {
      await stopAll();
      await database.query(
        `TRUNCATE holdfast.outbox, holdfast.subscription, holdfast.parked_message, holdfast.scheduled_message, holdfast.key_head,
           holdfast.replay RESTART IDENTITY`,
      );
    },
    async close() {
      await stopAll();
      await database.close();
      await test.drop();
    },
  };
}
