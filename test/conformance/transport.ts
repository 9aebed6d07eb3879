/**
 * The duties of src/transport/port.ts as tests. Every adapter runs them: test/transport/*.test.ts.
 * Nothing here knows which broker it is; what a test needs of one (short claims, a broker that hangs) comes from the harness.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isHoldfastError } from '../../src/errors.ts';
import type { Delivery, Receiver, Transport, Verdict } from '../../src/transport/port.ts';
import {
  DONE,
  destinationName,
  NEVER,
  numbers,
  outbound,
  recorder,
  rejection,
  type TransportHarness,
} from './transport-kit.ts';
import { itHandsOutAhead } from './transport-ahead.ts';
import { itStandsStrangers } from './transport-strangers.ts';

const isUnavailable = (error: unknown): boolean => isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE');
const aborted = (): AbortSignal => AbortSignal.abort(new Error('stop'));

export function describeTransport(name: string, open: () => Promise<TransportHarness>): void {
  describe(`${name}: the duties of a transport`, () => {
    let harness: TransportHarness;
    const transports: Transport[] = [];
    const receivers: Receiver[] = [];
    beforeAll(async () => {
      harness = await open();
    });
    afterAll(() => harness.dispose());
    afterEach(async () => {
      await Promise.all(receivers.splice(0).map((receiver) => receiver.stop({ signal: aborted() })));
      await Promise.all(transports.splice(0).map((transport) => transport.close()));
    });
    const make: TransportHarness['make'] = (options) => kept(harness.make(options));
    const kept = (transport: Transport): Transport => {
      transports.push(transport);
      return transport;
    };
    async function receive(
      transport: Transport,
      destination: string,
      handle: (delivery: Delivery) => Promise<Verdict>,
      options: { concurrency?: number; ordered?: boolean } = {},
    ): Promise<Receiver> {
      const receiver = transport.receiver(destination, handle, {
        concurrency: options.concurrency ?? 1,
        ordered: options.ordered ?? false,
      });
      receivers.push(receiver);
      await receiver.start();
      return receiver;
    }

    itHandsOutAhead({ make, receivers });
    itStandsStrangers({ make, receive, plant: async (...planted) => harness.plant(...planted) });

    it('publishes a batch and delivers each message with its envelope as it was given', async () => {
      const transport = make();
      const destinations = [destinationName(), destinationName()];
      const batch = Array.from({ length: 600 }, (_, n) =>
        outbound(destinations[n % 2]!, n, n % 3 === 0 ? { key: `k${n % 7}` } : {}),
      );
      const outcomes = await transport.publisher().publish(batch, { signal: NEVER });
      expect(outcomes).toEqual(batch.map(() => ({ kind: 'published' })));
      const got = recorder();
      for (const destination of destinations) await receive(transport, destination, got.handle, { concurrency: 10 });
      await got.until((seen) => new Set(seen.map(({ wire }) => (wire as { id: string }).id)).size >= 600);
      const byId = new Map(got.seen.map(({ wire, delivery }) => [(wire as { id: string }).id, delivery.wire]));
      expect(byId.size).toBe(600);
      for (const message of batch) expect(byId.get(message.id)).toBe(message.wire);
    });

    it('takes an empty batch, and answers check', async () => {
      const publisher = make().publisher();
      expect(await publisher.publish([], { signal: NEVER })).toEqual([]);
      await publisher.check({ signal: NEVER });
    });

    it('passes on what is no envelope', async () => {
      const transport = make();
      const destination = destinationName();
      await transport.publisher().publish([outbound(destination, 0, { wire: '{"no":"envelope"}' })], { signal: NEVER });
      const got = recorder();
      await receive(transport, destination, got.handle);
      await got.until((seen) => seen.length === 1);
      expect(got.seen[0]!.wire).toEqual({ no: 'envelope' });
    });

    it('delivers to a receiver that started before anything was published', async () => {
      const transport = make();
      const destination = destinationName();
      const got = recorder();
      await receive(transport, destination, got.handle);
      const publisher = transport.publisher();
      for (let n = 0; n < 3; n += 1) {
        await publisher.publish([outbound(destination, n)], { signal: NEVER });
        await got.until((seen) => seen.length === n + 1);
      }
      expect(numbers(got.seen)).toEqual([0, 1, 2]);
    });

    it('hands a message out again after later, not before its time, and without counting it as a redelivery', async () => {
      const transport = make();
      const destination = destinationName();
      const at: number[] = [];
      const got = recorder((_, all) => {
        at.push(Date.now());
        return all.length <= 2 ? { kind: 'later', delayMs: 120 * (all.length - 1) } : DONE;
      });
      await receive(transport, destination, got.handle);
      await transport.publisher().publish([outbound(destination, 7)], { signal: NEVER });
      await got.until((seen) => seen.length === 3);
      expect(at[2]! - at[1]!).toBeGreaterThanOrEqual(119); // 1 ms for the rounding of clocks
      expect(got.seen.map(({ delivery }) => delivery.redeliveries)).toEqual([0, 0, 0]);
    });

    it('takes a rejection of the handler for later', async () => {
      const transport = make();
      const destination = destinationName();
      const got = recorder((_, all) => (all.length === 1 ? Promise.reject(new Error('handler broke')) : DONE));
      await receive(transport, destination, got.handle);
      await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
      await got.until((seen) => seen.length === 2);
      expect(got.seen[1]!.delivery.redeliveries).toBe(0);
    });

    it('gives a message again, with redeliveries raised, when its consumer was stopped hard in the middle', async () => {
      const transport = make();
      const destination = destinationName();
      const lost = recorder(() => new Promise(() => {}));
      const first = await receive(transport, destination, lost.handle);
      await transport.publisher().publish([outbound(destination, 1), outbound(destination, 2)], { signal: NEVER });
      await lost.until((seen) => seen.length === 1);
      await first.stop({ signal: aborted() });
      expect(lost.seen[0]!.delivery.signal.aborted).toBe(true);

      const got = recorder();
      await receive(make(), destination, got.handle);
      await got.until((seen) => seen.some(({ n }) => n === lost.seen[0]!.n) && new Set(numbers(seen)).size === 2);
      expect(got.seen.find(({ n }) => n === lost.seen[0]!.n)!.delivery.redeliveries).toBe(1);
    });

    it('runs as many at once as it was told, and no more', async () => {
      const transport = make();
      const destination = destinationName();
      let running = 0;
      let most = 0;
      const release: (() => void)[] = [];
      const got = recorder(async (_, all) => {
        most = Math.max(most, (running += 1));
        // The first three wait for each other; a receiver that ran fewer at once would never get past here.
        if (all.length === 3) release.splice(0).forEach((go) => go());
        else if (all.length < 3) await new Promise<void>((resolve) => void release.push(resolve));
        running -= 1;
        return DONE;
      });
      await transport.publisher().publish(
        Array.from({ length: 30 }, (_, n) => outbound(destination, n)),
        { signal: NEVER },
      );
      await receive(transport, destination, got.handle, { concurrency: 3 });
      await got.until((seen) => seen.length === 30);
      expect(most).toBe(3);
    });

    it('keeps the order of a key with several receivers, concurrency, and messages that come later', async () => {
      const destination = destinationName();
      const queues = { [destination]: { partitions: 3 } };
      const transport = make({ queues });
      const done = new Map<string, number[]>();
      const running = new Set<string>();
      const overlaps: string[] = [];
      const tried = new Set<number>();
      const got = recorder(async ({ n, key }) => {
        if (running.has(key!)) overlaps.push(`${key} at ${n}`);
        running.add(key!);
        // Long enough for another receiver to come in between, if it could.
        for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        running.delete(key!);
        if (n % 5 === 0 && !tried.has(n)) {
          tried.add(n);
          return { kind: 'later', delayMs: n % 2 === 0 ? 30 : 0 };
        }
        done.set(key!, [...(done.get(key!) ?? []), n]);
        return DONE;
      });
      const batch = Array.from({ length: 60 }, (_, n) => outbound(destination, n, { key: `k${n % 6}` }));
      await receive(transport, destination, got.handle, { concurrency: 4, ordered: true });
      await receive(make({ queues }), destination, got.handle, { concurrency: 4, ordered: true });
      const publisher = transport.publisher();
      await publisher.publish(batch.slice(0, 35), { signal: NEVER });
      await publisher.publish(batch.slice(35), { signal: NEVER });
      await got.until(() => [...done.values()].flat().length === 60);
      expect(overlaps).toEqual([]);
      for (const [key, order] of done)
        expect(order).toEqual(
          batch
            .filter((message) => message.key === key)
            .map((message) => (JSON.parse(message.wire) as { data: { n: number } }).data.n),
        );
    });

    it('gives the message of a dead consumer before its successors of the same key', async () => {
      const destination = destinationName();
      const transport = make();
      await transport.publisher().publish(
        [0, 1, 2].map((n) => outbound(destination, n, { key: 'k' })),
        { signal: NEVER },
      );
      const lost = recorder(({ n }) => (n === 0 ? DONE : new Promise(() => {})));
      const first = await receive(transport, destination, lost.handle, { ordered: true });
      await lost.until((seen) => seen.length === 2);
      const got = recorder();
      // Already there when the other dies, so that it could take the successor too early.
      await receive(make(), destination, got.handle, { ordered: true });
      await first.stop({ signal: aborted() });
      await got.until((seen) => seen.length >= 2);
      expect(numbers(got.seen)).toEqual([1, 2]);
      expect(got.seen.map(({ delivery }) => delivery.redeliveries)).toEqual([1, 0]);
    });

    it('refuses one message for good and publishes the others of the batch', async () => {
      const { transport, spoil } = harness.refusing();
      kept(transport);
      const destination = destinationName();
      const good = [0, 2].map((n) => outbound(destination, n, { key: 'k' }));
      const bad = spoil(outbound(destination, 1, { key: 'k' }));
      const outcomes = await transport.publisher().publish([good[0]!, bad, good[1]!], { signal: NEVER });
      expect(outcomes.map(({ kind }) => kind)).toEqual(['published', 'refused', 'published']);
      expect(outcomes[1]).toMatchObject({ permanent: true, error: expect.any(Error) });
      const got = recorder();
      await receive(transport, destination, got.handle, { ordered: true });
      await got.until((seen) => seen.length === 2);
      expect(numbers(got.seen)).toEqual([0, 2]);
    });

    it('rejects publish and check with HF_TRANSPORT_UNAVAILABLE while the broker is away', async () => {
      const publisher = kept(harness.unreachable()).publisher();
      for (let attempt = 0; attempt < 2; attempt += 1) {
        expect(await rejection(publisher.publish([outbound(destinationName(), 1)], { signal: NEVER }))).toSatisfy(
          isUnavailable,
        );
        expect(await rejection(publisher.check({ signal: NEVER }))).toSatisfy(isUnavailable);
      }
    });

    it('settles when the signal aborts, also while the broker hangs', async () => {
      const hanging = kept(harness.hanging()).publisher();
      const abort = new AbortController();
      const published = rejection(hanging.publish([outbound(destinationName(), 1)], { signal: abort.signal }));
      const checked = rejection(hanging.check({ signal: abort.signal }));
      await new Promise((resolve) => setImmediate(resolve));
      abort.abort(new Error('enough'));
      expect(await published).toSatisfy(isUnavailable);
      expect(await checked).toSatisfy(isUnavailable);

      const destination = destinationName();
      const working = make().publisher();
      expect(await rejection(working.publish([outbound(destination, 1)], { signal: aborted() }))).toSatisfy(
        isUnavailable,
      );
    });

    it('delivers what is published twice at least once, and a replay of it as well', async () => {
      const transport = make();
      const destination = destinationName();
      const message = outbound(destination, 1);
      const publisher = transport.publisher();
      const replay = { ...outbound(destination, 2, { id: message.id }), replayId: 'replay-1' };
      await publisher.publish([message, message], { signal: NEVER });
      await publisher.publish([message, replay], { signal: NEVER });
      const got = recorder();
      await receive(transport, destination, got.handle);
      await got.until((seen) => new Set(numbers(seen)).size === 2);
      // And again after it was done with: a relay that does not know the outcome may do so.
      const before = got.seen.length;
      const again = got.until((seen) => seen.length > before);
      const last = outbound(destination, 3);
      await publisher.publish([message, last], { signal: NEVER });
      await again;
      await got.until((seen) => seen.some(({ n }) => n === 3));
    });

    it('waits in a soft stop for what is in flight, and takes nothing new', async () => {
      const transport = make();
      const destination = destinationName();
      let finish: (() => void) | undefined;
      const got = recorder(async () => {
        await new Promise<void>((resolve) => void (finish = resolve));
        return DONE;
      });
      const receiver = await receive(transport, destination, got.handle);
      await transport.publisher().publish([outbound(destination, 0), outbound(destination, 1)], { signal: NEVER });
      await got.until((seen) => seen.length === 1);
      let stopped = false;
      const stopping = receiver.stop().then(() => (stopped = true));
      const again = receiver.stop();
      await new Promise((resolve) => setImmediate(resolve));
      expect(stopped).toBe(false);
      expect(got.seen[0]!.delivery.signal.aborted).toBe(false);
      finish!();
      await Promise.all([stopping, again]);
      expect(got.seen).toHaveLength(1);

      const rest = recorder();
      await receive(make(), destination, rest.handle);
      await rest.until((seen) => seen.length === 1);
      expect(numbers(rest.seen)).toEqual([1 - got.seen[0]!.n]);
      expect(rest.seen[0]!.delivery.redeliveries).toBe(0);
    });

    it('turns a soft stop into a hard one when the signal aborts; the verdict of a handler that obeys still counts', async () => {
      const transport = make();
      const destination = destinationName();
      const got = recorder(
        ({ delivery }) =>
          new Promise((resolve) =>
            delivery.signal.addEventListener('abort', () => resolve({ kind: 'later', delayMs: 0 })),
          ),
      );
      const receiver = await receive(transport, destination, got.handle);
      await transport.publisher().publish([outbound(destination, 5)], { signal: NEVER });
      await got.until((seen) => seen.length === 1);
      const abort = new AbortController();
      const stopping = receiver.stop({ signal: abort.signal });
      abort.abort();
      await stopping;
      const rest = recorder();
      await receive(make(), destination, rest.handle);
      await rest.until((seen) => seen.length === 1);
      expect(rest.seen[0]!.delivery.redeliveries).toBe(0);
    });

    it('lets a second stop make the first one hard', async () => {
      const transport = make();
      const destination = destinationName();
      const got = recorder(() => new Promise(() => {}));
      const receiver = await receive(transport, destination, got.handle);
      await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
      await got.until((seen) => seen.length === 1);
      const soft = receiver.stop();
      await receiver.stop({ signal: aborted() });
      await soft;
      expect(got.seen[0]!.delivery.signal.aborted).toBe(true);
    });

    it('may be stopped before start, twice, and started again', async () => {
      const transport = make();
      const destination = destinationName();
      const got = recorder();
      const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: false });
      receivers.push(receiver);
      await receiver.stop();
      await receiver.start();
      await receiver.start();
      await receiver.stop();
      await receiver.stop();
      await receiver.start();
      await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
      await got.until((seen) => seen.length === 1);
    });

    it('closes publisher and transport any number of times, and is closed then', async () => {
      const transport = make();
      const unused = transport.publisher();
      await unused.close();
      const publisher = transport.publisher();
      await publisher.check({ signal: NEVER });
      await publisher.close();
      await publisher.close();
      await expect(publisher.publish([outbound(destinationName(), 1)], { signal: NEVER })).rejects.toMatchObject({
        code: 'HF_STOPPED',
      });
      await transport.close();
      await transport.close();
      expect(() => transport.publisher()).toThrow(expect.objectContaining({ code: 'HF_STOPPED' }));
    });

    it('refuses a concurrency that is none', () => {
      for (const concurrency of [0, -1, 1.5, NaN]) {
        expect(() => make().receiver(destinationName(), async () => DONE, { concurrency, ordered: false })).toThrow(
          expect.objectContaining({ code: 'HF_CONFIG' }),
        );
      }
    });
  });
}
