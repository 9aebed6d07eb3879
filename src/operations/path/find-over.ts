/**
 * What a name is the name of, in several databases at once.
 */
import type { Database } from '../../postgres/database.ts';
import type { Duration } from '../../runtime/duration.ts';
import { askEach, hasAnswered, type PatienceOptions, type FromDatabase } from '../databases/ask-each.ts';
import { findAnything, nameToFind, type Findings, type Found } from './find-anything.ts';

export interface FindOverOptions extends PatienceOptions {
  /** As of findAnything, in each of them. */
  readonly lookFor?: Duration | undefined;
}

/** In the order of the names. Rejects with HF_CONFIG for what cannot be a name. */
export async function findOver(
  databases: ReadonlyMap<string, Database>,
  text: string,
  { lookFor, ...options }: FindOverOptions = {},
): Promise<readonly FromDatabase<Findings>[]> {
  const wanted = nameToFind(text);
  const said = await askEach(databases, (database) => findAnything(database, wanted, { lookFor }), options);
  return said.map((each) => (hasAnswered(each) ? { ...each, value: named(each.value, each.database) } : each));
}

/** The commands that show what was found say where it is, but for those that look at all databases anyway. Pure. */
function named(findings: Findings, database: string): Findings {
  const withName = (found: Found): Found =>
    found.show.startsWith('holdfast outbox path ') ? found : { ...found, show: `${found.show} --database ${database}` };
  return { ...findings, found: findings.found.map(withName), similar: findings.similar.map(withName) };
}
