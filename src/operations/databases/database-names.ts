/**
 * Names of databases, where one dashboard or one command line sees several: they stand in addresses, flags and tables.
 */
import { badOption, didYouMean } from '../../runtime/options.ts';

/** Of the only database, where nobody has named it. */
export const ONLY_DATABASE = 'main';

const NAME = /^[a-z0-9][a-z0-9_-]{0,39}$/;
/** Each costs connections, and a line in every overview. */
const MOST_DATABASES = 50;

/** `where` is for errors. Throws HF_CONFIG for no name, for too many, and for one that no address can hold. */
export function assertDatabaseNames(names: readonly string[], where: string): void {
  if (names.length === 0) throw badOption(where, 'names no database', 'Name each one: { orders: …, payments: … }.');
  if (names.length > MOST_DATABASES)
    throw badOption(where, `names ${names.length} databases`, `Give at most ${MOST_DATABASES}.`);
  const strange = names.find((name) => !NAME.test(name));
  if (strange === undefined) return;
  throw badOption(
    where,
    `names a database ${JSON.stringify(strange)}`,
    'A name has at most 40 small letters, digits, - and _, and begins with a letter or digit.',
  );
}

/** What to do about a name that none of these has, in one sentence. */
export function adviceForName(name: string, names: readonly string[]): string {
  const near = didYouMean(name, names);
  return near === undefined ? `There are: ${names.join(', ')}.` : `Did you mean '${near}'?`;
}
