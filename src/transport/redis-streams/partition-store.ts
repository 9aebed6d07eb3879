/**
 * What a receiver asks of Redis about one partition, in types: the scripts, their arguments and answers.
 */
import type { StreamsConnection } from './connection.ts';
import { type Fields, readEntry, type StreamEntry } from './entry.ts';
import { GROUP, type PartitionKeys } from './keys.ts';
import type { LaneEntry } from './lanes.ts';
import { ReadingWay } from './reading-way.ts';
import type { Parcel, Postponed } from './unsent-verdicts.ts';
import { ADOPT, EXCHANGE, LEAVE, RENEW } from './receive-scripts.ts';

/** Consumers that were silent for so long are forgotten, if they hold nothing. */
const FORGET_MS = 3_600_000;

export interface PartitionStoreOptions {
  readonly connection: StreamsConnection;
  readonly keys: PartitionKeys;
  /** Our name in the group; nobody else has it. */
  readonly consumer: string;
  /** How long an ordered partition is owned without a sign of life; 0 where order is not kept. */
  readonly lockMs: number;
  /** Aborts when Redis is not waited for any more. */
  readonly givingUp: AbortSignal;
}

export interface Exchanged {
  /** That came later and are due, or are new; all are ours now. */
  readonly due: readonly StreamEntry[];
  readonly fresh: readonly StreamEntry[];
  /** In how many milliseconds something is due; null: nothing. */
  readonly dueInMs: number | null;
  /** The last id of the stream, when it had less than was asked for; null: it may have more. */
  readonly last: string | null;
  /** Of those that were to begin: deleted by somebody. */
  readonly gone: ReadonlySet<string>;
}

export interface AdoptedEntries {
  readonly pending: readonly StreamEntry[];
  readonly delayed: readonly Postponed[];
  readonly isAll: boolean;
}

/** Whose pending entries are adopted. See ADOPT. */
export type Whose = 'me' | 'others' | 'all';

/** As XREADGROUP says it. */
type Read = readonly (readonly [string, Fields])[];
type Row = readonly [id: string, count: string | number, fields: Fields, dueInMs?: number];

export class PartitionStore {
  readonly #options: PartitionStoreOptions;
  readonly #way = new ReadingWay();

  constructor(options: PartitionStoreOptions) {
    this.#options = options;
  }

  /** One round trip: verdicts and beginnings there, at most `take` messages back. Null: another receiver owns the partition. */
  async exchange(parcel: Parcel, begin: readonly LaneEntry[], take: number): Promise<Exchanged | null> {
    const { lockMs } = this.#options;
    if (lockMs > 0 || !this.#way.mayReadOn({ later: parcel.later.length, take }))
      return this.#exchangeWholly(parcel, begin, take);
    const fresh = await this.#readOn(parcel.done, take);
    this.#way.hasReadOn({ fresh: fresh.length });
    // Whether there is more, and what is due, is for the script to say.
    return { due: [], fresh, dueInMs: null, last: null, gone: new Set() };
  }

  async #exchangeWholly({ done, later }: Parcel, begin: readonly LaneEntry[], take: number): Promise<Exchanged | null> {
    const nowMs = performance.now();
    const answer = await this.#fenced(EXCHANGE, [
      take,
      done.length,
      later.length,
      begin.length,
      ...done,
      ...later.flatMap(({ entry, dueMs }) => [entry.id, entry.count, Math.max(0, Math.ceil(dueMs - nowMs))]),
      ...begin.flatMap(({ entry, beginning }) => [entry.id, beginning?.delayedCount ?? '', entry.count]),
    ]);
    if (answer === null) return null;
    const [due, fresh, dueInMs, last, gone] = answer as [Row[], Read, number, string, string[]];
    this.#way.hasReadWholly({ due: due.length, fresh: fresh.length });
    return {
      due: due.map(entryOf),
      fresh: fresh.map(([id, fields]) => readEntry(id, 1, fields)),
      dueInMs: dueInMs < 0 ? null : dueInMs,
      last: last === '' ? null : last,
      gone: new Set(gone),
    };
  }

  /**
   * What is done, and what is new, by plain commands: several steps for everybody else. Deleting comes before acknowledging. A death in between
   * leaves the place of a message that is not there any more, which whoever adopts it forgets; the other way round the message would lie there
   * for good, and nobody would be given it.
   */
  async #readOn(done: readonly string[], take: number): Promise<readonly StreamEntry[]> {
    const { connection, keys, consumer, givingUp } = this.#options;
    const answers = await connection.runAll((pipeline) => {
      if (done.length > 0) pipeline.xdel(keys.stream, ...done).xack(keys.stream, GROUP, ...done);
      return pipeline.xreadgroup('GROUP', GROUP, consumer, 'COUNT', take, 'STREAMS', keys.stream, '>');
    }, givingUp);
    const streams = answers.at(-1) as readonly (readonly [string, Read])[] | null;
    return (streams?.[0]?.[1] ?? []).map(([id, fields]) => readEntry(id, 1, fields));
  }

  /** Takes over pending entries, at most `limit` beside those that are known. Null: another receiver owns the partition. */
  async adopt(whose: Whose, limit: number, silentMs: number, known: readonly string[]): Promise<AdoptedEntries | null> {
    const answer = await this.#fenced(ADOPT, [silentMs, limit + known.length, whose, ...known]);
    if (answer === null) return null;
    const [pending, delayed, isAll] = answer as [Row[], Row[], number];
    const nowMs = performance.now();
    return {
      pending: pending.map(entryOf),
      delayed: delayed.map((row) => ({ entry: entryOf(row), dueMs: nowMs + (row[3] ?? 0) })),
      isAll: isAll === 1,
    };
  }

  /** Renews the claims on these; says which are not ours any more. */
  async renew(ids: readonly string[]): Promise<readonly string[]> {
    const { connection, keys, consumer, givingUp } = this.#options;
    return (await connection.run(RENEW, [keys.stream], [GROUP, consumer, ...ids], givingUp)) as string[];
  }

  /** Whether we own the ordered partition from now on. */
  async acquire(): Promise<boolean> {
    const { connection, keys, consumer, lockMs, givingUp } = this.#options;
    return (await connection.ask((client) => client.set(keys.owner, consumer, 'PX', lockMs, 'NX'), givingUp)) === 'OK';
  }

  /** Leaves the group. @param givesUp whether an ordered partition is for whoever wants it */
  async leave(givesUp: boolean): Promise<void> {
    const { connection, keys, consumer, givingUp } = this.#options;
    const args = [GROUP, consumer, givesUp ? '1' : '0', FORGET_MS];
    await connection.run(LEAVE, [keys.stream, keys.owner], args, givingUp);
  }

  /** From the first entry on: Redis was emptied, or somebody has deleted the group, and nothing may be skipped. */
  async createGroup(): Promise<void> {
    const { connection, keys, givingUp } = this.#options;
    try {
      await connection.ask((client) => client.xgroup('CREATE', keys.stream, GROUP, '0', 'MKSTREAM'), givingUp);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error;
    }
  }

  async #fenced(script: typeof EXCHANGE, args: readonly (string | number)[]): Promise<readonly unknown[] | null> {
    const { connection, keys, consumer, lockMs, givingUp } = this.#options;
    const all = [GROUP, consumer, lockMs, ...args];
    const answer = await connection.run(script, [keys.stream, keys.delayed, keys.owner], all, givingUp);
    return answer === 'lost' ? null : (answer as readonly unknown[]);
  }
}

function entryOf([id, count, fields]: Row): StreamEntry {
  return readEntry(id, Number(count), fields);
}
