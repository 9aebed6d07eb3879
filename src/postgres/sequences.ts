/**
 * Sequences that have fallen behind the tables they number, as after a logical replication, which carries none: finding them, raising
 * them, and what it means when a number is taken.
 */
import type pg from 'pg';
import { HoldfastError } from '../errors.ts';
import { quoteIdentifier } from './quoting.ts';
import { causeOf } from './wrapped-error.ts';

export interface SequenceBehind {
  readonly name: string;
  /** The last number it gave out. */
  readonly last: number;
  /** The highest number in use. */
  readonly needed: number;
}

/** A pool, a client, or a Database. */
export interface Queryable {
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<pg.QueryResult<R>>;
}

/** Reads only. */
export async function sequencesBehind(on: Queryable, schema: string): Promise<readonly SequenceBehind[]> {
  return ask(on, `${quoteIdentifier(schema)}.sequences_behind()`);
}

/** Raises those that are behind over what is in use, and resolves with them. Effective at once, whatever becomes of the transaction. */
export async function raiseSequences(on: Queryable, schema: string): Promise<readonly SequenceBehind[]> {
  return ask(on, `${quoteIdentifier(schema)}.raise_sequences()`);
}

async function ask(on: Queryable, source: string): Promise<readonly SequenceBehind[]> {
  const { rows } = await on.query<{ name: string; last: string; needed: string }>(
    `SELECT name, last::text AS last, needed::text AS needed FROM ${source}`,
  );
  return rows.map(({ name, last, needed }) => ({ name, last: Number(last), needed: Number(needed) }));
}

/** HF_SEQUENCE_BEHIND. */
export function sequenceBehind(what: string, options: { readonly cause?: unknown } = {}): HoldfastError {
  return new HoldfastError('HF_SEQUENCE_BEHIND', what, {
    advice:
      'The tables came here without their sequences, or were emptied with RESTART IDENTITY. `holdfast migrate`, or the next start of a relay, raises them; then send it again.',
    ...options,
  });
}

/**
 * Which unique constraint a statement ran into, of those named. By the driver's own field where there is one, else by the message, in
 * which the name stands in every language.
 */
export function violated<const Name extends string>(error: unknown, names: readonly Name[]): Name | undefined {
  let current: unknown = error;
  for (let depth = 0; current instanceof Error && depth < 5; depth += 1) {
    const { message } = current;
    const said =
      'constraint' in current ? current.constraint : 'constraint_name' in current ? current.constraint_name : undefined;
    const found = names.find((name) =>
      typeof said === 'string' ? said === name : new RegExp(`\\b${name}\\b`).test(message),
    );
    if (found !== undefined) return found;
    current = causeOf(current);
  }
  return undefined;
}
