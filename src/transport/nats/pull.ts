/**
 * Asks one consumer of NATS for messages, for as many as there is room for. The next request leaves before the last one is fulfilled, so that the
 * server need not wait for it. Each request has an end of its own on the server, which also shows that it is alive while nothing comes: a server
 * that forgot the requests, with its leader or its memory, falls silent.
 *
 * The server takes turns between requests, and does not say to which a message belongs. So only their sum is known here; of a request that ends
 * before it is fulfilled the server says how much of it was left.
 */
import type { Msg, Subscription } from '@nats-io/transport-node';
import type { NatsLink } from './link.ts';
import { NANOS_PER_MS } from './streams.ts';

/** How long the server keeps a request that it cannot fulfil. */
const EXPIRES_MS = 30_000;
/** The server says so often that it still has the request. */
const HEARTBEAT_MS = 1_000;
/** It has forgotten it. */
const SILENT_MS = 2_500;
/** Bytes in one answer, beside one message of the largest size. */
const MOST_BYTES = 32 * 1024 * 1024;

/** Of a request that has ended: how many messages will not come for it. */
const LEFT = 'Nats-Pending-Messages';

export interface Demand {
  /** How many messages may be in hand at once. */
  readonly limit: number;
  readonly inHand: number;
  /** How many may still come for requests under way. */
  readonly due: number;
}

/** How many messages to ask for now. Beside requests under way half of all at least, so that there are few of them. Pure. */
export function wantedNow({ limit, inHand, due }: Demand): number {
  const room = limit - inHand - due;
  return due > 0 && room * 2 < limit ? 0 : Math.max(0, room);
}

/** What came instead of messages. */
export type PullEnd =
  /** Its time is over, or it was fulfilled. */
  | { readonly kind: 'over' }
  /** The consumer or its leader is gone: to be looked at before the next request. */
  | { readonly kind: 'lost'; readonly why: string }
  /** The server does not take it. */
  | { readonly kind: 'refused'; readonly why: string };

/** What a status of the server means for a request; null: that it is alive. Pure. */
export function pullEndOf(status: number, description: string): PullEnd | null {
  const why = description === '' ? `status ${status}` : description;
  if (status === 100) return null;
  if (status === 404 || status === 408) return { kind: 'over' };
  if (status === 409 && /maxbytes|batch completed/i.test(description)) return { kind: 'over' };
  if (status === 503) return { kind: 'lost', why: 'no server leads the consumer' };
  if (status === 409 && !/exceeded|push based/i.test(description)) return { kind: 'lost', why };
  return { kind: 'refused', why };
}

export interface PullerOptions {
  readonly link: NatsLink;
  readonly stream: string;
  readonly consumer: string;
  readonly onMessage: (message: Msg) => void;
  readonly onEnd: (end: PullEnd) => void;
}

export class Puller {
  readonly #options: PullerOptions;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  /** Messages that may still come for requests under way; 0: there is none. */
  #due = 0;
  #serial = 0;
  /** The first of those that may be under way. */
  #since = 1;
  #heardMs = 0;

  constructor(options: PullerOptions) {
    this.#options = options;
    this.#inbox = options.link.newInbox();
    this.#subscription = options.link.nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#heard(message);
        else this.#end({ kind: 'refused', why: error.message });
      },
    });
  }

  get consumer(): string {
    return this.#options.consumer;
  }

  /** How many messages may still come without a further request. */
  get due(): number {
    return this.#due;
  }

  ask(messages: number): void {
    if (messages < 1 || this.#subscription.isClosed()) return;
    const { link, stream, consumer } = this.#options;
    this.#due += messages;
    this.#serial += 1;
    this.#heardMs = performance.now();
    const request = {
      batch: messages,
      max_bytes: MOST_BYTES + 2 * link.maxPayload,
      expires: EXPIRES_MS * NANOS_PER_MS,
      idle_heartbeat: HEARTBEAT_MS * NANOS_PER_MS,
    };
    this.#publish(`${this.#inbox}.${this.#serial}`, request, stream, consumer);
  }

  /** To be called every now and then. */
  watch(): void {
    if (this.#due > 0 && performance.now() - this.#heardMs > SILENT_MS)
      this.#end({ kind: 'lost', why: 'the server has forgotten the request' });
  }

  /** Nothing more is handed out. Resolves when all that was on its way has come. */
  async stop(): Promise<void> {
    if (this.#subscription.isClosed()) return;
    const wasAsking = this.#due > 0;
    const drained = this.#subscription.drain();
    // The server notices that nobody waits any more only when it looks through its requests, and may take a message back into nowhere until then.
    if (wasAsking) {
      const { stream, consumer } = this.#options;
      this.#publish(`${this.#inbox}.end`, { batch: 1, expires: NANOS_PER_MS }, stream, consumer);
    }
    await drained;
  }

  #publish(reply: string, request: object, stream: string, consumer: string): void {
    this.#options.link.nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(request), {
      reply,
    });
  }

  #heard(message: Msg): void {
    this.#heardMs = performance.now();
    if (!message.subject.startsWith(this.#inbox)) {
      if (this.#due > 0) this.#due -= 1;
      this.#options.onMessage(message);
      return;
    }
    const { headers } = message;
    const end = pullEndOf(headers?.code ?? 0, headers?.description ?? '');
    const serial = Number(message.subject.slice(this.#inbox.length + 1));
    // Of one of which nobody waits for anything any more.
    if (end === null || !(serial >= this.#since)) return;
    const left = headers?.get(LEFT) ?? '';
    if (end.kind !== 'over' || left === '') return this.#end(end);
    this.#due = Math.max(0, this.#due - Number(left));
    this.#options.onEnd(end);
  }

  /** Of all requests. */
  #end(end: PullEnd): void {
    this.#due = 0;
    this.#since = this.#serial + 1;
    this.#options.onEnd(end);
  }
}
