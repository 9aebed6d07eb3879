/**
 * What messages through brokers cost, all brokers in one table for people. Pure.
 */

/** One way of all messages into the broker and out of it again. */
export interface Passage {
  /** Into it and out of it, one after the other. */
  readonly perSecond: number;
  readonly publishPerSecond: number;
  readonly consumePerSecond: number;
  /** Processor time of one message, in and out. */
  readonly processUs: number;
  readonly brokerUs: number;
  /** The same, out alone. */
  readonly consumeProcessUs: number;
  readonly consumeBrokerUs: number;
}

export interface PassageRow {
  readonly of: string;
  readonly ours: Passage;
  readonly byHand: Passage;
}

const HEAD = [
  'ours (by hand)',
  'in, msg/s',
  'out, msg/s',
  'both, msg/s',
  'out: ratio',
  'both: ratio',
  'our process, us',
  'the broker, us',
  'out: process, us',
  'out: broker, us',
];

/** Lines of columns that stand below each other. */
export function passageTable(rows: readonly PassageRow[]): string {
  const table = [HEAD, ...rows.map(cellsOf)];
  const widths = HEAD.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)));
  return table.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n');
}

function cellsOf({ of, ours, byHand }: PassageRow): readonly string[] {
  const both = (name: keyof Passage, digits: number): string =>
    `${ours[name].toFixed(digits)} (${byHand[name].toFixed(digits)})`;
  const ratio = (name: keyof Passage): string => (ours[name] / byHand[name]).toFixed(2);
  return [
    of,
    both('publishPerSecond', 0),
    both('consumePerSecond', 0),
    both('perSecond', 0),
    ratio('consumePerSecond'),
    ratio('perSecond'),
    both('processUs', 1),
    both('brokerUs', 1),
    both('consumeProcessUs', 1),
    both('consumeBrokerUs', 1),
  ];
}
