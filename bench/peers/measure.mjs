/**
 * One figure of one peer, in a process of its own, so that no library finds what another left behind. Started by run.mjs, which sends
 * what to do and gets the figures back.
 */
import { once } from 'node:events';
import pg from 'pg';
import { closedLoop } from './closed-loop.mjs';
import { STEPS } from './workflow.mjs';

process.once('disconnect', () => process.exit(1));
const [{ adapter, url, settings, loop }] = await once(process, 'message');
const { open, settingsFor } = await import(`./${adapter}.mjs`);
const peer = await open({ url, settings: { ...settingsFor(loop.inflight), ...settings } });
await closedLoop(peer.run, { inflight: loop.inflight, warmUpMs: 0, measureMs: 500, minRuns: 1 });
await settle();
const { runs, perSecond, p50, p99 } = await closedLoop(peer.run, loop);
process.send({ runs, perSecond, stepsPerSecond: perSecond * STEPS.length, p50, p99 });
await peer.close();
process.exit(0);

/** Tables as a service finds them after a while: with statistics, so that nobody's plans are those of empty tables. */
async function settle() {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('VACUUM ANALYZE');
  await client.query('CHECKPOINT');
  await client.end();
}
