/** A transport whose code fails on a message: that is no outage, so nobody waits for the broker, and only that message is parked. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import type { OutboundMessage } from '../../src/transport/port.ts';
import { UNLOOKABLE } from '../support/thrown-values.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { published, type RecordingTransport } from '../support/recording-transport.ts';

let lab: RelayLab;
let said: string[];
const log: Logger = {
  ...silentLogger,
  warn: (_fields, text) => void said.push(text ?? ''),
  error: (_fields, text) => void said.push(text ?? ''),
  child: () => log,
};
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(async () => {
  said = [];
  await lab.reset();
});
afterAll(() => lab.close());

const fast = { retry: { attempts: 2, base: 1, cap: 1 } } as const;
const numberOf = (message: OutboundMessage) => (JSON.parse(message.wire) as { data: { n: number } }).data.n;
const deep = (n: number): number => n + deep(n + 1);

/** What its codec does with certain numbers. */
function encode(transport: RecordingTransport, codec: (n: number) => void, wrapped: boolean): void {
  transport.respond = async (batch) => {
    try {
      for (const message of batch) codec(numberOf(message));
    } catch (cause) {
      if (!wrapped) throw cause;
      throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'The broker did not take the batch.', { cause });
    }
    return batch.map(() => published);
  };
}

async function parked(): Promise<unknown[]> {
  const { rows } = await lab.database.query(
    `SELECT (o.payload->>'n')::int AS n, p.state, p.reason, p.error FROM holdfast.parked_message p JOIN holdfast.outbox o USING (seq)
     ORDER BY seq`,
  );
  return rows;
}

it.each([
  ['as it is', false],
  ['wrapped as what the transport says of its broker', true],
])('overflows the stack or throws a TypeError, %s', async (_, wrapped) => {
  const { relay, transport } = await lab.relay(fast, { log });
  const codec = (n: number): void => {
    if (n === 2) deep(n);
    if (n === 4) (undefined as unknown as { encode(): void }).encode();
  };
  encode(transport, codec, wrapped);
  await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'b' }, { n: 3, who: 'c' }, { n: 4, who: 'd' }, { n: 5, who: 'e' });
  await relay.tick();
  await lab.write({ n: 6, who: 'b' }, { n: 7, who: 'a' });
  await relay.tick();
  expect(lab.numbers(transport)).toEqual([1, 3, 5, 7]);
  const reason = 'the code of the transport fails on it';
  expect(await parked()).toEqual([
    { n: 2, state: 'failed', reason, error: expect.stringContaining('Maximum call stack') },
    { n: 4, state: 'failed', reason, error: expect.stringContaining('TypeError') },
    { n: 6, state: 'behind', reason: expect.any(String), error: null },
  ]);
  expect(said).toContain(`message parked: ${reason}`);
  expect(said.filter((text) => /waiting|cannot be reached/.test(text))).toEqual([]);
  expect(relay.states[0]).toMatchObject({ breaker: 'closed', trouble: null, failure: null });
});

it.each(Object.keys(UNLOOKABLE))(
  'rejects with what cannot be looked at (%s): an outage, told and ended',
  async (name) => {
    const { relay, transport } = await lab.relay(fast, { log });
    let failures = 2;
    transport.respond = async (batch) => {
      failures -= 1;
      if (failures >= 0) throw UNLOOKABLE[name]?.();
      return batch.map(() => published);
    };
    await lab.write({ n: 1 }, { n: 2 });
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([1, 2]);
    expect(await parked()).toEqual([]);
    expect(said).toContain('cannot publish; waiting for the broker');
  },
);

it('refuses a message with what cannot be looked at: parked, with what can be said', async () => {
  const { relay, transport } = await lab.relay(fast, { log });
  transport.respond = async (batch) =>
    batch.map(() => ({ kind: 'refused', permanent: true, error: UNLOOKABLE['a name that is a symbol']?.() as Error }));
  await lab.write({ n: 1 });
  await relay.tick();
  expect(await parked()).toMatchObject([{ n: 1, state: 'failed', error: expect.stringContaining('cannot be') }]);
});

it('is an outage when the broker does not answer, or the network is the cause: nothing is parked', async () => {
  const { relay, transport } = await lab.relay(fast, { log });
  let failures = 3;
  transport.respond = async (batch) => {
    failures -= 1;
    // As fetch says it; then the publisher's own check fails in its code as well.
    if (failures === 2) throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
    if (failures >= 0) throw new TypeError('not connected');
    return batch.map(() => published);
  };
  await lab.write({ n: 1 }, { n: 2 });
  await relay.tick();
  expect(lab.numbers(transport)).toEqual([1, 2]);
  expect(await parked()).toEqual([]);
  expect(said).toContain('cannot publish; waiting for the broker');
});
