/**
 * A database with the Holdfast tables, relays on it, and ways to get messages parked.
 */
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { createOutbox, type Outbox } from '../../src/outbox/outbox.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay, type Relay } from '../../src/relay/relay.ts';
import type { PublishOutcome } from '../../src/transport/port.ts';
import { published, recordingTransport, type RecordingTransport } from '../support/recording-transport.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

export const Note = message('note.taken', {
  schema: z.object({ n: z.number(), who: z.string().default('me') }),
  key: (note) => note.who,
});
export const NOBODY = '00000000-0000-7000-8000-000000000000';
const refused: PublishOutcome = { kind: 'refused', permanent: true, error: new Error('too big') };
export const numberOf = (wire: string) => (JSON.parse(wire) as { data: { n: number } }).data.n;

export interface NoteInput {
  readonly n: number;
  readonly who?: string;
}

export interface AuditRow {
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly reason: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Lab {
  readonly url: string;
  readonly database: Database;
  readonly outbox: Outbox;
  /** A relay of the subscription `main`, prepared and not started. */
  relayOf(): Promise<{ readonly relay: Relay; readonly transport: RecordingTransport }>;
  /** In one transaction. Resolves with their ids. */
  write(...notes: readonly NoteInput[]): Promise<string[]>;
  /** A relay whose broker refuses messages for good while `bad` has their number; and these messages, one page each. */
  withParked(
    notes: readonly NoteInput[],
    bad: ReadonlySet<number>,
  ): Promise<{ readonly relay: Relay; readonly transport: RecordingTransport; readonly ids: readonly string[] }>;
  /** As a consumer would that gave it up. */
  parkDelivery(consumer: string, id: string, key?: string): Promise<void>;
  audit(): Promise<readonly AuditRow[]>;
  stopRelays(): Promise<void>;
}

/** Empties the tables before each test. */
export function useLab(): Lab {
  let test: TestDatabase;
  let database: Database;
  const open: Relay[] = [];
  const outbox = createOutbox();

  beforeAll(async () => {
    test = await createTestDatabase({ migrate: true });
    database = openDatabase({ url: test.url, max: 20 });
  });
  beforeEach(async () => {
    await lab.stopRelays();
    await database.query(
      `TRUNCATE holdfast.outbox, holdfast.subscription, holdfast.parked_message, holdfast.parked_delivery,
         holdfast.scheduled_message, holdfast.key_head, holdfast.replay, holdfast.inbox, holdfast.audit,
         holdfast.operation_job RESTART IDENTITY`,
    );
  });
  afterAll(async () => {
    await lab.stopRelays();
    await database.close();
    await test.drop();
  });

  const lab: Lab = {
    get url() {
      return test.url;
    },
    get database() {
      return database;
    },
    outbox,
    async relayOf() {
      const transport = recordingTransport();
      const routes = [{ topics: 'note.**', to: 'notes' }];
      const relay = createRelay({
        database,
        owner: 'relay-1',
        subscriptions: [{ name: 'main', transport, routes, idlePoll: '50ms' }],
      });
      await relay.prepare();
      open.push(relay);
      return { relay, transport };
    },
    write: (...notes) =>
      database.transaction(async (tx) => {
        const ids: string[] = [];
        for (const note of notes) ids.push((await outbox.send(tx, Note, note)).id);
        return ids;
      }),
    async withParked(notes, bad) {
      const { relay, transport } = await lab.relayOf();
      transport.respond = async (batch) => batch.map(({ wire }) => (bad.has(numberOf(wire)) ? refused : published));
      const ids: string[] = [];
      for (const note of notes) {
        ids.push(...(await lab.write(note)));
        await relay.tick();
      }
      return { relay, transport, ids };
    },
    async parkDelivery(consumer, id, key) {
      await database.query(
        `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, key, envelope, state, reason, error, attempts)
         VALUES ($1, $2, 'note.taken', $3, '{"data": {"n": 7}}', 'failed', 'gave up', 'Error: no', 5)`,
        [consumer, id, key ?? null],
      );
    },
    async audit() {
      const { rows } = await database.query(
        'SELECT actor, action, subject, reason, details FROM holdfast.audit ORDER BY id',
      );
      return rows as AuditRow[];
    },
    async stopRelays() {
      await Promise.all(open.splice(0).map((relay) => relay.stop()));
    },
  };
  return lab;
}
