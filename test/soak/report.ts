/**
 * What a soak says: a line every few seconds, and the totals at its end. Pure.
 */
import type { Growth } from './judge/flat.ts';
import type { OrdersState } from './judge/order-ledger.ts';
import type { StreamsState } from './judge/streams.ts';
import type { SoakSample } from './sizes.ts';
import type { Sum } from './totals.ts';
import type { View } from './watch.ts';

export interface Progress {
  readonly seconds: number;
  readonly view: View;
  /** Of this leg; the view has those of all. */
  readonly messages: number;
  readonly orders: number;
  /** A second, lately. */
  readonly messageRate: number;
  readonly orderRate: number;
  readonly faults: number;
  readonly down: readonly string[];
  readonly sample: SoakSample | undefined;
}

export function progressLine(progress: Progress): string {
  const { seconds, view, messages, orders, messageRate, orderRate, faults, down, sample } = progress;
  const wrong = view.streams.twice + view.streams.outOfOrder + view.orders.faulty;
  return [
    minutesOf(seconds).padStart(7),
    `${messages} messages (${Math.round(messageRate)}/s)`,
    `${orders} runs (${orderRate.toFixed(1)}/s)`,
    `under way ${view.missing.count} and ${view.world.openOrders}`,
    `${faults} faults`,
    ...(view.world.parked > 0 ? [`${view.world.parked} parked`] : []),
    ...(sample === undefined
      ? []
      : [`${sample.mean} to ${sample.most} MiB a process`, `databases ${sample.databases}`, `Redis ${sample.redis}`]),
    ...(down.length > 0 ? [`down: ${down.join(', ')}`] : []),
    ...(wrong > 0 ? [`${wrong} WRONG`] : []),
  ].join(' · ');
}

function minutesOf(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}

export interface Outcome {
  readonly ok: boolean;
  readonly seed: number;
  /** Of all legs, and how much of it was in this one. */
  readonly sum: Sum;
  readonly leg: { readonly seconds: number; readonly messages: number; readonly orders: number };
  readonly streams: Pick<StreamsState, 'twice' | 'outOfOrder' | 'wrong'>;
  readonly orders: OrdersState;
  /** Not handled when all was over. */
  readonly lost: number;
  readonly unfinished: number;
  readonly parked: number;
  readonly stuck: number;
  readonly samples: readonly SoakSample[];
  readonly growth: readonly Growth[];
  /** The leg was long enough to say whether anything grows. */
  readonly judgesGrowth: boolean;
}

/** Every sentence about what is wrong; none: all is right. */
export function sentencesOf({
  sum,
  streams,
  orders,
  growth,
}: Pick<Outcome, 'sum' | 'streams' | 'orders' | 'growth'>): readonly string[] {
  return [
    ...streams.wrong,
    ...orders.wrong,
    ...sum.wrong,
    ...growth.map(({ name, before, after }) => `${name} grows: from ${before} to ${after} MiB in the last third`),
  ];
}

const SHOWN_SAMPLES = 12;

export function summaryOf(outcome: Outcome): string {
  const { ok, seed, sum, leg, streams, orders, samples, judgesGrowth } = outcome;
  const rows = (table: readonly (readonly [string, string | number])[]): readonly string[] => {
    const width = Math.max(...table.map(([what]) => what.length));
    return table.map(([what, value]) => `  ${what.padEnd(width)}  ${String(value).padStart(10)}`);
  };
  const faults = Object.entries(sum.faults).toSorted(([, a], [, b]) => b - a);
  return [
    '',
    `Load for ${minutesOf(sum.seconds)} in ${sum.legs === 1 ? 'one leg' : `${sum.legs} legs`}${sum.brokenOff > 0 ? `, of which ${sum.brokenOff} broken off` : ''}; ` +
      `this one: ${minutesOf(leg.seconds)}, ${leg.messages} messages, ${leg.orders} runs`,
    '',
    'Faults, and what came of chance',
    ...rows([...faults, ...Object.entries(sum.counts)]),
    '',
    'Judged, over all legs',
    ...rows([
      ['messages handled', sum.messages],
      ['runs judged', sum.orders],
      ['completed', orders.completed],
      ['compensated', orders.compensated],
      ['messages lost', outcome.lost],
      ['messages handled twice', streams.twice],
      ['messages out of order', streams.outOfOrder],
      ['orders with something wrong', orders.faulty],
      ['orders left in the middle', outcome.unfinished],
      ['stuck', outcome.stuck],
      ['parked', outcome.parked],
    ]),
    '',
    `Sizes of this leg, in MiB${judgesGrowth ? '' : ' (too short to say whether anything grows)'}`,
    ...sizeTable(samples),
    '',
    ...sentencesOf(outcome).map((sentence) => `  WRONG: ${sentence}`),
    ok
      ? 'Nothing lost, nothing twice, nothing out of order, nothing left.'
      : `Something is wrong. The same faults in the same order: --seed ${seed}`,
    '',
  ].join('\n');
}

function sizeTable(samples: readonly SoakSample[]): readonly string[] {
  const step = Math.max(1, Math.ceil(samples.length / SHOWN_SAMPLES));
  const shown = samples.filter((_, index) => (samples.length - 1 - index) % step === 0);
  const names = Object.keys(samples[0]?.lasting ?? {});
  const head = ['minute', ...names, 'mean', 'most', 'databases', 'tables', 'Redis'];
  const lines = shown.map(({ seconds, lasting, mean, most, databases, tables, redis }) => [
    (seconds / 60).toFixed(1),
    ...names.map((name) => String(lasting[name] ?? 0)),
    ...[mean, most, databases, tables, redis].map(String),
  ]);
  return [head, ...lines].map((cells) =>
    cells.map((cell, index) => cell.padStart((head[index] ?? '').length + 3)).join(''),
  );
}
