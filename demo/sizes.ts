/**
 * What the processes and the tables of a soak take, over its time: what grows without an end shows in them.
 */
import { readFileSync } from 'node:fs';
import type { Databases } from './audit/books.ts';
import type { Fleet } from './fleet.ts';
import { SERVICE_NAMES } from './world.ts';

/** At one moment; sizes in MiB. */
export interface Sample {
  readonly seconds: number;
  /** Resident memory of a process, as the system counts it: the mean, and that which has most. 0 where the system does not tell. */
  readonly meanMiB: number;
  readonly mostMiB: number;
  /** All four databases, with their indexes and what vacuum has not yet given back. */
  readonly databaseMiB: number;
  /** Tables that are to stay small, however many runs have ended: run messages that no run has taken in, leases, cursors, attempts. */
  readonly workingMiB: number;
}

export interface Sizes {
  /** Takes the last sample. */
  stop(): Promise<{ readonly seconds: number; readonly samples: readonly Sample[] }>;
}

/** Samples that are kept at most: then every second one is dropped, and they are taken half as often. */
const MOST_SAMPLES = 24;
const FIRST_EVERY_MS = 5_000;
const MIB = 1_048_576;

export function watchSizes(fleet: Fleet, databases: Databases): Sizes {
  const beganMs = performance.now();
  let samples: Sample[] = [];
  let everyMs = FIRST_EVERY_MS;
  let timer = setTimeout(() => void look(), everyMs);
  let isOver = false;

  async function look(): Promise<void> {
    // A database that cannot be asked fails the run elsewhere.
    await take().catch(() => {});
    if (samples.length > MOST_SAMPLES) {
      samples = samples.filter((_, index) => index % 2 === 1);
      everyMs *= 2;
    }
    if (!isOver) timer = setTimeout(() => void look(), everyMs);
  }

  async function take(): Promise<void> {
    const pids = fleet.pids();
    if (pids.length === 0) return;
    const memory = pids.flatMap(residentMiB);
    const tables = await Promise.all(SERVICE_NAMES.map((name) => tableSizes(databases[name])));
    samples.push({
      seconds: Math.round((performance.now() - beganMs) / 1_000),
      meanMiB: Math.round(sumOf(memory) / Math.max(1, memory.length)),
      mostMiB: Math.round(Math.max(0, ...memory)),
      databaseMiB: Math.round(sumOf(tables.map(({ all }) => all)) / MIB),
      workingMiB: Number((sumOf(tables.map(({ working }) => working)) / MIB).toFixed(1)),
    });
  }

  return {
    async stop() {
      isOver = true;
      clearTimeout(timer);
      await take();
      return { seconds: Math.round((performance.now() - beganMs) / 1_000), samples };
    },
  };
}

/** For people. */
export function tableOf(samples: readonly Sample[]): string {
  const head = '   minute   a process, mean   most   databases   working tables   (MiB)';
  const lines = samples.map(({ seconds, meanMiB, mostMiB, databaseMiB, workingMiB }) =>
    [
      (seconds / 60).toFixed(1).padStart(9),
      String(meanMiB).padStart(18),
      String(mostMiB).padStart(7),
      String(databaseMiB).padStart(12),
      workingMiB.toFixed(1).padStart(17),
    ].join(''),
  );
  return [head, ...lines].join('\n');
}

async function tableSizes(database: Databases['orders']): Promise<{ readonly all: number; readonly working: number }> {
  const { rows } = await database.query<{ all: number; working: number }>(
    `SELECT pg_database_size(current_database())::float8 AS all,
       (SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
        WHERE oid IN (to_regclass('holdfast.saga_mail'), to_regclass('holdfast.worker'), to_regclass('holdfast.subscription'),
          to_regclass('holdfast.delivery_attempt')))::float8 AS working`,
  );
  return rows[0] ?? { all: 0, working: 0 };
}

/** None where the system does not tell: Linux does. */
export function residentMiB(pid: number): readonly number[] {
  try {
    const [, kib = ''] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return kib === '' ? [] : [Number(kib) / 1_024];
  } catch {
    return [];
  }
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}
