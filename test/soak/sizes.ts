/**
 * How much the processes, the databases and Redis take, sampled over the time of a leg.
 */
import { residentMiB } from '../../demo/sizes.ts';
import type { Crew } from './crew.ts';
import type { Series } from './judge/flat.ts';
import { redisFact, type SoakServers } from './servers.ts';
import { DATABASE_NAMES, LASTING } from './setting.ts';

/** In MiB. */
export interface SoakSample {
  readonly seconds: number;
  /** Of each process that is never ended. */
  readonly lasting: Readonly<Record<string, number>>;
  /** Of all processes: the mean, and that which has most. */
  readonly mean: number;
  readonly most: number;
  readonly databases: number;
  /** Of these, what Holdfast needs: its tables with their indexes. */
  readonly tables: number;
  readonly redis: number;
}

const MIB = 1_048_576;
/** With more, every second one is dropped. */
const MOST_SAMPLES = 240;
/** By how much each may grow whatever part of it that is, in MiB. */
const SLACK = { memory: 24, databases: 24, tables: 16, redis: 12 } as const;

/** Rejects when a server does not answer. */
export async function takeSample(
  seconds: number,
  { fleet }: Pick<Crew, 'fleet'>,
  { databases, redis }: Pick<SoakServers, 'databases' | 'redis'>,
): Promise<SoakSample> {
  const all = fleet.pids().flatMap(residentMiB);
  const sizes = await Promise.all(
    DATABASE_NAMES.map(async (name) => {
      const { rows } = await databases[name].query<{ database: number; tables: number }>(
        `SELECT pg_database_size(current_database())::float8 AS database,
           (SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::float8 FROM pg_class
            WHERE relnamespace = 'holdfast'::regnamespace AND relkind = 'r') AS tables`,
      );
      return rows[0] ?? { database: 0, tables: 0 };
    }),
  );
  return {
    seconds: Math.round(seconds),
    lasting: Object.fromEntries(LASTING.map((name) => [name, Math.round(residentMiB(fleet.pidOf(name) ?? 0)[0] ?? 0)])),
    mean: Math.round(sumOf(all) / Math.max(1, all.length)),
    most: Math.round(Math.max(0, ...all)),
    databases: Math.round(sumOf(sizes.map(({ database }) => database)) / MIB),
    tables: Math.round(sumOf(sizes.map(({ tables }) => tables)) / MIB),
    redis: Math.round((await redisFact(redis, 'used_memory')) / MIB),
  };
}

/** Pure. */
export function withSample(samples: readonly SoakSample[], sample: SoakSample): readonly SoakSample[] {
  const all = [...samples, sample];
  return all.length > MOST_SAMPLES ? all.filter((_, index) => index % 2 === 1) : all;
}

/** What must stay as large as it is. Pure. */
export function seriesOf(samples: readonly SoakSample[]): readonly Series[] {
  const series = (name: string, slack: number, value: (sample: SoakSample) => number): Series => ({
    name,
    slack,
    values: samples.map(value),
  });
  return [
    ...LASTING.map((name) => series(`memory of ${name}`, SLACK.memory, ({ lasting }) => lasting[name] ?? 0)),
    series('databases', SLACK.databases, ({ databases }) => databases),
    series("Holdfast's tables", SLACK.tables, ({ tables }) => tables),
    series('Redis', SLACK.redis, ({ redis }) => redis),
  ];
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}
