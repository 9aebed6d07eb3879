/**
 * Waits for runs to end, for all handles of one client together: one query for all of them, asked ever more seldom, and none when the
 * worker in this process says first how a run ended.
 */
// By name, so that a test's fake timers, which replace the globals, do not stop what is to move them.
import { clearTimeout, setTimeout } from 'node:timers';
import { HoldfastError } from '../../errors.ts';
import { passesByItself } from '../../postgres/sql-state.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { IdMap } from '../../runtime/id-map.ts';
import type { ClientStore, RunView } from '../store/store.ts';

const FIRST_DELAY_MS = 20;
const LONGEST_DELAY_MS = 1_000;
const GROWTH = 1.5;
/** Runs asked for in one query. */
const MOST_IDS = 1_000;
/** Ends remembered that nobody was waiting for when a worker told them. */
const MOST_RECENT = 1_000;

export interface ResultWatch {
  /** Resolves once the run has ended or is stuck; rejects with HF_NOT_FOUND, or when `signal` aborts. */
  wait(id: string, signal?: AbortSignal): Promise<RunView>;
  /** For a worker in the same process: whether somebody waits for the run. */
  waitsFor(id: string): boolean;
  /** For a worker in the same process: the run is as shown, and that is committed. Does nothing unless it has ended or is stuck. */
  tell(run: RunView): void;
  /** For a worker in the same process, about a run that nobody waits for: it has ended, whoever asks next can look at once. */
  note(id: string): void;
}

interface Waiter {
  readonly resolve: (run: RunView) => void;
  readonly reject: (error: Error) => void;
}

interface Waited {
  waiters: readonly Waiter[];
  delayMs: number;
  /** Monotonic. */
  dueAt: number;
}

export interface ResultWatchOptions {
  readonly clock?: Clock | undefined;
  /**
   * Whether a worker in this process has the run, and so will tell of its end: then nobody else is asked. With it, the first look is
   * not taken at once.
   */
  readonly here?: ((id: string) => boolean) | undefined;
}

export function createResultWatch(
  store: Pick<ClientStore<never>, 'read'>,
  options: ResultWatchOptions = {},
): ResultWatch {
  return new PollingResultWatch(store, options);
}

class PollingResultWatch implements ResultWatch {
  readonly #store: Pick<ClientStore<never>, 'read'>;
  readonly #clock: Clock;
  readonly #here: ResultWatchOptions['here'];
  readonly #waited = new IdMap<Waited>();
  readonly #recent = new Set<string>();
  #looking = false;
  #wake = new AbortController();
  /** When the next look is taken; monotonic. */
  #lookAt = -Infinity;

  constructor(store: Pick<ClientStore<never>, 'read'>, { clock = systemClock, here }: ResultWatchOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#here = here;
  }

  wait(id: string, signal?: AbortSignal): Promise<RunView> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(asError(signal.reason));
      const onAbort = (): void => {
        this.#leave(id, waiter);
        reject(asError(signal?.reason));
      };
      const stopListening = (): void => signal?.removeEventListener('abort', onAbort);
      const waiter: Waiter = {
        resolve: (run) => (stopListening(), resolve(run)),
        reject: (error) => (stopListening(), reject(error)),
      };
      signal?.addEventListener('abort', onAbort);
      this.#join(id, waiter);
    });
  }

  waitsFor(id: string): boolean {
    return this.#waited.has(id);
  }

  tell(run: RunView): void {
    if (run.status === 'completed' || run.status === 'compensated' || run.status === 'stuck')
      this.#settle(run.id, ({ resolve }) => resolve(run));
  }

  note(id: string): void {
    this.#recent.add(id);
    if (this.#recent.size <= MOST_RECENT) return;
    for (const oldest of this.#recent) {
      this.#recent.delete(oldest);
      break;
    }
  }

  #join(id: string, waiter: Waiter): void {
    const later = this.#here !== undefined && !this.#recent.delete(id);
    const entry: Waited = this.#waited.get(id) ?? { waiters: [], delayMs: FIRST_DELAY_MS, dueAt: 0 };
    entry.waiters = [...entry.waiters, waiter];
    entry.delayMs = FIRST_DELAY_MS;
    entry.dueAt = this.#clock.monotonic() + (later ? FIRST_DELAY_MS : 0);
    this.#waited.set(id, entry);
    // Usually somebody waits already for something that is due before.
    if (entry.dueAt < this.#lookAt) this.#wake.abort();
    if (this.#looking) return;
    this.#looking = true;
    void this.#look();
  }

  #leave(id: string, waiter: Waiter): void {
    const entry = this.#waited.get(id);
    if (entry === undefined) return;
    entry.waiters = entry.waiters.filter((each) => each !== waiter);
    if (entry.waiters.length === 0) this.#waited.delete(id);
    if (this.#waited.size === 0) this.#wake.abort();
  }

  #settle(id: string, by: (waiter: Waiter) => void): void {
    const waiters = this.#waited.get(id)?.waiters ?? [];
    this.#waited.delete(id);
    for (const waiter of waiters) by(waiter);
  }

  async #look(): Promise<void> {
    // Whoever else begins to wait in this turn is asked for in the same query.
    await Promise.resolve();
    while (this.#waited.size > 0) await this.#lookOnce();
    // At once: whoever begins to wait from now on has to begin a look.
    this.#looking = false;
  }

  async #lookOnce(): Promise<void> {
    // One by one: a hundred thousand arguments are too many for one call.
    let dueAt = Infinity;
    for (const each of this.#waited.values()) dueAt = Math.min(dueAt, each.dueAt);
    const leftMs = dueAt - this.#clock.monotonic();
    if (leftMs <= 0) return this.#askForDue();
    this.#wake = new AbortController();
    this.#lookAt = dueAt;
    await sleep(this.#clock, leftMs, this.#wake.signal);
    this.#lookAt = -Infinity;
  }

  /** One query for all that are due now. Each is due again later and later. */
  async #askForDue(): Promise<void> {
    const now = this.#clock.monotonic();
    const due = this.#waited
      .entries()
      .filter(([, each]) => each.dueAt <= now)
      .slice(0, MOST_IDS);
    await this.#ask(due.flatMap(([id]) => (this.#here?.(id) === true ? [] : [id])));
    for (const [, each] of due) {
      each.dueAt = this.#clock.monotonic() + each.delayMs;
      each.delayMs = Math.min(each.delayMs * GROWTH, LONGEST_DELAY_MS);
    }
  }

  async #ask(ids: readonly string[]): Promise<void> {
    try {
      const found = new Map(ids.length === 0 ? [] : (await this.#store.read(ids)).map((run) => [run.id, run]));
      for (const id of ids) {
        const run = found.get(id);
        if (run === undefined) this.#settle(id, ({ reject }) => reject(notFound(id)));
        else this.tell(run);
      }
    } catch (error) {
      // A database that is away comes back; whoever does not want to wait for that gives a timeout.
      if (!passesByItself(error)) for (const id of ids) this.#settle(id, ({ reject }) => reject(asError(error)));
    }
  }
}

export function notFound(id: string): HoldfastError {
  return new HoldfastError('HF_NOT_FOUND', `There is no run ${id}.`, {
    advice:
      'A run is there once the transaction that starts it has committed, until it is pruned some time after its end.',
    details: { run: id },
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

/** Keeps no process alive on the real clock. */
function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (clock !== systemClock) return clock.sleep(delayMs, signal);
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    timer.unref();
    signal.addEventListener('abort', done, { once: true });
  });
}
