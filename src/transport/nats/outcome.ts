/**
 * What the server says to a message that was published, and what that means. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import type { OutboundMessage } from '../port.ts';
import { CODES } from './errors.ts';

export type AckMeaning =
  /** It has it. */
  | { readonly kind: 'stored' }
  /** Not now, and that passes within moments: sent again. */
  | { readonly kind: 'again'; readonly why: string }
  /** It will never take this one. */
  | { readonly kind: 'refused'; readonly why: string }
  /** It takes none. */
  | { readonly kind: 'failed'; readonly why: string };

interface Answer {
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly duplicate?: unknown;
  readonly error?: { readonly err_code?: unknown; readonly description?: unknown };
}

const STORED: AckMeaning = { kind: 'stored' };
/** Nobody has the subject: the stream is being made, or the server that led it is gone and the next one not elected yet. */
const NOBODY: AckMeaning = { kind: 'again', why: 'no server leads the stream' };

const AGAIN: ReadonlySet<unknown> = new Set([CODES.duplicateInProcess, CODES.tooManyRequests, CODES.sequenceMismatch]);
const REFUSED: ReadonlySet<unknown> = new Set([CODES.messageTooLarge, CODES.headerTooLarge]);

/**
 * @param status of the headers of the answer, 0 for none
 * @param stream that the message is for
 */
export function meaningOf(status: number, text: string, stream: string): AckMeaning {
  if (status === 503) return NOBODY;
  const answer = parsed(text);
  if (answer === null) return { kind: 'failed', why: `it was answered with ${JSON.stringify(text.slice(0, 100))}` };
  const { error, seq, duplicate } = answer;
  if (error !== undefined) {
    const why = typeof error.description === 'string' ? error.description : `code ${String(error.err_code)}`;
    if (AGAIN.has(error.err_code)) return { kind: 'again', why };
    return { kind: REFUSED.has(error.err_code) ? 'refused' : 'failed', why };
  }
  if (answer.stream !== stream)
    return { kind: 'failed', why: `it went to the stream ${String(answer.stream)} instead of ${stream}` };
  // The server has seen the id and not stored the message yet, and may still lose it.
  if (duplicate === true && seq === 0) return { kind: 'again', why: 'the message is on its way already' };
  return typeof seq === 'number' ? STORED : { kind: 'failed', why: 'it was acknowledged without a number' };
}

function parsed(text: string): Answer | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}

/** The bytes of the headers that a message has with it. */
export function headerBytes(id: string): number {
  return 'NATS/1.0\r\nNats-Msg-Id: \r\n\r\n'.length + id.length;
}

export interface SizeLimits {
  /** Infinity: none of the transport's own. */
  readonly maxMessageBytes: number;
  /** Of headers and payload, for the server. */
  readonly maxPayload: number;
}

/** What makes a message unsendable, found before anything is sent; undefined: nothing. */
export function sizeFault(message: OutboundMessage, id: string, limits: SizeLimits): HoldfastError | undefined {
  const header = headerBytes(id);
  const most = Math.min(limits.maxMessageBytes, limits.maxPayload - header);
  // A UTF-16 code unit is at most three bytes of UTF-8, so most messages need no counting.
  if (message.wire.length * 3 <= most) return undefined;
  const bytes = Buffer.byteLength(message.wire);
  if (bytes <= most) return undefined;
  const isOurs = limits.maxMessageBytes < limits.maxPayload - header;
  return new HoldfastError(
    'HF_MESSAGE_REFUSED',
    `The envelope has ${bytes} bytes, more than the ${most} that ${isOurs ? 'this transport' : 'the server of NATS'} takes.`,
    {
      advice: `Send a reference to the data instead, or raise ${isOurs ? 'maxMessageBytes' : "the server's max_payload"}.`,
      details: { bytes },
    },
  );
}

export function refusedByServer(why: string): HoldfastError {
  return new HoldfastError('HF_MESSAGE_REFUSED', `The server of NATS refuses the message: ${why}.`, {
    advice: 'Send a reference to the data instead, or raise max_msg_size of the stream.',
  });
}
