/**
 * Publishes many messages over one link without waiting for each: so many are on their way at once, and each has its acknowledgement come back
 * under a number of its own. Messages leave in the order given.
 *
 * A stream that has not acknowledged anything over this link yet gets one message alone. The server may be about to learn who leads it, and
 * would refuse the first of many and take those behind them.
 */
import type { Msg } from '@nats-io/transport-node';
import { abortReason } from '../shared.ts';
import type { NatsLink } from './link.ts';
import { type AckMeaning, meaningOf } from './outcome.ts';

/** A message that is to be sent. */
export interface Sendable {
  /** Place in the batch. */
  readonly index: number;
  readonly id: string;
  readonly subject: string;
  readonly stream: string;
  readonly wire: string;
}

/** What has become of one that was sent. */
export interface Sent {
  readonly sendable: Sendable;
  readonly meaning: AckMeaning;
}

/** Messages on their way at once; measured, more is no faster. */
const MOST_AT_ONCE = 1000;
/** And characters, so that large ones do not pile up. */
const MOST_CHARACTERS = 4 * 1024 * 1024;

export interface WindowOptions {
  /** Without any answer for so long, it is given up. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export class PublishWindow {
  readonly #link: NatsLink;
  readonly #inbox: string;
  /** By their number. Numbers are never used again, so a late answer finds nobody. */
  readonly #waiting = new Map<number, (answer: Msg) => void>();
  readonly #proven = new Set<string>();
  #serial = 0;

  constructor(link: NatsLink) {
    this.#link = link;
    this.#inbox = link.newInbox();
    link.nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, answer) => {
        if (error === null) this.#waiting.get(Number(answer.subject.slice(this.#inbox.length + 1)))?.(answer);
      },
    });
  }

  /**
   * Sends until all are through, or one is not taken: then what is on its way is waited for, and the rest stays unsent.
   * Rejects when the link is lost, when nothing is answered for `timeoutMs`, and when `signal` aborts.
   */
  async send(all: readonly Sendable[], options: WindowOptions): Promise<readonly Sent[]> {
    const { lost } = this.#link;
    const sending = new Sending(all, {
      proven: this.#proven,
      publish: (sendable, onAnswer) => this.#publish(sendable, onAnswer),
      forget: (number) => this.#waiting.delete(number),
    });
    const onAbort = (): void => sending.fail(abortReason(options.signal));
    const onLost = (): void => sending.fail(abortReason(lost));
    const startedMs = performance.now();
    const timer = setInterval(
      () => {
        const { violation } = this.#link;
        if (
          violation !== null &&
          violation.atMs >= startedMs &&
          all.some(({ subject }) => subject === violation.subject)
        )
          sending.fail(violation.error);
        if (performance.now() - sending.answeredMs >= options.timeoutMs)
          sending.fail(new Error(`nothing was acknowledged for ${options.timeoutMs} ms`));
      },
      Math.min(100, options.timeoutMs),
    );
    options.signal.addEventListener('abort', onAbort);
    lost.addEventListener('abort', onLost);
    try {
      if (options.signal.aborted) onAbort();
      if (lost.aborted) onLost();
      sending.pump();
      return await sending.done;
    } finally {
      clearInterval(timer);
      options.signal.removeEventListener('abort', onAbort);
      lost.removeEventListener('abort', onLost);
    }
  }

  #publish(sendable: Sendable, onAnswer: (number: number, answer: Msg) => void): number {
    const { nc, client } = this.#link;
    const number = (this.#serial += 1);
    const headers = client.headers();
    headers.set('Nats-Msg-Id', sendable.id);
    this.#waiting.set(number, (answer) => {
      this.#waiting.delete(number);
      onAnswer(number, answer);
    });
    nc.publish(sendable.subject, sendable.wire, { reply: `${this.#inbox}.${number}`, headers });
    return number;
  }
}

interface SendingParts {
  /** Streams that have acknowledged something over this link. */
  readonly proven: Set<string>;
  /** Sends it under a number, which it returns. */
  readonly publish: (sendable: Sendable, onAnswer: (number: number, answer: Msg) => void) => number;
  readonly forget: (number: number) => void;
}

/** One call of `send`. */
class Sending {
  readonly done: Promise<readonly Sent[]>;
  /** When the last answer came, or it began. Monotonic. */
  answeredMs = performance.now();
  readonly #all: readonly Sendable[];
  readonly #parts: SendingParts;
  readonly #sent: Sent[] = [];
  readonly #under = new Set<number>();
  #resolve: (sent: readonly Sent[]) => void = () => {};
  #reject: (reason: unknown) => void = () => {};
  #next = 0;
  #characters = 0;
  #isStopping = false;
  #isOver = false;

  constructor(all: readonly Sendable[], parts: SendingParts) {
    this.#all = all;
    this.#parts = parts;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  fail(why: unknown): void {
    this.#isOver = true;
    for (const number of this.#under) this.#parts.forget(number);
    this.#reject(why);
  }

  /** Sends what may be sent now. */
  pump(): void {
    if (this.#isOver) return;
    try {
      while (this.#mayGoOn()) this.#sendNext();
    } catch (error) {
      return this.fail(error);
    }
    if (this.#under.size > 0) return;
    this.#isOver = true;
    this.#resolve(this.#sent);
  }

  #mayGoOn(): boolean {
    const sendable = this.#all[this.#next];
    if (sendable === undefined || this.#isStopping) return false;
    if (this.#under.size === 0) return true;
    if (!this.#parts.proven.has(sendable.stream) || !this.#parts.proven.has(this.#all[this.#next - 1]?.stream ?? ''))
      return false;
    return this.#under.size < MOST_AT_ONCE && this.#characters < MOST_CHARACTERS;
  }

  #sendNext(): void {
    const sendable = this.#all[this.#next] as Sendable;
    this.#next += 1;
    this.#characters += sendable.wire.length;
    this.#under.add(this.#parts.publish(sendable, (number, answer) => this.#answered(number, sendable, answer)));
  }

  #answered(number: number, sendable: Sendable, answer: Msg): void {
    this.#under.delete(number);
    this.#characters -= sendable.wire.length;
    this.answeredMs = performance.now();
    const status = answer.data.length === 0 ? (answer.headers?.code ?? 0) : 0;
    const meaning = meaningOf(status, answer.string(), sendable.stream);
    this.#sent.push({ sendable, meaning });
    if (meaning.kind === 'stored') this.#parts.proven.add(sendable.stream);
    else if (meaning.kind !== 'refused') {
      this.#isStopping = true;
      this.#parts.proven.delete(sendable.stream);
    }
    this.pump();
  }
}
