/**
 * What a transport can do, and what relays and consumers need of it: compared when they are made, so that nothing is promised that the
 * broker cannot keep. Pure.
 */
import { HoldfastError } from '../errors.ts';

/** What a transport can do. Known without its broker. */
export interface TransportAbilities {
  /** Consumers can receive from it. False for a sink, such as webhooks. */
  readonly receives: boolean;
  /** It can keep the messages of one key in order. */
  readonly orders: boolean;
  /**
   * What becomes of a message that is published again under the same id (a replay has an id of its own).
   * 'never': it is delivered again. 'while-queued': once, for as long as it is not done with. A number: once, when both are published within
   * so many milliseconds. Only an inbox makes it once for good.
   */
  readonly deduplicates: 'never' | 'while-queued' | { readonly withinMs: number };
  /**
   * Who keeps a message that is to be handed out again later. 'broker': the consumer may die meanwhile. 'consumer': then it comes again
   * sooner, with `redeliveries` raised. 'none' for a sink.
   */
  readonly delays: 'broker' | 'consumer' | 'none';
  /** The largest envelope that the adapter sends on, in bytes; a larger one is refused for good. Null: the broker alone knows. */
  readonly maxMessageBytes: number | null;
  /**
   * What a message that was acknowledged outlives. 'process': nothing, it is in the memory of this process. 'settings': as much as the broker
   * is set up for, which the adapter does not know. 'disk': it was on a disk first. 'majority': most of the servers that keep it had it.
   */
  readonly durability: 'process' | 'settings' | 'disk' | 'majority';
  /**
   * What is away when something is. 'whole': its broker, and `publish` rejects. 'apart': one of the places it sends to, each by itself; what
   * cannot go there is refused with `later`, and the others go on.
   *
   * @defaultValue 'whole'
   */
  readonly outages?: 'whole' | 'apart' | undefined;
  /**
   * How long one publish may take where it takes its time by design, in milliseconds. A subscription must wait for longer.
   *
   * @defaultValue as long as the broker does
   */
  readonly publishMs?: number | undefined;
}

/** Of a sink whose broker is as durable as it is set up. */
export const SINK = {
  receives: false,
  orders: true,
  deduplicates: 'never',
  delays: 'none',
  durability: 'settings',
} as const satisfies Partial<TransportAbilities>;

/** What somebody is about to do with a transport. */
export interface TransportNeeds {
  readonly receive?: boolean | undefined;
  readonly order?: boolean | undefined;
  /** How long a publish is waited for at most. */
  readonly publishMs?: number | undefined;
}

/** What a transport has that does not say: it fulfils all the duties of the port. */
const ALL: Pick<TransportAbilities, 'receives' | 'orders'> = { receives: true, orders: true };

/**
 * Refuses to do with a transport what it cannot.
 *
 * @param where who wants it, as the subject of a sentence
 * @throws HoldfastError HF_CONFIG
 */
export function assertAble(
  transport: { readonly kind: string; readonly abilities?: TransportAbilities | undefined },
  needs: TransportNeeds,
  where: string,
): void {
  const { receives, orders, publishMs = 0 }: Partial<TransportAbilities> & typeof ALL = transport.abilities ?? ALL;
  if (needs.receive === true && !receives)
    throw new HoldfastError('HF_CONFIG', `${where} is to receive from ${transport.kind}, which can only be sent to.`, {
      advice: 'Give it a transport that consumers can read. docs/transports.md has a table of what each can do.',
    });
  if (needs.order === true && !orders)
    throw new HoldfastError('HF_CONFIG', `${where} is ordered, and ${transport.kind} keeps no order.`, {
      advice:
        'Leave ordered away, say so in the queues of a transport that must know (RabbitMQ), or take another. docs/transports.md has a table of what each can do.',
    });
  if (needs.publishMs !== undefined && needs.publishMs <= publishMs)
    throw new HoldfastError(
      'HF_CONFIG',
      `${where} waits ${needs.publishMs} ms for a publish, and ${transport.kind} may take ${publishMs} ms for one.`,
      {
        advice:
          'Raise publishTimeout and lease (three quarters of it must be longer as well), or lower what the transport may take.',
      },
    );
}
