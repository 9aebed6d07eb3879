/**
 * A relay in memory: takes what is committed, in order, to the queues that the routes name, and what is delayed when its time has come.
 */
import { encodeWire } from '../../message/envelope.ts';
import type { KeyHead, Router } from '../../relay/subscription/routes.ts';
import type { OutboundMessage, Publisher } from '../../transport/port.ts';
import type { CommittedMessage } from './memory-outbox.ts';
import type { SentLog } from './sent-log.ts';

export class MemoryRelay {
  readonly #router: Router;
  readonly #publisher: Publisher;
  readonly #sent: SentLog;
  readonly #now: () => number;
  readonly #log: CommittedMessage[] = [];
  readonly #scheduled: CommittedMessage[] = [];
  /** The last message of each key that went to an ordered queue. */
  readonly #heads = new Map<string, KeyHead>();

  constructor(router: Router, publisher: Publisher, sent: SentLog, now: () => number) {
    this.#router = router;
    this.#publisher = publisher;
    this.#sent = sent;
    this.#now = now;
  }

  /** When the next delayed message leaves, in milliseconds since the epoch; Infinity: there is none. */
  get nextDueAt(): number {
    return Math.min(...this.#scheduled.map(({ dueAt }) => dueAt ?? Infinity));
  }

  take(message: CommittedMessage): void {
    const isDue = message.dueAt === null || message.dueAt <= this.#now();
    (isDue ? this.#log : this.#scheduled).push(message);
    this.#sent.addWire(wireOf(message, message.at), message.dueAt === null ? null : new Date(message.dueAt));
  }

  async pump(): Promise<void> {
    this.#moveDue();
    const batch = this.#log.splice(0).flatMap((message) => this.#outbound(message));
    if (batch.length > 0) await this.#publisher.publish(batch, { signal: new AbortController().signal });
  }

  /** Those of one time in the order in which they were sent. */
  #moveDue(): void {
    const now = this.#now();
    const due = this.#scheduled.filter(({ dueAt }) => (dueAt ?? 0) <= now);
    if (due.length === 0) return;
    const left = this.#scheduled.filter((message) => !due.includes(message));
    this.#scheduled.splice(0, this.#scheduled.length, ...left);
    this.#log.push(...due.toSorted((a, b) => (a.dueAt ?? 0) - (b.dueAt ?? 0)));
  }

  #outbound(message: CommittedMessage): readonly OutboundMessage[] {
    const { id, topic, key } = message;
    const leftAt = message.dueAt === null ? message.at : this.#now();
    return this.#router.destinations(topic).map(({ name, ordered }) => {
      const predecessor = ordered && key !== null ? this.#follow(`${name} ${key}`, id, leftAt) : undefined;
      return { id, topic, key, destination: name, wire: wireOf(message, leftAt, predecessor), replayId: null };
    });
  }

  #follow(line: string, id: string, at: number): KeyHead | undefined {
    const before = this.#heads.get(line);
    this.#heads.set(line, { id, at: timeText(at), sentAt: timeText(this.#now()) });
    return before;
  }
}

function wireOf({ id, topic, key, payload, attributes }: CommittedMessage, at: number, predecessor?: KeyHead): string {
  const row = { id, topic, key, time: timeText(at), payload, headers: attributes };
  return encodeWire(row, predecessor === undefined ? {} : { predecessor, sentAt: timeText(at) });
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
