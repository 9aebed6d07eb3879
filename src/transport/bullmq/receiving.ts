/**
 * What a receiver of both BullMQ transports does from a start to its stop: one BullMQ worker a partition. BullMQ hands out, locks and
 * takes back; retries, attempts and failures are Holdfast's, so nothing of BullMQ's own retry machinery is used and nothing ends in its
 * failed set.
 *
 * Order: an ordered partition has the global concurrency 1, so two processes never run two messages of it at once, and a message
 * that goes back goes to the head of the line. `later` in an ordered partition puts the message back at the head and closes the
 * partition for that long, by the queue's rate limit: it outlives this process, and holds no lock meanwhile.
 *
 * Loaded by the first start of a receiver (receiver.ts).
 */
import { DelayedError, WaitingError, Worker } from 'bullmq';
import { HoldfastError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';
import { ORDER_MARK, partitionsBeyond } from './partition-layout.ts';
import { type BullmqSettings, queueName, type ReceiverConnection } from './parts.ts';
import { makeWorker, type QueueJob, type QueueWorker, REST_MS } from './worker.ts';
import { readQueueState } from './queue-state.ts';
import type { Delivery, QueueState, ReceiveOptions, Verdict } from '../port.ts';
import { createSemaphore } from '../../runtime/semaphore.ts';
import { settledOrAborted, untilStopped } from '../shared.ts';

type Handle = (delivery: Delivery) => Promise<Verdict>;

/** Answers of a broker that can be reached and does not let us work. */
const REFUSAL = /NOPERM|NOAUTH|WRONGPASS|READONLY|MISCONF|\bOOM\b|permission denied/;
/** How long a message waits whose handler threw instead of giving a verdict. */
const REJECTED_LATER_MS = 1000;
/** After a hard stop: how long handlers that obey their signal have to hand back a verdict. */
const HARD_STOP_GRACE_MS = 250;
/** A worker with nothing in flight closes in a moment; one that does not is waiting for a broker that is away. */
const IDLE_CLOSE_MS = 2000;

interface InFlight {
  readonly controller: AbortController;
  /** Lets go of the message without a verdict. */
  readonly abandon: () => void;
  /** Nothing more may be done about the message from here. */
  lost: boolean;
  /** Monotonic milliseconds at which the broker may give the message to somebody else. */
  claimedUntil: number;
}

export interface RunningReceiver {
  look(signal: AbortSignal): Promise<QueueState>;
  stop(signal: AbortSignal | undefined): Promise<void>;
}

export interface ReceivingOptions {
  /** Of the transport, for errors. */
  readonly kind: string;
  /** Closed by the stop. */
  readonly link: ReceiverConnection;
  readonly settings: BullmqSettings;
  readonly destination: string;
  readonly handle: Handle;
  readonly options: ReceiveOptions;
}

export function startReceiving({
  kind,
  link,
  settings,
  destination,
  handle,
  options,
}: ReceivingOptions): RunningReceiver {
  const partitions = settings.partitionsOf(destination);
  const slots = createSemaphore(options.concurrency);
  const inFlight = new Map<string, InFlight>();
  const workers = new Set<QueueWorker>();
  const stopping = new AbortController();
  /** Aborts when a stopping run has nothing in flight any more. */
  const idle = new AbortController();
  /** Aborts when a stopping run is to wait no longer. */
  const hard = new AbortController();
  let stopped: Promise<void> | undefined;
  /** The number of partitions that somebody else goes by, and that was said. */
  let told: number | null = null;
  let looking: Promise<QueueState> | undefined;
  /** The last failure of a worker: the broker may answer and still refuse to hand out. */
  let failure: { readonly error: Error; readonly atMs: number } | undefined;
  const onError = (error: Error): void => {
    failure = { error, atMs: performance.now() };
    settings.onError(error);
  };

  // Rounded up: the slots bound the whole, so that a busy partition may use what an idle one does not.
  const concurrency = options.ordered ? 1 : Math.ceil(options.concurrency / partitions);

  async function process(worker: QueueWorker, job: QueueJob, token: string): Promise<void> {
    const free = await slots.acquire(stopping.signal);
    if (free === undefined) {
      // Never handed to the handler, so it goes back as if nothing had been.
      await job.moveToWait(token);
      throw new WaitingError();
    }
    const id = `${worker.name}:${job.id}`;
    const controller = new AbortController();
    try {
      const claimedUntil = performance.now() + settings.lockDurationMs;
      const claim: InFlight = { controller, abandon: () => {}, lost: false, claimedUntil };
      const verdict = await new Promise<Verdict | 'abandon'>((resolve) => {
        inFlight.set(id, Object.assign(claim, { abandon: () => resolve('abandon') }));
        void handleSafely(
          handle,
          { wire: job.data, redeliveries: job.stalledCounter, signal: controller.signal },
          settings,
        ).then(resolve);
      });
      // Left as it stands: the lock runs out and the message comes again, counted as handed out without a verdict.
      if (verdict === 'abandon') throw new DelayedError();
      if (verdict.kind === 'done') {
        // Should completing it fail, BullMQ puts it back; in an ordered queue that must be to the head.
        job.opts.lifo = options.ordered;
        return;
      }
      await putBack(worker, job, token, verdict.delayMs, claim);
    } finally {
      inFlight.delete(id);
      free();
      if (stopping.signal.aborted && inFlight.size === 0) idle.abort();
    }
  }

  /** Applies `later`. Always throws what tells BullMQ that the job is no longer its to finish. */
  async function putBack(
    worker: QueueWorker,
    job: QueueJob,
    token: string,
    delayMs: number,
    claim: InFlight,
  ): Promise<never> {
    const wholeMs = Math.ceil(Math.max(0, delayMs));
    while (!claim.lost) {
      try {
        if (!options.ordered) {
          if (wholeMs === 0) await job.moveToWait(token);
          else await job.moveToDelayed(Date.now() + wholeMs, token);
          throw new DelayedError();
        }
        if (wholeMs === 0) {
          await job.moveToWait(token);
          throw new WaitingError();
        }
        // First closed, then put back: in between nobody can take the message, and after a crash in between it is found stalled.
        await worker.getBackend().setRateLimit(wholeMs);
        // BullMQ moves the job back to the head of the line when it sees this error.
        throw Worker.RateLimitError();
      } catch (error) {
        if (!(error instanceof Error) || isSignalToBullmq(error)) throw error;
        settings.onError(error);
        // The lock or the job is gone: somebody else has it, or nobody needs it.
        if (/Missing (lock|key)|not in the active state/i.test(error.message)) break;
        await systemClock.sleep(REST_MS);
      }
    }
    throw new DelayedError();
  }

  async function openWorker(partition: number): Promise<void> {
    const name = queueName(destination, partition);
    while (!stopping.signal.aborted) {
      let worker: QueueWorker | undefined;
      try {
        await link.ready();
        if (stopping.signal.aborted) return;
        worker = makeWorker(name, {
          link,
          settings,
          ordered: options.ordered,
          concurrency,
          stopping: stopping.signal,
          process,
          onError,
          onLost: (ids) => onLost(name, ids),
          onRenewed: (ids) => onRenewed(name, ids),
        });
        workers.add(worker);
        await worker.waitUntilReady();
        await applyOrder(worker);
        if (partition === 0) await readBeyond(worker);
        void link.greet?.(name);
        if (!stopping.signal.aborted) worker.run().catch(settings.onError);
        return;
      } catch (error) {
        if (stopping.signal.aborted) return;
        onError(error instanceof Error ? error : new Error(String(error)));
        // BullMQ remembers a failed start for ever, so the next try needs a new worker.
        if (worker !== undefined) {
          workers.delete(worker);
          await worker.close(true).catch(settings.onError);
        }
        await systemClock.sleep(REST_MS, stopping.signal);
      }
    }
  }

  function onLost(name: string, ids: readonly string[]): void {
    for (const id of ids) lose(inFlight.get(`${name}:${id}`), 'the broker gave the message to somebody else');
  }

  function onRenewed(name: string, ids: readonly string[]): void {
    const claimedUntil = performance.now() + settings.lockDurationMs;
    for (const id of ids) {
      const delivery = inFlight.get(`${name}:${id}`);
      if (delivery !== undefined) delivery.claimedUntil = claimedUntil;
    }
  }

  async function applyOrder(worker: QueueWorker): Promise<void> {
    const backend = worker.getBackend();
    if (options.ordered) await backend.setQueueMeta({ concurrency: 1, [ORDER_MARK]: 1 });
    else if ((await backend.getQueueMetaField(ORDER_MARK)) !== null)
      await backend.removeQueueMetaFields(['concurrency', ORDER_MARK]);
  }

  /** Other processes may have been told of other partitions than this one: what lies in them must not stay unread. */
  async function readBeyond(first: QueueWorker): Promise<void> {
    const { layout, beyond } = await partitionsBeyond(first.getBackend(), destination, partitions);
    const strange = layout.partitions !== null && layout.partitions !== partitions ? layout.partitions : null;
    if (strange !== null && strange !== told)
      settings.onError(
        new HoldfastError(
          'HF_CONFIG',
          `${destination} has ${strange} partitions, but this receiver was told ${partitions}; it reads all that hold messages.`,
          { advice: 'Give publishers and consumers of a destination the same queues.', details: { destination } },
        ),
      );
    told = strange;
    for (const partition of beyond) {
      if (opened.has(partition) || stopping.signal.aborted) continue;
      opened.add(partition);
      opening.push(openWorker(partition));
    }
  }

  async function lookNow(): Promise<QueueState> {
    await link.reach();
    const first = [...workers].find(({ name }) => name === destination);
    if (first === undefined) throw failure?.error ?? new Error('its workers are not made yet');
    await first.waitUntilReady();
    const { owner = null } = options;
    const state = await readQueueState(first.getBackend(), destination, {
      partitions,
      owner,
      seesWorkers: link.seesWorkers,
    });
    if (failure !== undefined && performance.now() - failure.atMs < 2 * REST_MS && REFUSAL.test(failure.error.message))
      throw failure.error;
    return state;
  }

  async function look(signal: AbortSignal): Promise<QueueState> {
    // One at a time: what hangs must not gather.
    looking ??= lookNow().finally(() => (looking = undefined));
    try {
      return await settledOrAborted(looking, signal);
    } catch (error) {
      const silent = signal.aborted && error === signal.reason;
      const cause = silent ? failure?.error : error;
      const silence = `no answer yet${link.hint === undefined ? '' : `; ${link.hint}`}`;
      const why = cause instanceof Error ? cause.message.replace(/\.$/, '') : silence;
      throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The broker (${kind}) does not hand out: ${why}.`, {
        advice: 'Check that it runs, and address, password and rights of the role.',
        cause,
      });
    }
  }

  // A broker that was emptied has forgotten that a partition takes one message at a time, and one that cannot be reached does not
  // say that a claim has run out. Both are looked after here.
  let lookDue = performance.now() + settings.stalledIntervalMs;
  const watch = setInterval(
    () => {
      const now = performance.now();
      for (const delivery of inFlight.values()) {
        if (delivery.claimedUntil < now) lose(delivery, 'the claim on the message ran out');
      }
      if (now < lookDue || stopping.signal.aborted) return;
      lookDue = now + settings.stalledIntervalMs;
      for (const worker of workers) {
        if (options.ordered) void applyOrder(worker).catch(settings.onError);
        if (worker.name === destination) void readBeyond(worker).catch(settings.onError);
      }
    },
    Math.min(settings.lockDurationMs / 4, settings.stalledIntervalMs),
  );
  const opened = new Set(Array.from({ length: partitions }, (_, partition) => partition));
  const opening: Promise<void>[] = [];
  opening.push(...[...opened].map((partition) => openWorker(partition)));

  async function stop(): Promise<void> {
    stopping.abort();
    if (inFlight.size === 0) idle.abort();
    const closed = new AbortController();
    const force = async (): Promise<void> => {
      await systemClock.sleep(Infinity, AbortSignal.any([hard.signal, idle.signal, closed.signal]));
      if (hard.signal.aborted) {
        for (const { controller } of inFlight.values()) controller.abort(new Error('the receiver is stopped'));
        await systemClock.sleep(HARD_STOP_GRACE_MS, AbortSignal.any([idle.signal, closed.signal]));
        for (const delivery of inFlight.values()) {
          delivery.lost = true;
          delivery.abandon();
        }
      }
      await systemClock.sleep(IDLE_CLOSE_MS, closed.signal);
      if (!closed.signal.aborted) link.cut();
    };
    const forcing = force();
    await Promise.all([...workers].map((worker) => worker.close().catch(settings.onError)));
    await Promise.all(opening);
    closed.abort();
    await forcing;
    clearInterval(watch);
    await link.close();
  }

  return {
    look,
    stop(signal) {
      stopped ??= stop();
      // Every caller may lose patience: a second stop can make the first one hard.
      return untilStopped(stopped, signal, hard);
    },
  };
}

function lose(delivery: InFlight | undefined, why: string): void {
  if (delivery === undefined) return;
  delivery.lost = true;
  delivery.controller.abort(new Error(why));
}

/** The handler's verdict. One that throws, or gives no verdict, has not handled the message: later. */
async function handleSafely(handle: Handle, delivery: Delivery, settings: BullmqSettings): Promise<Verdict> {
  try {
    return await handle(delivery);
  } catch (error) {
    settings.onError(error instanceof Error ? error : new Error(String(error)));
    return { kind: 'later', delayMs: REJECTED_LATER_MS };
  }
}

function isSignalToBullmq(error: Error): boolean {
  return (
    error instanceof DelayedError || error instanceof WaitingError || error.message === Worker.RateLimitError().message
  );
}
