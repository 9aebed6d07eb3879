/** What a relay publishes is signed for each destination by itself, whoever wrote it and however often it goes out. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createChecker, type SigningOptions } from '../../src/message/signing.ts';
import { retryParked } from '../../src/operations/parked/interventions.ts';
import { requestReplay } from '../../src/operations/relay/replays.ts';
import { signerOf } from '../../src/relay/subscription/sign-routes.ts';
import type { PublishOutcome } from '../../src/transport/port.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

const keys = {
  k1: `whsec_${Buffer.alloc(32, 1).toString('base64')}`,
  k2: `whsec_${Buffer.alloc(32, 2).toString('base64')}`,
};
const me = { actor: 'test', reason: 'why not' };
const refused: PublishOutcome = { kind: 'refused', permanent: true, error: new Error('no') };

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const faultOf = ({ destination, wire }: { destination: string; wire: string }) =>
  createChecker({ keys }, { destination, mostAgeMs: 60_000 }, 'test')(wire, Date.now());

it('signs for each destination, also what SQL wrote', async () => {
  const routes = [
    { topics: '**', to: 'all' },
    { topics: 'note.*', to: 'notes', ordered: true },
  ];
  const { relay, transport } = await lab.relay({ routes, signing: { keys, use: 'k2' } });
  await lab.write({ n: 1 }, { n: 2 });
  await lab.database.query(`SELECT holdfast.send('note.taken', '{"n": 3}', key => 'me')`);
  await relay.tick();
  expect(transport.sent.map(({ destination }) => destination).toSorted()).toEqual([
    'all',
    'all',
    'all',
    'notes',
    'notes',
    'notes',
  ]);
  expect(transport.sent.map(faultOf)).toEqual([null, null, null, null, null, null]);
  const [first] = transport.sent;
  expect(faultOf({ destination: 'elsewhere', wire: first?.wire ?? '' })).toBe('destination');
  expect(transport.data<{ n: number }>().map(({ n }) => n)).toEqual([1, 1, 2, 2, 3, 3]);
});

it('signs what goes out again: once it was parked, and in a replay', async () => {
  const signing = { keys: { k1: keys.k1 } };
  const first = await lab.relay({ signing });
  first.transport.respond = async (batch) => batch.map(() => refused);
  await lab.write({ n: 1 });
  await first.relay.tick();
  await first.relay.stop();
  await retryParked(lab.database, { all: true }, me);
  const { relay, transport } = await lab.relay({ signing });
  await requestReplay(lab.database, { subscription: 'main', fromSeq: 1 }, me);
  await relay.tick();
  expect(transport.sent.map(({ replayId }) => replayId === null)).toEqual([true, false]);
  expect(transport.sent.map(faultOf)).toEqual([null, null]);
});

it('signs nothing where nobody asks for it, and refuses keys that are none', async () => {
  const { relay, transport } = await lab.relay();
  await lab.write({ n: 1 });
  await relay.tick();
  expect(transport.sent[0]?.wire.startsWith('{"specversion":"1.0"')).toBe(true);
  await expect(lab.relay({ signing: { keys: {} } })).rejects.toMatchObject({ code: 'HF_CONFIG' });
});

it('signs with the keys of the route where it has some', async () => {
  const routes = [
    { topics: '**', to: 'all', signing: { keys: { k1: keys.k1 } } },
    { topics: 'note.*', to: 'notes' },
  ];
  const keyOf = ({ destination, wire }: { destination: string; wire: string }) =>
    `${destination} ${/"webhookkey":"(\w+)"/.exec(wire)?.[1] ?? 'none'}`;
  for (const [signing, notes] of [
    [{ keys: { k2: keys.k2 } }, 'k2'],
    [undefined, 'none'],
  ] as const) {
    await lab.reset();
    const { relay, transport } = await lab.relay({ routes, ...(signing === undefined ? {} : { signing }) });
    await lab.database.query(`SELECT holdfast.send('note.taken', '{"n": 1}')`);
    await relay.tick();
    expect(transport.sent.map(keyOf).toSorted()).toEqual(['all k1', `notes ${notes}`]);
    expect(transport.sent.filter(({ destination }) => destination === 'all').map(faultOf)).toEqual([null]);
    await relay.stop();
  }
});

it('refuses two keys for one destination', () => {
  const own = (signing?: SigningOptions) => ({
    topics: 'a.*',
    to: 'all',
    ...(signing === undefined ? {} : { signing }),
  });
  for (const other of [undefined, { keys: { k2: keys.k2 } }])
    expect(() => signerOf([own({ keys: { k1: keys.k1 } }), own(other)], undefined, 'x')).toThrow(/different signing/);
  expect(() => signerOf([own({ keys: {} })], undefined, 'x')).toThrow(/routes\[0\].signing has no keys/);
  expect(signerOf([own(), own()], undefined, 'x')).toBeNull();
});
