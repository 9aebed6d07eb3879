/**
 * The child's end of the line to demo/main.ts: settings come in, readiness and counts go out. Used by the files beside this one.
 */
import type { Metrics, Service } from '../../src/index.ts';
import { createLogger } from '../../src/runtime/pino-logger.ts';
import type { Broker } from '../broker.ts';
import type { ServiceName, World } from '../world.ts';

export interface Settings {
  readonly world: World;
  readonly databases: Readonly<Record<ServiceName, string>>;
  readonly broker: Broker;
}

export type Report =
  | { readonly kind: 'ready' }
  /** For example `duplicate`: so many deliveries were recognised as that. */
  | { readonly kind: 'count'; readonly what: string; readonly by: number };

/** Only what is wrong; the parent shows the last lines if this process dies of it. */
export const log = createLogger({ level: 'warn', pretty: false });

export function report(message: Report): void {
  // Written before this returns unless the pipe is full, so that a SIGKILL takes hardly any count with it.
  process.send?.(message);
}

/** Counts what consumers count and sends it to the parent, because a SIGKILL would take it along. */
export const metrics: Metrics = {
  counter: (name) => ({
    inc(labels, by = 1) {
      const outcome = name === 'holdfast_consumer_messages_total' && 'outcome' in labels ? labels.outcome : name;
      report({ kind: 'count', what: String(outcome), by });
    },
  }),
  gauge: () => ({ set: () => {}, remove: () => {} }),
  histogram: () => ({ observe: () => {} }),
};

/** Waits for the settings, runs the service, and stops it in order on SIGTERM. Ends with the parent, however that ended. */
export async function run(open: (settings: Settings) => Service & { close(): Promise<void> }): Promise<void> {
  process.on('disconnect', () => process.exit(1));
  // Ctrl-C reaches all processes of the terminal; the parent sees to the end of this one.
  process.on('SIGINT', () => {});
  const settings = await new Promise<Settings>((resolve) =>
    process.once('message', (sent) => resolve(sent as Settings)),
  );
  const service = open(settings);
  process.once('SIGTERM', () => {
    void service
      .stop()
      .then(() => service.close())
      .then(() => process.exit(0));
  });
  await service.start();
  report({ kind: 'ready' });
}
