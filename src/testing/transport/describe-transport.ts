/**
 * The duties of src/transport/port.ts as tests. Every adapter that can be received from runs them: test/transport, and those of others.
 * Nothing here knows which broker it is; what a test needs of one (short claims, a broker that hangs) comes from the harness.
 */
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import type { Receiver, Transport } from '../../transport/port.ts';
import { itCanWhatItSays } from './ability-duties.ts';
import { itHandsOutAhead } from './ahead-duties.ts';
import { itDelivers, itPutsOff } from './delivery-duties.ts';
import type { TransportDuties, TransportHarness } from './kit.ts';
import { itKeepsOrder } from './order-duties.ts';
import { itPublishes } from './publisher-duties.ts';
import { itStops } from './stop-duties.ts';
import { itStandsStrangers } from './stranger-duties.ts';

const aborted = (): AbortSignal => AbortSignal.abort(new Error('stop'));

/**
 * Tests that an adapter keeps the duties of the port. For a test file of vitest; the broker must be a real one.
 *
 * @example
 * describeTransport('my broker', () => openMyHarness());
 * declare function openMyHarness(): Promise<TransportHarness>;
 */
export function describeTransport(name: string, open: () => Promise<TransportHarness>): void {
  describe(`${name}: the duties of a transport`, () => {
    let harness: TransportHarness;
    const transports: Transport[] = [];
    const receivers: Receiver[] = [];
    beforeAll(async () => {
      harness = await open();
    });
    afterAll(() => harness.dispose());
    afterEach(async () => {
      await Promise.all(receivers.splice(0).map((receiver) => receiver.stop({ signal: aborted() })));
      await Promise.all(transports.splice(0).map((transport) => transport.close()));
    });
    const kept = (transport: Transport): Transport => {
      transports.push(transport);
      return transport;
    };
    const duties: TransportDuties = {
      harness: () => harness,
      make: (options) => kept(harness.make(options)),
      kept,
      receivers,
      async receive(transport, destination, handle, { concurrency = 1, ordered = false } = {}) {
        const receiver = transport.receiver(destination, handle, { concurrency, ordered });
        receivers.push(receiver);
        await receiver.start();
        return receiver;
      },
    };
    itPublishes(duties);
    itDelivers(duties);
    itPutsOff(duties);
    itHandsOutAhead(duties);
    itKeepsOrder(duties);
    itStops(duties);
    itStandsStrangers(duties);
    itCanWhatItSays(duties);
  });
}
