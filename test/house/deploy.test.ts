/**
 * deploy/: the units and manifests fit the command line, its variables, its pages and its metrics; kubectl and systemd read them where they
 * are there. That they run is for people with a cluster to see.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { documentedMetrics } from '../support/documented-metrics.ts';
import { isDocumentedVariable, unknownWords } from '../support/documented-verbs.ts';
import { complaintsOf, readManifests, workloadsOf } from '../support/kubernetes.ts';
import { ROOT } from './source-files.ts';

const SYSTEMD = join(ROOT, 'deploy/systemd');
const KUBERNETES = join(ROOT, 'deploy/kubernetes');

const manifests = readdirSync(KUBERNETES).flatMap((name) =>
  readManifests(readFileSync(join(KUBERNETES, name), 'utf8')),
);
const workloads = workloadsOf(manifests);

describe('the manifests of Kubernetes', () => {
  it('are those of the relay, the worker, the dashboard and the migration', () => {
    expect(workloads.map(({ metadata }) => metadata.name).toSorted()).toEqual([
      'holdfast-dashboard',
      'holdfast-migrate',
      'holdfast-relay',
      'holdfast-worker',
    ]);
  });

  it.each(workloads.map((each) => [each.metadata.name, each] as const))(
    '%s is called as the command line has it',
    (_, each) => {
      const { containers, terminationGracePeriodSeconds } = each.spec.template.spec;
      const [{ args, env, livenessProbe, readinessProbe }] = containers;
      expect(unknownWords(args)).toEqual([]);
      expect(env.filter(({ name }) => !isDocumentedVariable(name))).toEqual([]);
      if (each.kind === 'Job') return;
      // The deadline of a daemon, as docs/operations.md tells it, is 25 s.
      expect(terminationGracePeriodSeconds).toBeGreaterThan(25);
      const isDashboard = args[0] === 'dashboard';
      expect(livenessProbe?.httpGet.path).toBe('/livez');
      expect(readinessProbe?.httpGet.path).toBe(isDashboard ? '/livez' : '/readyz');
    },
  );

  it('are named where they are put together', () => {
    const { resources } = z
      .looseObject({ resources: z.array(z.string()) })
      .parse(manifests.find(({ kind }) => kind === 'Kustomization'));
    const files = readdirSync(KUBERNETES);
    expect(resources.filter((name) => !files.includes(name))).toEqual([]);
  });

  it('have the fields that Kubernetes and KEDA know', () => {
    expect(complaintsOf(manifests.filter(({ kind }) => kind !== 'Kustomization'))).toBe('');
  });

  it('scale by metrics that there are', () => {
    const text = readFileSync(join(KUBERNETES, 'scale-workers.yaml'), 'utf8');
    const names = [...text.matchAll(/holdfast_\w+/g)].map(([name]) => name);
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name) => !documentedMetrics().has(name))).toEqual([]);
  });

  it.runIf(spawnSync('kubectl', ['kustomize', '--help']).status === 0)('are put together by kubectl', () => {
    const { status, stderr, stdout } = spawnSync('kubectl', ['kustomize', KUBERNETES], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.match(/^kind: Deployment$/gm)).toHaveLength(3);
  });
});

describe('the units of systemd', () => {
  const units = readdirSync(SYSTEMD);

  it.each(units)('%s is called as the command line has it, and given time to end', (unit) => {
    const text = readFileSync(join(SYSTEMD, unit), 'utf8');
    const [, bin = '', args = ''] =
      /^ExecStart=\/usr\/bin\/env node node_modules\/holdfast\/(\S+) (.+)$/m.exec(text) ?? [];
    const manifest = z
      .object({ bin: z.object({ holdfast: z.string() }) })
      .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')));
    expect(`./${bin}`).toBe(manifest.bin.holdfast);
    expect(unknownWords(args.split(' '))).toEqual([]);
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(text)?.[1])).toBeGreaterThan(25);
  });

  it.runIf(spawnSync('systemd-analyze', ['--version']).status === 0)('are accepted by systemd-analyze', () => {
    const { stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...units.map((unit) => join(SYSTEMD, unit))], {
      encoding: 'utf8',
    });
    expect(stdout + stderr).not.toMatch(/holdfast-/);
  });
});
