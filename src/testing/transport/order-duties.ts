/**
 * The duties of keeping the messages of a key in order, whatever happens to one of them. Part of the suite in describe-transport.ts.
 */
import { expect, it } from 'vitest';
import {
  ACKNOWLEDGED,
  destinationName,
  NEVER,
  numbers,
  outbound,
  recorder,
  keepsOrder,
  type TransportDuties,
} from './kit.ts';

const aborted = (): AbortSignal => AbortSignal.abort(new Error('stop'));

/** Inside the describe of an adapter. */
export function itKeepsOrder({ make, kept, receive, harness }: TransportDuties): void {
  it('keeps the order of a key with several receivers, concurrency, and messages that come later', async () => {
    if (!keepsOrder(make())) return;
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
      return ACKNOWLEDGED;
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
    if (!keepsOrder(make())) return;
    const destination = destinationName();
    const transport = make();
    await transport.publisher().publish(
      [0, 1, 2].map((n) => outbound(destination, n, { key: 'k' })),
      { signal: NEVER },
    );
    const lost = recorder(({ n }) => (n === 0 ? ACKNOWLEDGED : new Promise(() => {})));
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
    const { transport, spoil } = harness().refusing();
    kept(transport);
    const destination = destinationName();
    const good = [0, 2].map((n) => outbound(destination, n, { key: 'k' }));
    const bad = spoil(outbound(destination, 1, { key: 'k' }));
    const outcomes = await transport.publisher().publish([good[0]!, bad, good[1]!], { signal: NEVER });
    expect(outcomes.map(({ kind }) => kind)).toEqual(['published', 'refused', 'published']);
    expect(outcomes[1]).toMatchObject({ permanent: true, error: expect.any(Error) });
    const got = recorder();
    await receive(transport, destination, got.handle, { ordered: keepsOrder(transport) });
    await got.until((seen) => seen.length === 2);
    expect(numbers(got.seen)).toEqual([0, 2]);
  });
}
