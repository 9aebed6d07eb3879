/**
 * Structured logs. Everything that logs takes a Logger; pino satisfies it as it is. The command line makes one with
 * createLogger; as a library Holdfast is silent unless given one.
 */
import { pino, stdSerializers, type LevelWithSilent } from 'pino';
import { PinoPretty } from 'pino-pretty';

/** What Holdfast needs of a logger. Fields first, then the message, as pino has it. An error goes into the field `err`. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** A logger that adds `fields` to every line. */
  child(fields: object): Logger;
}

export type LogLevel = LevelWithSilent;

export interface LoggerOptions {
  /** Default `info`. */
  readonly level?: LogLevel;
  /** Coloured lines for people instead of JSON. Default: whether stdout is a terminal. */
  readonly pretty?: boolean;
  /** Where lines go. Default: stdout. */
  readonly stream?: { write(line: string): unknown };
}

export function createLogger(options: LoggerOptions = {}): Logger {
  const { level = 'info', pretty = process.stdout.isTTY === true, stream = process.stdout } = options;
  const settings = { level, base: null, serializers: { err: stdSerializers.errWithCause, error: stdSerializers.errWithCause } };
  const target = { write: (line: string): void => void stream.write(line) };
  if (!pretty) return pino({ ...settings, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } }, target);
  // In this thread, not in a worker: a line must not be lost when the process is killed the moment after.
  const lines = PinoPretty({ colorize: process.stdout.isTTY === true, translateTime: 'SYS:HH:MM:ss.l', destination: stream as NodeJS.WritableStream, sync: true });
  return pino(settings, lines);
}

const nothing = (): void => undefined;

export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silentLogger };
