/**
 * A project that has the packed package in it, with everything it needs in the versions and with the checksums of package-lock.json: what
 * an image is made of, and what a bill of materials tells of.
 *
 *   node .ci/locked.mjs FOLDER holdfast-x.y.z.tgz [bullmq ioredis …]    then npm ci in that folder
 *
 * Packages that are named behind are those that only some install; they must be in the lockfile.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const PACKED = 'file:holdfast.tgz';

/** Makes the folder. Throws when npm refuses. */
export function makeLockedProject(folder, tarball, more) {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const { name, version, license, bin, engines, dependencies, peerDependencies, peerDependenciesMeta } = manifest;
  const wanted = Object.fromEntries(more.map((each) => [each, versionOf(packages, each)]));
  const project = {
    name: 'app',
    version: '0.0.0',
    private: true,
    type: 'module',
    dependencies: { [name]: PACKED, ...wanted },
  };
  const integrity = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`;
  const { '': _own, ...others } = packages;
  const own = {
    version,
    resolved: PACKED,
    integrity,
    license,
    bin,
    engines,
    dependencies,
    peerDependencies,
    peerDependenciesMeta,
  };
  const lockfile = {
    name: 'app',
    lockfileVersion: 3,
    requires: true,
    packages: { '': project, [`node_modules/${name}`]: own, ...others },
  };
  mkdirSync(folder, { recursive: true });
  copyFileSync(tarball, join(folder, 'holdfast.tgz'));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(project, null, 2)}\n`);
  writeFileSync(join(folder, 'package-lock.json'), `${JSON.stringify(lockfile, null, 2)}\n`);
  // Takes out what only we develop with; what stays has the version that it had.
  const flags = ['--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', ['install', ...flags], { cwd: folder, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('npm could not make the lockfile of the project; it says why above.');
}

function versionOf(packages, name) {
  const version = packages[`node_modules/${name}`]?.version;
  if (version === undefined) throw new Error(`${name} is not in package-lock.json.`);
  return version;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , folder, tarball, ...more] = process.argv;
  if (folder === undefined || tarball === undefined) throw new Error('Give a folder and the packed package.');
  makeLockedProject(resolve(folder), resolve(tarball), more);
}
