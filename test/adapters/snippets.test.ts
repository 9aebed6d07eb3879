/**
 * The snippets of docs/orms.md run as they stand there, one after the other, in a process of their own: each writes its order and the
 * message of it. (That they compile is tested with those of the other pages.)
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { ROOT } from '../house/source-files.ts';
import { generatePrismaClient, type GeneratedClient } from '../support/prisma-client.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let folder: string;
let prisma: GeneratedClient;
beforeAll(async () => {
  prisma = await generatePrismaClient();
  test = await createTestDatabase();
  const database = openDatabase({ pool: test.pool });
  await migrate(database);
  await database.close();
  await test.pool.query('CREATE TABLE orders (id text PRIMARY KEY, state text)');
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-orms-')));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await prisma.dispose();
  await test.drop();
});

/** The name of an entry point of the package, as the file that it is made of. */
function source(name: string): string {
  return join(ROOT, 'src', name === 'holdfast' ? 'index.ts' : `adapters/${name.slice('holdfast/'.length)}.ts`);
}

it('each snippet writes its order, and the message of it', async () => {
  const page = readFileSync(join(ROOT, 'docs/orms.md'), 'utf8');
  const codes = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
  const named = [...page.matchAll(/orderId: '([\w-]+-1)' \}\);$/gm)].map(([, id]) => id);
  expect(named).toHaveLength(codes.length - 1);
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  const files = codes.map((code, index) => {
    const text = code.replaceAll(/'(holdfast(?:\/[\w-]+)?)'/g, (_, name: string) => JSON.stringify(source(name)));
    const client = JSON.stringify(join(prisma.folder, 'client.mjs'));
    writeFileSync(join(folder, `snippet-${index}.ts`), text.replace("'./generated/client.ts'", client));
    return `await import('./snippet-${index}.ts');`;
  });
  writeFileSync(join(folder, 'all.ts'), [...files, 'process.exit(0);'].join('\n'));
  const env = { ...process.env, DATABASE_URL: test.url };
  const tsx = join(ROOT, 'node_modules/tsx/dist/cli.mjs');
  await promisify(execFile)(process.execPath, [tsx, join(folder, 'all.ts')], { cwd: folder, env });
  const ids = async (sql: string): Promise<readonly unknown[]> => (await test.pool.query(sql)).rows.map(({ id }) => id);
  expect(await ids('SELECT id FROM orders ORDER BY xmin::text::bigint')).toEqual(named);
  expect(await ids("SELECT payload ->> 'orderId' AS id FROM holdfast.outbox ORDER BY seq")).toEqual(named);
});
