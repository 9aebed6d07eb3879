/** What has no destination has not been delivered: nothing of it is taken out, counted as published, or promised. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { retryParked } from '../../src/operations/parked/interventions.ts';
import { showMessage } from '../../src/operations/reads/messages.ts';
import { planReplay, requestReplay } from '../../src/operations/relay/replays.ts';
import { insertReplay } from '../../src/relay/delivery/replay-store.ts';
import type { PublishOutcome } from '../../src/transport/port.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

const me = { actor: 'test', reason: 'why not' };
const refused: PublishOutcome = { kind: 'refused', permanent: true, error: new Error('no') };
const everything = { routes: [{ topics: '**', to: 'all' }] };
const notesGone = { routes: [{ topics: 'other.*', to: 'all' }] };
let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

/** Three messages of a key parked, the first refused by the broker, and then a relay without their route. */
async function parkedAndRouteGone() {
  const first = await lab.relay(everything);
  first.transport.respond = async (batch) => batch.map(() => refused);
  await lab.write({ n: 1 });
  await first.relay.tick();
  await lab.write({ n: 2 }, { n: 3 });
  await first.relay.tick();
  await first.relay.stop();
  return lab.relay(notesGone);
}

const parked = async () =>
  (
    await lab.database.query<{ n: number; state: string; reason: string; attempts: number }>(
      `SELECT (o.payload->>'n')::int AS n, p.state, p.reason, p.attempts
       FROM holdfast.parked_message p JOIN holdfast.outbox o USING (seq) ORDER BY seq`,
    )
  ).rows;

const replays = async () =>
  (
    await lab.database.query(
      'SELECT published::int, unrouted::int, refused::int, finished_at IS NOT NULL AS finished FROM holdfast.replay',
    )
  ).rows;

describe('a parked message whose route is gone', () => {
  it('stays parked when it is retried, with its key behind it, and goes out when the route is back', async () => {
    const second = await parkedAndRouteGone();
    expect(await retryParked(lab.database, { all: true }, me)).toEqual([
      { kind: 'relay', where: 'main', retried: 1, unrouted: 1 },
    ]);
    await second.relay.tick();
    expect(second.transport.sent).toEqual([]);
    expect(await parked()).toEqual([
      { n: 1, state: 'failed', reason: 'no route has its topic', attempts: 2 },
      { n: 2, state: 'behind', reason: 'behind an earlier message of its key', attempts: 0 },
      { n: 3, state: 'behind', reason: 'behind an earlier message of its key', attempts: 0 },
    ]);
    await second.relay.stop();
    const third = await lab.relay(everything);
    expect(await retryParked(lab.database, { all: true }, me)).toMatchObject([{ retried: 1, unrouted: 0 }]);
    await third.relay.tick();
    expect(lab.numbers(third.transport)).toEqual([1, 2, 3]);
    expect(await parked()).toEqual([]);
  });

  it('stays when only what it waited for is given up', async () => {
    const second = await parkedAndRouteGone();
    await lab.database.query('DELETE FROM holdfast.parked_message WHERE seq = 1');
    await second.relay.tick();
    expect(second.transport.sent).toEqual([]);
    expect(await parked()).toMatchObject([
      { n: 2, state: 'failed', reason: 'no route has its topic' },
      { n: 3, state: 'behind' },
    ]);
  });
});

describe('a replay', () => {
  it('of what has no route is refused, and the others are not counted with it', async () => {
    const { relay } = await lab.relay(notesGone);
    await lab.write({ n: 1 }, { n: 2 });
    await lab.writeOther({ n: 3 });
    await relay.tick();
    await expect(planReplay(lab.database, { subscription: 'main', topic: 'note.*' })).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
      message: expect.stringMatching(/2 messages .* no route of subscription 'main'/) as unknown,
    });
    await expect(requestReplay(lab.database, { subscription: 'main', toSeq: 2 }, me)).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
    expect(await planReplay(lab.database, { subscription: 'main' })).toMatchObject({
      messages: 1,
      unrouted: 2,
      fromSeq: 3,
      toSeq: 3,
    });
    expect(await replays()).toEqual([]);
  });

  it('notes what it could not publish', async () => {
    const { relay, transport } = await lab.relay(notesGone);
    await lab.write({ n: 1 }, { n: 2 });
    await lab.writeOther({ n: 3 });
    await lab.writeOther({ n: 4 });
    await relay.tick();
    await relay.stop();
    transport.respond = async (batch) =>
      batch.map(({ wire }) => (wire.includes('"n":3') || wire.includes('"n": 3') ? refused : { kind: 'published' }));
    // As an earlier version or a relay with other routes may have asked for it.
    await lab.database.transaction((client) =>
      insertReplay(client, 'holdfast', {
        id: randomUUID(),
        subscription: 'main',
        fromSeq: 1,
        toSeq: 4,
        topic: null,
        key: null,
      }),
    );
    const second = await lab.relay(notesGone, {}, transport);
    await second.relay.tick();
    expect(await replays()).toEqual([{ published: 1, unrouted: 2, refused: 1, finished: true }]);
  });
});

it('is shown as such of a message of the log', async () => {
  const { relay } = await lab.relay(notesGone);
  const { id } = await lab.database.transaction((tx) => lab.send(tx, { n: 1 }));
  await relay.tick();
  expect(await showMessage(lab.database, id)).toMatchObject({ subscriptions: [{ state: 'unrouted' }] });
});
