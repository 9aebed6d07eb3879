/**
 * The consumers of the flood, as a process of a soak: each message leaves a row, in the transaction of its mark.
 */
import { log, metrics, runProgram } from '../../../demo/processes/link.ts';
import { createConsumer, on, openDatabase } from '../../../src/index.ts';
import { FLOODS } from '../flood/messages.ts';
import { misfortuneOf } from '../flood/misfortune.ts';
import type { SoakSettings } from '../setting.ts';
import { createDeath, moveWallClock, openSoakTransport } from './lead.ts';

const CONCURRENCY = 6;
/** In place; then it is parked, and an operator has to see to it. */
const RETRY = { attempts: 3, base: '20ms', cap: '200ms', within: '10s' } as const;
const TIMEOUT = '3s';
const PRUNE_EVERY = '30s';

await runProgram((sent) => {
  const settings = sent as SoakSettings;
  moveWallClock(settings.clockAheadMs);
  const { world, databases, keeping } = settings;
  const death = createDeath();
  const database = openDatabase({
    url: databases.sink,
    max: FLOODS.length * CONCURRENCY + 4,
    applicationName: 'soak consumer',
  });
  const transport = openSoakTransport(settings);
  const consumers = FLOODS.map(({ name, ordered, batch, type }) =>
    createConsumer(name, {
      database,
      transport,
      log,
      metrics,
      ordered,
      batch,
      concurrency: CONCURRENCY,
      retry: RETRY,
      timeout: TIMEOUT,
      retention: keeping.marksMs,
      redeliveryHorizon: keeping.messagesMs,
      pruneInterval: PRUNE_EVERY,
      handlers: [
        on(type, async (drop, { tx, attempt }) => {
          const values = [drop.stream, drop.n];
          await tx.query('INSERT INTO seen (stream, n) VALUES ($1, $2)', values);
          // After the effect, so that it is there to be rolled back.
          death.point();
          const misfortune = misfortuneOf(world, drop);
          if (misfortune === 'once' && attempt === 1) throw new Error('It fails once.');
          if (misfortune === 'hangs' && attempt === 1) await new Promise(() => {});
          if (misfortune === 'good') {
            const { rowCount } = await tx.query('SELECT FROM mended WHERE stream = $1 AND n = $2', values);
            if (rowCount === 0) throw new Error('It fails until it is mended.');
          }
        }),
      ],
    }),
  );
  return {
    start: async () => void (await Promise.all(consumers.map((each) => each.start()))),
    stop: async (options) => void (await Promise.all(consumers.map((each) => each.stop(options)))),
    async close() {
      await transport.close();
      await database.close();
    },
    dieAtWork: () => death.dieAtWork(),
  };
});
