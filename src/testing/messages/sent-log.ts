/**
 * The messages that have left through the outbox of a test, each once, in the order in which they were committed.
 */
import { decodeEnvelope } from '../../message/envelope.ts';
import { SAGA_HEADERS } from '../../saga/protocol/wire.ts';
import type { TestMessage } from '../saga/saga-test.ts';

/** A message that was committed. */
export interface SentTestMessage extends TestMessage {
  readonly headers: Readonly<Record<string, string>>;
  /** The message that caused it, where it was sent by a handler. */
  readonly causationId: string | null;
  readonly correlationId: string | null;
  /** When it leaves, of one that was sent with `delay` or `deliverAt`; else null. */
  readonly dueAt: Date | null;
}

export class SentLog {
  readonly messages: SentTestMessage[] = [];
  readonly #ids = new Set<string>();

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** For a message that was there before the test. */
  passOver(id: string): void {
    this.#ids.add(id);
  }

  /** @param wire the whole CloudEvent */
  addWire(wire: string, dueAt: Date | null = null): void {
    const { id, topic, key, headers, causationId, correlationId, data } = decodeEnvelope(wire);
    if (this.#ids.has(id)) return;
    this.#ids.add(id);
    const runId = headers[SAGA_HEADERS.run] ?? null;
    this.messages.push({ id, topic, key, payload: data, runId, headers, causationId, correlationId, dueAt });
  }
}
