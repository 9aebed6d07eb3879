/**
 * Notes when what happened on the way of messages: by the crash points of services, and by a transport that says what passes through it.
 * The product has no part in it and pays nothing.
 */
import type { CrashPoint } from '../../src/runtime/crash-point.ts';
import type { Transport } from '../../src/transport/port.ts';

/** One moment, by performance.now(). */
export interface HopNote {
  readonly at: number;
  /** A crash point, or what passed the transport: `publish:before`, `publish:after`, `delivered`, `settled`. */
  readonly point: string;
  /** The message that it belongs to; null where it belongs to none, or to many. */
  readonly message: string | null;
}

/** What travelled: `run` and `call` name the piece of work that a command or a reply is about. */
export interface TracedMessage {
  readonly id: string;
  readonly kind: 'command' | 'reply';
  readonly run: string;
  readonly call: string;
}

interface Wire {
  readonly id: string;
  readonly data: { readonly runId?: string; readonly call?: string };
  readonly headers?: Readonly<Record<string, string>>;
}

export class HopNotes {
  readonly notes: HopNote[] = [];
  readonly messages = new Map<string, TracedMessage>();

  /** Of a service. It does not say which message it is about. */
  readonly crashPoint: CrashPoint = (point) => this.note(point);

  note(point: string, message: string | null = null): void {
    this.notes.push({ at: performance.now(), point, message });
  }

  forget(): void {
    this.notes.length = 0;
    this.messages.clear();
  }

  /** The same transport, which tells of what it carries. */
  over(transport: Transport): Transport {
    return {
      ...transport,
      publisher: () => {
        const publisher = transport.publisher();
        return {
          ...publisher,
          publish: async (batch, options) => {
            for (const { wire } of batch) this.#see(wire);
            for (const { id } of batch) this.note('publish:before', id);
            const outcomes = await publisher.publish(batch, options);
            for (const { id } of batch) this.note('publish:after', id);
            return outcomes;
          },
        };
      },
      receiver: (destination, handle, options) =>
        transport.receiver(
          destination,
          async (delivery) => {
            const id = idOf(delivery.wire);
            this.note('delivered', id);
            const verdict = await handle(delivery);
            this.note('settled', id);
            return verdict;
          },
          options,
        ),
    };
  }

  #see(text: string): void {
    const { id, data, headers = {} } = JSON.parse(text) as Wire;
    const [run, call] = [headers['holdfast-saga'], headers['holdfast-call']];
    if (run !== undefined && call !== undefined) this.messages.set(id, { id, kind: 'command', run, call });
    else if (data.runId !== undefined && data.call !== undefined)
      this.messages.set(id, { id, kind: 'reply', run: data.runId, call: data.call });
  }
}

function idOf(wire: unknown): string {
  return (typeof wire === 'string' ? (JSON.parse(wire) as Wire) : (wire as Wire)).id;
}
