/**
 * When which fault strikes: on each side one after the other, every kind as often as the others, in an order that the seed draws. Between two there
 * is quiet, and work that is done: a slow machine must not do nothing but recover.
 */
import { seededRandom } from '../../../src/testing/seeded-random.ts';
import { REDIS_EMPTIED } from './emptied.ts';
import { OF_NETWORK } from './of-network.ts';
import { OF_PROCESSES } from './of-processes.ts';
import { OF_SERVERS } from './of-servers.ts';
import { between, type FaultKind, type FaultTools } from './tools.ts';

export const FAULT_KINDS: readonly FaultKind[] = [...OF_PROCESSES, ...OF_SERVERS, ...OF_NETWORK, REDIS_EMPTIED];

/** Those whose names have this in them. Throws an Error when there are none, unless none were wanted. */
export function faultsNamed(text: string | undefined): readonly FaultKind[] {
  if (text === undefined) return FAULT_KINDS;
  if (text === 'none') return [];
  const found = FAULT_KINDS.filter(({ kind }) => kind.toLowerCase().includes(text.toLowerCase()));
  if (found.length > 0) return found;
  throw new Error(
    `--only is ${JSON.stringify(text)}: give a part of one of ${FAULT_KINDS.map(({ kind }) => kind).join(', ')}.`,
  );
}

export interface StrikeOptions extends Omit<FaultTools, 'random' | 'show'> {
  readonly seed: number;
  readonly kinds: readonly FaultKind[];
  /** Part of the usual quiet between two. */
  readonly quiet: number;
  /** Messages that have been handled and orders that have been judged so far. */
  readonly done: () => number;
  readonly isOver: () => boolean;
  readonly onStrike: (kind: string) => void;
  /** For the log. */
  readonly note: (text: string) => void;
  /** What is down now. */
  readonly onDown: (side: FaultKind['side'], what: string | undefined) => void;
}

const QUIET_MS = { processes: [2_000, 9_000], servers: [5_000, 20_000] } as const;
/** And so much that is done in between. */
const LEAST_DONE = 300;
const LOOK_EVERY_MS = 250;

/** Resolves when the load is over, and what was broken is mended. */
export async function strikeAtRandom(options: StrikeOptions): Promise<void> {
  const sides = ['processes', 'servers'] as const;
  await Promise.all(sides.map((side, index) => strikeOn(side, { ...options, seed: options.seed + index })));
}

async function strikeOn(side: FaultKind['side'], options: StrikeOptions): Promise<void> {
  const { seed, kinds, quiet, pause, done, isOver, onStrike, note, onDown } = options;
  const random = seededRandom(seed);
  const own = kinds.filter((each) => each.side === side);
  const tools: FaultTools = { ...options, random, show: (what) => onDown(side, what) };
  let bag: FaultKind[] = [];
  while (own.length > 0) {
    const [least, most] = QUIET_MS[side];
    const enough = done() + LEAST_DONE;
    await pause(between(random, least, most) * quiet);
    while (!isOver() && done() < enough) await pause(LOOK_EVERY_MS);
    if (isOver()) return;
    if (bag.length === 0) bag = shuffled(own, random);
    const next = bag.pop() as FaultKind;
    try {
      await next.strike(tools);
      onStrike(next.kind);
    } catch (error) {
      // The other side has taken away what it was to strike at: as good a fault, and it is not counted.
      note(`${next.kind}: ${String(error)}`);
    } finally {
      onDown(side, undefined);
    }
  }
}

/** Pure. */
function shuffled<T>(values: readonly T[], random: () => number): T[] {
  const left = [...values];
  return Array.from({ length: left.length }, () => left.splice(Math.floor(random() * left.length), 1)[0] as T);
}
