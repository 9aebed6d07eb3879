/**
 * Knocks at a server before the client of NATS is let in, and reads what it says of itself. The client cannot be interrupted while it
 * connects, and leaves its socket behind at a server that accepts and says nothing: one for each attempt of an outage.
 */
import { connect } from 'node:net';
import { abortReason } from '../shared.ts';
import { placeText, type NatsServerPlace } from './address.ts';

/** What a server says when it is connected to. Of all of it, what is used here. */
export interface ServerGreeting {
  readonly version?: string;
  readonly max_payload?: number;
  readonly tls_required?: boolean;
  readonly tls_available?: boolean;
  /** Other servers of its cluster, as `host:port`. */
  readonly connect_urls?: readonly string[];
}

/** A greeting is a few hundred bytes; whatever says more is no NATS. */
const LONGEST_GREETING = 64 * 1024;

/** Rejects with the reason why there is no greeting, or with the reason of `signal`. */
export function knock(
  place: NatsServerPlace,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<ServerGreeting> {
  return new Promise((resolve, reject) => {
    const socket = connect(place.port, place.host);
    let text = '';
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.removeAllListeners();
      // What it says while it goes is of no interest, but must have a listener.
      socket.on('error', () => {});
      socket.destroy();
      settle();
    };
    const fail = (why: string, cause?: unknown): void =>
      end(() => reject(new Error(`${placeText(place)} ${why}`, cause === undefined ? {} : { cause })));
    const onAbort = (): void => end(() => reject(abortReason(signal)));
    const timer = setTimeout(
      () =>
        fail(text === '' ? `has said nothing for ${timeoutMs} ms` : `has not ended its greeting in ${timeoutMs} ms`),
      timeoutMs,
    );
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) return onAbort();
    socket.setEncoding('utf8');
    socket.on('error', (error) => fail(`cannot be reached: ${textOf(error)}`, error));
    socket.on('close', () => fail('has closed the connection without a greeting'));
    socket.on('data', (more: string) => {
      text += more;
      if (!'INFO {'.startsWith(text.slice(0, 6)) || text.length > LONGEST_GREETING) return fail('does not speak NATS');
      const lineEnd = text.indexOf('\r\n');
      if (lineEnd < 0) return undefined;
      const greeting = greetingOf(text.slice('INFO '.length, lineEnd));
      if (greeting === null) return fail('does not speak NATS');
      return end(() => resolve(greeting));
    });
    return undefined;
  });
}

/** An AggregateError, of a name with several addresses, has no message of its own. */
function textOf(error: Error & { readonly code?: string }): string {
  return error.message === '' ? (error.code ?? error.name) : error.message;
}

function greetingOf(text: string): ServerGreeting | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}
