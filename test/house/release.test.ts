/**
 * A release: everything that bears the version bears the same, changes are written where they belong, and what is published is what was
 * checked, with provenance.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { bearersOf, placeSection } from '../../.ci/version.ts';
import { ROOT } from './source-files.ts';

const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const { name, version } = z.object({ name: z.string(), version: z.string() }).parse(JSON.parse(textOf('package.json')));
const Workflow = z.object({
  jobs: z.record(
    z.string(),
    z.looseObject({
      needs: z.string().optional(),
      permissions: z.record(z.string(), z.string()).optional(),
      steps: z.array(z.looseObject({ run: z.string().optional() })),
    }),
  ),
});

it('is of one version, whatever bears it', () => {
  const bearers = bearersOf(version, textOf);
  expect(bearers.size).toBe(2);
  for (const [path, text] of bearers) expect({ path, text: textOf(path) }).toEqual({ path, text });
  expect([...bearersOf('7.8.9', textOf).values()].join('')).not.toContain(version);
});

it('puts what changesets write below the words at the top', () => {
  const written =
    '# Changelog\n\n## 0.2.0\n\n### Minor Changes\n\n- New:\n  two lines.\n\nWords at the top.\n\n## [0.1.0]\n\n- Old.\n';
  expect(placeSection(written, '0.2.0', '2030-01-31')).toBe(
    '# Changelog\n\nWords at the top.\n\n## [0.2.0] - 2030-01-31\n\n### Minor Changes\n\n- New:\n  two lines.\n\n## [0.1.0]\n\n- Old.\n',
  );
  expect(() => placeSection(written, '0.3.0', '2030-01-31')).toThrow(/0\.3\.0/);
});

it('has changesets that say what they are of, and where they go', () => {
  const { changelog, access } = z
    .object({ changelog: z.string(), access: z.literal('public') })
    .parse(JSON.parse(textOf('.changeset/config.json')));
  expect(textOf(join('.changeset', changelog))).toContain('getReleaseLine');
  expect(access).toBe('public');
  const changes = readdirSync(join(ROOT, '.changeset')).filter((file) => file.endsWith('.md') && file !== 'README.md');
  const wrong = changes.filter(
    (file) =>
      !new RegExp(`^---\\n["']${name}["']: (patch|minor|major)\\n---\\n\\n\\S`).test(textOf(`.changeset/${file}`)),
  );
  expect(wrong).toEqual([]);
});

it('publishes what was checked, with provenance, by a job that can do nothing else', () => {
  const { jobs } = Workflow.parse(parse(textOf('.github/workflows/release.yml')));
  const publishing = Object.entries(jobs).flatMap(([job, { steps }]) =>
    steps.flatMap(({ run = '' }) => (run.startsWith('npm publish') ? [[job, run] as const] : [])),
  );
  expect(publishing).toEqual([
    ['publish', 'npm publish --provenance --access public ./holdfast-*.tgz'],
    ['publish', 'npm publish --provenance --access public ./create-holdfast-*.tgz'],
  ]);
  const mayPublish = Object.entries(jobs).filter(([, { permissions }]) => permissions?.['id-token'] === 'write');
  expect(mayPublish.map(([job]) => job)).toEqual(['publish']);
  expect(jobs['publish']?.needs).toBe('installed');
  expect(jobs['installed']?.needs).toBe('check');
  // No code of ours or of others is checked out or installed where the package is published.
  expect(JSON.stringify(jobs['publish'])).not.toMatch(/checkout|npm (ci|install)/);
  expect(JSON.stringify(jobs['check'])).toMatch(/npm pack .*create-holdfast.*sbom\.mjs/);
});
