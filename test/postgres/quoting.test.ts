import { expect, test } from 'vitest';
import { assertSchemaName, quoteIdentifier } from '../../src/postgres/quoting.ts';

test('quotes in identifiers are doubled', () => {
  expect(quoteIdentifier('we"ird')).toBe('"we""ird"');
});

test.each(['holdfast', 'Holdfast', 'my-app_2', 'a'.repeat(40)])('%s may be the schema', (name) => {
  expect(assertSchemaName(name)).toBe(name);
});

test.each(['', 'a'.repeat(41), '1st', 'a b', "a'b", 'a"b', 'a$$b', 'pg_own', 'PG_own', 'ä', 'a\n'])(
  '%j may not be the schema',
  (name) => {
    expect(() => assertSchemaName(name)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  },
);
