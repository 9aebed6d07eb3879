/**
 * Keeps the lease of a worker while its event loop stands still: a step that computes, or parses something large, for longer than the
 * lease. Without that its runs would go to other workers, which begin the same step beside it.
 *
 * A thread looks at a sign of life of the event loop, and only when that stays away opens a connection of its own and prolongs the lease;
 * not for ever, since code may also never come back. Afterwards the standstill is said in the log, with the step that held the loop.
 */
import { pathToFileURL } from 'node:url';
import { Worker as Thread } from 'node:worker_threads';
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Logger } from '../../runtime/log.ts';
import { inNoContext } from '../../runtime/scope.ts';
import type { Holder } from '../run/run-settings.ts';

export interface LeaseKeeper {
  /** Whose lease is to be kept from now on; null: nobody's. */
  keep(workerId: string | null): void;
  /** Since the lease was last prolonged by the thread, in milliseconds; Infinity: never in this lease session. */
  sinceKeptMs(): number;
  /** Code of a step that did not return to the event loop for so long. */
  held(holder: Holder): void;
  close(): Promise<void>;
}

export interface LeaseKeeperOptions {
  readonly database: Database;
  readonly leaseMs: number;
  /** For how long the event loop may stand still at most, in milliseconds. */
  readonly standstillMs: number;
  readonly log: Logger;
  /** What is under way, for a standstill that no single step has caused on its own. */
  readonly underWay: () => readonly string[];
}

const MS = 1_000_000n;
/** Places in the memory that both threads see, in nanoseconds of the monotonic clock. */
const [BEAT, KEPT] = [0, 1];
const MOST_NAMED = 5;

export function startLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  const { database, leaseMs, standstillMs, log, underWay } = options;
  const everyMs = Math.max(10, Math.floor(leaseMs / 6));
  const clock = new BigInt64Array(new SharedArrayBuffer(16));
  let holders: Holder[] = [];
  let last = process.hrtime.bigint();
  Atomics.store(clock, BEAT, last);

  const beat = (): void => {
    const now = process.hrtime.bigint();
    const stoodMs = Number((now - last) / MS) - everyMs;
    last = now;
    Atomics.store(clock, BEAT, now);
    if (stoodMs > leaseMs / 3) tell(stoodMs);
    holders = [];
  };
  function tell(stoodMs: number): void {
    const holder = holders.toSorted((a, b) => b.ms - a.ms)[0];
    const named =
      holder !== undefined && holder.ms > stoodMs / 2 ? holder : { underWay: underWay().slice(0, MOST_NAMED) };
    log.error(
      { stoodMs, leaseMs, ...named },
      'the event loop stood still, and all runs of this worker with it: have heavy work done by a worker thread or another process',
    );
  }

  return inNoContext(() => {
    const timer = setInterval(beat, everyMs).unref();
    const thread = new Thread(THREAD, {
      eval: true,
      execArgv: [],
      workerData: {
        clock: clock.buffer,
        from: import.meta.url ?? pathToFileURL(`${process.cwd()}/`).href,
        connection: connectionOf(database),
        sql: `UPDATE ${quoteIdentifier(database.schema)}.worker SET lease_until = greatest(lease_until, clock_timestamp() + $2::float8 * interval '1 millisecond')
              WHERE id = $1::uuid AND lease_until > clock_timestamp()`,
        leaseMs,
        standstillMs,
        everyMs,
      },
    });
    thread.unref();
    const unavailable = (error: unknown): void =>
      log.warn({ err: error }, 'no thread keeps the lease while the event loop stands still');
    thread.on('error', unavailable);
    thread.on('message', (error: unknown) => {
      if (error === null) log.debug({ standstillMs }, 'a thread keeps the lease while the event loop stands still');
      else unavailable(error);
    });
    return {
      keep(workerId) {
        Atomics.store(clock, KEPT, 0n);
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is of windows
        thread.postMessage(workerId);
      },
      sinceKeptMs() {
        const kept = Atomics.load(clock, KEPT);
        return kept === 0n ? Infinity : Number((process.hrtime.bigint() - kept) / MS);
      },
      held: (holder) => void holders.push(holder),
      async close() {
        clearInterval(timer);
        await thread.terminate();
      },
    };
  });
}

/** What can be handed to another thread: no password that is a function, no stream of the user's. */
function connectionOf({ pool }: Database): Readonly<Record<string, unknown>> | null {
  const { options } = pool;
  const { connectionString, host, port, user, password, database, ssl, options: server } = options;
  const connection = { connectionString, host, port, user, password, database, ssl, options: server };
  try {
    structuredClone(connection);
    return connection;
  } catch {
    return null;
  }
}

/** As text, so that it is there in a bundle as well. */
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const { clock: memory, from, connection, sql, leaseMs, standstillMs, everyMs } = workerData;
const clock = new BigInt64Array(memory);
let id = null;
let client = null;
let looking = false;
let pg = null;
try {
  if (connection === null) throw new Error('The settings of the connection cannot be handed to a thread.');
  pg = require('node:module').createRequire(from)('pg');
  parentPort.postMessage(null);
} catch (error) {
  parentPort.postMessage(error);
}
parentPort.on('message', (next) => { id = next; });
const letGo = async () => {
  const old = client;
  client = null;
  if (old !== null) await old.end().catch(() => {});
};
const look = async () => {
  const stillMs = Number((process.hrtime.bigint() - Atomics.load(clock, 0)) / 1000000n);
  const kept = id;
  if (kept === null || stillMs < leaseMs / 3 || stillMs > standstillMs) return letGo();
  if (client === null) {
    const made = new pg.Client({ ...connection, application_name: 'holdfast-lease', connectionTimeoutMillis: leaseMs / 3, query_timeout: leaseMs / 3 });
    made.on('error', () => { if (client === made) client = null; });
    await made.connect();
    client = made;
  }
  const sent = process.hrtime.bigint();
  const { rowCount } = await client.query(sql, [kept, leaseMs]);
  if (kept !== id) return;
  if (rowCount === 0) id = null;
  else Atomics.store(clock, 1, sent);
};
if (pg !== null) setInterval(() => {
  if (looking) return;
  looking = true;
  look().catch(letGo).finally(() => { looking = false; });
}, everyMs);
`;
