/** Runner for Prisma: `holdfast/prisma`. */
import type { PrismaTransactionHandle } from '../postgres/clients/prisma.ts';
import type { Runner } from '../postgres/runner.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';

/** A PrismaClient, as far as it matters here. */
export interface PrismaDatabase<Tx> {
  $transaction(
    fn: (tx: Tx) => Promise<unknown>,
    options: { readonly timeout: number; readonly maxWait: number },
  ): Promise<unknown>;
}

/** Options of {@link prismaRunner}. */
export interface PrismaRunnerOptions {
  /**
   * How long an interactive transaction may last before Prisma rolls it back. It must be longer than the handlers and steps may take.
   *
   * @defaultValue '1m'
   */
  readonly timeout?: Duration | undefined;
  /**
   * How long to wait for a connection.
   *
   * @defaultValue '5s'
   */
  readonly maxWait?: Duration | undefined;
}

/**
 * Consumers, participants and transaction steps in the interactive transactions of Prisma: `tx` is its transaction client. Prisma's own
 * limit of five seconds is raised, since handlers have limits of their own.
 *
 * @throws HoldfastError HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * const runner = prismaRunner(prisma, { timeout: '2m' });
 */
export function prismaRunner<Tx extends PrismaTransactionHandle>(
  prisma: PrismaDatabase<Tx>,
  options: PrismaRunnerOptions = {},
): Runner<Tx> {
  refuseUnknownOptions(options, ['timeout', 'maxWait'], 'prismaRunner');
  const limits = {
    timeout: parseDuration(options.timeout ?? '1m', 'prismaRunner.timeout'),
    maxWait: parseDuration(options.maxWait ?? '5s', 'prismaRunner.maxWait'),
  };
  return {
    transaction: <T>(fn: (tx: Tx) => Promise<T>) => prisma.$transaction(fn, limits) as Promise<T>,
  };
}
