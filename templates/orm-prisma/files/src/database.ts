/** The database of this service: Prisma, and Holdfast's own few connections beside it. */
import { PrismaPg } from '@prisma/adapter-pg';
import { openDatabase, transactionFor } from 'holdfast';
import { prismaRunner } from 'holdfast/prisma';
import { PrismaClient, type Prisma } from './generated/prisma/client.js';

const adapter = new PrismaPg({ connectionString: process.env['DATABASE_URL'] ?? '' });
export const prisma = new PrismaClient({ adapter });
export const database = openDatabase({ url: process.env['DATABASE_URL'] });

/** How requests and consumers open their transactions, how steps of sagas do, and what both are given. */
export const unitOfWork = { runner: prismaRunner(prisma) };
export const transaction = transactionFor(unitOfWork.runner);
export type Tx = Prisma.TransactionClient;
