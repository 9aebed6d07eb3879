/**
 * Flags over environment over configuration file over defaults: what every daemon has, whatever it runs.
 */
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import type { DoctorOptions } from '../../operations/doctor/finding.ts';
import { parseDuration } from '../../runtime/duration.ts';
import type { LogLevel } from '../../runtime/json-logger.ts';
import type { Given } from './options.ts';
import { resolveRedisUrls } from './servers.ts';
import { askableTransports } from './transports.ts';

export interface ProcessSettings {
  readonly http: { readonly host: string; readonly port: number } | null;
  readonly logLevel: LogLevel;
  readonly logFormat: 'pretty' | 'json' | null;
  readonly shutdownDeadlineMs: number;
  /** How often the doctor is asked for /metrics, and of what; null: never. */
  readonly doctor: { readonly intervalMs: number; readonly options: DoctorOptions } | null;
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
    doctor: resolveDoctor(given, config),
    logLevel: resolveLogLevel(given, config),
    logFormat: given.logFormat ?? config.log?.format ?? null,
    shutdownDeadlineMs: parseDuration(
      given.shutdownDeadline ?? config.shutdown?.deadline ?? '25s',
      'shutdown.deadline',
    ),
  };
}

/** More often is nothing but load, in milliseconds. */
const SHORTEST_INTERVAL_MS = 10_000;

function resolveDoctor(given: Given, config: HoldfastConfig): ProcessSettings['doctor'] {
  if (config.doctor === false) return null;
  const intervalMs = parseDuration(config.doctor?.interval ?? '5m', 'doctor.interval');
  if (intervalMs < SHORTEST_INTERVAL_MS)
    throw new HoldfastError('HF_CONFIG', `doctor.interval is ${intervalMs} ms.`, {
      advice: "Give '10s' or longer, or doctor: false.",
    });
  const transports = askableTransports(given, config);
  const options = { redisUrls: resolveRedisUrls(given, config), redisPrefix: config.redis?.prefix, transports };
  return { intervalMs, options };
}

function resolveLogLevel(given: Given, config: HoldfastConfig): LogLevel {
  const level = given.logLevel ?? config.log?.level ?? 'info';
  const levels: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
  if (levels.includes(level)) return level;
  throw new HoldfastError('HF_CONFIG', `log.level is ${JSON.stringify(level)}.`, {
    advice: `Give one of: ${levels.join(', ')}.`,
  });
}
