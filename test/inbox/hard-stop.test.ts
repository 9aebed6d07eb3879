/**
 * A hard stop ends a consumer whose database has stopped answering without closing the connection.
 */
import { expect, it } from 'vitest';
import { createConsumer } from '../../src/inbox/consumer.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { manualClock, Placed, signal } from './lab.ts';

it('does not wait for ever for a redrive or a pruning whose transaction hangs', async () => {
  const clock = manualClock();
  const hanging = signal();
  let transactions = 0;
  const shipping = createConsumer('shipping', {
    runner: {
      transaction: () => {
        transactions += 1;
        // The start asks what the name stands for, which nobody has said yet, and has it stored.
        if (transactions === 1) return Promise.resolve(null as never);
        if (transactions === 2) return Promise.resolve(true as never);
        if (transactions === 4) hanging.fire();
        return new Promise<never>(() => {});
      },
    },
    clock,
    transport: createMemoryTransport(),
    redeliveryHorizon: '1d',
    handlers: (on) => [on(Placed, () => {})],
  });
  await shipping.start();
  await hanging.promise;
  let stopped = false;
  const stopping = shipping.stop({ signal: AbortSignal.abort() }).then(() => (stopped = true));
  for (let second = 0; second < 60 && !stopped; second += 1) {
    await clock.advance('1s');
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  expect(stopped).toBe(true);
  await stopping;
});
