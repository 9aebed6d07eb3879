/**
 * The command line of the soak.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export interface SoakOptions {
  readonly minutes: number;
  /** Messages of the flood a second, at most. */
  readonly rate: number;
  /** Orders a second, at most. */
  readonly runs: number;
  /** Decides which faults come when. */
  readonly seed: number;
  /** Where all is kept, so that it can go on; undefined: a temporary one. */
  readonly folder: string | undefined;
  /** Faults whose names have this in them; undefined: all. */
  readonly only: string | undefined;
  readonly logs: string | undefined;
  readonly json: boolean;
}

export const USAGE = `Usage: npm run soak -- [options]

Two relays, two workers, four services, two processes of consumers and two of writers on PostgreSQL and Redis: sagas over commands and replies, and
a flood of plain messages, ordered and not, handled one by one and in batches. Meanwhile everything goes wrong that can: processes are
killed, stand still and are replaced, servers crash, connections break in the middle of a COMMIT, the network falls silent, handlers fail and hang.
A judge counts every message and every order while it runs, and the tables are pruned: it can go on for days. Exit code 1 if anything is wrong.

Options:
  --minutes N    for how long there is load (default 10); then all is finished and judged. Ctrl-C ends it sooner, in the same good order
  --rate N       messages of the flood a second, at most (default 1000): fewer when the machine cannot do more
  --runs N       sagas a second, at most (default 10)
  --seed N       decides which faults come, and when (default: another one each time)
  --only TEXT    only faults whose names have this in them, such as "PostgreSQL"; "none" for none at all
  --folder F     keep servers, ledgers and totals there, and go on with them when they are there; without it nothing is left
  --logs F       a folder for what the processes log
  --json         the totals as one line of JSON on stdout, the last one; everything else goes to stderr
  --help         this text`;

/** 'help' when that was asked for. Throws an Error that tells what is wrong with the arguments. */
export function readSoakOptions(args: readonly string[]): SoakOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '10' },
      rate: { type: 'string', default: '1000' },
      runs: { type: 'string', default: '10' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
      folder: { type: 'string' },
      only: { type: 'string' },
      logs: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const pathOf = (path: string | undefined): string | undefined => (path === undefined ? undefined : resolve(path));
  return {
    minutes: positive(values.minutes, '--minutes'),
    rate: positive(values.rate, '--rate'),
    runs: positive(values.runs, '--runs'),
    seed: wholeSeed(values.seed),
    folder: pathOf(values.folder),
    only: values.only,
    logs: pathOf(values.logs),
    json: values.json,
  };
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`${name} is ${JSON.stringify(text)}: give a number above 0.`);
}

function wholeSeed(text: string): number {
  const seed = Number(text);
  if (text !== '' && Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) return seed;
  throw new Error(`--seed is ${JSON.stringify(text)}: give a whole number from 0 on.`);
}
