/**
 * One life of a worker: the engine of production, with the way by which replies come to its runs.
 */
import { DEFAULT_MAX_BYTES } from '../../../src/outbox/prepare.ts';
import { silentLogger } from '../../../src/runtime/log.ts';
import { noopMetrics } from '../../../src/runtime/metrics.ts';
import { noCrash } from '../../../src/runtime/crash-point.ts';
import type { Registry } from '../../../src/saga/definition/definition.ts';
import { MOVES, type RunStatus } from '../../../src/saga/journal/events.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../../src/saga/journal/growth.ts';
import { onReply, readArrived, type ArrivedReply } from '../../../src/saga/protocol/read-reply.ts';
import { ReplyRoute } from '../../../src/saga/protocol/reply-route.ts';
import { DEFAULT_REPLY_TOPIC } from '../../../src/saga/protocol/wire.ts';
import type { ClientStore, RunMessageBody, WorkerStore } from '../../../src/saga/store/store.ts';
import { createWorkerCore, type WorkerOn } from '../../../src/saga/worker/worker-core.ts';
import type { MemorySagaStore } from '../../../src/testing/saga/memory-saga-store.ts';
import type { MemoryTx } from '../../../src/testing/saga/memory-transactions.ts';
import type { Delivery, Receiver, Transport, Verdict } from '../../../src/transport/port.ts';
import type { Odds } from '../machine/choices.ts';
import type { Network } from '../machine/network.ts';
import type { Life, Stoppable } from '../machine/process.ts';

export interface WorkerParts {
  readonly life: Life;
  readonly worker: WorkerStore;
  readonly client: ClientStore<MemoryTx>;
  readonly registry: Registry;
  readonly network: Network;
  readonly store: MemorySagaStore;
  readonly transport: Transport;
  /** Most runs in memory that do not just wait. */
  readonly concurrency: number;
  /** Told when it was stopped in good order, and whose lease must be gone by that; null: something came in between, and nobody's must. */
  readonly onStopped: (workerId: string | null) => void;
}

/** A stop is soft for so long, in milliseconds. */
const SOFT_MS = 2_000;
/** A stop that took less has waited for nobody who does not answer, in milliseconds. */
const SMOOTH_MS = 1_000;
/** That a hint gets lost. */
const NO_HINT: Odds = [0.05];
export const LEASE_MS = 5_000;
const ANY_STATUS = Object.keys(MOVES) as RunStatus[];

export function runWorker(parts: WorkerParts): Stoppable {
  const { life, worker, client, registry, store, concurrency } = parts;
  let asleep = false;
  const core = createWorkerCore<MemoryTx>({
    store: worker,
    clientStore: client,
    registry,
    name: life.name,
    leaseMs: LEASE_MS,
    concurrency,
    mostWaiting: 100,
    settings: { maxBytes: DEFAULT_MAX_BYTES, replyTo: DEFAULT_REPLY_TOPIC, ...DEFAULT_JOURNAL_LIMITS },
    clock: life.clock,
    random: life.random,
    log: silentLogger,
    metrics: noopMetrics,
    crashPoint: noCrash,
    idlePollMs: 2_000,
    asleepAfterMs: 0,
    setAsleep: async (wanted) => (asleep = wanted),
  });
  // The hint that wakes sleepers; it may come late or not at all, and then the next look finds what it was for.
  const listening = store.onChange(() => {
    if (!asleep) return;
    asleep = false;
    if (life.machine.choices.choose(`hint to ${life.name}`, NO_HINT) !== 0) return;
    life.machine.scheduler.after(1, life, () => core.wake());
  });
  life.onEnd(listening);
  // A process that cannot start ends, and is started again.
  let replies: Receiver | null = null;
  const started = core.start().then(
    () => (replies = receiveReplies(parts, core)),
    () => life.end(),
  );
  return {
    async stop() {
      await started;
      const [workerId, sinceMs] = [core.id, life.clock.monotonic()];
      const hard = new AbortController();
      void life.sleep(SOFT_MS).then(() => hard.abort(new Error('the time to stop is over')));
      await Promise.all([core.stop({ signal: hard.signal }), replies?.stop({ signal: hard.signal })]);
      life.stopped = true;
      const isSmooth = workerId !== '' && life.clock.monotonic() - sinceMs < SMOOTH_MS;
      parts.onStopped(isSmooth ? workerId : null);
    },
  };
}

function receiveReplies({ life, network, store, transport }: WorkerParts, core: WorkerOn<MemoryTx>): Receiver {
  const handler = onReply(DEFAULT_REPLY_TOPIC, () => Promise.reject(new Error('replies go by the route')));
  const post = ({ runId, body }: ArrivedReply): Promise<'stored' | 'alone'> =>
    network
      .call(life, 'store', 'post reply', () =>
        store.postRunMessage(null, runId, JSON.parse(body) as RunMessageBody, ANY_STATUS),
      )
      .then(
        ({ accepted }) => (accepted ? 'stored' : 'alone'),
        () => 'alone',
      );
  const alone = async ({ wire }: Delivery): Promise<Verdict> => {
    const reply = await readArrived(handler, wire);
    if (reply === null) throw new Error('a reply cannot be read');
    return (await post(reply)) === 'stored' ? { kind: 'done' } : { kind: 'later', delayMs: 300 };
  };
  const route = new ReplyRoute({
    handler,
    door: { take: (runId, body) => core.takeReply(runId, body), stored: () => core.wake() },
    groups: { post },
    isSigned: null,
    crash: noCrash,
    by: { name: 'saga-replies', destination: 'saga-replies' },
    handle: alone,
    alone: 10,
    onTaken: () => {},
  });
  const receiver = transport.receiver('saga-replies', (delivery) => route.handle(delivery), {
    concurrency: 64,
    ordered: false,
  });
  void receiver.start();
  return receiver;
}
