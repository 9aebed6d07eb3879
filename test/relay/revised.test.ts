/**
 * A message that a relay has parked and a person has edited: what goes out is the new payload, in its place, whoever dies where and whatever
 * relay of before runs beside; and an edit that cannot take effect any more is refused.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { retryParked } from '../../src/operations/parked/interventions.ts';
import { previewRevision, reviseParked } from '../../src/operations/parked/revise.ts';
import { toExecutor } from '../../src/postgres/executor.ts';
import { lockParkedMessage, storeRevision } from '../../src/relay/delivery/parked-revision.ts';
import type { OutboundMessage, PublishOutcome } from '../../src/transport/port.ts';
import { published, recordingTransport, type RecordingTransport } from '../support/recording-transport.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { oldRelay } from './old-relay.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const me = { actor: 'anna', reason: 'the wrong number' };
const fast = { retry: { attempts: 1 } } as const;
const dataOf = ({ wire }: OutboundMessage) => (JSON.parse(wire) as { data: { n: number } }).data;
const refusing =
  (...numbers: number[]) =>
  async (batch: readonly OutboundMessage[]): Promise<readonly PublishOutcome[]> =>
    batch.map((message) =>
      numbers.includes(dataOf(message).n) ? { kind: 'refused', permanent: true, error: new Error('no') } : published,
    );

/** Parks these, one page each, the first of them for good; and stops. Resolves with their ids. */
async function parkFirst(...notes: readonly { readonly n: number; readonly who?: string }[]) {
  const { relay, transport } = await lab.relay(fast);
  transport.respond = refusing(notes[0]?.n ?? 0);
  for (const note of notes) {
    await lab.write(note);
    await relay.tick();
  }
  await relay.stop();
  return ids();
}

async function ids(): Promise<readonly string[]> {
  const { rows } = await lab.database.query<{ id: string }>('SELECT id::text FROM holdfast.outbox ORDER BY seq');
  return rows.map(({ id }) => id);
}

const revise = (id: string | undefined, n: number) =>
  reviseParked(lab.database, { id: id ?? '' }, { patch: { n } }, me);

/** A relay that was not there before: it looks for what is parked at once. */
async function tickAnew(transport: RecordingTransport = recordingTransport()): Promise<RecordingTransport> {
  const { relay } = await lab.relay(fast, {}, transport);
  await relay.tick();
  await relay.stop();
  return transport;
}

interface ParkedNow {
  readonly seq: number;
  readonly state: string;
  readonly revised: boolean;
}
async function parked(): Promise<readonly ParkedNow[]> {
  const { rows } = await lab.database.query<ParkedNow>(
    'SELECT seq::int, state, revision IS NOT NULL AS revised FROM holdfast.parked_message ORDER BY seq',
  );
  return rows;
}

describe('an edited message', () => {
  it('goes out in its place with the new payload, under its id, and the log stays as it was written', async () => {
    const [first] = await parkFirst({ n: 1, who: 'a' }, { n: 2, who: 'a' }, { n: 3, who: 'a' });
    await revise(first, 10);
    const transport = await tickAnew();
    expect(lab.numbers(transport)).toEqual([10, 2, 3]);
    expect(await parked()).toEqual([]);
    const [out, next] = transport.sent.map(({ wire }) => JSON.parse(wire) as Record<string, unknown>);
    expect(out).toMatchObject({ id: first, subject: 'a', type: 'note.taken', headers: { 'holdfast-revises': first } });
    expect(out?.['data']).toEqual({ n: 10, who: 'a' });
    expect(next).not.toHaveProperty('headers');
    const { rows } = await lab.database.query(
      `SELECT payload->'n' AS n, headers ? 'headers' AS has FROM holdfast.outbox`,
    );
    expect(rows).toEqual([1, 2, 3].map((n) => ({ n, has: false })));
  });

  it('that waited goes alone when it is its turn, and what is behind it waits for it', async () => {
    const [first, second] = await parkFirst({ n: 1, who: 'a' }, { n: 2, who: 'a' }, { n: 3, who: 'a' });
    await revise(second, 20);
    expect(lab.numbers(await tickAnew())).toEqual([]);
    await revise(first, 10);
    const transport = recordingTransport();
    transport.respond = refusing(20);
    await tickAnew(transport);
    await tickAnew(transport);
    expect(lab.numbers(transport)).toEqual([10]);
    expect(await parked()).toEqual([
      { seq: 2, state: 'failed', revised: true },
      { seq: 3, state: 'behind', revised: false },
    ]);
    await revise(second, 22);
    expect(lab.numbers(await tickAnew())).toEqual([22, 3]);
  });

  it('that is refused again is parked as it was edited, and goes out so by a retry', async () => {
    const [first] = await parkFirst({ n: 1 });
    await revise(first, 10);
    const transport = recordingTransport();
    transport.respond = refusing(10);
    await tickAnew(transport);
    const { rows } = await lab.database.query(
      'SELECT attempts, reason, error, next_attempt_at FROM holdfast.parked_message',
    );
    expect(rows).toEqual([
      { attempts: 1, reason: 'the broker refuses it for good', error: 'Error: no', next_attempt_at: null },
    ]);
    expect(lab.numbers(await tickAnew())).toEqual([]);
    await retryParked(lab.database, { all: true }, me);
    expect(lab.numbers(await tickAnew())).toEqual([10]);
  });

  it('that is refused for now is tried again by itself', async () => {
    const [first] = await parkFirst({ n: 1 });
    await revise(first, 10);
    const transport = recordingTransport();
    transport.respond = async (batch) =>
      batch.map(() => ({ kind: 'refused', permanent: false, error: new Error('busy') }));
    const { relay } = await lab.relay({ ...fast, parkedRetry: { attempts: 3, base: 1, cap: 1 } }, {}, transport);
    await relay.tick();
    await relay.stop();
    transport.respond = undefined;
    await lab.until(async () => lab.numbers(await tickAnew(transport)).length > 0);
    expect(lab.numbers(transport)).toEqual([10]);
  });

  it('without a key, or where no order is kept, goes out as well', async () => {
    const first = await lab.relay({ ...fast, onRefused: 'skip' });
    first.transport.respond = refusing(1);
    await lab.writeOther({ n: 1 });
    await lab.write({ n: 1, who: 'a' });
    await first.relay.tick();
    await first.relay.stop();
    for (const id of await ids()) await revise(id, 10);
    expect(lab.numbers(await tickAnew()).length).toBe(2);
    expect(await parked()).toEqual([]);
  });

  it('is left to the next look when all together are too large for one', async () => {
    const notes = Array.from({ length: 4 }, (_, n) => ({ n, who: String(n) }));
    const first = await lab.relay(fast);
    first.transport.respond = refusing(0, 1, 2, 3);
    await lab.write(...notes);
    await first.relay.tick();
    await first.relay.stop();
    const text = 'x'.repeat(5 * 1_048_576);
    await lab.database.transaction(async (client) => {
      for (const seq of [1, 2, 3, 4]) {
        const revision = { payload: JSON.stringify({ n: seq * 10, text }), headers: '{"schemaversion":1}' };
        await storeRevision(toExecutor(client), { schema: 'holdfast', subscription: 'main', seq }, revision);
      }
    });
    const transport = await tickAnew();
    expect(lab.numbers(transport)).toEqual([10, 20]);
    await tickAnew(transport);
    expect(lab.numbers(transport)).toEqual([10, 20, 30, 40]);
    expect(await parked()).toEqual([]);
  });

  it('is not brought out as the log has it when the cursor went back behind it', async () => {
    const before = await lab.relay();
    await before.relay.tick();
    const cursor = await lab.database.query('SELECT snapshot::text, high FROM holdfast.subscription');
    await before.relay.stop();
    const first = await lab.relay(fast);
    first.transport.respond = refusing(1);
    await lab.writeOther({ n: 1 });
    await first.relay.tick();
    await first.relay.stop();
    await revise((await ids())[0], 10);
    const { snapshot, high } = cursor.rows[0] as { snapshot: string; high: string };
    await lab.database.query('UPDATE holdfast.subscription SET snapshot = $1::pg_snapshot, high = $2', [
      snapshot,
      high,
    ]);
    expect(lab.numbers(await tickAnew())).toEqual([10]);
  });
});

describe('while a relay publishes it', () => {
  it('no edit is taken, and one is when it was refused again', async () => {
    const [first] = await parkFirst({ n: 1 });
    await retryParked(lab.database, { all: true }, me);
    const transport = recordingTransport();
    let meanwhile: unknown;
    transport.respond = async (batch) => {
      meanwhile = await revise(first, 10).catch((error: unknown) => error);
      return refusing(1)(batch);
    };
    const { relay } = await lab.relay(fast, {}, transport);
    await relay.tick();
    expect(meanwhile).toMatchObject({
      code: 'HF_PARKED_BUSY',
      message: expect.stringMatching(/publishing it/) as string,
    });
    expect(await revise(first, 10)).toMatchObject({ id: first, inDoubt: false });
    await relay.stop();
    expect(lab.numbers(await tickAnew())).toEqual([10]);
  });

  it('what was chosen with it and not published can be edited afterwards', async () => {
    const [, second] = await parkFirst({ n: 1, who: 'a' }, { n: 2, who: 'a' });
    await retryParked(lab.database, { all: true }, me);
    const transport = recordingTransport();
    transport.respond = refusing(1);
    const { relay } = await lab.relay(fast, {}, transport);
    await relay.tick();
    expect(await revise(second, 20)).toMatchObject({ id: second, inDoubt: false });
    expect(await previewRevision(lab.database, { id: second ?? '' }, { patch: {} })).toMatchObject({
      before: { n: 20, who: 'a' },
    });
  });

  it('an edit that is on its way when the relay has chosen it is waited for, and goes out', async () => {
    const [first] = await parkFirst({ n: 1 });
    const { relay, transport } = await lab.relay(fast, { clock: lab.skippingClock() });
    await relay.tick();
    await retryParked(lab.database, { all: true }, me);
    const client = await lab.database.pool.connect();
    try {
      await client.query('BEGIN');
      const execute = toExecutor(client);
      const found = await lockParkedMessage(execute, { schema: 'holdfast', subscription: 'main', id: first ?? '' });
      lab.skip(1_500);
      const ticking = relay.tick();
      await lab.until(async () => {
        const { rows } = await lab.database.query(
          `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%claim_epoch%' AND pid <> pg_backend_pid()`,
        );
        return rows.length > 0;
      });
      const revision = { payload: '{"n":10,"who":"me"}', headers: '{"schemaversion":1}' };
      await storeRevision(execute, { schema: 'holdfast', subscription: 'main', seq: found?.seq ?? 0 }, revision);
      await client.query('COMMIT');
      await ticking;
    } finally {
      client.release();
    }
    expect(lab.numbers(transport)).toEqual([10]);
    expect(await parked()).toEqual([]);
  });

  it('and was lost, it can be edited when somebody else has its shard, who is told that it is in doubt', async () => {
    const [first] = await parkFirst({ n: 1 });
    await retryParked(lab.database, { all: true }, me);
    const dying = await lab.relay(fast, { crashPoint: dyingAt('relay.redrive:before') });
    await expect(dying.relay.tick()).rejects.toThrow('died');
    await expect(revise(first, 10)).rejects.toMatchObject({ code: 'HF_PARKED_BUSY' });
    await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = NULL`);
    await leaseEnds();
    const { relay, transport } = await lab.relay(fast);
    await relay.tick();
    expect(await previewRevision(lab.database, { id: first ?? '' }, { patch: { n: 10 } })).toMatchObject({
      inDoubt: true,
    });
    expect(await revise(first, 10)).toMatchObject({ inDoubt: true });
    await relay.stop();
    await tickAnew(transport);
    expect(lab.numbers(transport)).toEqual([10]);
  });

  it('is not yet past it in the log, it cannot be edited', async () => {
    const before = await lab.relay();
    await before.relay.tick();
    await before.relay.stop();
    const { rows } = await lab.database.query('SELECT snapshot::text, high FROM holdfast.subscription');
    const [first] = await parkFirst({ n: 1 });
    const { snapshot, high } = rows[0] as { snapshot: string; high: string };
    await lab.database.query('UPDATE holdfast.subscription SET snapshot = $1::pg_snapshot, high = $2', [
      snapshot,
      high,
    ]);
    await expect(revise(first, 10)).rejects.toMatchObject({
      code: 'HF_PARKED_BUSY',
      message: expect.stringMatching(/not noted yet that it is past it/) as string,
    });
  });
});

const leaseEnds = () =>
  lab.database.query(`UPDATE holdfast.subscription SET lease_until = now() - interval '1 second'`);

function dyingAt(point: string): (at: string) => void {
  let alive = true;
  return (at) => {
    if (at !== point || !alive) return;
    alive = false;
    throw new Error(`died at ${point}`);
  };
}

describe('a relay that ends while it brings out an edited message', () => {
  it.each(['relay.claim:before', 'relay.claim:after', 'relay.redrive:before', 'relay.redrive:after'])(
    'at %s leaves it to the next one, which brings the new payload and nothing else',
    async (point) => {
      const [first] = await parkFirst({ n: 1, who: 'a' }, { n: 2, who: 'a' });
      await revise(first, 10);
      const transport = recordingTransport();
      const dying = await lab.relay(fast, { crashPoint: dyingAt(point) }, transport);
      await expect(dying.relay.tick()).rejects.toThrow('died');
      await leaseEnds();
      await tickAnew(transport);
      await tickAnew(transport);
      expect([...new Set(lab.numbers(transport))]).toEqual([10, 2]);
      expect(await parked()).toEqual([]);
    },
  );
});

describe('a relay of the version before', () => {
  it('never takes up what was edited, whoever makes it due', async () => {
    await parkFirst({ n: 1, who: 'a' }, { n: 2, who: 'a' }, { n: 3, who: 'a' });
    const keyless = await lab.relay(fast);
    keyless.transport.respond = refusing(4);
    await lab.writeOther({ n: 4 });
    await keyless.relay.tick();
    await keyless.relay.stop();
    const all = await ids();
    const old = oldRelay(lab.database);
    await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE state = 'failed'`);
    expect(await old.redrivable()).toEqual([1, 2, 3, 4]);
    for (const seq of [2, 4]) await revise(all[seq - 1], seq * 10);
    expect(await old.redrivable()).toEqual([1]);
    // What an old command line or relay does to make it due, and what comes of a refusal.
    await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE state = 'failed'`);
    await old.take();
    await old.parkAgain(4, 0);
    expect(await old.redrivable()).toEqual([1]);
    await old.unpark(1);
    expect(await old.redrivable()).toEqual([]);
    expect(await parked()).toEqual([
      { seq: 2, state: 'failed', revised: true },
      { seq: 3, state: 'behind', revised: false },
      { seq: 4, state: 'failed', revised: true },
    ]);
    await lab.database.query('UPDATE holdfast.subscription SET lease_owner = NULL');
    const transport = await tickAnew();
    await tickAnew(transport);
    expect(new Set(lab.numbers(transport))).toEqual(new Set([20, 3, 40]));
    expect(lab.numbers(transport).filter((n) => n !== 40)).toEqual([20, 3]);
  });

  it('says nothing of what it is publishing, so nothing is edited while it has the subscription', async () => {
    const [first] = await parkFirst({ n: 1 });
    await oldRelay(lab.database).take();
    await expect(revise(first, 10)).rejects.toMatchObject({
      code: 'HF_PARKED_BUSY',
      message: expect.stringMatching(/version/) as string,
    });
    await lab.database.query('UPDATE holdfast.subscription SET lease_owner = NULL');
    await revise(first, 10);
  });
});
