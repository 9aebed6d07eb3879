/**
 * What can be made to fail by hand while the demo stays up, and mended again: a participant then refuses what it is asked for.
 */
import type { ServiceName } from './world.ts';

/** What participants are asked for. */
export type Task = 'charge' | 'refund' | 'reserve' | 'ship';

export interface Trouble {
  readonly service: ServiceName;
  readonly task: Task;
  /** The error that the saga hears. */
  readonly says: string;
  /** What comes of it. */
  readonly outcome: string;
}

/** By what is typed: `fail shipping`. */
export const TROUBLES = {
  shipping: {
    service: 'shipping',
    task: 'ship',
    says: 'no lorry goes today',
    outcome: 'orders that come now are paid for and set aside, and then compensated',
  },
  stock: {
    service: 'stock',
    task: 'reserve',
    says: 'the warehouse is closed',
    outcome: 'orders that come now are paid for, and get their money back',
  },
  payment: {
    service: 'payment',
    task: 'charge',
    says: 'the bank takes no cards today',
    outcome: 'orders that come now are rejected',
  },
  refunds: {
    service: 'payment',
    task: 'refund',
    says: 'the bank gives no money back today',
    outcome: 'a run that is to be compensated gets stuck there',
  },
} as const satisfies Readonly<Record<string, Trouble>>;

export type TroubleName = keyof typeof TROUBLES;
export const TROUBLE_NAMES = Object.keys(TROUBLES) as readonly TroubleName[];

/** What the process of the service is told. */
export interface TroubleOrder {
  readonly kind: 'trouble';
  readonly task: Task;
  /** What it says to whoever asks for it; null: it is mended. */
  readonly says: string | null;
}

export function isTroubleOrder(sent: unknown): sent is TroubleOrder {
  return typeof sent === 'object' && sent !== null && 'kind' in sent && sent.kind === 'trouble';
}

export interface TroubleRequest {
  readonly verb: 'fail' | 'mend';
  readonly names: readonly TroubleName[];
}

/** What a typed line asks for; null when it asks for nothing that there is. Pure. */
export function readRequest(line: string): TroubleRequest | null {
  const [verb, name, ...more] = line.trim().toLowerCase().split(/\s+/);
  if ((verb !== 'fail' && verb !== 'mend') || more.length > 0) return null;
  if (verb === 'mend' && (name === undefined || name === 'all')) return { verb, names: TROUBLE_NAMES };
  const found = TROUBLE_NAMES.find((each) => each === name);
  return found === undefined ? null : { verb, names: [found] };
}
