/** Interactive transactions of Prisma. */
import { hasMethods, notInTransaction, type OpenTransaction, type Row } from './client.ts';

/** The `tx` of an interactive transaction of Prisma. */
export interface PrismaTransactionHandle {
  $queryRawUnsafe(query: string, ...values: never[]): PromiseLike<unknown>;
  readonly $connect?: never;
}

interface Prisma {
  $queryRawUnsafe(query: string, ...values: readonly unknown[]): PromiseLike<readonly Row[]>;
}

export function openPrisma(tx: object): OpenTransaction | null {
  if (!hasMethods(tx, '$queryRawUnsafe')) return null;
  if (hasMethods(tx, '$connect')) {
    throw notInTransaction(
      'This is a PrismaClient, and not a transaction of it.',
      'Pass the tx of prisma.$transaction(async (tx) => …).',
    );
  }
  const prisma = tx as Prisma;
  return {
    execute: async (sql, parameters) => prisma.$queryRawUnsafe(sql, ...parameters),
    showsTransaction: () => false,
  };
}
