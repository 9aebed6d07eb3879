/**
 * Runs one of the project's own tools in a fresh clone: installs the dependencies when they are missing or not those of
 * the lockfile, then hands over. Plain JavaScript, because nothing is installed yet when it starts.
 *
 *   node .ci/bootstrap.mjs                          install only
 *   node .ci/bootstrap.mjs vitest run ARGUMENTS…    a tool of node_modules/.bin
 *   node .ci/bootstrap.mjs demo/main.ts ARGUMENTS…  a TypeScript program of ours
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [oldestMajor, oldestMinor] = [20, 19];

refuseOldNode();
await installOnce();
const [tool, ...args] = process.argv.slice(2);
if (tool !== undefined) handOver(tool, args);

function refuseOldNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  console.error(
    `Holdfast needs Node ${oldestMajor}.${oldestMinor} or later; this is ${process.version}. Install a newer one from https://nodejs.org.`,
  );
  process.exit(1);
}

/** Installs unless what is there is what the lockfile says. Two runs at once in one clone take turns. */
async function installOnce() {
  if (installed()) return;
  const unlock = await lock();
  try {
    if (installed()) return;
    console.error('Installing dependencies …');
    // npm ci refuses a lockfile it finds incomplete, as one made on another platform can be; npm install still obeys it.
    if (npm('ci') || npm('install', '--no-save')) return;
    console.error('The dependencies could not be installed; npm says why above.');
    process.exitCode = 1;
  } finally {
    unlock();
  }
  if (process.exitCode === 1) process.exit(1);
}

function npm(...command) {
  const path = process.env.npm_execpath;
  const options = [...command, '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  // Its output goes to stderr: stdout belongs to the program that comes after.
  const how = { cwd: root, stdio: ['ignore', 2, 2] };
  const viaNode = path !== undefined && /npm-cli\.[cm]?js$/.test(path);
  const result = viaNode
    ? spawnSync(process.execPath, [path, ...options], how)
    : spawnSync('npm', options, { ...how, shell: process.platform === 'win32' });
  return result.status === 0;
}

/** Compares by content: times say nothing after a checkout. Optional packages may be absent (other platforms). */
function installed() {
  const read = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  if (!existsSync(join(root, 'node_modules/.package-lock.json'))) return false;
  const there = read('node_modules/.package-lock.json');
  return Object.entries(read('package-lock.json')).every(([path, wanted]) => {
    if (path === '') return true;
    if (there[path] === undefined)
      return wanted.optional === true || wanted.devOptional === true || wanted.peer === true;
    return there[path].version === wanted.version && existsSync(join(root, path));
  });
}

async function lock() {
  const folder = join(tmpdir(), `holdfast-install-${createHash('sha256').update(root).digest('hex').slice(0, 16)}`);
  const owner = join(folder, 'pid');
  for (;;) {
    try {
      mkdirSync(folder);
      writeFileSync(owner, String(process.pid));
      return () => rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
    if (existsSync(owner) && !alive(Number(readFileSync(owner, 'utf8'))))
      rmSync(folder, { recursive: true, force: true });
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function handOver(name, rest) {
  const command = name.endsWith('.ts') ? ['--import', 'tsx', join(root, name)] : [binary(name)];
  const child = spawn(process.execPath, [...command, ...rest], { cwd: root, stdio: 'inherit' });
  // Ctrl-C reaches the child by the terminal as well; here we only must not end before it.
  for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

function binary(name) {
  const manifest = createRequire(join(root, 'package.json')).resolve(`${name}/package.json`);
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8'));
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[name]);
}
