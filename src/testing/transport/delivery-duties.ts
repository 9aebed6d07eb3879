/**
 * The duties of delivering: each message, whole, as often as it takes, and no more at once than was asked for. Part of the suite in describe-transport.ts.
 */
import { expect, it } from 'vitest';
import { ACKNOWLEDGED, destinationName, NEVER, numbers, outbound, recorder, type TransportDuties } from './kit.ts';

/** Inside the describe of an adapter. */
export function itDelivers({ make, receive }: TransportDuties): void {
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
}

/** Inside the describe of an adapter. */
export function itPutsOff({ make, receive }: TransportDuties): void {
  it('hands a message out again after later, not before its time, and without counting it as a redelivery', async () => {
    const transport = make();
    const destination = destinationName();
    const at: number[] = [];
    const got = recorder((_, all) => {
      at.push(Date.now());
      return all.length <= 2 ? { kind: 'later', delayMs: 120 * (all.length - 1) } : ACKNOWLEDGED;
    });
    await receive(transport, destination, got.handle);
    await transport.publisher().publish([outbound(destination, 7)], { signal: NEVER });
    await got.until((seen) => seen.length === 3);
    expect(at[2]! - at[1]!).toBeGreaterThanOrEqual(119); // 1 ms for the rounding of clocks
    expect(got.seen.map(({ delivery }) => delivery.redeliveries)).toEqual([0, 0, 0]);
  });

  it('hands a message out again when its time has come, also where the clock of who put it off is an hour ahead', async () => {
    const transport = make();
    const destination = destinationName();
    const honest = Date.now;
    const got = recorder((_, all) => {
      Date.now = all.length === 1 ? () => honest() + 3_600_000 : honest;
      return all.length === 1 ? { kind: 'later', delayMs: 50 } : ACKNOWLEDGED;
    });
    try {
      await receive(transport, destination, got.handle, { concurrency: 1 });
      await transport.publisher().publish([outbound(destination, 7)], { signal: NEVER });
      await got.until((seen) => seen.length === 1);
      // By then it has been put off, as one that comes after it shows; and the clock is right again.
      await transport.publisher().publish([outbound(destination, 8)], { signal: NEVER });
      await got.until((seen) => seen.length === 3);
    } finally {
      Date.now = honest;
    }
    expect(numbers(got.seen).filter((n) => n === 7)).toHaveLength(2);
  });

  it('takes a rejection of the handler for later', async () => {
    const transport = make();
    const destination = destinationName();
    const got = recorder((_, all) => (all.length === 1 ? Promise.reject(new Error('handler broke')) : ACKNOWLEDGED));
    await receive(transport, destination, got.handle);
    await transport.publisher().publish([outbound(destination, 1)], { signal: NEVER });
    await got.until((seen) => seen.length === 2);
    expect(got.seen[1]!.delivery.redeliveries).toBe(0);
  });
}
