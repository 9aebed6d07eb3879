/**
 * What the process with the services tells the one that started it.
 */

/** Files whose change is a change of the program: told when they are loaded, also of a program that cannot run. */
export interface FilesReport {
  readonly kind: 'files';
  readonly files: readonly string[];
}

/** Everything has started. */
export interface ReadyReport {
  readonly kind: 'ready';
  readonly sagas: readonly string[];
  readonly consumers: readonly string[];
  /** `order.** → shipping`. */
  readonly routes: readonly string[];
  /** BullMQ on what; null: nothing carries messages. */
  readonly transport: string | null;
}

/** Somebody else has the port of the dashboard. Told before it ends. */
export interface PortTakenReport {
  readonly kind: 'port taken';
}

export type ServicesReport = FilesReport | ReadyReport | PortTakenReport;

export function isServicesReport(value: unknown): value is ServicesReport {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : null;
  return kind === 'files' || kind === 'ready' || kind === 'port taken';
}
