/**
 * The command line of the demo.
 */
import { parseArgs } from 'node:util';

export interface Options {
  readonly orders: number;
  readonly seed: number;
  readonly json: boolean;
  readonly transport: 'redis' | 'postgres' | 'whichever';
}

export const USAGE = `Usage: npm run demo -- [options]

Some thousands of orders, each a saga over payment, stock and shipping: started in the transaction of the order, carried out by
two workers, by commands through outbox, relay, BullMQ and inboxes. Cards are declined, goods run out, participants are slow or
silent, customers change their minds, messages are delivered twice, and processes are killed with SIGKILL. In the end an audit
reads the tables: every order is carried out or compensated, nothing is lost and nothing done twice. Exit code 1 if anything is wrong.

Options:
  --orders N        how many orders are placed, from 20 on (default 1500)
  --seed N          decides who orders what, and what fails (default 1)
  --transport NAME  redis, or postgres for BullMQ's PostgreSQL backend (default: redis, or postgres where there is no Redis)
  --json            the audit as one line of JSON on stdout, the last one; everything else goes to stderr
  --help            this text

PostgreSQL and Redis are found on this machine or installed for this run; they are private, temporary, and gone at the end.`;

/** 'help' when that was asked for. Throws an Error that tells what is wrong with the arguments. */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      orders: { type: 'string', default: '1500' },
      seed: { type: 'string', default: '1' },
      transport: { type: 'string', default: 'whichever' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const { transport } = values;
  if (transport !== 'redis' && transport !== 'postgres' && transport !== 'whichever')
    throw new Error(`--transport is ${transport}: give redis or postgres.`);
  return {
    orders: wholeNumber(values.orders, '--orders', 20),
    seed: wholeNumber(values.seed, '--seed', 0),
    json: values.json,
    transport,
  };
}

function wholeNumber(text: string, name: string, least: number): number {
  const value = Number(text);
  if (text !== '' && Number.isInteger(value) && value >= least && value <= 1_000_000) return value;
  throw new Error(`${name} is ${JSON.stringify(text)}: give a whole number from ${least} to 1000000.`);
}
