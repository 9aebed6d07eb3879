/**
 * The duties of a transport among strangers: who writes what is no JSON, or was told of another number of partitions. Part of the suite
 * in describe-transport.ts.
 */
import { expect, it } from 'vitest';
import type { OutboundMessage } from '../../transport/port.ts';
import {
  ACKNOWLEDGED,
  destinationName,
  NEVER,
  numbers,
  outbound,
  keepsOrder,
  publishAtLast,
  recorder,
  type TransportDuties,
} from './kit.ts';

/** Inside the describe of an adapter. */
export function itStandsStrangers({ make, receive, harness }: TransportDuties): void {
  it.each([
    ['ordered', true],
    ['unordered', false],
  ])('hands out what is no JSON like everything else, and goes on: %s', async (_, ordered) => {
    const transport = make();
    if (ordered && !keepsOrder(transport)) return;
    const destination = destinationName();
    const publisher = transport.publisher();
    await harness().plant(destination, '{"holdfast": 1, ', publisher);
    await publisher.publish([outbound(destination, 1)], { signal: NEVER });
    // Put back once, it comes again as it was.
    const got = recorder((_seen, all) => (all.length === 1 ? { kind: 'later', delayMs: 0 } : ACKNOWLEDGED));
    await receive(transport, destination, got.handle, { ordered });
    await got.until((seen) => seen.length === 3);
    const texts = got.seen.map(({ wire }) => (typeof wire === 'string' ? wire : JSON.stringify(wire)));
    expect(texts.filter((text) => text === '{"holdfast": 1, ')).toHaveLength(2);
    expect(numbers(got.seen).filter((n) => n === 1)).toHaveLength(1);
  });

  it('hands out the text that was published, with what JavaScript cannot hold', async () => {
    const transport = make();
    const destination = destinationName();
    const wires = [
      '{"data":{"n":9007199254740993, "x": 1e400,"t":"\\" }}',
      `{"data":${'['.repeat(3_000)}${']'.repeat(3_000)}}`,
    ];
    const batch = wires.map((wire, n) => outbound(destination, n, { wire }));
    expect(await transport.publisher().publish(batch, { signal: NEVER })).toEqual(
      wires.map(() => ({ kind: 'published' })),
    );
    const got = recorder();
    await receive(transport, destination, got.handle);
    await got.until((seen) => seen.length === wires.length);
    expect(new Set(got.seen.map(({ delivery }) => delivery.wire))).toEqual(new Set(wires));
  });

  it.each([
    [4, 1],
    [1, 4],
  ])('loses nothing when messages were spread over %i partitions and are read as %i', async (before, after) => {
    const destination = destinationName();
    const batch = Array.from({ length: 80 }, (_, n) => outbound(destination, n, { key: `k${n}` }));
    const wide = make({ queues: { [destination]: { partitions: before } } });
    await wide.publisher().publish(batch, { signal: NEVER });
    const got = recorder();
    const narrow = make({ queues: { [destination]: { partitions: after } } });
    await receive(narrow, destination, got.handle, { concurrency: 4 });
    await got.until((seen) => new Set(numbers(seen)).size === 80);
    // Also what is still published so while it is read.
    await wide.publisher().publish([outbound(destination, 80, { key: 'k1' })], { signal: NEVER });
    await narrow.publisher().publish([outbound(destination, 81, { key: 'k2' })], { signal: NEVER });
    await got.until((seen) => new Set(numbers(seen)).size === 82);
  });

  it('keeps the order of a key when an ordered destination is published to with other partitions', async () => {
    if (!keepsOrder(make())) return;
    const destination = destinationName();
    const wide = make({ queues: { [destination]: { partitions: 5 } } });
    const narrow = make({ queues: { [destination]: { partitions: 1 } } });
    const message = (n: number): OutboundMessage => outbound(destination, n, { key: `k${n % 7}` });
    const got = recorder();
    // Ordered from the first message on, as the receiver has said.
    const first = await receive(wide, destination, got.handle, { ordered: true, concurrency: 5 });
    await wide.publisher().publish([message(0)], { signal: NEVER });
    await got.until((seen) => seen.length === 1);
    await first.stop();
    const old = Array.from({ length: 34 }, (_, n) => message(n + 1));
    await wide.publisher().publish(old, { signal: NEVER });
    const publishing = publishAtLast(
      narrow.publisher(),
      Array.from({ length: 35 }, (_, n) => message(n + 35)),
    );
    await receive(narrow, destination, got.handle, { ordered: true, concurrency: 5 });
    await publishing;
    await got.until((seen) => new Set(numbers(seen)).size === 70);
    for (let key = 0; key < 7; key += 1) {
      const order = numbers(got.seen.filter((seen) => seen.key === `k${key}`));
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    }
  });
}
