/**
 * deploy/helm: the chart is of this version, its values are those of its schema, and what it renders fits the command line and Kubernetes.
 * It is rendered by helm where that is installed, else by what .ci/chart builds (HOLDFAST_CHART_RENDERER). That it runs is for people with
 * a cluster to see.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { isDocumentedVariable, unknownWords } from '../support/documented-verbs.ts';
import { complaintsOf, readManifests, workloadsOf, type Manifest } from '../support/kubernetes.ts';
import { ROOT } from './source-files.ts';

const CHART = join(ROOT, 'deploy/helm/holdfast');
const textOf = (name: string): string => readFileSync(join(CHART, name), 'utf8');
const values: unknown = parse(textOf('values.yaml'));
const schema: unknown = JSON.parse(textOf('values.schema.json'));
const Values = z.fromJSONSchema(z.record(z.string(), z.json()).parse(schema));

const hasHelm = spawnSync('helm', ['version']).status === 0;
const renderer = process.env['HOLDFAST_CHART_RENDERER'] ?? '';
const canRender = hasHelm || renderer !== '';

/** Values beside those of values.yaml, which must be allowed. */
function render(given: object): readonly Manifest[] {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-chart-'));
  try {
    const file = join(folder, 'values.json');
    writeFileSync(file, JSON.stringify(given));
    const [command, args] = hasHelm
      ? ['helm', ['template', 'shop', CHART, '--values', file]]
      : [renderer, [CHART, 'shop', JSON.stringify(given)]];
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    return readManifests(stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const EVERYTHING = {
  image: { digest: `sha256:${'0'.repeat(64)}`, pullSecrets: [{ name: 'registry' }] },
  secrets: { owner: 'owner', dashboard: 'dashboard' },
  schema: 'outbox',
  environment: 'production',
  config: 'export default { routes: [{ topics: "**", to: "all" }] };\n',
  env: [{ name: 'NODE_OPTIONS', value: '--max-old-space-size=384' }],
  relay: { routes: ['order.**=shipping', 'stock.*=stock:ordered'] },
  worker: { keda: { enabled: true } },
  networkPolicy: {
    enabled: true,
    metricsFrom: [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }],
    egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8' } }], ports: [{ port: 5432 }] }],
  },
  serviceAccountName: 'shop',
  podAnnotations: { 'prometheus.io/scrape': 'true' },
  nodeSelector: { pool: 'services' },
  tolerations: [{ key: 'services', operator: 'Exists' }],
  affinity: { nodeAffinity: {} },
  priorityClassName: 'high',
};

describe('the chart', () => {
  it('is of the version of the package', () => {
    const { version } = z
      .object({ version: z.string() })
      .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')));
    expect(parse(textOf('Chart.yaml'))).toMatchObject({ version, appVersion: version });
  });

  it('has the values of its schema, and refuses others', () => {
    expect(Values.safeParse(values)).toMatchObject({ success: true });
    expect(Values.safeParse(EVERYTHING)).toMatchObject({ success: true });
    for (const wrong of [{ relays: {} }, { worker: { keda: { enabld: true } } }, { terminationGracePeriodSeconds: 25 }])
      expect(Values.safeParse(wrong)).toMatchObject({ success: false });
    const written = pathsOf(values, (part) => part);
    const described = pathsOf(schema, (part) => (isRecord(part) ? part['properties'] : undefined));
    // Helm itself gives charts `global`.
    expect(described.filter((path) => !written.includes(path))).toEqual(['global']);
  });
});

describe.runIf(canRender)('what the chart renders', () => {
  // What is skipped is collected all the same.
  const [plain, everything] = canRender ? [render({}), render(EVERYTHING)] : [[], []];
  const named = (manifests: readonly Manifest[]): readonly string[] =>
    manifests.map(({ kind, metadata }) => `${kind} ${metadata?.name}`).toSorted();

  it('is three services, what keeps them, and a migration before', () => {
    expect(named(plain)).toEqual([
      'Deployment shop-holdfast-dashboard',
      'Deployment shop-holdfast-relay',
      'Deployment shop-holdfast-worker',
      'Job shop-holdfast-migrate',
      'PodDisruptionBudget shop-holdfast-dashboard',
      'PodDisruptionBudget shop-holdfast-relay',
      'PodDisruptionBudget shop-holdfast-worker',
      'Service shop-holdfast-dashboard',
    ]);
    expect(named(everything)).toEqual(
      expect.arrayContaining([
        'ConfigMap shop-holdfast',
        'NetworkPolicy shop-holdfast-worker',
        'ScaledObject shop-holdfast-worker',
      ]),
    );
    const off = { enabled: false };
    expect(render({ relay: off, worker: { ...off, keda: { enabled: true } }, dashboard: off, migrate: off })).toEqual(
      [],
    );
  });

  it('has the fields that Kubernetes and KEDA know', () => {
    expect(complaintsOf([...plain, ...everything])).toBe('');
  });

  it.each([
    ['as it comes', plain],
    ['with everything', everything],
  ])('is called as the command line has it: %s', (_, manifests) => {
    const workloads = workloadsOf(manifests);
    expect(workloads).toHaveLength(4);
    for (const { kind, metadata, spec } of workloads) {
      const { containers, terminationGracePeriodSeconds } = spec.template.spec;
      const [{ args, env, livenessProbe, readinessProbe }] = containers;
      expect({ name: metadata.name, words: unknownWords(args) }).toEqual({ name: metadata.name, words: [] });
      expect(env.filter(({ name }) => name !== 'NODE_OPTIONS' && !isDocumentedVariable(name))).toEqual([]);
      if (kind === 'Job') continue;
      // The deadline of a daemon, as docs/operations.md tells it, is 25 s.
      expect(terminationGracePeriodSeconds).toBeGreaterThan(25);
      expect(livenessProbe?.httpGet.path).toBe('/livez');
      expect(readinessProbe?.httpGet.path).toBe(args[0] === 'dashboard' ? '/livez' : '/readyz');
    }
  });

  it('migrates before the release with the rights of the owner, and without what the release brings', () => {
    const job = workloadsOf(everything).find(({ kind }) => kind === 'Job');
    expect(job?.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'pre-install,pre-upgrade' });
    const [container] = job?.spec.template.spec.containers ?? [];
    expect(container?.args).toEqual(['migrate', '--no-config']);
    expect(container?.envFrom?.[0].secretRef.name).toBe('owner');
    expect(JSON.stringify(job)).not.toContain('configMap');
  });

  it('chooses pods by labels that they have', () => {
    for (const manifests of [plain, everything]) {
      const pods = workloadsOf(manifests).map(({ spec }) => spec.template.metadata?.labels ?? {});
      const selectors = manifests.flatMap(({ kind, spec }) => {
        const { selector, podSelector } = z
          .object({ selector: z.unknown(), podSelector: z.unknown() })
          .partial()
          .catch({})
          .parse(spec);
        const chosen = kind === 'Service' ? { matchLabels: selector } : (podSelector ?? selector);
        return chosen === undefined ? [] : [z.object({ matchLabels: z.record(z.string(), z.string()) }).parse(chosen)];
      });
      expect(selectors.length).toBeGreaterThan(6);
      for (const { matchLabels } of selectors) {
        const met = pods.filter((labels) =>
          Object.entries(matchLabels).every(([name, value]) => labels[name] === value),
        );
        expect(met).toHaveLength(1);
      }
    }
  });

  it('starts pods anew when the configuration changes, and leaves their number to KEDA', () => {
    const [before, after] = [everything, render({ ...EVERYTHING, config: 'export default {};' })].map((manifests) =>
      manifests.find(({ kind, metadata }) => kind === 'Deployment' && metadata?.name === 'shop-holdfast-worker'),
    );
    expect(before?.['spec']).not.toHaveProperty('replicas');
    expect(after?.['spec']).not.toEqual(before?.['spec']);
    expect(workloadsOf(plain).every(({ kind, spec }) => kind === 'Job' || spec.replicas === 2)).toBe(true);
  });

  it('lets nobody reach the dashboard who is not named', () => {
    const policy = everything.find(
      ({ kind, metadata }) => kind === 'NetworkPolicy' && metadata?.name.endsWith('dashboard'),
    );
    expect(policy?.['spec']).toMatchObject({ policyTypes: ['Ingress', 'Egress'], ingress: [] });
  });
});

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Paths to everything that has a name, 'worker.keda.min'. */
function pathsOf(value: unknown, inner: (part: unknown) => unknown, at = ''): readonly string[] {
  const below = inner(value);
  if (!isRecord(below)) return [];
  return Object.entries(below).flatMap(([name, part]) => [`${at}${name}`, ...pathsOf(part, inner, `${at}${name}.`)]);
}
