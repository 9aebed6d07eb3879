/**
 * A channel on which what is published is confirmed: a batch goes out in one go, and is through when the broker has answered for each message.
 */
import { setMaxListeners } from 'node:events';
import type { ConfirmChannel, Message, Options } from 'amqplib';
import { abortReason } from '../shared.ts';
import type { RabbitmqConnection } from './connection.ts';

export interface Outgoing {
  readonly queue: string;
  readonly content: Buffer;
  readonly properties: Options.Publish & { readonly messageId: string };
}

/** `refused`: the queue is full, or could not store it. `returned`: there is no such queue. */
export type Confirmation = 'stored' | 'refused' | 'returned';

/** The batch is not through. What it holds an answer for is known all the same. */
export class UnconfirmedError extends Error {
  readonly confirmations: readonly (Confirmation | undefined)[];

  constructor(confirmations: readonly (Confirmation | undefined)[], cause: Error) {
    super(cause.message, { cause });
    this.name = 'UnconfirmedError';
    this.confirmations = confirmations;
  }
}

export class ConfirmedChannel {
  readonly #channel: ConfirmChannel;
  readonly #closed = new AbortController();
  /** How many messages of one queue and id have come back that were not answered for yet. */
  readonly #returned = new Map<string, number>();

  private constructor(channel: ConfirmChannel, connection: RabbitmqConnection) {
    this.#channel = channel;
    // Each batch listens to it.
    setMaxListeners(0, this.#closed.signal);
    let failure: Error | undefined;
    channel.on('error', (error) => (failure ??= error));
    channel.on('close', () => this.#closed.abort(failure ?? new Error('the channel was closed')));
    channel.on('return', (message) => this.#count(message));
    const lost = (): void => this.#closed.abort(connection.lost.reason);
    if (connection.lost.aborted) lost();
    else connection.lost.addEventListener('abort', lost, { once: true });
  }

  static async open(connection: RabbitmqConnection): Promise<ConfirmedChannel> {
    return new ConfirmedChannel(await connection.model.createConfirmChannel(), connection);
  }

  /** Aborts with the reason when the channel is over. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /**
   * Sends all of them, in order, and resolves when each is confirmed. Rejects with UnconfirmedError when the channel ends before, or when
   * `silenceMs` pass without a confirmation, or one of `signals` aborts.
   */
  publish(
    batch: readonly Outgoing[],
    { silenceMs, signals }: { readonly silenceMs: number; readonly signals: readonly AbortSignal[] },
  ): Promise<readonly Confirmation[]> {
    if (batch.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const confirmations = new Array<Confirmation | undefined>(batch.length).fill(undefined);
      const ends = [...signals, this.#closed.signal];
      let left = batch.length;
      let heardMs = performance.now();
      let timer: NodeJS.Timeout | undefined;
      const settle = (): void => {
        clearTimeout(timer);
        for (const signal of ends) signal.removeEventListener('abort', end);
      };
      const fail = (error: Error): void => {
        settle();
        reject(new UnconfirmedError(confirmations, error));
      };
      const end = (): void => {
        const signal = ends.find(({ aborted }) => aborted);
        if (signal !== undefined) fail(abortReason(signal));
      };
      const listen = (ms: number): void => {
        timer = setTimeout(() => {
          const silentMs = performance.now() - heardMs;
          if (silentMs < silenceMs) listen(silenceMs - silentMs);
          else fail(new Error(`no answer within ${silenceMs} ms`));
        }, ms);
      };
      if (ends.some(({ aborted }) => aborted)) return end();
      for (const signal of ends) signal.addEventListener('abort', end);
      listen(silenceMs);
      try {
        for (const [index, { queue, content, properties }] of batch.entries())
          this.#channel.publish('', queue, content, properties, (error: unknown) => {
            const confirmation = confirmationOf(error);
            // The channel is closing, which is told by itself.
            if (confirmation === undefined) return;
            confirmations[index] = this.#takeReturned(queue, properties.messageId) ? 'returned' : confirmation;
            heardMs = performance.now();
            left -= 1;
            if (left > 0) return;
            settle();
            resolve(confirmations as readonly Confirmation[]);
          });
      } catch (error) {
        fail(error as Error);
      }
    });
  }

  #count({ fields, properties }: Message): void {
    const key = keyOf(fields.routingKey, String(properties.messageId));
    this.#returned.set(key, (this.#returned.get(key) ?? 0) + 1);
  }

  /** A message that is returned is confirmed as well, after that. */
  #takeReturned(queue: string, messageId: string): boolean {
    const key = keyOf(queue, messageId);
    const count = this.#returned.get(key) ?? 0;
    if (count > 1) this.#returned.set(key, count - 1);
    else this.#returned.delete(key);
    return count > 0;
  }
}

function keyOf(queue: string, messageId: string): string {
  return `${queue}\n${messageId}`;
}

/** What the client tells a callback: null, 'message nacked', or that the channel is closed. */
function confirmationOf(error: unknown): Confirmation | undefined {
  if (error === null || error === undefined) return 'stored';
  return error instanceof Error && error.message === 'message nacked' ? 'refused' : undefined;
}
