/**
 * Where the sagas are: flag over environment over configuration file. Apart from resolve-worker.ts, so that verbs which only look
 * at sagas need not load transports.
 */
import type { HoldfastConfig, SagasConfig } from '../../operations/config.ts';
import type { Given } from './options.ts';

/** Relative to the working directory; undefined: nothing says. */
export function sagasPathOf(given: Given, config: HoldfastConfig): string | undefined {
  return given.sagas ?? sagasConfigOf(config).path;
}

/** The section of the configuration file, in its long form. */
export function sagasConfigOf({ sagas }: HoldfastConfig): SagasConfig {
  return typeof sagas === 'string' ? { path: sagas } : (sagas ?? {});
}
