/**
 * The duties of a receiver that is stopped: softly, hard, before it has begun, and again. Part of the suite in describe-transport.ts.
 */
import { expect, it } from 'vitest';
import { ACKNOWLEDGED, destinationName, NEVER, numbers, outbound, recorder, type TransportDuties } from './kit.ts';

const aborted = (): AbortSignal => AbortSignal.abort(new Error('stop'));

/** Inside the describe of an adapter. */
export function itStops({ make, receive, receivers }: TransportDuties): void {
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

  it('waits in a soft stop for what is in flight, and takes nothing new', async () => {
    const transport = make();
    const destination = destinationName();
    let finish: (() => void) | undefined;
    const got = recorder(async () => {
      await new Promise<void>((resolve) => void (finish = resolve));
      return ACKNOWLEDGED;
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
}
