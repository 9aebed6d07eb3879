/**
 * The logger of a daemon that nobody watches: JSON lines. Apart from pino-logger.ts, because what makes lines for people is large.
 */
import { pino, stdSerializers, type LevelWithSilent } from 'pino';
import type { Logger } from './log.ts';
import { showAll, type Redactor } from './redact.ts';
import { visibleJson } from './terminal-text.ts';

/** From `trace` to `silent`. */
export type LogLevel = LevelWithSilent;

/** Of JSON lines and of those for people. */
export function logSettings(redact: Redactor = showAll): object {
  const serialize = (error: unknown): unknown => serializeError(error, redact);
  return { base: null, serializers: { err: serialize, error: serialize } };
}

export interface JsonLoggerOptions {
  /** Default `info`. */
  readonly level?: LogLevel | undefined;
  /** Where lines go. Default: stdout. */
  readonly stream?: { write(line: string): unknown } | undefined;
  /** What is not shown of the details of errors. Default: all is shown. */
  readonly redact?: Redactor | undefined;
}

export function createJsonLogger({ level = 'info', stream = process.stdout, redact }: JsonLoggerOptions = {}): Logger {
  return pino(
    {
      level,
      ...logSettings(redact),
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string): void => void stream.write(visibleJson(line)) },
  );
}

/** What PostgreSQL adds to an error that quotes rows: `Key (email)=(ann@…) already exists`, the failing row, the text of a statement. */
const QUOTES_ROWS = new Set(['detail', 'where', 'internalQuery', 'query', 'parameters']);

/** An error and its causes, without the values of rows: logs are read and kept by more people than the tables. */
function serializeError(error: unknown, redact: Redactor): unknown {
  return withoutRows(error instanceof Error ? stdSerializers.errWithCause(error) : error, redact);
}

function withoutRows(value: unknown, redact: Redactor): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((each) => withoutRows(each, redact));
  const kept = Object.entries(value).filter(([name]) => !QUOTES_ROWS.has(name));
  return Object.fromEntries(
    kept.map(([name, each]) => {
      if (name === 'details') return [name, redact(each)];
      return [name, NESTED.has(name) ? withoutRows(each, redact) : (each as unknown)];
    }),
  );
}
const NESTED = new Set(['cause', 'errors', 'aggregateErrors']);
