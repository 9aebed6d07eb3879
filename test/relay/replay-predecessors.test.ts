/** Whom the messages of a replay name as their predecessor: each other, also when a relay takes the replay over, and nobody else. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dropSubscription } from '../../src/operations/parked/interventions.ts';
import { requestReplay, type ReplayOptions } from '../../src/operations/relay/replays.ts';
import { pruneRecords } from '../../src/relay/maintenance/pruner.ts';
import type { PublishOutcome } from '../../src/transport/port.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { published, recordingTransport, type RecordingTransport } from '../support/recording-transport.ts';

const me = { actor: 'ann', reason: 'the broker is empty' };
const ordered = { routes: [{ topics: '**', to: 'all', ordered: true }] };
let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

interface Wire {
  readonly id: string;
  readonly data: { readonly n: number };
  readonly replayid?: string;
  readonly predecessorid?: string;
  readonly predecessorat?: string;
  readonly predecessorsentat?: string;
  readonly sentat?: string;
}

const wiresOf = ({ sent }: RecordingTransport): readonly Wire[] =>
  sent.map(({ wire }) => JSON.parse(wire) as Wire).filter(({ replayid }) => replayid !== undefined);

/** What a replay sent, in order: its number, and that of its predecessor; null for none, '?' for one that is not in the replay. */
function named(transport: RecordingTransport): readonly (readonly [number, number | null | '?'])[] {
  const wires = wiresOf(transport);
  const numbers = new Map(wires.map(({ id, data }) => [id, data.n]));
  return wires.map(({ data, predecessorid: id }) => [data.n, id === undefined ? null : (numbers.get(id) ?? '?')]);
}

/** A log whose messages are published, none of them remembered. */
async function publishedLog(subscription: Parameters<RelayLab['relay']>[0] = ordered): Promise<void> {
  const { relay } = await lab.relay(subscription);
  for (const n of [1, 2, 3, 4, 5, 6]) await lab.write({ n, who: n === 2 || n === 5 ? 'bob' : 'ada' });
  await relay.tick();
  await relay.stop();
}

const replay = (options: Partial<ReplayOptions> = {}) =>
  requestReplay(lab.database, { subscription: 'main', ...options }, me);

const count = async (table: string, where: string): Promise<number> =>
  (await lab.database.query(`SELECT 1 FROM holdfast.${table} WHERE ${where}`)).rows.length;
const unfinished = (): Promise<number> => count('replay', 'finished_at IS NULL');
const headsOfReplays = (): Promise<number> => count('key_head', `subscription LIKE 'replay:%'`);

describe('a message of a replay', () => {
  it('names the one before it of its key in the replay, the first of a key none, and when both were sent', async () => {
    await publishedLog();
    await replay({ fromSeq: 2 });
    const { relay, transport } = await lab.relay(ordered);
    await relay.tick();
    expect(named(transport)).toEqual([
      [2, null],
      [3, null],
      [4, 3],
      [5, 2],
      [6, 4],
    ]);
    const [, three, four] = wiresOf(transport);
    // By the database's clock, in the very first look of the relay: what was sent before a consumer first ran is told apart by it.
    expect(Date.parse(four?.predecessorsentat ?? '')).toBeGreaterThan(Date.parse(four?.predecessorat ?? ''));
    expect(Date.parse(four?.sentat ?? '')).toBeGreaterThanOrEqual(Date.parse(four?.predecessorsentat ?? ''));
    expect(three?.sentat).toBeUndefined();
  });

  it('names none that the replay leaves out', async () => {
    await publishedLog();
    await lab.writeOther({ n: 7 });
    await replay({ key: 'ada', toSeq: 4 });
    const { relay, transport } = await lab.relay(ordered);
    await relay.tick();
    expect(named(transport)).toEqual([
      [1, null],
      [3, 1],
      [4, 3],
    ]);
  });

  it('names none on a destination without order', async () => {
    await publishedLog({});
    await replay();
    const { relay, transport } = await lab.relay();
    await relay.tick();
    expect(named(transport).map(([, before]) => before)).toEqual(Array.from({ length: 6 }, () => null));
    expect(await headsOfReplays()).toBe(0);
  });

  it('names the one before it also when each page is brought out by another relay', async () => {
    await publishedLog();
    await replay();
    const transport = recordingTransport();
    for (let page = 1; page <= 3; page += 1) {
      const { relay } = await lab.relay({ ...ordered, batchSize: 2 }, {}, transport);
      await relay.tick();
      await relay.stop();
    }
    expect(await unfinished()).toBe(0);
    expect(named(transport)).toEqual([
      [1, null],
      [2, null],
      [3, 1],
      [4, 3],
      [5, 2],
      [6, 4],
    ]);
  });

  it('names the same again when its relay died before it had written how far it was', async () => {
    await publishedLog();
    await replay();
    let deaths = 0;
    const crashPoint = (name: string): void => {
      if (name === 'relay.replay:before' && (deaths += 1) === 1) throw new Error('the relay dies');
    };
    const { relay, transport } = await lab.relay({ ...ordered, batchSize: 4 }, { crashPoint });
    for (let round = 0; round < 4; round += 1) await relay.tick().catch(() => {});
    const page = [
      [1, null],
      [2, null],
      [3, 1],
      [4, 3],
    ];
    expect(named(transport)).toEqual([...page, ...page, [5, 2], [6, 4]]);
  });

  it('names none of another replay, and live messages none of a replay', async () => {
    await publishedLog();
    await replay({ toSeq: 3 });
    await replay({ fromSeq: 4 });
    const { relay, transport } = await lab.relay(ordered);
    await relay.tick();
    await lab.write({ n: 7, who: 'ada' });
    for (let round = 0; round < 3; round += 1) await relay.tick();
    expect(named(transport)).toEqual([
      [1, null],
      [2, null],
      [3, 1],
      [4, null],
      [5, null],
      [6, 4],
    ]);
    const wires = transport.sent.map(({ wire }) => JSON.parse(wire) as Wire);
    const live = wires.find(({ replayid }) => replayid === undefined);
    expect(live).toMatchObject({ data: { n: 7 }, predecessorid: wires.find(({ data }) => data.n === 6)?.id });
  });

  it('names what the broker refused for now, which another replay may bring, and not what it refused for good', async () => {
    await publishedLog();
    await replay({ key: 'ada' });
    const transport = recordingTransport();
    const refusal = (permanent: boolean): PublishOutcome => ({ kind: 'refused', permanent, error: new Error('no') });
    const outcomes: Record<number, PublishOutcome> = { 3: refusal(true), 4: refusal(false) };
    transport.respond = async (batch) =>
      batch.map(({ wire }) => outcomes[(JSON.parse(wire) as Wire).data.n] ?? published);
    const { relay } = await lab.relay({ ...ordered, batchSize: 1 }, {}, transport);
    for (let round = 0; round < 6; round += 1) await relay.tick();
    expect(await unfinished()).toBe(0);
    expect(named(transport)).toEqual([
      [1, null],
      [6, '?'],
    ]);
    const { rows } = await lab.database.query<{ id: string }>(
      `SELECT id FROM holdfast.outbox WHERE payload ->> 'n' = '4'`,
    );
    expect(wiresOf(transport).at(-1)?.predecessorid).toBe(rows[0]?.id);
  });
});

describe('what is kept for a replay', () => {
  it('is there while it is open, and gone some time after', async () => {
    await publishedLog();
    await replay();
    const first = await lab.relay({ ...ordered, batchSize: 4 });
    await first.relay.tick();
    await pruneRecords(lab.database);
    expect([await unfinished(), await headsOfReplays()]).toEqual([1, 2]);
    await first.relay.tick();
    await pruneRecords(lab.database);
    expect([await unfinished(), await headsOfReplays()]).toEqual([0, 0]);
    expect(await count('key_head', 'true')).toBe(2);
  });

  it('goes with its subscription', async () => {
    await publishedLog();
    await replay();
    const { relay } = await lab.relay({ ...ordered, batchSize: 4 });
    await relay.tick();
    await relay.stop();
    await dropSubscription(lab.database, 'main', me);
    expect(await count('key_head', 'true')).toBe(0);
  });
});
