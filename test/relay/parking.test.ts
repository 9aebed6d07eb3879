/** What cannot be published is parked, visible and in order; what is only away for a while is not. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import type { OutboundMessage, PublishOutcome } from '../../src/transport/port.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { published, type RecordingTransport } from '../support/recording-transport.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const numberOf = (message: OutboundMessage) => (JSON.parse(message.wire) as { data: { n: number } }).data.n;

/** Refuses these numbers until `mend` is called. */
function refuse(transport: RecordingTransport, permanent: boolean, ...numbers: number[]): () => void {
  transport.respond = async (batch) =>
    batch.map((message): PublishOutcome =>
      numbers.includes(numberOf(message))
        ? { kind: 'refused', permanent, error: new Error(`no ${numberOf(message)}`) }
        : published,
    );
  return () => {
    transport.respond = undefined;
  };
}

async function parked() {
  const rows = await lab.database.query<{
    n: number;
    state: string;
    reason: string;
    error: string | null;
    attempts: number;
    dead: boolean;
  }>(
    `SELECT (o.payload->>'n')::int AS n, p.state, p.reason, p.error, p.attempts, p.state = 'failed' AND p.next_attempt_at IS NULL AS dead
     FROM holdfast.parked_message p JOIN holdfast.outbox o USING (seq) ORDER BY seq`,
  );
  return rows.rows;
}
const retryNow = () =>
  lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE state = 'failed'`);

/** Chores come once a second; a new relay does them at once. */
const fast = { retry: { attempts: 2, base: 1, cap: 1 } } as const;

describe('a message the broker refuses', () => {
  it('is parked as a dead letter, its key waits behind it, other keys go on', async () => {
    const { relay, transport } = await lab.relay(fast);
    refuse(transport, true, 2);
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'a' }, { n: 3, who: 'b' });
    await relay.tick();
    await lab.write({ n: 4, who: 'a' }, { n: 5, who: 'b' });
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([1, 3, 5]);
    expect(await parked()).toEqual([
      {
        n: 2,
        state: 'failed',
        reason: 'the broker refuses it for good',
        error: 'Error: no 2',
        attempts: 1,
        dead: true,
      },
      { n: 4, state: 'behind', reason: 'behind an earlier message of its key', error: null, attempts: 0, dead: false },
    ]);
  });

  it('holds its key also for the relay that takes over', async () => {
    const first = await lab.relay(fast);
    refuse(first.transport, true, 1);
    await lab.write({ n: 1, who: 'a' });
    await first.relay.tick();
    await first.relay.stop();
    const second = await lab.relay(fast);
    await lab.write({ n: 2, who: 'a' }, { n: 3, who: 'b' });
    await second.relay.tick();
    expect(lab.numbers(second.transport)).toEqual([3]);
  });

  it('lets its key pass when told to skip', async () => {
    const { relay, transport } = await lab.relay({ ...fast, onRefused: 'skip' });
    refuse(transport, true, 1);
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'a' });
    await relay.tick();
    await lab.write({ n: 3, who: 'a' });
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([2, 3]);
    expect((await parked()).map((row) => row.n)).toEqual([1]);
  });

  it('is tried again in place when it is refused only for now', async () => {
    const { relay, transport } = await lab.relay(fast);
    let refusals = 0;
    transport.respond = async (batch) =>
      batch.map(() => (refusals++ === 0 ? { kind: 'refused', permanent: false, error: new Error('busy') } : published));
    await lab.write({ n: 1 });
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([1]);
    expect(await parked()).toEqual([]);
  });

  it('is redriven in order with all that waited behind it', async () => {
    const first = await lab.relay(fast);
    const mend = refuse(first.transport, false, 1);
    await lab.write({ n: 1, who: 'a' });
    await first.relay.tick();
    await lab.write({ n: 2, who: 'a' }, { n: 3, who: 'a' });
    await first.relay.tick();
    expect((await parked()).map((row) => [row.n, row.state, row.dead])).toEqual([
      [1, 'failed', false],
      [2, 'behind', false],
      [3, 'behind', false],
    ]);
    await first.relay.stop();
    mend();
    await retryNow();
    const second = await lab.relay(fast);
    await lab.write({ n: 4, who: 'a' });
    await second.relay.tick();
    await second.relay.tick();
    expect(lab.numbers(second.transport)).toEqual([1, 2, 3, 4]);
    expect(await parked()).toEqual([]);
  });

  it('keeps those behind it waiting when the redrive fails as well, and counts the attempt', async () => {
    const first = await lab.relay(fast);
    refuse(first.transport, false, 1);
    await lab.write({ n: 1, who: 'a' });
    await first.relay.tick();
    await lab.write({ n: 2, who: 'a' });
    await first.relay.tick();
    await first.relay.stop();
    await retryNow();
    const second = await lab.relay(fast);
    refuse(second.transport, false, 1);
    await second.relay.tick();
    expect(second.transport.sent).toEqual([]);
    expect((await parked()).map((row) => [row.n, row.attempts])).toEqual([
      [1, 2],
      [2, 0],
    ]);
  });

  it('lets those behind it go once it is discarded', async () => {
    const first = await lab.relay(fast);
    refuse(first.transport, true, 1);
    await lab.write({ n: 1, who: 'a' });
    await first.relay.tick();
    await lab.write({ n: 2, who: 'a' });
    await first.relay.tick();
    await first.relay.stop();
    await lab.database.query(`DELETE FROM holdfast.parked_message WHERE state = 'failed'`);
    const second = await lab.relay(fast);
    await second.relay.tick();
    expect(lab.numbers(second.transport)).toEqual([2]);
  });
});

describe('an error that PostgreSQL cannot store as it is', () => {
  it('neither keeps a message from being parked nor the cursor from moving', async () => {
    const { relay, transport } = await lab.relay(fast);
    const odd = new Error('refused: \0 and \ud800');
    transport.respond = async (batch) => batch.map(() => ({ kind: 'refused', permanent: true, error: odd }));
    await lab.write({ n: 1 });
    await relay.tick();
    expect(await parked()).toMatchObject([{ n: 1, error: 'Error: refused: \ufffd and \ufffd' }]);
    let calls = 0;
    transport.respond = async () => {
      calls += 1;
      throw odd;
    };
    await lab.write({ n: 2, who: 'other' });
    await relay.start();
    await lab.until(async () => calls > 0);
    await relay.stop();
    const rows = await lab.database.query('SELECT lease_owner FROM holdfast.subscription');
    expect(rows.rows).toEqual([{ lease_owner: null }]);
  });
});

describe('a broker that is away', () => {
  it('parks nothing, shows the trouble, and gets everything once it is back, in order', async () => {
    const { relay, transport } = await lab.relay({ breaker: { consecutiveFailures: 2, halfOpenAfter: 5 } });
    let calls = 0;
    transport.respond = async () => {
      calls += 1;
      throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'nobody there');
    };
    await lab.write(...Array.from({ length: 20 }, (_, n) => ({ n })));
    const ticking = relay.tick();
    await lab.until(async () => calls >= 4);
    expect(relay.states[0]).toMatchObject({ role: 'active', trouble: expect.stringContaining('nobody there') });
    expect(await parked()).toEqual([]);
    transport.respond = undefined;
    await ticking;
    expect(lab.numbers(transport)).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(relay.states[0]).toMatchObject({ breaker: 'closed', trouble: null });
  });

  it('does not keep a relay from stopping; the batch stays for the next one', async () => {
    const first = await lab.relay();
    let calls = 0;
    first.transport.respond = async () => {
      calls += 1;
      throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'nobody there');
    };
    await lab.write({ n: 1 });
    await first.relay.start();
    await lab.until(async () => calls > 0);
    await first.relay.stop();
    const second = await lab.relay();
    await second.relay.tick();
    expect(lab.numbers(second.transport)).toEqual([1]);
  });
});

describe('a parked message that kills the relays that take it up again', () => {
  it('is put off as after a failed attempt, and the log goes on', async () => {
    const first = await lab.relay(fast);
    refuse(first.transport, false, 1);
    await lab.write({ n: 1, who: 'a' });
    await first.relay.tick();
    await first.relay.stop();
    await retryNow();
    await lab.write({ n: 2, who: 'b' });
    let deaths = 0;
    for (let life = 1; life <= 5; life += 1) {
      const { relay, transport } = await lab.relay({ ...fast, publishTimeout: '1s' }, { random: () => 0.9 });
      const dead = new Promise<void>((resolve) => {
        transport.respond = (batch) => {
          if (!batch.some((message) => numberOf(message) === 1)) return Promise.resolve(batch.map(() => published));
          resolve();
          return new Promise(() => {});
        };
      });
      const ended = await Promise.race([relay.tick().then(() => 'lived'), dead.then(() => 'died')]);
      if (ended === 'died') deaths += 1;
      else expect(lab.numbers(transport)).toEqual([2]);
      if (ended === 'lived') break;
      await lab.database.query(`UPDATE holdfast.subscription SET lease_until = now() - interval '1 second'`);
    }
    expect(deaths).toBe(3);
    expect(await parked()).toMatchObject([
      { n: 1, state: 'failed', reason: 'a relay died publishing it', attempts: 2 },
    ]);
    const due = await lab.database.query('SELECT 1 FROM holdfast.parked_message WHERE next_attempt_at <= now()');
    expect(due.rowCount).toBe(0);
  });
});
