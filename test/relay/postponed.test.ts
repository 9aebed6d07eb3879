/** What a transport cannot send now to one of its places is parked at once, without a retry in place; the others go on, each key in order. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OutboundMessage, PublishOutcome } from '../../src/transport/port.ts';
import { published } from '../support/recording-transport.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { AWAY, GONE, RESTING, UNSENT } from './refusal-kinds.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const numberOf = (message: OutboundMessage) => (JSON.parse(message.wire) as { data: { n: number } }).data.n;

async function parked() {
  const { rows } = await lab.database.query(
    `SELECT (o.payload->>'n')::int AS n, p.state, p.attempts, round(extract(epoch FROM p.next_attempt_at - now()))::int > 50 AS far
     FROM holdfast.parked_message p JOIN holdfast.outbox o USING (seq) ORDER BY seq`,
  );
  return rows;
}

/** A relay whose transport answers so for each number, in each call anew, and counts its calls. */
async function relayThat(answer: (n: number, call: number) => PublishOutcome | undefined, onRefused?: 'skip') {
  const made = await lab.relay({ onRefused });
  const calls: number[][] = [];
  made.transport.respond = async (batch) => {
    if (batch.length > 0) calls.push(batch.map(numberOf));
    return batch.map((message) => answer(numberOf(message), calls.length) ?? published);
  };
  return { ...made, calls };
}

describe('a relay', () => {
  it('parks what cannot go now without trying it in place, and counts only what was sent as an attempt', async () => {
    const { relay, transport, calls } = await relayThat((n) => (n === 1 ? AWAY : n === 2 ? RESTING : undefined));
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'b' }, { n: 3, who: 'c' });
    await relay.tick();
    expect(calls).toEqual([[1, 2, 3]]);
    expect(lab.numbers(transport)).toEqual([3]);
    expect(await parked()).toEqual([
      { n: 1, state: 'failed', attempts: 1, far: true },
      { n: 2, state: 'failed', attempts: 0, far: true },
    ]);
  });

  it('parks what was not sent because of one before it of its key behind that one, and both go out in order', async () => {
    const { relay, transport } = await relayThat((n, call) =>
      call > 1 ? undefined : n === 1 ? AWAY : n === 2 ? UNSENT : undefined,
    );
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'a' }, { n: 3, who: 'b' });
    await relay.tick();
    expect(await parked()).toEqual([
      { n: 1, state: 'failed', attempts: 1, far: true },
      { n: 2, state: 'behind', attempts: 0, far: null },
    ]);
    await relay.stop();
    await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE state = 'failed'`);
    const next = await lab.relay({}, {}, transport);
    await next.relay.tick();
    expect(lab.numbers(transport)).toEqual([3, 1, 2]);
    expect(await parked()).toEqual([]);
  });

  it('lets the successors of a refused message pass where it is told to', async () => {
    const { relay, transport, calls } = await relayThat(
      (n, call) => (n === 1 ? GONE : n === 2 && call === 1 ? UNSENT : undefined),
      'skip',
    );
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'a' });
    await relay.tick();
    expect(calls).toEqual([[1, 2], [2]]);
    expect(lab.numbers(transport)).toEqual([2]);
  });

  it('sends what there was no time for in the next calls, for as long as that gets anywhere', async () => {
    const { relay, transport, calls } = await relayThat((n, call) => (n > call ? UNSENT : undefined));
    await lab.write(...[1, 2, 3].map((n) => ({ n, who: 'a' })));
    await relay.tick();
    expect(calls).toEqual([[1, 2, 3], [2, 3], [3]]);
    expect(lab.numbers(transport)).toEqual([1, 2, 3]);
    expect(await parked()).toEqual([]);
  });

  it('gives up what never gets anywhere as it does what is refused for now', async () => {
    const made = await lab.relay({ retry: { attempts: 3, base: 1, cap: 1 } });
    let calls = 0;
    made.transport.respond = async (batch) => {
      calls += 1;
      return batch.map(() => UNSENT);
    };
    await lab.write({ n: 1, who: 'a' });
    await made.relay.tick();
    expect(calls).toBe(3);
    expect(await parked()).toMatchObject([{ n: 1, state: 'failed', attempts: 0 }]);
  });

  it('leaves what was not sent in a redrive as it was, behind the one that failed', async () => {
    const { relay, transport } = await relayThat((n) => (n === 1 ? AWAY : UNSENT));
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'a' }, { n: 3, who: 'a' });
    await relay.tick();
    await relay.stop();
    // The first goes out this time, the second does not.
    await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE state = 'failed'`);
    transport.respond = async (batch) =>
      batch.map((message) => [published, published, AWAY, UNSENT][numberOf(message)] ?? published);
    await (await lab.relay({}, {}, transport)).relay.tick();
    expect(lab.numbers(transport)).toEqual([1]);
    expect(await parked()).toEqual([
      { n: 2, state: 'failed', attempts: 1, far: true },
      { n: 3, state: 'behind', attempts: 0, far: null },
    ]);
    // And a person may edit it.
    const { rows } = await lab.database.query('SELECT 1 FROM holdfast.parked_message WHERE claim_epoch IS NOT NULL');
    expect(rows).toEqual([]);
  });

  it('sends a replay on past what is refused', async () => {
    const { relay, transport } = await relayThat(() => undefined);
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'a' });
    await relay.tick();
    await lab.database.query(
      `INSERT INTO holdfast.replay (id, subscription, from_seq, position, to_seq)
       SELECT gen_random_uuid(), 'main', min(seq), min(seq), max(seq) FROM holdfast.outbox`,
    );
    await relay.stop();
    let calls = 0;
    transport.respond = async (batch) => {
      calls += batch.length > 0 ? 1 : 0;
      return batch.map((message) => (numberOf(message) === 1 ? GONE : calls === 1 ? UNSENT : published));
    };
    await (await lab.relay({}, {}, transport)).relay.tick();
    expect(lab.numbers(transport)).toEqual([1, 2, 2]);
  });
});
