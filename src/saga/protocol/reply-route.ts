/**
 * The way that a delivery of a reply goes: in memory to a run of this process, else by the consumer, which stores it with the mark of its
 * message in one commit. Whatever is out of the ordinary (a message that may have killed a consumer, one that cannot be read) goes by the
 * consumer at once, which knows what to do.
 */
import type { PoolClient } from 'pg';
import type { Handler } from '../../inbox/handlers/handler.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Delivery, Verdict } from '../../transport/port.ts';
import { settledOrAborted } from '../../transport/shared.ts';
import { readArrived } from './read-reply.ts';
import type { ReplyDoor } from './reply-door.ts';

export interface ReplyRouteOptions {
  readonly handler: Handler<PoolClient>;
  readonly door: ReplyDoor;
  readonly crash: CrashPoint;
  /** The consumer's way. */
  readonly store: (delivery: Delivery) => Promise<Verdict>;
  /** A reply has come to its run in memory. */
  readonly onTaken: () => void;
}

const DONE: Verdict = { kind: 'done' };

export function createReplyRoute(options: ReplyRouteOptions): (delivery: Delivery) => Promise<Verdict> {
  const { handler, door, crash, onTaken } = options;
  const store = async (delivery: Delivery): Promise<Verdict> => {
    const verdict = await options.store(delivery);
    if (verdict.kind === 'done') door.stored();
    return verdict;
  };
  return async (delivery) => {
    const { wire, redeliveries, signal } = delivery;
    if (redeliveries > 0 || signal.aborted) return store(delivery);
    const reply = await readArrived(handler, wire);
    if (reply === null) return store(delivery);
    crash('reply.hand:before');
    const taken = door.take(reply.runId, reply.body);
    if (taken === null) return store(delivery);
    // Taken away meanwhile: it may be recorded all the same, and to take it in once more changes nothing.
    const recorded = await settledOrAborted(taken, signal).catch(() => null);
    if (recorded === null) return { kind: 'later', delayMs: 0 };
    if (!recorded) return store(delivery);
    crash('reply.hand:after');
    onTaken();
    return DONE;
  };
}
