/**
 * Asks one consumer of NATS for messages: one request at a time, for as many as there is room for. Each request has an end of its own on the
 * server, which also shows that it is alive while nothing comes: a server that forgot the request, with its leader or its memory, falls silent.
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
  /** Messages that may still come for the present request; 0: there is none. */
  #due = 0;
  #serial = 0;
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

  get isAsking(): boolean {
    return this.#due > 0;
  }

  /** Does nothing while a request is under way. */
  ask(messages: number): void {
    if (this.#due > 0 || messages < 1 || this.#subscription.isClosed()) return;
    const { link, stream, consumer } = this.#options;
    this.#due = messages;
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
    const end = pullEndOf(message.headers?.code ?? 0, message.headers?.description ?? '');
    // Of an earlier request: over already.
    if (end !== null && message.subject === `${this.#inbox}.${this.#serial}`) this.#end(end);
  }

  #end(end: PullEnd): void {
    this.#due = 0;
    this.#options.onEnd(end);
  }
}
