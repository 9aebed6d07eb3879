/**
 * The doctor's look at queues: those of BullMQ in the database itself, those of the transports it is told of, and what it makes of a remark
 * on a queue, wherever that is.
 */
import { translateSqlError } from '../../postgres/sql-state.ts';
import { knownDestinations } from './known-destinations.ts';
import { queuesOnPostgres } from './postgres-queues.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import type { QueueRemark, Transport } from '../../transport/port.ts';
import type { Check, CheckFinding } from './finding.ts';

export const checkOwnQueues: Check = async (database) => {
  const queues = await queuesOnPostgres(database).catch((error: unknown) => {
    throw translateSqlError(error);
  });
  return queues.flatMap(({ state }) => state.remarks.map(findingOf));
};

const TIMEOUT_MS = 3_000;

export const checkTransports: Check = async (database, { transports }) => {
  const known = await knownDestinations(database);
  return (await Promise.all(transports.map(async (each) => checkTransport(each, known)))).flat();
};

async function checkTransport(transport: Transport, known: readonly string[]): Promise<readonly CheckFinding[]> {
  const where = transport.address ?? transport.kind;
  try {
    const found = await transport.queues?.({ signal: timeLimit(TIMEOUT_MS), known });
    const findings = (found?.queues ?? []).flatMap(({ state }) => state.remarks.map(findingOf));
    const rest: readonly CheckFinding[] =
      found?.complete === false
        ? [
            {
              level: 'note',
              check: 'queue.search',
              what: `Not all queues of ${where} were looked at: there is too much in it.`,
              advice: 'Give Holdfast a broker of its own.',
            },
          ]
        : [];
    return [...findings, ...rest];
  } catch (error) {
    return [
      {
        level: 'warn',
        check: 'queue.look',
        what: `The queues of ${where} cannot be looked at: ${error instanceof Error ? error.message : String(error)}`,
        advice: 'See that the broker runs and that the role has the rights which docs/transports.md lists.',
      },
    ];
  }
}

export function findingOf({ check, what, advice }: QueueRemark): CheckFinding {
  // Messages that strangers take are gone; the rest only waits.
  return { level: check === 'queue.foreign' ? 'error' : 'warn', check, what, advice };
}
