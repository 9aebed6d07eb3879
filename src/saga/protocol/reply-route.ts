/**
 * The way that a delivery of a reply goes: in memory to a run of this process, else into the store, in one statement with others that have
 * come. Whatever is out of the ordinary (a message that may have killed a consumer, one that cannot be read, one whose run is not here) goes
 * by the consumer, which handles it in a transaction of its own and knows what becomes of it.
 */
import type { PoolClient } from 'pg';
import { startProcess, type ProcessedBy } from '../../inbox/delivery/process-span.ts';
import type { Handler } from '../../inbox/handlers/handler.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { createSemaphore } from '../../runtime/semaphore.ts';
import { isTracing } from '../../runtime/telemetry.ts';
import type { Delivery, Verdict } from '../../transport/port.ts';
import { settledOrAborted } from '../../transport/shared.ts';
import { readArrived, type ArrivedReply } from './read-reply.ts';
import type { ReplyDoor } from './reply-door.ts';
import type { ReplyGroups } from './reply-groups.ts';

export interface ReplyRouteOptions {
  readonly handler: Handler<PoolClient>;
  /** null: there is no worker in this process. */
  readonly door: ReplyDoor | null;
  readonly groups: Pick<ReplyGroups, 'post'>;
  readonly crash: CrashPoint;
  /** Of the spans of replies. */
  readonly by: ProcessedBy;
  /** Whether it is signed as it must be; null: replies are taken as they come. */
  readonly isSigned: ((wire: unknown) => boolean) | null;
  /** The consumer's own way. */
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  /** How many go the consumer's own way at once. */
  readonly alone: number;
  /** A reply has come to its run, or is known to have come before, without the consumer. */
  readonly onTaken: (outcome: 'handled' | 'duplicate', wire: unknown) => void;
}

/**
 * The I/O points on the way of a reply that is not the consumer's own, each called with `:before` and `:after`.
 *
 * @example
 * for (const point of REPLY_CRASH_POINTS) console.log(`${point}:before`, `${point}:after`);
 */
export const REPLY_CRASH_POINTS = ['reply.hand', 'reply.post'] as const;

const DONE: Verdict = { kind: 'done' };
const AGAIN: Verdict = { kind: 'later', delayMs: 0 };

export class ReplyRoute {
  readonly #options: ReplyRouteOptions;
  readonly #slots: ReturnType<typeof createSemaphore>;

  constructor(options: ReplyRouteOptions) {
    this.#options = options;
    this.#slots = createSemaphore(options.alone);
  }

  async handle(delivery: Delivery): Promise<Verdict> {
    const { wire, redeliveries, signal } = delivery;
    if (redeliveries > 0 || signal.aborted) return this.#alone(delivery);
    const { isSigned } = this.#options;
    if (isSigned !== null && !isSigned(wire)) return this.#alone(delivery);
    const reply = await readArrived(this.#options.handler, wire);
    if (reply === null) return this.#alone(delivery);
    const span = isTracing() ? startProcess(this.#options.by, reply.incoming, {}) : null;
    const taken = (await this.#hand(reply, signal)) ?? (await this.#post(reply));
    // The consumer, which handles it by itself, makes a span of its own; this one is dropped.
    if (taken === null) return this.#alone(delivery);
    span?.set({ 'holdfast.outcome': taken === AGAIN ? 'later' : 'handled' });
    span?.end();
    return taken;
  }

  /** Null: its run is not here, or what came of it is not recorded. */
  async #hand(reply: ArrivedReply, signal: AbortSignal): Promise<Verdict | null> {
    const { door, crash, onTaken } = this.#options;
    crash('reply.hand:before');
    const taken = door?.take(reply.runId, reply.body) ?? null;
    if (taken === null) return null;
    // Taken away meanwhile: it may be recorded all the same, and to take it in once more changes nothing.
    const recorded = await settledOrAborted(taken, signal).catch(() => null);
    if (recorded === null) return AGAIN;
    if (!recorded) return null;
    crash('reply.hand:after');
    onTaken('handled', reply.incoming.wire);
    return DONE;
  }

  /** Null: it has to go by itself. */
  async #post(reply: ArrivedReply): Promise<Verdict | null> {
    const { door, groups, onTaken } = this.#options;
    const answer = await groups.post(reply);
    if (answer === 'alone') return null;
    if (answer === 'stored') door?.stored();
    onTaken(answer === 'stored' ? 'handled' : 'duplicate', reply.incoming.wire);
    return DONE;
  }

  async #alone(delivery: Delivery): Promise<Verdict> {
    const verdict = await this.#slots.run(() => this.#options.handle(delivery));
    if (verdict.kind === 'done') this.#options.door?.stored();
    return verdict;
  }
}
