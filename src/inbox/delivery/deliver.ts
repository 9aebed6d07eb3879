/**
 * What a consumer does with a delivery: reads it, and sends it the way that decideArrival chose, until there is a verdict for the broker.
 */
import { isTracing } from '../../runtime/telemetry.ts';
import type { Delivery, Verdict } from '../../transport/port.ts';
import { decideArrival } from '../handlers/decide.ts';
import { AttemptLoop } from './attempt-loop.ts';
import { Batching } from './batching.ts';
import { policiesFor, type ConsumerContext } from './consumer-context.ts';
import { isReadable, type Incoming } from './incoming.ts';
import { startProcess } from './process-span.ts';
import { RefusedMessages } from './refused-messages.ts';
import { DeliverySettlement } from './settlement.ts';
import { SuspectLane } from './suspect-lane.ts';
import { UnhandledMessages } from './unhandled-messages.ts';
import { createReader } from './unverified.ts';
import { WaitingMessages } from './waiting-messages.ts';

export interface Deliverer {
  handle(delivery: Delivery): Promise<Verdict>;
  /** Gives back what was not begun; called when the consumer stops. */
  stop(): void;
}

export function createDeliverer<Tx>(context: ConsumerContext<Tx>): Deliverer {
  const read = createReader(context);
  const waiting = new WaitingMessages(context.clock);
  const settlement = new DeliverySettlement(context);
  const batching = batchingOf(context, settlement, waiting);
  const attempts = batching?.attempts ?? new AttemptLoop(context, settlement, waiting, null);
  const unhandled = new UnhandledMessages(context, settlement, waiting);
  const refused = new RefusedMessages(context, settlement);
  const suspects = new SuspectLane(context, settlement);
  const settle = (incoming: Incoming, redeliveries: number, signal: AbortSignal): Promise<Verdict> => {
    const handler = context.handlers.get(incoming.topic);
    const arrival = decideArrival({
      decodeError: incoming.error,
      hasHandler: handler !== undefined,
      redeliveries,
      policies: policiesFor(context, handler),
    });
    if (arrival.do === 'refuse') return refused.settle({ ...arrival, incoming }, signal);
    if (arrival.do === 'park') {
      const { reason, error, retryInMs } = arrival;
      return settlement.park({ incoming, reason, error, retryInMs, attempts: 0, marked: true }, signal);
    }
    if (!isReadable(incoming)) throw new TypeError('decideArrival parks what cannot be read');
    if (arrival.do === 'hand on' || handler === undefined) return unhandled.settle(incoming, signal);
    if (!arrival.suspect) return (batching ?? attempts).run(incoming, handler, signal);
    return suspects.run(incoming, handler, signal, () => attempts.run(incoming, handler, signal));
  };
  return {
    handle({ wire, redeliveries, signal }) {
      const incoming = read(wire);
      const span = isTracing() ? startProcess(context, incoming, { redeliveries }) : null;
      if (span === null) return settle(incoming, redeliveries, signal);
      return settle({ ...incoming, span }, redeliveries, signal).finally(() => span.end());
    },
    stop: () => batching?.stop(),
  };
}

function batchingOf<Tx>(
  context: ConsumerContext<Tx>,
  settlement: DeliverySettlement<Tx>,
  waiting: WaitingMessages,
): Batching<Tx> | null {
  const { batch, runBatch } = context;
  if (batch === null || runBatch === null) return null;
  return new Batching(context, { batch, runBatch, settlement, waiting });
}
