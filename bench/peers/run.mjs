/**
 * node run.mjs [--quick] [--only dbos,openworkflow,absurd] [--inflight 1,64,1000] [--url URL] [--json] [--set NAME=VALUE]…
 * Measures the peers one after the other and prints one JSON line a figure on stdout, and one for people on stderr, which --json leaves
 * out. Each figure has a process and a database of its own, on the server of --url, or on a private one started with the settings of
 * our benchmarks. --set changes a setting of the adapters, for trying (README.md).
 */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ABSURD_SQL } from './absurd-sql.mjs';

/** Adapter to package. What a library needs is imported in its own process only. */
const PACKAGES = { dbos: '@dbos-inc/dbos-sdk', openworkflow: 'openworkflow', absurd: 'absurd-sdk' };
const PEERS = Object.keys(PACKAGES);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

process.exitCode = await main();

async function main() {
  const asked = readArguments();
  if (typeof asked === 'string') {
    console.error(asked);
    return 2;
  }
  const note = asked.json ? () => {} : (text) => console.error(text);
  if (!existsSync(here('node_modules'))) {
    console.error('The peers are not installed: npm install in bench/peers.');
    return 1;
  }
  const server = await serverOf(asked.url);
  try {
    for (const peer of asked.only) {
      const why = missing(peer);
      if (why !== undefined) {
        console.error(`${peer} is left out: ${why}`);
        continue;
      }
      const { version } = JSON.parse(readFileSync(here(`node_modules/${PACKAGES[peer]}/package.json`), 'utf8'));
      for (const inflight of asked.inflight) {
        const measured = await measureOne(server, peer, inflight, asked);
        const figure = {
          bench: `peer.${peer}.${inflight}`,
          value: round(measured.perSecond),
          unit: 'runs/s',
          steps: round(measured.stepsPerSecond),
          p50: round(measured.p50),
          p99: round(measured.p99),
          runs: measured.runs,
          version,
          ...(Object.keys(asked.settings).length > 0 ? { settings: asked.settings } : {}),
        };
        note(`${peer}, ${inflight} in flight: ${figure.value} runs/s, p50 ${figure.p50} ms, p99 ${figure.p99} ms`);
        console.log(JSON.stringify(figure));
      }
    }
  } finally {
    await server.dispose();
  }
  return 0;
}

/** Why a peer cannot run here; undefined when it can. */
function missing(peer) {
  if (!existsSync(here(`node_modules/${PACKAGES[peer]}`))) return `${PACKAGES[peer]} is not installed.`;
  if (peer === 'absurd' && !existsSync(ABSURD_SQL))
    return 'its SQL does not come with its package; README.md says where to put it.';
  return undefined;
}

/** What to do, or what is wrong with the arguments. */
function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        only: { type: 'string', default: PEERS.join(',') },
        inflight: { type: 'string', default: '1,64,1000' },
        url: { type: 'string' },
        set: { type: 'string', multiple: true, default: [] },
      },
    });
    const only = values.only.split(',');
    const unknown = only.filter((name) => !PEERS.includes(name));
    if (unknown.length > 0) return `There is no peer ${unknown.join(', ')}; there are ${PEERS.join(', ')}.`;
    const inflight = values.inflight.split(',').map(Number);
    if (!inflight.every((n) => Number.isInteger(n) && n > 0)) return '--inflight takes whole numbers, as 1,64,1000.';
    return { ...values, only, inflight, settings: Object.fromEntries(values.set.map(setting)) };
  } catch (error) {
    return error.message;
  }
}

function setting(text) {
  const [name, value] = text.split('=');
  return [name, Number.isNaN(Number(value)) ? value : Number(value)];
}

async function measureOne(server, adapter, inflight, { quick, settings }) {
  const database = await server.database();
  try {
    const length = quick
      ? { warmUpMs: 500, measureMs: 2000, minRuns: inflight }
      : { warmUpMs: 2000, measureMs: 10_000, minRuns: 3 * inflight };
    return await inProcess({ adapter, url: database.url, settings, loop: { inflight, ...length } });
  } finally {
    await database.drop();
  }
}

/** The figures of one measure.mjs; resolves when it has ended, so that its database can be dropped. */
async function inProcess(task) {
  const child = fork(here('measure.mjs'), {
    // Its stdout becomes our stderr: stdout is for figures. What the libraries' drivers deprecate is not ours to read.
    stdio: ['ignore', 2, 2, 'ipc'],
    execArgv: ['--no-deprecation'],
    env: { ...process.env, NODE_ENV: 'production' },
  });
  const stop = () => child.kill();
  process.once('exit', stop);
  let figures;
  child.once('message', (message) => {
    figures = message;
  });
  child.send(task);
  const [code] = await once(child, 'exit');
  process.off('exit', stop);
  if (figures === undefined) throw new Error(`${task.adapter} ended with ${code} before it had a figure`);
  return figures;
}

/** { database(): a fresh one, { url, drop() }; dispose() }. Without --url this needs the project's own dependencies. */
async function serverOf(url) {
  if (url !== undefined) return databasesAt(url, async () => {});
  const { tsImport } = await import('tsx/esm/api');
  const { benchServers } = await tsImport('../support/servers.ts', import.meta.url);
  const servers = benchServers();
  const first = await servers.database();
  return databasesAt(first.url, async () => {
    await first.drop();
    await servers.dispose();
  });
}

async function databasesAt(url, dispose) {
  const { default: pg } = await import('pg');
  const asAdmin = async (sql) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  };
  return {
    async database() {
      const name = `peer_${randomBytes(4).toString('hex')}`;
      await asAdmin(`CREATE DATABASE ${name}`);
      return {
        url: Object.assign(new URL(url), { pathname: `/${name}` }).href,
        drop: () => asAdmin(`DROP DATABASE ${name} WITH (FORCE)`),
      };
    },
    dispose,
  };
}

/** As the figures of the project's benchmarks. */
function round(value) {
  return Math.abs(value) >= 1000 ? Math.round(value) : Math.round(value * 1000) / 1000;
}
