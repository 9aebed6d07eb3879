/**
 * Which of several databases a request means: the one that its path names, or the only one. Pure.
 */
import { adviceForName } from '../../operations/databases/database-names.ts';
import { RequestRefusal } from './failure.ts';

/** '/api/runs/:id' as '/api/db/NAME/runs/:id'. */
export function pathInDatabase(path: string, name: string): string {
  return path.replace(/^\/api\//, `/api/db/${name}/`);
}

/** `name`: null for a path that names none; `path` is for errors. Throws RequestRefusal. */
export function databaseFor<T>(databases: ReadonlyMap<string, T>, name: string | null, path: string): T {
  const names = [...databases.keys()];
  const [first = ''] = names;
  const found = databases.get(name ?? (names.length === 1 ? first : ''));
  if (found !== undefined) return found;
  if (name !== null)
    throw new RequestRefusal(404, 'HF_NOT_FOUND', `There is no database ${JSON.stringify(name)} here.`, {
      advice: adviceForName(name, names),
    });
  throw new RequestRefusal(400, 'HF_REQUEST', 'It is not said which database is meant.', {
    advice: `Ask ${pathInDatabase(path, first)} for ${first}; there are: ${names.join(', ')}.`,
    facts: { databases: names },
  });
}

/** The command that an act answers with, for the database that it was done in. `name`: null for none. */
export function commandFor(name: string | null, result: unknown): unknown {
  if (name === null || typeof result !== 'object' || result === null || !('command' in result)) return result;
  return { ...result, command: `${String(result.command)} --database ${name}` };
}
