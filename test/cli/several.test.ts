/** The verbs over several databases, as child processes: what looks at all of them, what asks which, and one that does not answer. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkConfig } from '../../src/cli/config/load.ts';
import { resolveDatabases, theOnly } from '../../src/cli/config/databases.ts';
import { seedRun, STUCK_UNDOING } from '../operations/saga-lab.ts';
import { AWAY, openTwoServices, type Placed, type TwoServices } from '../operations/two-services.ts';
import { holdfast } from './process.ts';

let services: TwoServices;
let placed: Placed;
let stuckId: string;
let folder: string;

beforeAll(async () => {
  services = await openTwoServices();
  placed = await services.place('o-1');
  stuckId = await seedRun(services.payments, STUCK_UNDOING);
  folder = await mkdtemp(join(tmpdir(), 'holdfast-'));
  const { orders, payments } = services.urls;
  const write = (name: string, databases: object) =>
    writeFile(join(folder, name), `export default ${JSON.stringify({ databases })};`);
  await Promise.all([
    write('two.mjs', { orders: { url: orders }, payments: { url: payments } }),
    write('three.mjs', { orders: { url: orders }, payments: { url: payments }, stock: { url: AWAY } }),
  ]);
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await services.dispose();
});

const run = (config: string, ...args: string[]) => holdfast([...args, '--config', join(folder, config)], { env: {} });
const json = async (config: string, ...args: string[]) => {
  const { stdout, code } = await run(config, ...args, '--json');
  return { code, data: JSON.parse(stdout) as { databases: { database: string }[]; error?: object } };
};

describe('verbs that look', () => {
  it.each([
    [['status'], 'relay'],
    [['doctor'], 'findings'],
    [['alerts'], 'alerts'],
    [['parked', 'ls'], 'parked'],
    [['saga', 'ls'], 'runs'],
    [['find', 'o-1'], 'found'],
  ])('%j looks at all of them, and says which is which', async (verb) => {
    const [{ data }, one, { stdout }] = await Promise.all([
      json('two.mjs', ...verb),
      json('two.mjs', ...verb, '--database', 'payments'),
      run('two.mjs', ...verb),
    ]);
    expect(data.databases.map(({ database }) => database)).toEqual(['orders', 'payments']);
    expect(Object.keys(one.data)).toEqual(Object.keys(data.databases[1]!).filter((key) => key !== 'database'));
    if (verb.join() !== 'parked,ls') expect(stdout).toMatch(/orders[^]*payments/);
  });

  it('have a name beside each line of a list', async () => {
    const runs = await run('two.mjs', 'saga', 'ls');
    expect(runs.stdout).toMatch(/^DATABASE +ID/m);
    expect(runs.stdout).toMatch(new RegExp(`^orders +${placed.runId}`, 'm'));
    expect(runs.stdout).toMatch(new RegExp(`^payments +${stuckId}`, 'm'));
    expect(runs.stdout).toMatch(/^payments .*1 stuck/m);
    const found = await run('two.mjs', 'find', 'o-1');
    expect(found).toMatchObject({ code: 0 });
    expect(found.stdout).toMatch(new RegExp(`^orders +run +${placed.runId}`, 'm'));
    expect(found.stdout).toMatch(/^payments +message +\S+ +payment\.booked/m);
    expect(found.stdout).toMatch(/Look at it: holdfast .* --database orders/);
  });

  it('find the one that has a run or a message, and its way through all of them', async () => {
    expect((await run('two.mjs', 'saga', 'show', stuckId)).stdout).toMatch(/^In payments:/);
    expect(await json('two.mjs', 'saga', 'show', 'o-1')).toMatchObject({ code: 0, data: { database: 'orders' } });
    const path = await run('two.mjs', 'outbox', 'path', placed.messageId);
    expect(path.code).toBe(0);
    expect(path.stdout).toMatch(/\[orders\] main published it/);
    expect(path.stdout).toMatch(/\[payments\] ledger handled it/);
    expect(path.stdout).toMatch(new RegExp(`holdfast outbox show ${placed.messageId} --database orders`));
    expect(await run('two.mjs', 'saga', 'show', 'o-77')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/HF_NOT_FOUND/),
    });
  });
});

describe('one that is away', () => {
  it('holds up no other, is named, and tells in the exit code', async () => {
    const { code, data } = await json('three.mjs', 'status');
    expect(code).toBe(3);
    expect(data.databases).toMatchObject([
      { database: 'orders', log: {} },
      { database: 'payments', log: {} },
      { database: 'stock', error: { code: 'HF_DATABASE_UNAVAILABLE' } },
    ]);
    const shown = await run('three.mjs', 'saga', 'ls');
    expect(shown).toMatchObject({ code: 3, stderr: '' });
    expect(shown.stdout).toMatch(
      new RegExp(`^orders +${placed.runId}[^]*── stock ──\nerror HF_DATABASE_UNAVAILABLE`, 'm'),
    );
    const path = await run('three.mjs', 'outbox', 'path', placed.messageId);
    expect(path).toMatchObject({
      code: 3,
      stdout: expect.stringMatching(/\[payments\] ledger handled it[^]*stock did not answer/),
    });
  });

  it('may have what no other has', async () => {
    expect(await run('three.mjs', 'saga', 'show', 'o-1')).toMatchObject({ code: 0 });
    expect(await run('three.mjs', 'saga', 'show', 'o-77')).toMatchObject({ code: 3 });
  });
});

describe('verbs that act', () => {
  it.each([
    [['saga', 'retry', '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f']],
    [['parked', 'retry', '--all']],
    [['migrate']],
    [['relay', '--transport', 'postgres', '--route', '**=all']],
    [['saga', 'ls', '--cursor', 'x']],
  ])('%j asks which one is meant', async (verb) => {
    const { code, data } = await json('two.mjs', ...verb);
    expect({ code, error: data.error }).toEqual({
      code: 2,
      error: {
        code: 'HF_CONFIG',
        message: 'It is not said which database is meant.',
        advice: 'Give --database NAME; there are: orders, payments.',
      },
    });
  });

  it('act there', async () => {
    expect((await run('two.mjs', 'saga', 'retry', stuckId, '--database', 'orders')).code).toBe(2);
    expect(await run('two.mjs', 'saga', 'retry', stuckId, '--database', 'payments')).toMatchObject({ code: 0 });
  });
});

describe('the configuration', () => {
  const databases = {
    orders: { url: 'postgres://db/orders' },
    payments: { url: 'postgres://db/payments', schema: 'pay' },
  };
  const resolved = (given: object, config: object = { databases, schema: 'hf', environment: 'production' }) =>
    resolveDatabases(given, config);

  it('gives each what is said for all, where it says nothing else', () => {
    expect(resolved({})).toMatchObject([
      { name: 'orders', options: { url: 'postgres://db/orders', schema: 'hf', environment: 'production', max: 5 } },
      { name: 'payments', options: { url: 'postgres://db/payments', schema: 'pay' } },
    ]);
    expect(resolved({ database: 'payments', databaseUrl: 'postgres://db/of-the-environment' })).toMatchObject([
      { name: 'payments', options: { url: 'postgres://db/payments' } },
    ]);
    expect(theOnly(resolved({}, { database: { url: 'postgres://db/x' } })).name).toBe('main');
  });

  it.each([
    [{ database: 'payment' }, /names no database 'payment'.*'payments'/],
    [{ databaseUrl: 'postgres://db/x' }, /A database URL is given.*--database \(orders, payments\)/],
  ])('refuses %o', (given, message) => {
    expect(() => resolved(given)).toThrow(message);
  });

  it.each([
    [{ databases, database: {} }, /both database and databases/],
    [{ databases: [] }, /databases has the wrong shape/],
    [{ databases: {} }, /names no database/],
    [{ databases: { Orders: { url: 'x' } } }, /names a database "Orders"/],
    [{ databases: { orders: {} } }, /orders has no url/],
    [{ databases: { orders: { url: 'x', host: 'y' } } }, /no option "host"/],
  ])('is refused as %o', (config, message) => {
    expect(() => checkConfig(config, 'holdfast.config.ts')).toThrow(message);
  });
});
