/** Prisma, on its adapter for node-postgres. Its client is generated for the test, so what the compiler knows of it is asked here. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PrismaPg } from '@prisma/adapter-pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { prismaRunner, type PrismaDatabase } from '../../src/adapters/prisma.ts';
import { ROOT } from '../house/source-files.ts';
import { generatePrismaClient, type GeneratedClient } from '../support/prisma-client.ts';
import { describeClient } from './conformance.ts';

/** As the generated client has them. */
interface PrismaTx {
  readonly effect: { create(row: { readonly data: { readonly what: string } }): Promise<unknown> };
  $queryRawUnsafe(sql: string, ...values: readonly unknown[]): Promise<readonly unknown[]>;
  $transaction?: PrismaDatabase<PrismaTx>['$transaction'];
}
type Prisma = PrismaTx & PrismaDatabase<PrismaTx> & { $connect(): Promise<void>; $disconnect(): Promise<void> };

let client: GeneratedClient;
beforeAll(async () => {
  client = await generatePrismaClient();
});
afterAll(() => client.dispose());

describeClient<PrismaTx>('Prisma', async (url) => {
  const { PrismaClient } = await client.load();
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 4 }) }) as Prisma;
  return {
    runner: prismaRunner(prisma),
    root: prisma,
    write: (tx, what) => tx.effect.create({ data: { what } }),
    fail: (tx) => tx.$queryRawUnsafe('SELECT 1 / 0'),
    nested: async (tx, fn) => {
      await tx.$queryRawUnsafe('SAVEPOINT nested');
      try {
        await fn(tx);
      } catch (error) {
        await tx.$queryRawUnsafe('ROLLBACK TO SAVEPOINT nested');
        throw error;
      }
      await tx.$queryRawUnsafe('RELEASE SAVEPOINT nested');
    },
    read: async (tx, sql) => (await tx.$queryRawUnsafe(sql))[0],
    close: () => prisma.$disconnect(),
  };
});

it('gives handlers its own transaction, typed, and takes no PrismaClient for one', async () => {
  const source = (path: string): string => JSON.stringify(join(ROOT, 'src', path));
  await writeFile(
    join(client.folder, 'types.ts'),
    `import { prismaRunner } from ${source('adapters/prisma.ts')};
    import type { TransactionHandle } from ${source('postgres/executor.ts')};
    import { transactionFor } from ${source('saga/kinds/transaction.ts')};
    import type { Prisma, PrismaClient } from './generated/client.ts';
    declare const prisma: PrismaClient;
    const inPrisma = transactionFor(prismaRunner(prisma));
    export const step = inPrisma({
      run: async (what: string, { tx }) => {
        const same: Prisma.TransactionClient = tx;
        return (await same.effect.create({ data: { what } })).what.length;
      },
    });
    export const taken = (tx: Prisma.TransactionClient): TransactionHandle => tx;
    // @ts-expect-error a PrismaClient is no transaction
    export const refused: TransactionHandle = prisma;
    `,
  );
  const tsconfig = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: { rewriteRelativeImportExtensions: false },
    include: ['types.ts'],
    exclude: [],
  };
  await writeFile(join(client.folder, 'tsconfig.json'), JSON.stringify(tsconfig));
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const said = promisify(execFile)(process.execPath, [tsc, '-p', client.folder, '--pretty', 'false']).then(
    ({ stdout }) => stdout,
    (error: unknown) => (error as { readonly stdout?: string }).stdout ?? String(error),
  );
  expect(await said).toBe('');
});
