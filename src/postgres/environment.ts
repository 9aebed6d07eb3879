/**
 * Whose tables these are: a copy of a database, started by mistake, would publish what was pending and go on with the runs of the
 * original.
 */
import { HoldfastError } from '../errors.ts';
import type { Logger } from '../runtime/log.ts';
import type { Database } from './database.ts';
import { quoteIdentifier } from './quoting.ts';

export interface EnvironmentFacts {
  /** As configured here; null: it is not. */
  readonly given: string | null;
  /** As stored; null: known by its place alone. */
  readonly stored: string | null;
  /** The cluster and the database are those that it was last started in. */
  readonly samePlace: boolean;
}

/** Pure. Null: all goes on. */
export function judgeEnvironment({ given, stored, samePlace }: EnvironmentFacts): HoldfastError | null {
  if (given === null ? samePlace : given === stored) return null;
  const mine = given === null ? 'this has no name, and is another place' : `this is '${given}'`;
  const theirs = stored === null ? 'were last run in another cluster or database' : `are those of '${stored}'`;
  return new HoldfastError('HF_ENVIRONMENT', `The Holdfast tables here ${theirs}, and ${mine}.`, {
    advice:
      'If this is a copy, what is pending in it belongs to the original: start nothing. If all is to go on here, after a restore or a move, run `holdfast adopt`.',
    details: { given, stored, samePlace },
  });
}

/** Takes the tables for the environment that is configured, when they are its own or nobody's yet. Rejects with HF_ENVIRONMENT. */
export async function claimEnvironment(database: Database, log: Logger): Promise<void> {
  const given = database.environment ?? null;
  const { rows } = await database.query<{ name: string | null; same_place: boolean }>(
    `SELECT name, same_place FROM ${quoteIdentifier(database.schema)}.claim_environment($1)`,
    [given],
  );
  const [found] = rows;
  if (found === undefined) return;
  const refusal = judgeEnvironment({ given, stored: found.name, samePlace: found.same_place });
  if (refusal !== null) throw refusal;
  log.debug({ environment: found.name }, 'the tables are those of this environment');
}
