/**
 * One contestant of the saga benchmarks, in a process of its own. Started by support/contest.ts, which sends what to do and gets the
 * figures back. The steps are those of bench/peers/measure.mjs: some runs, then tables as a service finds them after a while (with
 * statistics, so that nobody's plans are those of empty tables), then a warm-up, then the measuring.
 */
import { once } from 'node:events';
import { commandByHand, commandSaga } from './contestants/command.ts';
import type { Contestant, ContestantName, ContestantOptions } from './contestants/contestant.ts';
import { localByHand, localSaga, tracedSaga } from './contestants/local.ts';
import { transactionByHand, transactionSaga } from './contestants/transaction.ts';
import { openDatabase } from '../src/postgres/database.ts';
import { closedLoop } from './support/closed-loop.ts';
import type { ContestTask } from './support/contest.ts';

const CONTESTANTS = {
  local: localSaga,
  'local-traced': tracedSaga,
  'local-by-hand': localByHand,
  transaction: transactionSaga,
  'transaction-by-hand': transactionByHand,
  command: commandSaga,
  'command-batch': (options) => commandSaga(options, { batch: true }),
  'command-by-hand': commandByHand,
} satisfies Record<ContestantName, (options: ContestantOptions) => Promise<Contestant>>;

/** Connections; what the peers are given as well. */
const POOL = 20;

process.once('disconnect', () => process.exit(1));
const [{ contestant: name, url, redisUrl, loop }] = (await once(process, 'message')) as [ContestTask];
const database = openDatabase({ url, max: POOL });
const contestant = await CONTESTANTS[name]({ database, redisUrl });
await closedLoop(contestant.run, { inflight: loop.inflight, warmUpMs: 0, measureMs: loop.measureMs / 8, minRuns: 1 });
await database.query('VACUUM ANALYZE');
await database.query('CHECKPOINT');
const figures = await closedLoop(contestant.run, loop, contestant.commits);
await contestant.close();
await database.close();
process.send?.(figures, () => process.exit(0));
