/**
 * The table of metrics in docs/operations.md, for the tests that hold processes, rules and dashboards to it.
 */
import { readFileSync } from 'node:fs';

export interface DocumentedMetric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
}

export function documentedMetrics(): ReadonlyMap<string, DocumentedMetric> {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `(holdfast_\w+)` \| (\w+) \| ([^|]*)\|/gm)];
  return new Map(
    rows.map(([, name = '', type = '', labels = '']) => [
      name,
      { name, type, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label) },
    ]),
  );
}

/** What a page of /metrics shows of Holdfast that the table does not have, or has otherwise. */
export function undocumented(page: string): readonly string[] {
  const known = documentedMetrics();
  const types = [...page.matchAll(/^# TYPE (holdfast_\w+) (\w+)$/gm)].flatMap(([line, name = '', type]) =>
    known.get(name)?.type === type ? [] : [line],
  );
  const series = [...page.matchAll(/^(holdfast_\w+)(?:\{([^}]*)\})? /gm)].flatMap(([line, name = '', labels = '']) => {
    const metric = known.get(name) ?? known.get(name.replace(/_(?:bucket|sum|count)$/, ''));
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label).filter((label) => label !== 'le');
    return metric !== undefined && names.toSorted().join() === metric.labels.toSorted().join() ? [] : [line];
  });
  return [...types, ...series];
}
