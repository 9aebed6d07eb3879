/**
 * BEGIN of a transaction that is lent, sent with the first statement of the guest instead of before it: one round trip less.
 *
 * Nothing of the guest may run outside of the transaction, or it would be committed by itself. So BEGIN and that statement are one
 * exchange, in which the server skips everything behind what fails (extended protocol, one Sync at the end), and what the guest sends
 * meanwhile is held until BEGIN is known to have happened. A statement that cannot be part of such an exchange is held as well.
 */
import type pg from 'pg';
import { HeldCalls } from './held-calls.ts';
import type { Pipeline } from './pipeline.ts';
import { callbackOf, needsConnection, refuseCall } from './query-call.ts';

type Send = (...given: readonly unknown[]) => unknown;

export class Opening {
  readonly #client: pg.ClientBase;
  readonly #pipeline: Pipeline;
  readonly #texts: readonly string[];
  readonly #held: HeldCalls;
  #state: 'unsent' | 'sent' | 'open' | 'failed' = 'unsent';
  #failure: Error | null = null;
  #waiting: (() => void)[] = [];

  /** `texts`: BEGIN, and what else opens the transaction, a statement each. `send` sends behind it. */
  constructor(client: pg.ClientBase, pipeline: Pipeline, texts: readonly string[], send: Send) {
    this.#client = client;
    this.#pipeline = pipeline;
    this.#texts = texts;
    this.#held = new HeldCalls(send);
  }

  /** Whether the transaction is open for certain: what is sent now is in it. */
  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** The guest has sent nothing: there is no transaction. */
  get isUnsent(): boolean {
    return this.#state === 'unsent';
  }

  /** Why there is no transaction. Nothing that the guest has sent has happened. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Resolves once it is known whether the transaction is open. */
  async settled(): Promise<void> {
    if (this.#state !== 'sent') return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Whether a guest had statements waiting, which are refused now. */
  refuse(error: Error): boolean {
    return this.#held.refuse(error);
  }

  /** For what the guest sends while the transaction is not open. */
  send(given: readonly unknown[]): unknown {
    if (this.#failure !== null) return refuseCall(given, this.#failure);
    if (this.#state === 'sent') return this.#held.add(given);
    this.#state = 'sent';
    const config = partOfExchange(given);
    if (config === null) {
      const answer = this.#held.add(given);
      (this.#client.query(this.#texts.join(';')) as Promise<unknown>).then(
        () => this.#opened(),
        (error: unknown) => this.#afterFailure(error, () => {}),
      );
      return answer;
    }
    const callback = callbackOf(given);
    const values = Array.isArray(given[1]) ? [given[1]] : [];
    if (callback !== null) {
      const answered = (error: unknown, results: unknown): void => {
        if (error) return this.#afterFailure(error, () => callback(error));
        this.#opened();
        callback(null, lastOf(results));
      };
      return this.#pipeline.ahead(this.#texts, () => this.#query(config, ...values, answered));
    }
    return (this.#pipeline.ahead(this.#texts, () => this.#query(config, ...values)) as Promise<unknown>).then(
      (results) => {
        this.#opened();
        return lastOf(results);
      },
      (error: unknown) =>
        new Promise((_resolve, reject) => {
          this.#afterFailure(error, () => reject(error));
        }),
    );
  }

  #query(...given: readonly unknown[]): unknown {
    return (this.#client.query as unknown as Send).apply(this.#client, given as unknown[]);
  }

  #opened(): void {
    this.#state = 'open';
    this.#held.send();
    this.#tell();
  }

  /** Something in the exchange has failed; what the transaction is like afterwards says whether that was BEGIN. */
  #afterFailure(error: unknown, then: () => void): void {
    this.#pipeline.whenReady(() => {
      const status = this.#client.getTransactionStatus();
      if (status === 'E' || status === 'T') this.#opened();
      else {
        this.#state = 'failed';
        this.#failure = error instanceof Error ? error : new Error(String(error));
        this.#held.refuse(this.#failure);
        this.#tell();
      }
      then();
    });
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The call as a single statement of the extended protocol; null: it is, or may be, something else. */
function partOfExchange(given: readonly unknown[]): pg.QueryConfig | null {
  const [first] = given;
  const config = typeof first === 'string' ? { text: first } : (first as Partial<pg.QueryConfig> | null | undefined);
  if (typeof config !== 'object' || config === null || needsConnection(config)) return null;
  // A prepared statement would be noted as prepared by the answer to BEGIN.
  if (typeof config.text !== 'string' || config.name !== undefined) return null;
  const text = config.text.trim();
  if (text === '' || text.slice(0, -1).includes(';')) return null;
  return { ...config, text: config.text, queryMode: 'extended' } as pg.QueryConfig;
}

/** The driver makes a result of each statement of the exchange. */
function lastOf(results: unknown): unknown {
  return Array.isArray(results) ? (results as readonly unknown[]).at(-1) : results;
}
