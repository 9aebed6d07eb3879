/**
 * What RabbitMQ means when it closes a channel or a connection: whether one queue or one message is at fault or the broker cannot be used,
 * and what to do about it. Pure.
 */
import { HoldfastError } from '../../errors.ts';

export type BrokerFault =
  /** The message has more bytes than the broker takes. */
  | { readonly kind: 'too large'; readonly limit: number }
  /** The queue exists and was made in another way. */
  | { readonly kind: 'differs'; readonly argument: string }
  | { readonly kind: 'forbidden' }
  | { readonly kind: 'missing' }
  /** An exclusive queue of another connection. */
  | { readonly kind: 'locked' }
  /** A delivery had no answer for too long. */
  | { readonly kind: 'unanswered' }
  | { readonly kind: 'other' };

/** Of an error with which the client says that a channel or a connection was closed. */
export function brokerFault(error: unknown): BrokerFault {
  const { code, message } = asReply(error);
  const size = /message size \d+ is larger than (?:configured )?max(?:imum)? size (\d+)/i.exec(message);
  if (size !== null) return { kind: 'too large', limit: Number(size[1]) };
  if (code === 406 && message.includes('delivery acknowledgement')) return { kind: 'unanswered' };
  const argument = /inequivalent arg '([^']+)'/.exec(message);
  // 406 is also what the broker says of arguments that it does not know.
  if (code === 406) return { kind: 'differs', argument: argument?.[1] ?? 'arguments' };
  if (code === 403) return { kind: 'forbidden' };
  if (code === 404) return { kind: 'missing' };
  if (code === 405) return { kind: 'locked' };
  return { kind: 'other' };
}

/** Whether a queue cannot be used as it is, while the broker can. */
export function isQueueFault({ kind }: BrokerFault): boolean {
  return kind === 'differs' || kind === 'forbidden' || kind === 'missing' || kind === 'locked';
}

/** What to do about a queue that cannot be used. */
export function queueAdvice(fault: BrokerFault, queue: string): string {
  switch (fault.kind) {
    case 'differs':
      return fault.argument === 'x-single-active-consumer'
        ? `Give publishers and consumers the same "ordered" for it. A queue keeps what it was made with: let consumers empty it, delete it (rabbitmqctl delete_queue '${queue}'), and it is made anew.`
        : `It was made by somebody else, or by hand: let consumers empty it, delete it (rabbitmqctl delete_queue '${queue}'), and it is made as it must be; or give the transport another prefix.`;
    case 'forbidden':
      return 'Grant the user what docs/transports.md lists; where it may not make queues, make them before and set declare: false.';
    case 'missing':
      return 'Make it as docs/transports.md says, or leave declare: false away.';
    case 'locked':
      return 'It belongs to one connection of somebody else. Give the transport another prefix.';
    case 'too large':
    case 'unanswered':
    case 'other':
      return 'See the log of RabbitMQ.';
  }
}

/** What happened, as part of a sentence: the words of the broker, without those of the client around them. */
export function saidOf(error: unknown): string {
  const { message } = asReply(error);
  // All that the client says of a refusal to open.
  if (message.startsWith('Expected ConnectionOpenOk')) return 'the user is not let into the virtual host';
  const quoted = /with message "(.*)"\.?$/s.exec(message)?.[1];
  return (quoted ?? message).replace(/\.$/, '');
}

/** The broker cannot be used, or nobody knows what became of what was sent. */
export function brokerUnavailable(cause: unknown, what = 'did not take the batch'): HoldfastError {
  if (cause instanceof HoldfastError && cause.code === 'HF_TRANSPORT_UNAVAILABLE') return cause;
  return new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The broker (rabbitmq) ${what}: ${saidOf(cause)}.`, {
    advice: connectionAdvice(cause) ?? 'Nothing is lost: it is sent again once the broker answers.',
    cause,
  });
}

/** What to do when the broker lets nobody in; undefined for what passes by itself. */
function connectionAdvice(cause: unknown): string | undefined {
  const { code, message } = asReply(cause);
  if (/ACCESS.REFUSED.*Login|authentication/i.test(message)) return 'Check user and password of the connection.';
  if (code === 403 || /ACCESS.REFUSED/.test(message))
    return 'Grant the user what docs/transports.md lists, for this virtual host.';
  if (/vhost|ConnectionOpenOk/.test(message))
    return 'See that there is the virtual host at the end of the connection URL, and that the user has rights in it.';
  if (/wrong version number|packet length too long|EPROTO|record/i.test(message))
    return 'This port does not speak TLS: use amqp:// for it, or the port of the TLS listener (5671).';
  if (/closed abruptly|ECONNRESET/.test(message))
    return 'If the port speaks TLS, use amqps://. Otherwise see the log of RabbitMQ.';
  if (/certificate|altname|CERT_/i.test(message)) return 'Give the certificate authority in tls.ca.';
  return undefined;
}

function asReply(error: unknown): { readonly code: unknown; readonly message: string } {
  if (!(error instanceof Error)) return { code: undefined, message: String(error) };
  const { code, message } = error as Error & { readonly code?: unknown };
  const said = /\b(3\d\d|4\d\d|5\d\d) \([A-Z-]+\)/.exec(message)?.[1];
  return { code: typeof code === 'number' ? code : said === undefined ? code : Number(said), message };
}
