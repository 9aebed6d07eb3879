/**
 * The part of the transport's duties about how many are in flight: as many as were asked for, and those beyond, which wait in the consumer.
 */
import { expect, it } from 'vitest';
import { ACKNOWLEDGED, destinationName, NEVER, numbers, outbound, recorder, type TransportDuties } from './kit.ts';

/** Inside the describe of an adapter. */
export function itHandsOutAhead({ make, receive, receivers }: TransportDuties): void {
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
      return ACKNOWLEDGED;
    });
    await transport.publisher().publish(
      Array.from({ length: 30 }, (_, n) => outbound(destination, n)),
      { signal: NEVER },
    );
    await receive(transport, destination, got.handle, { concurrency: 3 });
    await got.until((seen) => seen.length === 30);
    expect(most).toBe(3);
  });

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
      return ACKNOWLEDGED;
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
