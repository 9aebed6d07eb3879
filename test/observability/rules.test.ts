/**
 * The alert rules and dashboards in docs/observability: what they ask for is there, under the labels it has; and promtool, where it is
 * installed (Debian: prometheus), finds that the rules do what they say.
 */
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ALERT_KINDS } from '../../src/operations/alerts/alert.ts';
import { ROOT } from '../house/source-files.ts';
import { documentedMetrics } from '../support/documented-metrics.ts';

const FOLDER = 'docs/observability';
const RULES = `${FOLDER}/prometheus-rules.yml`;
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const rules = read(RULES);
const dashboards = readdirSync(join(ROOT, FOLDER)).filter((name) => name.endsWith('.json'));
const known = documentedMetrics();

/** What every scrape adds, and the buckets of histograms. */
const OF_SCRAPES = ['le', 'instance', 'job'];

/** What an expression asks for that is not there. */
function missing(expression: string): readonly string[] {
  const names = [...new Set(expression.match(/\bholdfast_\w+/g))];
  const metrics = names.map((name) => [name, known.get(name) ?? histogramOf(name)] as const);
  const absent = metrics.flatMap(([name, metric]) => (metric === undefined ? [name] : []));
  const labels = new Set([...OF_SCRAPES, ...metrics.flatMap(([, metric]) => metric?.labels ?? [])]);
  const asked = [
    ...[...expression.matchAll(/\b(?:by|without)\s*\(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(',')),
    ...[...expression.matchAll(/\{([^}]*)\}/g)].flatMap(([, list = '']) =>
      [...list.matchAll(/(\w+)\s*[=!]/g)].map(([, label = '']) => label),
    ),
  ].map((label) => label.trim());
  return [...absent, ...asked.filter((label) => label !== '' && !labels.has(label))];
}

function histogramOf(name: string) {
  const metric = known.get(name.replace(/_(?:bucket|sum|count)$/, ''));
  return metric?.type === 'histogram' ? metric : undefined;
}

const expressions = [...rules.matchAll(/^ +expr: (.+)$/gm)].map(([, expression = '']) => expression);

describe('the rules', () => {
  it('ask for metrics and labels that are there', () => {
    expect(expressions.length).toBeGreaterThan(8);
    for (const expression of expressions)
      expect({ expression, missing: missing(expression) }).toEqual({ expression, missing: [] });
    expect(missing('max by (subscription, topic) (holdfast_relay_lag{shard="0"})')).toEqual([
      'holdfast_relay_lag',
      'subscription',
      'topic',
      'shard',
    ]);
  });

  it('know the kinds of alerts that are pushed, and lead to what is there', () => {
    const kinds = [...rules.matchAll(/\bkind: ([\w-]+)/g)].map(([, kind = '']) => kind);
    // A dead worker is not to be seen in the figures of the living, and a lost lease in none of them.
    const own = new Set(['worker-dead', 'lease-lost']);
    expect(kinds.toSorted()).toEqual(
      Object.keys(ALERT_KINDS)
        .filter((kind) => !own.has(kind))
        .toSorted(),
    );
    const headings = new Set(
      [...read('docs/operations.md').matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      ),
    );
    const lead = [...rules.matchAll(/runbook: docs\/operations\.md#(\S+)/g)].map(([, anchor = '']) => anchor);
    expect(lead.filter((anchor) => !headings.has(anchor))).toEqual([]);
  });

  it('and the kinds of alerts stand in docs/operations.md as they are', () => {
    for (const kind of Object.keys(ALERT_KINDS))
      expect(read('docs/operations.md')).toMatch(new RegExp(`^\\| \`${kind}\` \\|`, 'm'));
    expect(read('docs/operations.md')).toContain(`\`\`\`yaml\n${rules}\`\`\``);
  });
});

describe('a dashboard', () => {
  it('is there', () => {
    expect(dashboards.length).toBeGreaterThan(0);
  });

  it.each(dashboards)('%s asks for metrics and labels that are there', (name) => {
    const asked = queriesOf(JSON.parse(read(`${FOLDER}/${name}`)));
    expect(asked.length).toBeGreaterThan(5);
    for (const expression of asked)
      expect({ expression, missing: missing(expression) }).toEqual({ expression, missing: [] });
  });
});

/** Of panels (`expr`) and of variables (`query`, which may be an object). */
function queriesOf(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, each]: [string, unknown]) =>
    (key === 'expr' || key === 'query') && typeof each === 'string' && each.includes('holdfast_')
      ? [each.replace(/^label_values\((.*), \w+\)$/, '$1')]
      : queriesOf(each),
  );
}

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

describe.runIf(hasPromtool)('promtool', () => {
  const promtool = async (...args: readonly string[]): Promise<string> =>
    promisify(execFile)('promtool', args, { cwd: ROOT }).then(
      ({ stdout }) => stdout,
      (error: unknown) => {
        const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
        throw new Error(`${stdout}\n${stderr}`);
      },
    );

  it('finds the rules well-formed', async () => {
    expect(await promtool('check', 'rules', RULES)).toMatch(/SUCCESS/);
  });

  it('finds that they alert when they should, and not otherwise', async () => {
    expect(await promtool('test', 'rules', 'test/observability/prometheus-rules.test.yml')).toMatch(/SUCCESS/);
  });
});

describe.runIf(!hasPromtool)('promtool', () => {
  it('is not installed, so the rules were not run: apt-get install prometheus', ({ skip }) => {
    skip();
  });
});
