/**
 * Loggers and metrics that fail at everything, each in its own way, and a logger that remembers.
 */
import type { Logger } from '../../src/runtime/log.ts';
import type { Metrics } from '../../src/runtime/metrics.ts';

/** Throws, or rejects, at every line; also where it is asked for a child. */
export function failingLogger(how: 'throws' | 'rejects'): Logger {
  const fail = (): void => {
    if (how === 'throws') throw new TypeError('the disk of the log is full');
    return Promise.reject(new TypeError('the disk of the log is full')) as unknown as undefined;
  };
  const logger: Logger = {
    debug: fail,
    info: fail,
    warn: fail,
    error: fail,
    child: () => {
      if (how === 'throws') throw new TypeError('no children');
      return logger;
    },
  };
  return logger;
}

/** Made without complaint; whatever is counted throws, as prom-client does for a wrong set of labels. `seen`: how often. */
export function failingMetrics(): Metrics & { readonly seen: { times: number } } {
  const seen = { times: 0 };
  const fail = (): void => {
    seen.times += 1;
    throw new Error('Added label "topic" is not included in initial labelset');
  };
  return {
    seen,
    counter: () => ({ inc: fail }),
    gauge: () => ({ set: fail, remove: fail }),
    histogram: () => ({ observe: fail }),
  };
}

export interface Line {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export function rememberingLogger(): Logger & { readonly lines: Line[] } {
  const lines: Line[] = [];
  const make = (own: object): Logger => {
    const line =
      (level: Line['level']) =>
      (fields: object, message: string): void =>
        void lines.push({ level, fields: { ...own, ...fields }, message });
    return {
      debug: line('debug'),
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: (more) => make({ ...own, ...more }),
    };
  };
  return { ...make({}), lines };
}
