/**
 * The part of the transport's duties about messages beyond the concurrency, which wait in the consumer.
 */
import { expect, it } from 'vitest';
import type { Receiver } from '../../src/transport/port.ts';
import { DONE, destinationName, NEVER, numbers, outbound, recorder, type TransportHarness } from './transport-kit.ts';

/** `receivers`: stopped by the caller after the test. */
export function itHandsOutAhead({
  make,
  receivers,
}: {
  readonly make: TransportHarness['make'];
  readonly receivers: Receiver[];
}): void {
  it('hands out more for as long as the consumer has room for them', async () => {
    const transport = make();
    const destination = destinationName();
    await transport.publisher().publish(
      Array.from({ length: 8 }, (_, n) => outbound(destination, n)),
      { signal: NEVER },
    );
    let room = 2;
    const free: (() => void)[] = [];
    const got = recorder(async () => {
      await new Promise<void>((resolve) => free.push(resolve));
      return DONE;
    });
    const receiver = transport.receiver(destination, got.handle, {
      concurrency: 1,
      ordered: false,
      ahead: () => room,
    });
    receivers.push(receiver);
    await receiver.start();
    await got.until((seen) => seen.length === 3);
    await settle();
    expect(got.seen).toHaveLength(3);
    // From now on one at a time: the next comes when all three are through.
    room = 0;
    free.shift()?.();
    free.shift()?.();
    await settle();
    expect(got.seen).toHaveLength(3);
    free.shift()?.();
    await got.until((seen) => seen.length === 4);
    await settle();
    expect(got.seen).toHaveLength(4);
    while (got.seen.length < 8 || free.length > 0) {
      free.shift()?.();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(new Set(numbers(got.seen)).size).toBe(8);
  });
}

/** Long enough for what would come to come. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 300));
}
