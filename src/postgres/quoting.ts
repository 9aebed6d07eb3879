/**
 * Names that go into SQL text: quoting them, and what the configured schema may be called.
 */

import { HoldfastError } from '../errors.ts';

/** The schema that holds the tables unless another is configured. */
export const DEFAULT_SCHEMA = 'holdfast';

/** An identifier in double quotes, safe to put into SQL. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * Checks a configured schema name and returns it; throws HF_CONFIG otherwise. Letters, digits, '_' and '-', at most 40 characters:
 * the name also stands inside SQL literals and function bodies of the migrations, and inside a NOTIFY channel of at most 63 bytes.
 */
export function assertSchemaName(name: string): string {
  if (typeof name !== 'string' || !/^[A-Za-z_][A-Za-z0-9_-]{0,39}$/.test(name) || /^pg_/i.test(name)) {
    throw new HoldfastError('HF_CONFIG', `${JSON.stringify(name)} cannot be the name of the Holdfast schema.`, {
      advice: "Use at most 40 letters, digits, '_' or '-', beginning with a letter or '_', and not with 'pg_'.",
      details: { schema: name },
    });
  }
  return name;
}
