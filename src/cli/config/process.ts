/**
 * Flags over environment over configuration file over defaults: what every daemon has, whatever it runs.
 */
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import { parseDuration } from '../../runtime/duration.ts';
import type { LogLevel } from '../../runtime/json-logger.ts';
import type { Given } from './options.ts';

export interface ProcessSettings {
  readonly http: { readonly host: string; readonly port: number } | null;
  readonly logLevel: LogLevel;
  readonly logFormat: 'pretty' | 'json' | null;
  readonly shutdownDeadlineMs: number;
}

export interface ProcessInputs {
  readonly given: Given;
  readonly config: HoldfastConfig;
  /** --no-http. */
  readonly noHttp: boolean;
}

/** Throws HF_CONFIG or HF_DURATION. */
export function resolveProcess({ given, config, noHttp }: ProcessInputs): ProcessSettings {
  const port = given.httpPort ?? (config.http === false ? undefined : config.http?.port) ?? 9464;
  if (port > 65_535) throw new HoldfastError('HF_CONFIG', `The HTTP port is ${port}.`, { advice: 'Give 0 to 65535.' });
  const httpOff = noHttp || (config.http === false && given.httpPort === undefined);
  const host = given.httpHost ?? (config.http === false ? undefined : config.http?.host) ?? '127.0.0.1';
  return {
    http: httpOff ? null : { host, port },
    logLevel: resolveLogLevel(given, config),
    logFormat: given.logFormat ?? config.log?.format ?? null,
    shutdownDeadlineMs: parseDuration(
      given.shutdownDeadline ?? config.shutdown?.deadline ?? '25s',
      'shutdown.deadline',
    ),
  };
}

function resolveLogLevel(given: Given, config: HoldfastConfig): LogLevel {
  const level = given.logLevel ?? config.log?.level ?? 'info';
  const levels: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
  if (levels.includes(level)) return level;
  throw new HoldfastError('HF_CONFIG', `log.level is ${JSON.stringify(level)}.`, {
    advice: `Give one of: ${levels.join(', ')}.`,
  });
}
