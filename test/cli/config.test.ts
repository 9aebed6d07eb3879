/** Flags over environment over configuration file over defaults, and what is refused. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkConfig, loadConfig } from '../../src/cli/config/load.ts';
import { ALL, parseRoute, readGiven, type Given, type SettingName } from '../../src/cli/config/options.ts';
import { resolveProcess } from '../../src/cli/config/process.ts';
import { resolveWorker } from '../../src/cli/config/resolve-worker.ts';
import { resolveRelay } from '../../src/cli/config/resolve.ts';
import { namesDatabase, resolveDatabase } from '../../src/cli/config/servers.ts';
import { createTransports } from '../../src/cli/config/transports.ts';
import type { HoldfastConfig } from '../../src/operations/config.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';

const names = Object.keys(ALL) as SettingName[];
const given = (flags: Record<string, unknown>, env: Record<string, string> = {}): Given =>
  readGiven({ flags, env }, names);
const transportsOf = (from: Given, config: HoldfastConfig) =>
  createTransports({ given: from, config, database: { url: 'postgres://db/x' }, onTransportError: () => {} });
const relay = (from: Given, config: HoldfastConfig = {}, env: Record<string, string> = {}) => {
  const transports = transportsOf(from, config);
  const process = resolveProcess({ given: from, config, noHttp: false });
  return { ...process, ...resolveRelay({ given: from, config, transports, env }), transports: transports.all() };
};
const worker = (from: Given, config: HoldfastConfig = {}, env: Record<string, string> = {}) =>
  resolveWorker({ given: from, config, transports: transportsOf(from, config), env });
const routes = [{ topics: '**', to: 'all' }];

describe('the file', () => {
  it('may say whose the tables are', () => {
    expect(checkConfig({ environment: 'production' }, 'holdfast.config.ts')).toEqual({ environment: 'production' });
  });

  it('may say what is not shown, in paths that are checked before anything is shown', () => {
    expect(checkConfig({ redact: ['card.*'] }, 'holdfast.config.ts')).toEqual({ redact: ['card.*'] });
    for (const redact of [['card..number'], 'card', [1]])
      expect(() => checkConfig({ redact }, 'holdfast.config.ts')).toThrow(/holdfast\.config\.ts: redact/);
  });
});

describe('flags and variables', () => {
  it('flags win, then the first variable, and an empty variable is none', () => {
    const env = { HOLDFAST_DATABASE_URL: 'postgres://env/1', DATABASE_URL: 'postgres://env/2', HOLDFAST_SCHEMA: '' };
    expect(given({ databaseUrl: 'postgres://flag/0' }, env)).toEqual({ databaseUrl: 'postgres://flag/0' });
    expect(given({}, env)).toEqual({ databaseUrl: 'postgres://env/1' });
    expect(given({}, { DATABASE_URL: 'postgres://env/2' })).toEqual({ databaseUrl: 'postgres://env/2' });
  });

  it('reads lists and numbers and durations', () => {
    expect(given({ route: ['a=x', 'b.*,c=y:ordered'], batchSize: '50', lease: '2s', idlePoll: '250' })).toEqual({
      route: [
        { topics: ['a'], to: 'x' },
        { topics: ['b.*', 'c'], to: 'y', ordered: true },
      ],
      batchSize: 50,
      lease: '2s',
      idlePoll: 250,
    });
    expect(given({}, { HOLDFAST_ROUTES: 'a=x; b=y', HOLDFAST_SUBSCRIPTION: 'one two' })).toEqual({
      route: [
        { topics: ['a'], to: 'x' },
        { topics: ['b'], to: 'y' },
      ],
      subscription: ['one', 'two'],
    });
  });

  it.each([
    [{ lease: '2 weeks' }, /--lease/],
    [{ failoverReplay: 'perhaps' }, /--failover-replay/],
    [{ batchSize: 'many' }, /--batch-size is "many"/],
    [{ from: 'middle' }, /beginning, now/],
    [{ route: ['orders'] }, /not a route/],
    [{ schema: ' ' }, /--schema is empty/],
  ])('refuses %j', (flags, message) => {
    expect(() => given(flags)).toThrow(message);
  });

  it('names the variable that is wrong', () => {
    expect(() => given({}, { HOLDFAST_HTTP_PORT: 'http' })).toThrow(/HOLDFAST_HTTP_PORT is "http"/);
  });

  it.each(['=x', 'a=', 'a', 'a,=x', 'a=b:c', ''])('%j is no route', (text) => {
    expect(() => parseRoute(text, '--route')).toThrow(/not a route/);
  });
});

describe('resolveDatabase', () => {
  it('takes flags and variables over the file, and the variables of psql without a URL', () => {
    const config = { database: { url: 'postgres://file/db' }, schema: 'from_file' };
    expect(resolveDatabase(given({ databaseUrl: 'postgres://flag/db' }), config)).toMatchObject({
      url: 'postgres://flag/db',
      schema: 'from_file',
    });
    expect(resolveDatabase({}, config)).toMatchObject({ url: 'postgres://file/db' });
    expect(resolveDatabase({}, config, 'postgres://dev/db')).toMatchObject({ url: 'postgres://file/db' });
    expect(resolveDatabase({}, {}, 'postgres://dev/db')).toMatchObject({ url: 'postgres://dev/db' });
    expect(resolveDatabase({}, {})).toMatchObject({ url: undefined });
    expect(namesDatabase({}, config, {})).toBe(true);
    expect(namesDatabase({}, {}, { PGHOST: 'db' })).toBe(true);
    expect(namesDatabase({}, {}, {})).toBe(false);
  });

  it('does not repeat a password in its complaint', () => {
    expect(() => resolveDatabase({ databaseUrl: 'mysql://me:secret@db/x' }, {})).toThrow(/^((?!secret).)*$/);
  });
});

describe('resolveRelay', () => {
  it('says what to add when there is no route, no broker', () => {
    expect(() => relay(given({ redisUrl: 'redis://r' }))).toThrow(/no route.*--route/);
    expect(() => relay(given({ route: ['**=all'] }))).toThrow(
      /what carries the messages.*--redis-url.*--transport postgres/,
    );
    expect(() => relay(given({ route: ['**=all'], transport: 'redis' }))).toThrow(/nothing says where it is/);
  });

  it('hands on how many replicas of Redis are to have a message', () => {
    const to = (transport: string, more: object = {}) =>
      given({ route: ['**=all'], redisUrl: 'redis://r', transport, ...more });
    const config = { redis: { replicas: 11 } };
    expect(() => relay(to('redis'), config)).toThrow(/replicas is 11/);
    expect(() => relay(to('redis', { redisReplicas: '12' }), config)).toThrow(/replicas is 12/);
    expect(() => relay(to('redis', { redisReplicas: '1' }), config)).not.toThrow();
    expect(() => relay(to('redis-streams'), { redis: { replicas: 0.5 } })).toThrow(/0\.5 replicas/);
    expect(() => given({ redisReplicas: 'all' })).toThrow(/--redis-replicas/);
  });

  it('makes one subscription of flags', () => {
    const settings = relay(
      given({ route: ['order.**=orders'], redisUrl: 'redis://r', subscription: ['mine'], lease: '3s' }),
    );
    expect(settings.subscriptions).toMatchObject([
      { name: 'mine', routes: [{ topics: ['order.**'], to: 'orders' }], lease: '3s' },
    ]);
    expect(settings.subscriptions[0]?.transport.kind).toBe('bullmq-redis');
    expect(settings).toMatchObject({
      http: { host: '127.0.0.1', port: 9464 },
      logLevel: 'info',
      logFormat: null,
      shutdownDeadlineMs: 25_000,
    });
  });

  it('lets flags win over the file, for every subscription', () => {
    const transport = createMemoryTransport();
    const config: HoldfastConfig = {
      transport,
      subscriptions: [
        { name: 'a', routes, lease: '20s', batchSize: 7 },
        { name: 'b', routes, transport: 'postgres' },
      ],
      http: { port: 1 },
      log: { level: 'warn', format: 'json' },
      shutdown: { deadline: '1s' },
    };
    const plain = relay({}, config);
    expect(plain.subscriptions).toMatchObject([
      { name: 'a', lease: '20s', batchSize: 7 },
      { name: 'b', transport: { kind: 'bullmq-postgres' } },
    ]);
    expect(plain.subscriptions[0]?.transport).toBe(transport);
    expect(plain).toMatchObject({ http: { port: 1 }, logLevel: 'warn', logFormat: 'json', shutdownDeadlineMs: 1_000 });
    const flagged = relay(given({ lease: '2s', httpPort: '2', logLevel: 'debug', shutdownDeadline: '9s' }), config);
    expect(flagged.subscriptions).toMatchObject([{ lease: '2s', batchSize: 7 }, { lease: '2s' }]);
    expect(flagged).toMatchObject({ http: { port: 2 }, logLevel: 'debug', shutdownDeadlineMs: 9_000 });
    for (const failoverReplay of ['2h', 'hold', 'never'])
      expect(relay(given({}, { HOLDFAST_FAILOVER_REPLAY: failoverReplay }), config).subscriptions).toMatchObject([
        { failoverReplay },
        { failoverReplay },
      ]);
  });

  it('picks subscriptions of the file, and refuses routes beside them', () => {
    const config: HoldfastConfig = {
      transport: createMemoryTransport(),
      subscriptions: [
        { name: 'orders', routes },
        { name: 'audit', routes },
      ],
    };
    expect(relay({ subscription: ['audit'] }, config).subscriptions).toMatchObject([{ name: 'audit' }]);
    expect(() => relay({ subscription: ['order'] }, config)).toThrow(/Did you mean 'orders'/);
    expect(() => relay(given({ route: ['a=b'] }), config)).toThrow(/routes of their own/);
  });

  it('shares one transport of a name, and knows typos in it', () => {
    const config: HoldfastConfig = {
      redis: { url: 'redis://r' },
      transports: { events: createMemoryTransport() },
      subscriptions: [
        { name: 'a', routes },
        { name: 'b', routes },
        { name: 'c', routes, transport: 'events' },
      ],
    };
    const { subscriptions, transports } = relay({}, config);
    expect(subscriptions[0]?.transport).toBe(subscriptions[1]?.transport);
    expect(subscriptions[2]?.transport.kind).toBe('memory');
    expect(transports).toHaveLength(2);
    expect(() => relay({ transport: 'postgre' }, config)).toThrow(/Did you mean 'postgres'/);
  });

  it('checks every subscription by the rules of the relay', () => {
    expect(() =>
      relay({}, { transport: createMemoryTransport(), subscriptions: [{ name: 'a', routes, batchsize: 3 } as never] }),
    ).toThrow(/Did you mean "batchSize"/);
    expect(() =>
      relay({}, { transport: createMemoryTransport(), subscriptions: [{ name: 'a', routes, batchSize: 0 }] }),
    ).toThrow(/batchSize is 0/);
    expect(() => relay({}, { transport: {} as never, routes })).toThrow(/is not one/);
  });

  it('serves no pages when told so', () => {
    const config = { transport: createMemoryTransport(), routes };
    expect(relay({}, { ...config, http: false }).http).toBeNull();
    expect(relay({ httpPort: 0 }, { ...config, http: false }).http).toEqual({ host: '127.0.0.1', port: 0 });
    expect(() => relay({ httpPort: 70_000 }, config)).toThrow(/HTTP port/);
  });
});

describe('the configuration file', () => {
  let folder: string;
  const src = new URL('../../src/', import.meta.url).pathname;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-config-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('is TypeScript, and found by its name', async () => {
    expect(await loadConfig(undefined, folder)).toEqual({ file: null, config: {} });
    await writeFile(
      join(folder, 'holdfast.config.ts'),
      `import { defineConfig } from '${src}operations/config.ts';
       const schema: string = 'mine';
       export default defineConfig({ schema, routes: [{ topics: 'a', to: 'b' }] });`,
    );
    expect(await loadConfig(undefined, folder)).toEqual({
      file: join(folder, 'holdfast.config.ts'),
      config: { schema: 'mine', routes: [{ topics: 'a', to: 'b' }] },
    });
    await rm(join(folder, 'holdfast.config.ts'));
  });

  it('is refused when it is missing, broken or no configuration', async () => {
    await writeFile(join(folder, 'broken.ts'), `import './nowhere.ts';`);
    await writeFile(join(folder, 'empty.ts'), `export const config = {};`);
    await expect(loadConfig('missing.ts', folder)).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(loadConfig('broken.ts', folder)).rejects.toMatchObject({
      code: 'HF_CONFIG',
      message: expect.stringMatching(/broken\.ts cannot be loaded/),
    });
    await expect(loadConfig('empty.ts', folder)).rejects.toThrow(/exports nothing by default.*defineConfig/);
  });

  it.each([
    [{ datbase: {} }, /Did you mean "database"/],
    [{ database: { uri: 'x' } }, /database has no option "uri"/],
    [{ http: 8080 }, /http has the wrong shape/],
    [{ subscriptions: {} }, /subscriptions has the wrong shape/],
    [{ routes, subscriptions: [] }, /both routes and subscriptions/],
    [[], /exports/],
  ])('%j is refused', (value, message) => {
    expect(() => checkConfig(value, 'holdfast.config.ts')).toThrow(message);
  });
});

describe('resolveWorker', () => {
  it('takes a path alone, and flags win over the file', () => {
    expect(worker({}, { sagas: './flows' })).toEqual({ path: './flows' });
    const config = { sagas: { path: './flows', concurrency: 10, lease: '20s', name: 'w-1' } } as const;
    expect(worker(given({ sagas: './other', concurrency: '5', lease: '2s' }), config)).toEqual({
      path: './other',
      concurrency: 5,
      lease: '2s',
      name: 'w-1',
    });
    expect(() => worker({})).toThrow(/Nothing says where the sagas are.*--sagas/);
    expect(() => worker({}, { sagas: { path: 'x', concurrency: 0 } })).toThrow(/concurrency is 0/);
  });

  it('takes replies from the broker where there is one, and from where it is told', () => {
    const memory = createMemoryTransport();
    expect(worker({}, { sagas: 'x', transport: memory }).replies).toEqual({ transport: memory });
    expect(worker({}, { sagas: { path: 'x', replies: false }, transport: memory }).replies).toBeUndefined();
    const replies = { transport: 'mine', destination: 'answers', topic: 'shop.reply' };
    expect(worker({}, { sagas: { path: 'x', replies }, transports: { mine: memory } }).replies).toEqual({
      transport: memory,
      destination: 'answers',
      topic: 'shop.reply',
    });
    expect(worker({ redisUrl: 'redis://127.0.0.1:1', repliesFrom: 'q' }, { sagas: 'x' }).replies).toMatchObject({
      destination: 'q',
      transport: { kind: 'bullmq-redis' },
    });
    expect(() => worker({ repliesFrom: 'q' }, { sagas: 'x' })).toThrow(/Nothing says what carries/);
  });

  it('knows the section of the file', () => {
    expect(() => checkConfig({ sagas: './flows' }, 'f')).not.toThrow();
    expect(() => checkConfig({ sagas: { pth: './flows' } }, 'f')).toThrow(/Did you mean "path"/);
    expect(() => checkConfig({ sagas: 3 }, 'f')).toThrow(/wrong shape/);
  });
});
