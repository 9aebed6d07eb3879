/**
 * Sending a message straight to the broker, past the outbox: for what may be lost (a hint to refresh a cache, a live position).
 * One try, no transaction, no retry.
 */
import { HoldfastError } from '../errors.ts';
import type { PayloadCodec } from '../message/codec.ts';
import { encodeWire } from '../message/envelope.ts';
import { createSigner, type SigningOptions } from '../message/signing.ts';
import type { MessageType, PayloadInput } from '../message/message-type.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import { withTimeout } from '../runtime/timeout.ts';
import type { Transport } from '../transport/port.ts';
import { DEFAULT_MAX_BYTES, prepareMessage } from './prepare.ts';
import type { SendOptions } from './send-options.ts';

/** Options of {@link createAtMostOnceSender}. */
export interface AtMostOnceOptions {
  readonly transport: Transport;
  /** The destination; the relay's routes play no part. */
  readonly to: string;
  /**
   * CloudEvents `source`.
   *
   * @defaultValue 'holdfast'
   */
  readonly source?: string | undefined;
  /**
   * Largest payload in bytes.
   *
   * @defaultValue 1 MiB
   */
  readonly maxBytes?: number | undefined;
  /**
   * How long to wait for the broker.
   *
   * @defaultValue '1s'
   */
  readonly timeout?: Duration | undefined;
  /**
   * Signs messages, as a relay does for its subscriptions.
   *
   * @defaultValue they are not signed
   */
  readonly signing?: SigningOptions | undefined;
  /**
   * Makes payloads unreadable where they are kept: in the tables, the broker, dumps and what is shown. Whoever reads them needs it as well.
   *
   * @defaultValue payloads are kept as they are
   */
  readonly codec?: PayloadCodec | undefined;
}

/** Sends messages past the outbox, at most once. Made by {@link createAtMostOnceSender}. */
export interface AtMostOnceSender {
  /**
   * Sends now, whatever becomes of any transaction. Resolves when the broker has taken it. Rejects with HF_TRANSPORT_UNAVAILABLE or
   * HF_MESSAGE_REFUSED when it did not, or not in time: the message is then lost or, rarely, delivered after all.
   */
  sendAtMostOnce<Type extends MessageType>(
    type: Type,
    payload: PayloadInput<Type>,
    options?: Omit<SendOptions, 'deliverAt' | 'delay'>,
  ): Promise<{ readonly id: string }>;
  /** Idempotent. Leaves the transport open. */
  close(): Promise<void>;
}

/**
 * Throws HF_CONFIG, HF_DURATION or HF_OPTION_UNKNOWN for what is not usable.
 *
 * @example
 * const sender = createAtMostOnceSender({ transport, to: 'metrics' });
 * await sender.sendAtMostOnce(OrderPlaced, { orderId: 'o-1', total: 12 });
 * await sender.close();
 */
export function createAtMostOnceSender(options: AtMostOnceOptions): AtMostOnceSender {
  const name = 'createAtMostOnceSender';
  refuseUnknownOptions(options, ['transport', 'to', 'source', 'maxBytes', 'timeout', 'signing', 'codec'], name);
  const { transport, to, source, codec, maxBytes = DEFAULT_MAX_BYTES } = options;
  if (typeof transport?.publisher !== 'function' || typeof to !== 'string' || to === '') {
    throw new HoldfastError('HF_CONFIG', `${name} needs a transport and a destination.`, {
      advice: "Write { transport, to: 'cache' }.",
    });
  }
  const timeoutMs = parseDuration(options.timeout ?? '1s', `${name}.timeout`);
  const sign = options.signing === undefined ? null : createSigner(options.signing, `${name}.signing`);
  const publisher = transport.publisher();

  return {
    async sendAtMostOnce(type, payload, sendOptions = {}) {
      const where = 'sendAtMostOnce';
      const prepared = await prepareMessage(
        { type, payload, options: sendOptions },
        { source, maxBytes, where, codec },
      );
      if (prepared.due !== undefined) {
        throw new HoldfastError('HF_CONFIG', `${where} cannot wait: deliverAt and delay need the outbox.`, {
          advice: 'Use outbox.send for delayed messages.',
        });
      }
      const { id, topic, key, payload: data, attributes } = prepared;
      const row = { id, topic, key, time: new Date().toISOString(), payload: data, headers: attributes };
      const plain = encodeWire(row, { source: source ?? 'holdfast' });
      const wire = sign === null ? plain : sign(plain, { id, destination: to }, Date.now());
      const [outcome] = await withTimeout(
        (signal) => publisher.publish([{ id, topic, key, destination: to, wire, replayId: null }], { signal }),
        {
          timeoutMs,
          onTimeout: () =>
            new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The broker did not answer within ${timeoutMs} ms.`, {
              advice: 'The message counts as lost; send what must arrive through the outbox.',
            }),
        },
      );
      if (outcome?.kind !== 'published') {
        throw new HoldfastError('HF_MESSAGE_REFUSED', `The broker refused message ${id} (${topic}).`, {
          advice: 'It is lost; see the cause.',
          cause: outcome?.error,
        });
      }
      return { id };
    },
    close: () => publisher.close(),
  };
}
