/**
 * That a transport can do what its abilities say. Part of the suite in describe-transport.ts.
 */
import { expect, it } from 'vitest';
import { isHoldfastError } from '../../errors.ts';
import type { FoundQueues } from '../../transport/port.ts';
import {
  ACKNOWLEDGED,
  destinationName,
  NEVER,
  numbers,
  outbound,
  recorder,
  rejection,
  type TransportDuties,
} from './kit.ts';

/** Inside the describe of an adapter. */
export function itCanWhatItSays({ make, kept, receive, harness }: TransportDuties): void {
  it('says what it can do', () => {
    expect(make().abilities).toMatchObject({ receives: true });
  });

  it('hands out once what was published twice, as far as it says so', async () => {
    const transport = make();
    const deduplicates = transport.abilities?.deduplicates ?? 'never';
    if (deduplicates === 'never') return;
    const destination = destinationName();
    const message = outbound(destination, 1, { key: 'k' });
    const publisher = transport.publisher();
    await publisher.publish([message, message], { signal: NEVER });
    await make().publisher().publish([message], { signal: NEVER });
    await publisher.publish([outbound(destination, 2, { key: 'k' })], { signal: NEVER });
    const got = recorder();
    await receive(transport, destination, got.handle, { ordered: transport.abilities?.orders === true });
    await got.until((seen) => seen.some(({ n }) => n === 2));
    expect(numbers(got.seen).filter((n) => n === 1)).toHaveLength(1);
  });

  it('keeps order, or refuses a receiver that is to', async () => {
    const transport = make();
    const ordered = (): unknown =>
      transport.receiver(destinationName(), async () => ACKNOWLEDGED, { concurrency: 1, ordered: true });
    if (transport.abilities?.orders === false) expect(ordered).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    else expect(ordered).not.toThrow();
  });

  it('tells of the destinations in its broker, where it has one to ask', async () => {
    const transport = make();
    if (transport.queues === undefined) return;
    const destination = destinationName();
    await transport.publisher().publish(
      [1, 2, 3].map((n) => outbound(destination, n)),
      { signal: NEVER },
    );
    const stateOf = ({ queues }: FoundQueues) => queues.find((queue) => queue.destination === destination)?.state;
    expect(stateOf(await transport.queues({ signal: NEVER }))).toMatchObject({ waiting: 3, active: 0 });
    const away = kept(harness().unreachable());
    expect(await rejection(away.queues!({ signal: NEVER }))).toSatisfy((error: unknown) =>
      isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE'),
    );
    const hanging = kept(harness().hanging());
    expect(await rejection(hanging.queues!({ signal: AbortSignal.abort(new Error('enough')) }))).toSatisfy(
      (error: unknown) => isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE'),
    );
  });

  it('refuses a concurrency that is none', () => {
    for (const concurrency of [0, -1, 1.5, NaN]) {
      expect(() =>
        make().receiver(destinationName(), async () => ACKNOWLEDGED, { concurrency, ordered: false }),
      ).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    }
  });
}
