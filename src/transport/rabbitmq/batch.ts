/**
 * How a batch is sent: which message goes to which queue, and what is refused before anything is sent. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import { partitionOf } from '../partitions.ts';
import type { OutboundMessage, PublishOutcome } from '../port.ts';
import type { Outgoing } from './confirmed-channel.ts';
import type { RabbitmqSettings } from './options.ts';
import { assertQueueName, partitionQueue } from './topology.ts';

/** A message of a batch that is to be sent. */
export interface AddressedMessage {
  /** Place in the batch. */
  readonly index: number;
  readonly destination: string;
  readonly outgoing: Outgoing;
}

/** What AMQP can carry of a short text, in bytes. */
const SHORT_TEXT = 255;

/**
 * @param outcomes of the batch: gets what is refused
 * @param limit of the broker, in bytes
 */
export function addressBatch(
  batch: readonly OutboundMessage[],
  settings: RabbitmqSettings,
  limit: number,
  outcomes: PublishOutcome[],
): readonly AddressedMessage[] {
  const placed: AddressedMessage[] = [];
  for (const [index, message] of batch.entries()) {
    const content = Buffer.from(message.wire);
    const fault = faultOf(message, content.length, settings, limit);
    if (fault !== undefined) {
      outcomes[index] = { kind: 'refused', permanent: true, error: fault };
      continue;
    }
    const { destination } = message;
    const partition = partitionOf(message, settings.layoutOf(destination).partitions);
    const queue = partitionQueue(settings.prefix, destination, partition);
    placed.push({ index, destination, outgoing: outgoing(message, queue, content) });
  }
  return placed;
}

function outgoing(message: OutboundMessage, queue: string, content: Buffer): Outgoing {
  const properties = {
    persistent: true,
    mandatory: true,
    contentType: 'application/cloudevents+json',
    messageId: short(message.replayId === null ? message.id : `${message.id}.${message.replayId}`),
    type: short(message.topic),
  };
  return { queue, content, properties };
}

/** These are for people and tools; what they say stands in the envelope, whole. */
function short(text: string): string {
  return Buffer.byteLength(text) <= SHORT_TEXT ? text : text.slice(0, SHORT_TEXT / 4);
}

/** What makes a message unsendable, found before anything is sent. */
function faultOf(
  { destination, wire }: OutboundMessage,
  bytes: number,
  { prefix, maxMessageBytes }: RabbitmqSettings,
  limit: number,
): HoldfastError | undefined {
  try {
    assertQueueName(destination, prefix);
  } catch (error) {
    return error as HoldfastError;
  }
  if (!wire.startsWith('{') || !wire.endsWith('}'))
    return new HoldfastError('HF_MESSAGE_REFUSED', 'The envelope is no JSON object.');
  const most = Math.min(maxMessageBytes, limit);
  return bytes > most ? tooLargeForBroker(bytes, most) : undefined;
}

/** @param limit that it is over, in bytes */
export function tooLargeForBroker(bytes: number, limit: number): HoldfastError {
  return new HoldfastError(
    'HF_MESSAGE_REFUSED',
    `The envelope has ${bytes} bytes, more than the ${limit} this transport takes.`,
    {
      advice:
        'Send a reference to the data instead, or raise maxMessageBytes and, in rabbitmq.conf, max_message_size if it is lower.',
      details: { bytes, limit },
    },
  );
}
