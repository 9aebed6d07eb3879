import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/runtime/clock.ts';
import { createMemoryBroker, type MemoryFaults, createMemoryTransport } from '../../src/transport/memory.ts';
import { describeTransport } from '../../src/testing/transport/describe-transport.ts';
import { destinationName, NEVER, outbound, recorder, rejection } from '../../src/testing/transport/kit.ts';

describeTransport('memory', async () => {
  const broker = createMemoryBroker();
  const spoiled = new Set<string>();
  return {
    make: () => createMemoryTransport({ broker }),
    unreachable: () =>
      createMemoryTransport({ faults: { publish: () => Promise.reject(new Error('connection refused')) } }),
    hanging: () => createMemoryTransport({ faults: { publish: () => new Promise(() => {}) } }),
    refusing: () => ({
      transport: createMemoryTransport({
        broker,
        faults: { refuse: (message) => (spoiled.has(message.id) ? new Error('too large') : undefined) },
      }),
      spoil(message) {
        spoiled.add(message.id);
        return message;
      },
    }),
    plant: async (destination, wire, publisher) => {
      await publisher.publish([outbound(destination, 0, { wire })], { signal: NEVER });
    },
    dispose: async () => {},
  };
});

describe('memoryTransport', () => {
  it('delivers what was published when only the acknowledgement was lost', async () => {
    const faults: MemoryFaults = { acknowledge: () => Promise.reject(new Error('connection reset')) };
    const broker = createMemoryBroker();
    const transport = createMemoryTransport({ broker, faults });
    const destination = destinationName();
    expect(await rejection(transport.publisher().publish([outbound(destination, 1)], { signal: NEVER }))).toMatchObject(
      { code: 'HF_TRANSPORT_UNAVAILABLE' },
    );
    expect(broker.pending(destination)).toBe(1);
    delete faults.acknowledge;
    await transport.publisher().publish([outbound(destination, 2)], { signal: NEVER });
    expect(broker.pending(destination)).toBe(2);
  });

  it('measures later by the clock it was given', async () => {
    const sleeps: { delayMs: number; wake: () => void }[] = [];
    const clock: Clock = {
      now: () => 0,
      monotonic: () => 0,
      sleep: (delayMs) => new Promise((wake) => void sleeps.push({ delayMs, wake })),
    };
    const broker = createMemoryBroker();
    const transport = createMemoryTransport({ broker, clock });
    const destination = destinationName();
    const got = recorder((_, all) => (all.length === 1 ? { kind: 'later', delayMs: 60_000 } : { kind: 'done' }));
    const receiver = transport.receiver(destination, got.handle, { concurrency: 1, ordered: true });
    await receiver.start();
    await transport
      .publisher()
      .publish(
        [
          outbound(destination, 1, { key: 'k' }),
          outbound(destination, 2, { key: 'k' }),
          outbound(destination, 3, { key: 'other' }),
        ],
        { signal: NEVER },
      );
    await got.until((seen) => seen.length === 2);
    expect(sleeps.map(({ delayMs }) => delayMs)).toEqual([60_000]);
    sleeps[0]!.wake();
    await got.until((seen) => seen.length === 4);
    expect(got.seen.map(({ n }) => n)).toEqual([1, 3, 1, 2]);
    await receiver.stop();
    expect(broker.pending(destination)).toBe(0);
  });

  it('hands out once what is published again while it is here', async () => {
    const broker = createMemoryBroker();
    const transport = createMemoryTransport({ broker });
    const destination = destinationName();
    let handed = 0;
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const handle = async () => {
      handed += 1;
      await finished;
      return { kind: 'done' } as const;
    };
    const receiver = transport.receiver(destination, handle, { concurrency: 2, ordered: false });
    await receiver.start();
    const publisher = transport.publisher();
    const message = outbound(destination, 1);
    for (let n = 0; n < 2; n += 1) await publisher.publish([message], { signal: NEVER });
    await new Promise((resolve) => setImmediate(resolve));
    expect(handed).toBe(1);
    finish();
    await receiver.stop();
    expect(broker.pending(destination)).toBe(0);
  });

  it('refuses an option it does not know', () => {
    expect(() => createMemoryTransport({ fault: {} } as never)).toThrow(/Did you mean "faults"/);
  });
});
