/**
 * Asking several databases at once. Each has the same time for its answer, so one that is away or slow holds up nobody: who asks gets what
 * the others said, and the names of those that said nothing.
 */
import { HoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { withTimeout } from '../../runtime/timeout.ts';

/** One that has answered. */
export interface DatabaseAnswer<T> {
  readonly database: string;
  readonly value: T;
}

/** One that has not, and why. */
export interface SilentDatabase {
  readonly database: string;
  readonly error: unknown;
}

/** What one of several said: a value, or why there is none. */
export type FromDatabase<T> = DatabaseAnswer<T> | SilentDatabase;

/** How long any of them may take, in milliseconds: a person waits for it. */
export const PATIENCE_MS = 5_000;

export interface PatienceOptions {
  /** @defaultValue PATIENCE_MS */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/** In the order of the names. Never rejects. What a database does after its time is up is nobody's answer. */
export async function askEach<Peer, T>(
  peers: ReadonlyMap<string, Peer>,
  ask: (peer: Peer, name: string) => Promise<T>,
  { timeoutMs = PATIENCE_MS, clock = systemClock }: PatienceOptions = {},
): Promise<readonly FromDatabase<T>[]> {
  return Promise.all([...peers].map(([name, peer]) => askOne(name, () => ask(peer, name), { timeoutMs, clock })));
}

async function askOne<T>(
  database: string,
  ask: () => Promise<T>,
  { timeoutMs, clock }: Required<PatienceOptions>,
): Promise<FromDatabase<T>> {
  try {
    return { database, value: await withTimeout(ask, { timeoutMs, clock, onTimeout: () => tooLate(database) }) };
  } catch (error) {
    return { database, error };
  }
}

export function hasAnswered<T>(said: FromDatabase<T>): said is DatabaseAnswer<T> {
  return 'value' in said;
}

function tooLate(database: string): HoldfastError {
  return new HoldfastError('HF_READ_TIMEOUT', `The database ${database} has not answered in time.`, {
    advice: `It may be away, or have too much to do. Look at ${database} alone.`,
  });
}

/** All rounds of a question may take so many times what one may. */
const MOST_PATIENCES = 3;

/**
 * The databases of one question that takes several rounds. Whoever has failed in a round is not asked in the next. Each has a time for all of
 * its answers together: so one that says nothing uses up its own, and not what the others need for the rounds after it.
 */
export class AskedDatabases {
  readonly #answering: Map<string, { readonly database: Database; leftMs: number }>;
  readonly #silent: SilentDatabase[] = [];
  readonly #clock: Clock;
  readonly #untilMs: number;

  constructor(
    databases: ReadonlyMap<string, Database>,
    { timeoutMs = PATIENCE_MS, clock = systemClock }: PatienceOptions = {},
  ) {
    this.#answering = new Map([...databases].map(([name, database]) => [name, { database, leftMs: timeoutMs }]));
    this.#clock = clock;
    this.#untilMs = clock.monotonic() + MOST_PATIENCES * timeoutMs;
  }

  /** Those that failed in any round, in the order in which they did. */
  get silent(): readonly SilentDatabase[] {
    return this.#silent;
  }

  /** Of those that have answered so far. */
  get names(): readonly string[] {
    return [...this.#answering.keys()];
  }

  /** Never rejects. */
  async each<T>(ask: (database: Database, name: string) => Promise<T>): Promise<readonly DatabaseAnswer<T>[]> {
    const clock = this.#clock;
    const said = await Promise.all(
      [...this.#answering].map(async ([name, peer]) => {
        const begunMs = clock.monotonic();
        const timeoutMs = Math.max(1, Math.min(peer.leftMs, this.#untilMs - begunMs));
        const answer = await askOne(name, () => ask(peer.database, name), { timeoutMs, clock });
        peer.leftMs -= clock.monotonic() - begunMs;
        return answer;
      }),
    );
    for (const each of said) {
      if (hasAnswered(each)) continue;
      this.#answering.delete(each.database);
      this.#silent.push(each);
    }
    return said.filter(hasAnswered);
  }
}
