/**
 * All databases of a dashboard together: what routes about all of them ask, and what becomes of the answers. One that is away or slow is
 * named, and the others are told without it.
 */
import type { FromDatabase } from '../../operations/databases/ask-each.ts';
import type { Database } from '../../postgres/database.ts';
import type { AnswerOf, Overview } from './contract.ts';
import { failureOf } from './failure.ts';
import type { LiveStreams } from './live.ts';
import type { Poller } from './poller.ts';

export interface AllDatabases {
  /** For looks, by name. */
  readonly reads: ReadonlyMap<string, Database>;
  /** By name: the same that their own pages are told by, so that nothing is read twice. */
  readonly overviews: ReadonlyMap<string, Poller<Overview>>;
  /** Of all of them. */
  readonly live: LiveStreams;
  /** Ends streams whose session is over, of all and of each. */
  recheck(): void;
}

/** Pure. */
export function toAnswer<T>(said: FromDatabase<T>): AnswerOf<T> {
  const { database } = said;
  return 'value' in said
    ? { database, answer: said.value, failure: null }
    : { database, answer: null, failure: failureOf(said.error).body };
}
