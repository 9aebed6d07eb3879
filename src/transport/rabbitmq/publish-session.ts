/**
 * What publishes on RabbitMQ: a connection and a channel with confirmations, opened with the first use and anew when they are lost. When an
 * answer takes too long the connection is given up, because nobody knows then what became of what was sent, and nothing of it is to be sent
 * later.
 */
import { HoldfastError } from '../../errors.ts';
import { settledOrAborted } from '../shared.ts';
import { type Confirmation, ConfirmedChannel, type Outgoing } from './confirmed-channel.ts';
import { connectToAny, exchange, type RabbitmqConnection } from './connection.ts';
import type { RabbitmqSettings } from './options.ts';

export class PublishSession {
  readonly #settings: RabbitmqSettings;
  readonly #purpose: string;
  readonly #ended = new AbortController();
  #opening: Promise<RabbitmqConnection> | undefined;
  readonly #channels = new WeakMap<RabbitmqConnection, Promise<ConfirmedChannel>>();

  /** @param purpose shown by RabbitMQ beside the connection */
  constructor(settings: RabbitmqSettings, purpose: string) {
    this.#settings = settings;
    this.#purpose = purpose;
  }

  /** Rejects with HF_STOPPED once it is closed. `signal` ends the waiting, not what others wait for. */
  async open(signal: AbortSignal): Promise<RabbitmqConnection> {
    if (this.#ended.signal.aborted) throw this.#ended.signal.reason;
    this.#opening ??= this.#connect();
    const connection = await settledOrAborted(this.#opening, signal);
    const blocked = connection.blocked();
    if (blocked !== null) throw new Error(blocked);
    return connection;
  }

  /**
   * Sends a batch in one go. Rejects with UnconfirmedError when the broker has not answered for all of it; the connection is given up then,
   * unless the broker has closed just the channel.
   */
  async publish(
    connection: RabbitmqConnection,
    batch: readonly Outgoing[],
    signal: AbortSignal,
  ): Promise<readonly Confirmation[]> {
    const channel = await settledOrAborted(this.#channelOn(connection), signal);
    const blocked = new AbortController();
    // What was sent would lie in the process and in the network until the alarm is over.
    const forget = connection.onBlocked((reason) => blocked.abort(new Error(reason)));
    try {
      return await channel.publish(batch, {
        silenceMs: this.#settings.publishTimeoutMs,
        signals: [signal, blocked.signal],
      });
    } catch (error) {
      if (!channel.closed.aborted) connection.cut(error as Error);
      throw error;
    } finally {
      forget();
    }
  }

  async close(): Promise<void> {
    this.#ended.abort(new HoldfastError('HF_STOPPED', 'The publisher is closed.'));
    const connection = await this.#opening?.catch(() => undefined);
    await connection?.close();
  }

  async #connect(): Promise<RabbitmqConnection> {
    try {
      const connection = await connectToAny(this.#settings, this.#purpose, this.#ended.signal);
      connection.lost.addEventListener('abort', () => (this.#opening = undefined), { once: true });
      return connection;
    } catch (error) {
      this.#opening = undefined;
      throw this.#ended.signal.aborted ? this.#ended.signal.reason : error;
    }
  }

  /** A channel that was closed is opened anew. */
  async #channelOn(connection: RabbitmqConnection): Promise<ConfirmedChannel> {
    const known = await this.#channels.get(connection)?.catch(() => undefined);
    if (known !== undefined && !known.closed.aborted) return known;
    const opening = exchange(connection, ConfirmedChannel.open(connection), this.#settings.publishTimeoutMs);
    this.#channels.set(connection, opening);
    return opening;
  }
}
