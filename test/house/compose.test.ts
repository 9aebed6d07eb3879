/**
 * docker-compose.yml and the image fit the project around them; that they run is for people with docker to see.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { unknownWords } from '../support/documented-verbs.ts';
import { ROOT } from './source-files.ts';

const DOCKERFILE = 'deploy/image/Dockerfile';
const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const compose = textOf('docker-compose.yml');
const dockerfile = textOf(DOCKERFILE).replaceAll(/\\\n\s*/g, '');

interface Instruction {
  readonly name: string;
  readonly words: readonly string[];
  readonly text: string;
}

function instructionsOf(text: string): readonly Instruction[] {
  return text.split('\n').flatMap((line) => {
    const [, name, rest = ''] = /^([A-Z]+) +(.+)$/.exec(line) ?? [];
    return name === undefined ? [] : [{ name, words: rest.split(/ +/), text: rest }];
  });
}

const manifest = z
  .object({
    bin: z.object({ holdfast: z.string() }),
    files: z.array(z.string()),
    dependencies: z.record(z.string(), z.string()),
    peerDependencies: z.record(z.string(), z.string()),
  })
  .parse(JSON.parse(textOf('package.json')));

describe('the image', () => {
  const instructions = instructionsOf(dockerfile);
  const last = instructions.findLastIndex(({ name }) => name === 'FROM');
  const result = instructions.slice(last);

  it('copies files that are there, and that what the builder is sent has', () => {
    const copied = instructions
      .slice(0, last)
      .flatMap(({ name, words }) =>
        name === 'COPY' ? words.filter((word) => !word.startsWith('--')).slice(0, -1) : [],
      );
    expect(copied.length).toBeGreaterThan(10);
    expect(copied.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    const [all, ...sent] = textOf(`${DOCKERFILE}.dockerignore`).trim().split('\n');
    expect(all).toBe('*');
    expect(sent.flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : [])).toSorted()).toEqual(copied.toSorted());
    // What the package has is built of it: but for dist, which is made.
    const packed = manifest.files.filter((path) => !path.startsWith('!') && path !== 'dist');
    expect(packed.filter((path) => !copied.includes(path))).toEqual([]);
  });

  it('is of one version of Node, built without scripts of packages, from the lockfile alone', () => {
    const [, version] = /^ARG NODE=(.+)$/m.exec(dockerfile) ?? [];
    expect(version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(textOf('.ci/run')).toContain(`='${version}'`);
    expect(instructions.flatMap(({ name, text }) => (name === 'FROM' ? [/node:\S+/.exec(text)?.[0]] : []))).toEqual([
      'node:${NODE}-slim',
      'node:${NODE}-slim',
    ]);
    const runs = instructions.filter(({ name }) => name === 'RUN').map(({ text }) => text);
    expect(runs.filter((text) => text.includes('npm ci') && !text.includes('--ignore-scripts'))).toEqual([]);
    expect(runs.filter((text) => /npm (install|i|exec)\b|npx/.test(text))).toEqual([]);
    const [, clients = ''] = /^ARG CLIENTS="(.+)"$/m.exec(dockerfile) ?? [];
    const known = { ...manifest.dependencies, ...manifest.peerDependencies };
    expect(clients.split(' ').filter((name) => !(name in known))).toEqual([]);
  });

  it('is made of files alone, so that one builder makes it for all platforms, and runs as nobody who may write there', () => {
    expect(result.filter(({ name }) => name === 'RUN')).toEqual([]);
    expect(result.filter(({ name }) => name === 'COPY').map(({ text }) => text)).toEqual(['--from=build /app /app']);
    expect(result.find(({ name }) => name === 'USER')?.text).toBe('1000:1000');
  });

  it('starts the command line, and asks it whether it makes progress', () => {
    const strings = z.array(z.string());
    const [entry] = strings.parse(JSON.parse(result.find(({ name }) => name === 'ENTRYPOINT')?.text ?? ''));
    expect(entry).toBe(`/app/node_modules/.bin/${Object.keys(manifest.bin).join('')}`);
    expect(unknownWords(strings.parse(JSON.parse(result.find(({ name }) => name === 'CMD')?.text ?? '')))).toEqual([]);
    const health = /CMD (\[.+\])$/.exec(result.find(({ name }) => name === 'HEALTHCHECK')?.text ?? '');
    const [node, flag, code = ''] = strings.parse(JSON.parse(health?.[1] ?? ''));
    expect([node, flag]).toEqual(['node', '-e']);
    expect(() => new Script(code)).not.toThrow();
    expect(code).toContain('/livez');
  });
});

describe('docker-compose.yml', () => {
  const { services } = z
    .object({
      services: z.record(
        z.string(),
        z.looseObject({
          image: z.string(),
          command: z.array(z.string()).optional(),
          read_only: z.boolean().optional(),
          profiles: z.array(z.string()).optional(),
          ports: z.array(z.string()).optional(),
          volumes: z.array(z.string()).optional(),
          healthcheck: z.looseObject({}).optional(),
        }),
      ),
    })
    .parse(parse(compose, { merge: true }));
  const ours = Object.values(services).filter(({ image }) => image === 'holdfast:local');

  it('mounts only files that are there, and builds the image', () => {
    const mounted = [...compose.matchAll(/^\s*- \.\/([^:\s]+):/gm)].map((match) => match[1] ?? '');
    expect(mounted.length).toBeGreaterThan(0);
    expect(mounted.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
    expect(ours.map((each) => each['build'])).toEqual(ours.map(() => ({ context: '.', dockerfile: DOCKERFILE })));
  });

  it('calls the command line as it is, with nothing to write to', () => {
    expect(ours.map(({ command }) => command?.[0])).toEqual(['migrate', 'relay', 'dashboard']);
    expect(ours.flatMap(({ command = [] }) => unknownWords(command))).toEqual([]);
    expect(ours.every((each) => each.read_only === true)).toBe(true);
  });

  it('starts other brokers only when asked, each with data of its own, for this machine alone', () => {
    const asked = Object.entries(services).filter(([, { profiles }]) => profiles !== undefined);
    expect([...new Set(asked.flatMap(([, { profiles = [] }]) => profiles))]).toEqual(['nats', 'rabbitmq', 'cluster']);
    for (const [name, { ports = [], volumes = [], healthcheck }] of asked) {
      expect({ open: ports.filter((port) => !port.startsWith('127.0.0.1:')), volumes, healthcheck }).toEqual({
        open: [],
        volumes: [expect.stringMatching(`^${name}-data:`)],
        healthcheck: expect.anything(),
      });
    }
    // What can be started together has ports of its own.
    const published = Object.values(services).flatMap(({ ports = [] }) => ports);
    expect(new Set(published).size).toBe(published.length);
    // They are told how they are reached.
    const hosts = asked.flatMap(([, { ports = [] }]) => ports.map((port) => port.replace(/:\d+$/, '')));
    expect(hosts.filter((host) => !compose.includes(`//${host}`) && !compose.includes(`@${host}`))).toEqual([]);
  });
});
