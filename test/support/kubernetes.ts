/**
 * What the manifests of deploy/ are held against: what every pod of ours must be, and the types of Kubernetes, by which the compiler finds
 * a misspelt field as well as a wrong value.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { ROOT } from '../house/source-files.ts';

const Probe = z.object({ httpGet: z.object({ path: z.string(), port: z.string() }), timeoutSeconds: z.number() });
const Container = z.object({
  image: z.string(),
  args: z.array(z.string()),
  env: z.array(z.object({ name: z.string(), value: z.string().optional() })),
  envFrom: z.tuple([z.object({ secretRef: z.object({ name: z.string() }) })]).optional(),
  livenessProbe: Probe.optional(),
  readinessProbe: Probe.optional(),
  securityContext: z.object({
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
    capabilities: z.object({ drop: z.tuple([z.literal('ALL')]) }),
  }),
  resources: z.object({
    requests: z.object({ cpu: z.string(), memory: z.string() }),
    limits: z.object({ memory: z.string() }),
  }),
});
const Pod = z.object({
  terminationGracePeriodSeconds: z.number().optional(),
  automountServiceAccountToken: z.literal(false),
  securityContext: z.object({
    runAsNonRoot: z.literal(true),
    seccompProfile: z.object({ type: z.literal('RuntimeDefault') }),
  }),
  containers: z.tuple([Container]),
});
const Labels = z.record(z.string(), z.string());
const Workload = z.object({
  kind: z.enum(['Deployment', 'Job']),
  metadata: z.object({ name: z.string(), annotations: Labels.optional() }),
  spec: z.object({
    replicas: z.number().optional(),
    selector: z.object({ matchLabels: Labels }).optional(),
    template: z.object({ metadata: z.object({ labels: Labels }).optional(), spec: Pod }),
  }),
});
export type Workload = z.infer<typeof Workload>;

const Manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }).optional(),
});
export type Manifest = z.infer<typeof Manifest>;

/** Throws for what is no YAML, and for what is no manifest. */
export function readManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    const value: unknown = document.toJS();
    return value === null || value === undefined ? [] : [Manifest.parse(value)];
  });
}

/** Throws for a pod that is not as all of ours are: not root, nothing written but to /tmp, no token, bounded. */
export function workloadsOf(manifests: readonly Manifest[]): readonly Workload[] {
  return manifests.filter(({ kind }) => ['Deployment', 'Job'].includes(kind)).map((each) => Workload.parse(each));
}

/** KEDA is no part of Kubernetes. By its documentation. */
const ScaledObject = z.strictObject({
  apiVersion: z.literal('keda.sh/v1alpha1'),
  kind: z.literal('ScaledObject'),
  metadata: z.strictObject({ name: z.string(), labels: Labels.optional() }),
  spec: z.strictObject({
    scaleTargetRef: z.strictObject({ name: z.string() }),
    minReplicaCount: z.int(),
    maxReplicaCount: z.int(),
    cooldownPeriod: z.int(),
    triggers: z.array(
      z.strictObject({
        type: z.literal('prometheus'),
        metadata: z.strictObject({ serverAddress: z.url(), query: z.string(), threshold: z.string().regex(/^\d+$/) }),
      }),
    ),
  }),
});

/** What the compiler has to say of them as Kubernetes has their types; '' if nothing. Throws for an object of KEDA that is not as KEDA asks. */
export function complaintsOf(manifests: readonly Manifest[]): string {
  const typed = manifests.filter(({ apiVersion, kind, ...rest }) => {
    if (!apiVersion.startsWith('keda.sh/')) return true;
    ScaledObject.parse({ apiVersion, kind, ...rest });
    return false;
  });
  const lines = typed.map(({ apiVersion, kind, ...rest }, index) => {
    const [group = '', version = group] = apiVersion.split('/');
    const from = `kubernetes-types/${apiVersion.includes('/') ? group.replace('.k8s.io', '') : 'core'}/${version}`;
    const text = JSON.stringify({ apiVersion, kind, ...rest }, null, 1);
    return `export const object${index}: import('${from}').${kind} = ${text};`;
  });
  const cache = join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'manifests-'));
  try {
    writeFileSync(join(folder, 'all.ts'), lines.join('\n'));
    const flags = [
      '--strict',
      '--noEmit',
      '--skipLibCheck',
      '--module',
      'esnext',
      '--moduleResolution',
      'bundler',
      '--ignoreConfig',
    ];
    const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout, stderr } = spawnSync(process.execPath, [compiler, ...flags, 'all.ts'], {
      cwd: folder,
      encoding: 'utf8',
    });
    return stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
