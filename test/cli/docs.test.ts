/** docs/operations.md tells of every flag, variable and exit code that there is; test/house/metrics.test.ts looks at its metrics. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ALL } from '../../src/cli/config/options.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');

describe('docs/operations.md', () => {
  it.each(Object.values(ALL).map(({ flag, env }) => [flag.split(' ')[0] ?? '', env] as const))(
    'has %s',
    (flag, env) => {
      for (const name of [flag, ...env]) expect(page).toMatch(new RegExp(`\`${name}[ \`]`));
    },
  );

  it('has every exit code', () => {
    const documented = [...page.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
    expect(documented).toEqual(Object.values(EXIT));
  });
});
