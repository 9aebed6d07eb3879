/**
 * The command line's logger: JSON lines, or coloured ones for people on a terminal. A file of its own, so that a service
 * that embeds Holdfast with its own logger, or none, does not load pino.
 */
import { pino } from 'pino';
import { PinoPretty } from 'pino-pretty';
import { createJsonLogger, logSettings, type LogLevel } from './json-logger.ts';
import type { Logger } from './log.ts';
import type { Redactor } from './redact.ts';
import { visible } from './terminal-text.ts';

export type { LogLevel, Redactor };

/** Options of {@link createLogger}. */
export interface LoggerOptions {
  /** @defaultValue `info` */
  readonly level?: LogLevel | undefined;
  /**
   * One line for people, with fields behind the message, instead of JSON.
   *
   * @defaultValue whether stdout is a terminal
   */
  readonly pretty?: boolean | undefined;
  /**
   * Where lines go.
   *
   * @defaultValue stdout
   */
  readonly stream?: { write(line: string): unknown } | undefined;
  /**
   * What is not shown of the details of errors, such as `createRedactor(['customer.email'])`.
   *
   * @defaultValue all is shown
   */
  readonly redact?: Redactor | undefined;
}

/**
 * A logger on pino: lines for people on a terminal, JSON elsewhere.
 *
 * @example
 * const log = createLogger({ level: 'debug' });
 * const worker = createWorker({ database, sagas: [placeOrder], log });
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const { level = 'info', pretty = process.stdout.isTTY, stream = process.stdout } = options;
  const { redact } = options;
  if (!pretty) return createJsonLogger(options);
  const dim = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === '';
  // In this thread, not in a worker: a line must not be lost when the process is killed the moment after.
  const lines = PinoPretty({
    colorize: dim,
    translateTime: 'SYS:HH:MM:ss.l',
    hideObject: true,
    messageFormat: (log, messageKey) =>
      prettyMessage(log, messageKey, (text) => (dim ? `\u001B[0;2m${text}\u001B[0m` : text)),
    destination: stream as NodeJS.WritableStream,
    sync: true,
  });
  return pino({ level, ...logSettings(redact) }, lines);
}

const META = new Set(['level', 'time', 'pid', 'hostname', 'v', 'err', 'error']);
const ERROR_LEVEL = 50;

/** The message, its fields as name=value, and below it what failed and why. The stack is for errors nobody foresaw. */
function prettyMessage(log: Record<string, unknown>, messageKey: string, dim: (text: string) => string): string {
  const fields = Object.entries(log)
    .filter(([name, value]) => name !== messageKey && !META.has(name) && value !== undefined)
    .map(([name, value]) => `${name}=${shown(value)}`);
  const message = visible(asText(log[messageKey] ?? ''));
  const line = [message, ...(fields.length === 0 ? [] : [dim(visible(fields.join(' ')))])].join('  ');
  const causes = [log['err'] ?? log['error']].flatMap((error) => describeCauses(error, Number(log['level'])));
  return [line, ...causes.map((cause) => dim(`    ${visible(cause).replaceAll('\n', '\n    ')}`))].join('\n');
}

function describeCauses(error: unknown, level: number): readonly string[] {
  if (error === undefined || error === null) return [];
  if (typeof error !== 'object') return [asText(error)];
  const { type, message, code, stack, cause } = error as { readonly [name: string]: unknown };
  const known = typeof code === 'string';
  const first = `${known ? code : asText(type ?? 'Error')}: ${asText(message ?? '')}`;
  const own = known || level < ERROR_LEVEL || typeof stack !== 'string' ? first : stack;
  // A HoldfastError tells what its cause says already.
  return known ? [own] : [own, ...describeCauses(cause, 0).map((each) => `caused by ${each}`)];
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : shown(value);
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join(',');
  if (typeof value === 'string') return /^[\w./:@+-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? 'undefined';
}
