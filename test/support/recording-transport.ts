/**
 * A transport that remembers what it was given and does what the test says.
 */
import type { OutboundMessage, PublishOutcome, Publisher, Transport } from '../../src/transport/port.ts';

export interface RecordingTransport extends Transport {
  readonly sent: OutboundMessage[];
  /** Replaces the acknowledgement; reset with undefined. What it refuses or throws for is not recorded as sent. */
  respond: ((batch: readonly OutboundMessage[], signal: AbortSignal) => Promise<readonly PublishOutcome[]>) | undefined;
  /** Payload data of what was sent, in order. */
  data<T = unknown>(): T[];
}

export const published: PublishOutcome = { kind: 'published' };

export function recordingTransport(): RecordingTransport {
  const sent: OutboundMessage[] = [];
  const transport: RecordingTransport = {
    kind: 'recording',
    sent,
    respond: undefined,
    data: <T>() => sent.map((message) => (JSON.parse(message.wire) as { data: T }).data),
    publisher(): Publisher {
      return {
        async publish(batch, { signal }) {
          const outcomes =
            transport.respond === undefined ? batch.map(() => published) : await transport.respond(batch, signal);
          sent.push(...batch.filter((_, index) => outcomes[index]?.kind === 'published'));
          return outcomes;
        },
        check: async () => {
          if (transport.respond !== undefined) await transport.respond([], new AbortController().signal);
        },
        close: async () => {},
      };
    },
    receiver() {
      throw new TypeError('the recording transport has no receivers');
    },
    close: async () => {},
  };
  return transport;
}
