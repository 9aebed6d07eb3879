/**
 * A logger that says of errors what they are and not what they say: their texts may quote what is encrypted everywhere else.
 */
import type { Logger } from './log.ts';

/** What is left of an error. */
export interface ErrorKind {
  readonly name: string;
  readonly code?: string | number;
  readonly cause?: ErrorKind;
}

/** Of an error, or of what is recorded of one. Pure. */
export function kindOfError(error: unknown, depth = 0): ErrorKind {
  const { name, code, cause } = (typeof error === 'object' ? (error ?? {}) : {}) as Readonly<Record<string, unknown>>;
  return {
    name: typeof name === 'string' ? name : 'Error',
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(cause === undefined || depth > 5 ? {} : { cause: kindOfError(cause, depth + 1) }),
  };
}

/** Fields of what Holdfast logs that have errors, or texts of them. */
const OF_ERRORS: ReadonlySet<string> = new Set(['err', 'error', 'fallback', 'mismatch', 'answer']);

/** @param quiet whether anything is to be left out */
export function withoutErrorTexts(log: Logger, quiet: boolean): Logger {
  if (!quiet) return log;
  const line =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: object, message: string): void =>
      log[level](quieted(fields), message);
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (fields) => withoutErrorTexts(log.child(fields), quiet),
  };
}

function quieted(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, OF_ERRORS.has(name) ? quietedError(value) : value]),
  );
}

function quietedError(value: unknown): unknown {
  if (typeof value === 'string') return 'not logged, since payloads are encrypted';
  return value === null || value === undefined ? value : kindOfError(value);
}
