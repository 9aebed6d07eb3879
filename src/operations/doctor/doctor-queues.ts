/**
 * The doctor's look at queues of BullMQ in the database itself, and what it makes of a remark on a queue, wherever that is.
 */
import { translateSqlError } from '../../postgres/sql-state.ts';
import { queuesOnPostgres } from './postgres-queues.ts';
import type { QueueRemark } from '../../transport/port.ts';
import type { Check, CheckFinding } from './finding.ts';

export const checkOwnQueues: Check = async (database) => {
  const queues = await queuesOnPostgres(database).catch((error: unknown) => {
    throw translateSqlError(error);
  });
  return queues.flatMap(({ state }) => state.remarks.map(findingOf));
};

export function findingOf({ check, what, advice }: QueueRemark): CheckFinding {
  // Messages that strangers take are gone; the rest only waits.
  return { level: check === 'queue.foreign' ? 'error' : 'warn', check, what, advice };
}
