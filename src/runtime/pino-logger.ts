/**
 * The command line's logger: JSON lines, or coloured ones for people on a terminal. A file of its own, so that a service
 * that embeds Holdfast with its own logger, or none, does not load pino.
 */
import { pino, stdSerializers, type LevelWithSilent } from 'pino';
import { PinoPretty } from 'pino-pretty';
import type { Logger } from './log.ts';

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
  const { level = 'info', pretty = process.stdout.isTTY, stream = process.stdout } = options;
  const settings = {
    level,
    base: null,
    serializers: { err: stdSerializers.errWithCause, error: stdSerializers.errWithCause },
  };
  const target = { write: (line: string): void => void stream.write(line) };
  if (!pretty)
    return pino(
      { ...settings, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label) => ({ level: label }) } },
      target,
    );
  // In this thread, not in a worker: a line must not be lost when the process is killed the moment after.
  const lines = PinoPretty({
    colorize: process.stdout.isTTY,
    translateTime: 'SYS:HH:MM:ss.l',
    destination: stream as NodeJS.WritableStream,
    sync: true,
  });
  return pino(settings, lines);
}
