/**
 * The duties of a publisher, which transports and sinks have alike. Part of the suites in describe-transport.ts and describe-sink.ts.
 */
import { expect, it } from 'vitest';
import { isHoldfastError } from '../../errors.ts';
import type { Transport } from '../../transport/port.ts';
import { destinationName, NEVER, outbound, rejection, type PublisherHarness } from './kit.ts';

const isUnavailable = (error: unknown): boolean => isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE');
const failsApart = ({ abilities }: Transport): boolean => abilities?.outages === 'apart';
const aborted = (): AbortSignal => AbortSignal.abort(new Error('stop'));
/** A limit that is higher is not tried: its messages would fill the memory of the broker under test. */
const LARGEST_TRIED = 16 * 1024 * 1024;

export interface PublisherDuties {
  readonly harness: () => PublisherHarness;
  /** Closed by the caller after the test. */
  readonly kept: (transport: Transport) => Transport;
}

/** Inside the describe of an adapter. */
export function itPublishes({ harness, kept }: PublisherDuties): void {
  const make = (): Transport => kept(harness().make());

  it('takes an empty batch, and answers check', async () => {
    const publisher = make().publisher();
    expect(await publisher.publish([], { signal: NEVER })).toEqual([]);
    await publisher.check({ signal: NEVER });
  });

  it('rejects publish and check with HF_TRANSPORT_UNAVAILABLE while the broker is away', async () => {
    const transport = kept(harness().unreachable());
    if (failsApart(transport)) return;
    const publisher = transport.publisher();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(await rejection(publisher.publish([outbound(destinationName(), 1)], { signal: NEVER }))).toSatisfy(
        isUnavailable,
      );
      expect(await rejection(publisher.check({ signal: NEVER }))).toSatisfy(isUnavailable);
    }
  });

  it('puts off what goes to a place that is away, where places are away by themselves', async () => {
    const transport = kept(harness().unreachable());
    if (!failsApart(transport)) return;
    const publisher = transport.publisher();
    const batch = [1, 2].map((n) => outbound(destinationName(), n));
    for (const outcome of await publisher.publish(batch, { signal: NEVER })) {
      expect(outcome).toMatchObject({ kind: 'refused', permanent: false, later: { attempted: true } });
    }
    await publisher.check({ signal: NEVER });
  });

  it('settles when the signal aborts, also while the broker hangs', async () => {
    const transport = kept(harness().hanging());
    const hanging = transport.publisher();
    const abort = new AbortController();
    const published = rejection(hanging.publish([outbound(destinationName(), 1)], { signal: abort.signal }));
    const checked = hanging.check({ signal: abort.signal }).then(
      () => null,
      (error: unknown) => error,
    );
    await new Promise((resolve) => setImmediate(resolve));
    abort.abort(new Error('enough'));
    expect(await published).toSatisfy(isUnavailable);
    // There is nothing to ask where places are away by themselves.
    expect(await checked).toSatisfy((error) => isUnavailable(error) || (failsApart(transport) && error === null));

    const destination = destinationName();
    const working = make().publisher();
    expect(await rejection(working.publish([outbound(destination, 1)], { signal: aborted() }))).toSatisfy(
      isUnavailable,
    );
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

  it('refuses for good what is larger than it says it can carry, and takes what is as large', async () => {
    const transport = make();
    const limit = transport.abilities?.maxMessageBytes ?? null;
    if (limit === null || limit > LARGEST_TRIED) return;
    const destination = destinationName();
    const sized = (n: number, bytes: number) => {
      const { wire } = outbound(destination, n, { wire: JSON.stringify({ data: { n, fill: '' } }) });
      return outbound(destination, n, { wire: wire.replace('""', `"${'x'.repeat(bytes - wire.length)}"`) });
    };
    const batch = [sized(1, limit), sized(2, limit + 1)];
    const [fits, tooLarge] = await transport.publisher().publish(batch, { signal: NEVER });
    expect(fits).toEqual({ kind: 'published' });
    expect(tooLarge).toMatchObject({ kind: 'refused', permanent: true, error: expect.any(Error) as Error });
  });
}
