/** Packages of Debian's are fetched without being installed. Where that cannot be done, there is nothing to look at. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  aptIsOurs,
  isDebianBefore,
  systemBinary,
  unpackByApt,
  unpackedFolders,
} from '../../src/servers/debian-packages.ts';
import { output, unprivilegedUser } from '../../src/servers/machine.ts';

/** Small, and on no machine that somebody works with. */
const PACKAGE = 'hello-traditional';
const isKnown = (): boolean => spawnSync('dpkg-query', ['--status', PACKAGE]).status === 0;

describe.runIf(aptIsOurs() && !isKnown())('unpackByApt', () => {
  let root: string | undefined;
  let newer: string | undefined;
  afterAll(() => {
    for (const each of [root, newer]) if (each !== undefined) rmSync(dirname(each), { recursive: true, force: true });
  });

  it('gives programs that run, to other users as well, and dpkg knows nothing of them', () => {
    root = unpackByApt([PACKAGE]);
    const place = dirname(root);
    expect(unpackedFolders()).toContain(join(place, 'bin'));
    const starter = join(place, 'bin', 'hello');
    expect(systemBinary(['hello'])).toBe(starter);
    expect(output(starter, [], unprivilegedUser())).toMatch(/hello, world/i);
    expect(isKnown()).toBe(false);
    // Nothing of the download is kept, and only root may change what is started.
    expect(readdirSync(place).toSorted()).toEqual(['bin', 'root']);
    expect(statSync(starter).mode & 0o022).toBe(0);
    expect(readdirSync(dirname(place)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('fetches once', () => {
    const before = statSync(root ?? '').ctimeMs;
    expect(unpackByApt([PACKAGE])).toBe(root);
    expect(statSync(root ?? '').ctimeMs).toBe(before);
  });

  it.runIf(isDebianBefore(13))('gives those of a newer release beside those of its own', () => {
    newer = unpackByApt(['hello'], 'trixie');
    expect(newer).not.toBe(root);
    expect(existsSync(join(newer, 'usr/bin/hello'))).toBe(true);
    expect(readdirSync(dirname(newer)).toSorted()).toEqual(['bin', 'root']);
  });

  it('leaves nothing of what cannot be fetched', () => {
    const parent = dirname(dirname(root ?? ''));
    const before = readdirSync(parent);
    expect(() => unpackByApt(['holdfast-no-such-package'])).toThrow(/apt-get failed/);
    expect(readdirSync(parent)).toEqual(before);
  });
});

describe('systemBinary', () => {
  it('takes the first that says what suits', () => {
    expect(systemBinary(['node'], ['--version'], (said) => said.startsWith('v'))).toMatch(/node$/);
    expect(systemBinary(['node'], ['--version'], (said) => said.startsWith('no such version'))).toBeUndefined();
  });
});
