/**
 * Completes package-lock.json (`npm run lockfile`). npm writes packages of other platforms without their checksum when it reads them from
 * node_modules; they are taken out here, and npm asks the registry for them again, in the versions that fit.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const file = `${root}package-lock.json`;
const lockfile = JSON.parse(readFileSync(file, 'utf8'));
const bare = Object.entries(lockfile.packages).filter(
  ([path, { integrity, link }]) => path !== '' && !link && !integrity,
);
for (const [path] of bare) delete lockfile.packages[path];
writeFileSync(file, `${JSON.stringify(lockfile, null, 2)}\n`);
console.log(`package-lock.json: ${bare.length} packages had no checksum`);
const options = ['--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
process.exitCode = spawnSync('npm', ['install', ...options], { cwd: root, stdio: 'inherit' }).status ?? 1;
