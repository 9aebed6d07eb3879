/**
 * docker-compose.yml fits the project around it; that it runs is for people with docker to see.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { unknownWords } from '../support/documented-verbs.ts';
import { ROOT } from './source-files.ts';

const compose = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');

describe('docker-compose.yml', () => {
  it('mounts and copies only files that are there', () => {
    const mounted = [...compose.matchAll(/^\s*- \.\/([^:\s]+):/gm)].map((match) => match[1] ?? '');
    const copied = [...compose.matchAll(/^\s*COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
      (match[1] ?? '').split(' '),
    );
    expect(mounted.length).toBeGreaterThan(0);
    expect(copied.length).toBeGreaterThan(5);
    expect([...mounted, ...copied].filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it('calls the command line as it is', () => {
    const { services } = z
      .object({ services: z.record(z.string(), z.object({ command: z.array(z.string()).optional() })) })
      .parse(parse(compose, { merge: true }));
    const ours = Object.values(services).flatMap(({ command = [] }) =>
      command[0]?.endsWith('/holdfast') ? [command] : [],
    );
    expect(ours.map(([, verb]) => verb)).toEqual(['migrate', 'relay', 'dashboard']);
    expect(ours.flatMap(([, ...words]) => unknownWords(words))).toEqual([]);
  });
});
