/**
 * The duties of src/transport/port.ts for a transport that can only be sent to.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Transport } from '../../transport/port.ts';
import { ACKNOWLEDGED, destinationName, NEVER, outbound, parsed, type SinkHarness } from './kit.ts';
import { itPublishes } from './publisher-duties.ts';

/**
 * Tests that an adapter whose `abilities.receives` is false keeps the duties of a publisher. For a test file of vitest.
 *
 * @example
 * describeSink('my sink', () => openMyHarness());
 * declare function openMyHarness(): Promise<SinkHarness>;
 */
export function describeSink(name: string, open: () => Promise<SinkHarness>): void {
  describe(`${name}: the duties of a sink`, () => {
    let harness: SinkHarness;
    const transports: Transport[] = [];
    beforeAll(async () => {
      harness = await open();
    });
    afterAll(() => harness.dispose());
    afterEach(async () => void (await Promise.all(transports.splice(0).map((transport) => transport.close()))));
    const kept = (transport: Transport): Transport => {
      transports.push(transport);
      return transport;
    };

    itPublishes({ harness: () => harness, kept });

    it('says that it receives nothing, and refuses to', () => {
      const transport = kept(harness.make());
      expect(transport.abilities).toMatchObject({ receives: false, delays: 'none' });
      expect(() =>
        transport.receiver(destinationName(), async () => ACKNOWLEDGED, { concurrency: 1, ordered: false }),
      ).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    });

    it('has published each message of a batch when it says so, those of a key in order', async () => {
      const transport = kept(harness.make());
      const destination = harness.destination?.() ?? destinationName();
      const batch = Array.from({ length: 120 }, (_, n) =>
        outbound(destination, n, n % 3 === 0 ? { key: `k${n % 2}` } : {}),
      );
      const outcomes = await transport.publisher().publish(batch, { signal: NEVER });
      expect(outcomes).toEqual(batch.map(() => ({ kind: 'published' })));
      const arrived = await harness.received(destination);
      const ids = new Map(arrived.map((wire) => [(parsed(wire) as { id: string }).id, wire]));
      for (const { id, wire } of batch) expect(parsed(ids.get(id))).toEqual(parsed(wire));
      if (transport.abilities?.orders !== true) return;
      const order = arrived.map((wire) => parsed(wire) as { subject?: string; data: { n: number } });
      for (const key of ['k0', 'k1']) {
        const of = order.filter(({ subject }) => subject === key).map(({ data }) => data.n);
        expect(of).toEqual(of.toSorted((a, b) => a - b));
      }
    });

    it('refuses one message for good and publishes the others of the batch', async () => {
      const { transport, spoil } = harness.refusing();
      kept(transport);
      const destination = harness.destination?.() ?? destinationName();
      const good = [0, 2].map((n) => outbound(destination, n));
      const bad = spoil(outbound(destination, 1));
      const outcomes = await transport.publisher().publish([good[0]!, bad, good[1]!], { signal: NEVER });
      expect(outcomes.map(({ kind }) => kind)).toEqual(['published', 'refused', 'published']);
      expect(outcomes[1]).toMatchObject({ permanent: true, error: expect.any(Error) as Error });
    });
  });
}
