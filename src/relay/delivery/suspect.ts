/**
 * What is owed, by whoever takes a shard, to the relays before it that got nowhere: smaller batches, and at last the culprit parked.
 *
 * A relay that stands still looks dead to others. Nobody is parked for the death of one that lives, so before that its word is waited for.
 */
import { HoldfastError } from '../../errors.ts';
import type { Lease } from '../subscription/lease-taker.ts';
import { planAfterTakeover, type ProbePlan } from '../subscription/poison.ts';
import type { Session } from '../subscription/session.ts';
import { HELD_UP, KILLED } from './parking-store.ts';
import type { RunnerContext } from './runner-context.ts';

/** A plan to park. */
type Verdict = Extract<ProbePlan, { kind: 'park' }>;

/** How often a word of life is looked for while one is waited for: so many times in a lease. */
const LOOKS = 10;

/** Rejects with HF_STOPPED when a stop comes while a word is waited for. */
export async function suspect(
  context: RunnerContext,
  { session, lease, signal }: { readonly session: Session; readonly lease: Lease; readonly signal: AbortSignal },
): Promise<void> {
  const { log, subscription } = context;
  const { stalls, lapsed } = lease;
  const first = planAfterTakeover(lease, session.probe, subscription.batchSize);
  if (lease.leaseMs > subscription.leaseMs)
    log.warn(
      { lapses: lapsed.length, leaseMs: lease.leaseMs },
      'relays lost their lease and live, and got nowhere: it is longer for a while',
    );
  if (first.kind === 'normal') return;
  const plan = dependsOnWord(first) ? await heard(context, session, { lease, signal }) : first;
  if (plan.kind === 'normal') return;
  session.probe = plan.probe;
  log.warn(
    { stalls, lapses: lapsed.length, size: plan.probe.size },
    'relays died here repeatedly: probing for the message that kills them',
  );
  if (plan.kind === 'park') await park(context, session, plan);
}

/** It would be another one if those lived who seem to have died. */
function dependsOnWord(plan: ProbePlan): boolean {
  return plan.kind === 'park' && plan.because === 'killed' && plan.epochs.length > 0;
}

/**
 * The plan after one more lease, or sooner when a relay that looked dead says that it lives. A stop leaves the mark where it is, for
 * whoever comes next to find.
 */
async function heard(
  { clock, store, subscription, stopping }: RunnerContext,
  session: Session,
  { lease, signal }: { readonly lease: Lease; readonly signal: AbortSignal },
): Promise<ProbePlan> {
  const untilMs = clock.monotonic() + session.leaseMs;
  for (;;) {
    await clock.sleep(session.leaseMs / LOOKS, AbortSignal.any([signal, stopping()]));
    signal.throwIfAborted();
    if (stopping().aborted)
      throw new HoldfastError('HF_STOPPED', 'Stopped while it waited for a word of relays that may be dead.');
    session.assertAlive();
    // Before the look, so that the last one comes after a whole lease.
    const isOver = clock.monotonic() >= untilMs;
    const losses = { stalls: lease.stalls, lapsed: await store.lapsed(session) };
    const plan = planAfterTakeover(losses, session.probe, subscription.batchSize);
    if (isOver || !dependsOnWord(plan)) return plan;
  }
}

async function park(
  { parking, store, log, crashPoint }: RunnerContext,
  session: Session,
  plan: Verdict,
): Promise<void> {
  const { seq, because, epochs, losses } = plan;
  const reason = because === 'killed' ? KILLED : HELD_UP;
  // Not read whole: it may be its size that kills.
  const culprit = await session.reader.identify(seq);
  crashPoint('relay.park:before');
  await parking.park(session, [
    { seq, state: 'failed', reason, error: null, attempts: losses, retryInMs: null, killedEpochs: epochs },
  ]);
  crashPoint('relay.park:after');
  log.error({ seq, messageId: culprit?.id, topic: culprit?.topic }, `message parked: ${reason}`);
  // Who said that it lives at that very moment found nothing parked to say it of.
  const lapsed = await store.lapsed(session);
  for (const epoch of epochs) if (lapsed.includes(epoch)) await parking.noteAlive(session.writeClient, epoch);
}
