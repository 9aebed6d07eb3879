/**
 * What an error was caused by, in the ways in which libraries keep it: by `cause` as the language has it, or by fields of their own. Pure.
 */

/** The error below this one; undefined: there is none. */
export function causeOf(error: Error): unknown {
  if (error.cause !== undefined) return asError(error.cause);
  const { parent, driverError, meta } = error as {
    readonly parent?: unknown;
    readonly driverError?: unknown;
    readonly meta?: { readonly driverAdapterError?: unknown };
  };
  // Sequelize; TypeORM; Prisma on a driver adapter.
  return parent ?? driverError ?? meta?.driverAdapterError;
}

/** What Prisma's adapter keeps of the driver's error is no error itself, and has the server's code under a name of its own. */
function asError(cause: unknown): unknown {
  if (cause instanceof Error || typeof cause !== 'object' || cause === null) return cause;
  const { originalCode, originalMessage } = cause as {
    readonly originalCode?: unknown;
    readonly originalMessage?: unknown;
  };
  if (typeof originalCode !== 'string') return cause;
  return Object.assign(new Error(String(originalMessage)), { code: originalCode });
}

/** Whether an error of Prisma's client: its codes (P2010) look like those of the server, and are its own. */
export function isOfPrisma(error: Error): boolean {
  return 'clientVersion' in error;
}
