/**
 * The command line of the demo.
 */
import { parseArgs } from 'node:util';
import { BROKERS, type BrokerKind } from './broker.ts';

export interface Options {
  readonly orders: number;
  readonly seed: number;
  readonly json: boolean;
  readonly transport: BrokerKind | 'whichever';
  /** Whether there is a page to look at. */
  readonly dashboard: boolean;
  /** Whether it stays up after the audit, until Ctrl-C. */
  readonly keep: boolean;
  /** Of the dashboard; 0: any free one. */
  readonly port: number;
}

export const USAGE = `Usage: npm run demo -- [options]

Some thousands of orders, each a saga over payment, stock and shipping: started in the transaction of the order, carried out by
two workers, by commands through outbox, relay, broker and inboxes. Cards are declined, goods run out, participants are slow or
silent, customers change their minds, messages are delivered twice, and processes are killed with SIGKILL. In the end an audit
reads the tables: every order is carried out or compensated, nothing is lost and nothing done twice. Exit code 1 if anything is wrong.

Options:
  --orders N        how many orders are placed, from 20 on (default 1500)
  --seed N          decides who orders what, and what fails (default 1)
  --transport NAME  what carries the messages: redis, redis-streams, nats, rabbitmq, or postgres for BullMQ's PostgreSQL
                    backend; redis-cluster, nats-cluster, rabbitmq-cluster (default: redis, or postgres where there is no Redis)
  --keep            stay up after the audit, with orders that go on: find one in the dashboard, have a participant fail, mend what
                    got stuck. Ctrl-C ends everything
  --port N          of the dashboard (default: any free one); only this machine can reach it
  --no-dashboard    without the dashboard
  --json            the audit as one line of JSON on stdout, the last one; everything else goes to stderr
  --help            this text

PostgreSQL and the broker are found on this machine or fetched for this run; they are private, temporary, and gone at the end.`;

/** 'help' when that was asked for. Throws an Error that tells what is wrong with the arguments. */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      orders: { type: 'string', default: '1500' },
      seed: { type: 'string', default: '1' },
      transport: { type: 'string', default: 'whichever' },
      keep: { type: 'boolean', default: false },
      port: { type: 'string', default: '0' },
      'no-dashboard': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const { transport } = values;
  if (transport !== 'whichever' && !isBroker(transport))
    throw new Error(`--transport is ${transport}: give one of ${Object.keys(BROKERS).join(', ')}.`);
  return {
    orders: wholeNumber(values.orders, '--orders', 20),
    seed: wholeNumber(values.seed, '--seed', 0),
    json: values.json,
    transport,
    dashboard: !values['no-dashboard'],
    keep: values.keep,
    port: wholeNumber(values.port, '--port', 0, 65_535),
  };
}

function isBroker(name: string): name is BrokerKind {
  return Object.hasOwn(BROKERS, name);
}

function wholeNumber(text: string, name: string, least: number, most = 1_000_000): number {
  const value = Number(text);
  if (text !== '' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(`${name} is ${JSON.stringify(text)}: give a whole number from ${least} to ${most}.`);
}
