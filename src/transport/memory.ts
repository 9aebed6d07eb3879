/**
 * A broker inside the process: the transport for tests, and for demos of one process. It fulfils all duties of the port
 * (the suite of the port runs on it), and can be made to fail on purpose. What it holds is gone when the process ends.
 */
import { HoldfastError, isHoldfastError } from '../errors.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { createLifecycle } from '../runtime/lifecycle.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import type {
  Delivery,
  OutboundMessage,
  Publisher,
  PublishOutcome,
  Receiver,
  ReceiveOptions,
  Transport,
  Verdict,
} from './port.ts';
import { safeVerdict } from './safe-verdict.ts';
import { settledOrAborted, transportOf, untilStopped } from './shared.ts';

/** Ways to make it fail; all are looked at on every call, so a test may change them as it goes. */
export interface MemoryFaults {
  /** Awaited before a batch is taken (and by `check`, with an empty batch). Rejecting means the broker is away; never settling, that it hangs. */
  publish?: ((batch: readonly OutboundMessage[]) => void | Promise<void>) | undefined;
  /** Returns an error for a message that the broker is to refuse. `permanent` is true unless the error has `permanent: false`. */
  refuse?: (message: OutboundMessage) => (Error & { readonly permanent?: boolean }) | undefined;
  /** Like `publish`, but after the batch was taken: the acknowledgement is lost. */
  acknowledge?: ((batch: readonly OutboundMessage[]) => void | Promise<void>) | undefined;
}

/** What transports of one process can share, so that each can be closed on its own. */
export interface MemoryBroker {
  /** Messages of a destination that are not done yet, in flight ones included. */
  pending(destination: string): number;
  /** @internal */
  queue(destination: string): MemoryQueue;
}

/** Options of {@link createMemoryTransport}. */
export interface MemoryTransportOptions {
  /** @defaultValue one of its own */
  readonly broker?: MemoryBroker | undefined;
  /** @internal A seam of tests: what `later` is measured by. */
  readonly clock?: Clock | undefined;
  readonly faults?: MemoryFaults | undefined;
}

interface StoredMessage {
  readonly id: string;
  readonly key: string | null;
  readonly wire: string;
  redeliveries: number;
  state: 'ready' | 'in-flight' | 'held';
}

/** One destination: its messages in the order they came, and who reads it. */
interface MemoryQueue {
  /** By broker id (message and replay), so that a message published twice while it is here stands once. */
  readonly messages: Map<string, StoredMessage>;
  /** Told of each change. */
  readonly readers: Set<() => void>;
}

type Handle = (delivery: Delivery) => Promise<Verdict>;

/**
 * A broker in memory, for several transports of one process.
 *
 * @example
 * const broker = createMemoryBroker();
 * const relaySide = createMemoryTransport({ broker });
 * const consumerSide = createMemoryTransport({ broker });
 * console.log(broker.pending('billing'));
 */
export function createMemoryBroker(): MemoryBroker {
  const queues = new Map<string, MemoryQueue>();
  return {
    pending: (destination) => queues.get(destination)?.messages.size ?? 0,
    queue(destination) {
      let found = queues.get(destination);
      if (found === undefined) queues.set(destination, (found = { messages: new Map(), readers: new Set() }));
      return found;
    },
  };
}

/**
 * @throws HoldfastError HF_OPTION_UNKNOWN
 * @example
 * const transport = createMemoryTransport();
 * const billing = createConsumer('billing', { database, transport, handlers: [on(OrderPlaced, () => {})] });
 */
export function createMemoryTransport(options: MemoryTransportOptions = {}): Transport {
  refuseUnknownOptions(options, ['broker', 'clock', 'faults'], 'memoryTransport');
  const broker = options.broker ?? createMemoryBroker();
  const clock = options.clock ?? systemClock;
  return transportOf({
    kind: 'memory',
    abilities: {
      receives: true,
      orders: true,
      deduplicates: 'while-queued',
      delays: 'broker',
      maxMessageBytes: null,
      durability: 'process',
    },
    publisher: () => memoryPublisher(broker, options.faults ?? {}),
    receiver: (destination, handle, receive) => memoryReceiver(broker.queue(destination), handle, receive, clock),
  });
}

function memoryPublisher(broker: MemoryBroker, faults: MemoryFaults): Publisher {
  let closed = false;

  async function reach(fault: (() => void | Promise<void>) | undefined, signal: AbortSignal): Promise<void> {
    if (closed) throw new HoldfastError('HF_STOPPED', 'The publisher is closed.');
    try {
      signal.throwIfAborted();
      if (fault !== undefined) await settledOrAborted(Promise.resolve(fault()), signal);
    } catch (cause) {
      if (isHoldfastError(cause, 'HF_TRANSPORT_UNAVAILABLE')) throw cause;
      throw new HoldfastError(
        'HF_TRANSPORT_UNAVAILABLE',
        `The broker (memory) did not take the batch: ${cause instanceof Error ? cause.message : String(cause)}.`,
        { cause },
      );
    }
  }

  return {
    async publish(batch, { signal }) {
      const { publish, refuse, acknowledge } = faults;
      await reach(publish && (() => publish(batch)), signal);
      const outcomes = batch.map((message): PublishOutcome => {
        const fault = refuse?.(message);
        if (fault !== undefined) return { kind: 'refused', permanent: fault.permanent ?? true, error: fault };
        const id = message.replayId === null ? message.id : `${message.id}.${message.replayId}`;
        const { messages } = broker.queue(message.destination);
        if (!messages.has(id))
          messages.set(id, { id, key: message.key, wire: message.wire, redeliveries: 0, state: 'ready' });
        return { kind: 'published' };
      });
      for (const destination of new Set(batch.map((message) => message.destination)))
        broker.queue(destination).readers.forEach((wake) => wake());
      await reach(acknowledge && (() => acknowledge(batch)), signal);
      return outcomes;
    },
    async check({ signal }) {
      const { publish } = faults;
      await reach(publish && (() => publish([])), signal);
    },
    async close() {
      closed = true;
    },
  };
}

function memoryReceiver(queue: MemoryQueue, handle: Handle, options: ReceiveOptions, clock: Clock): Receiver {
  const { start, stop } = createLifecycle({
    make: () => ({ reading: null as MemoryReading | null }),
    async start(run) {
      run.reading = new MemoryReading(queue, handle, options, clock);
    },
    async stop(run, { signal }) {
      await run.reading?.stop(signal);
    },
  });
  return { start, stop };
}

/** Reads a queue from its making until its stop. */
class MemoryReading {
  readonly #queue: MemoryQueue;
  readonly #handle: Handle;
  readonly #options: ReceiveOptions;
  readonly #clock: Clock;
  readonly #inFlight = new Map<
    StoredMessage,
    { readonly controller: AbortController; readonly settled: Promise<void> }
  >();
  readonly #hard = new AbortController();
  readonly #wake = (): void => this.#take();
  #stopped: Promise<void> | undefined;

  constructor(queue: MemoryQueue, handle: Handle, options: ReceiveOptions, clock: Clock) {
    this.#queue = queue;
    this.#handle = handle;
    this.#options = options;
    this.#clock = clock;
    queue.readers.add(this.#wake);
    queueMicrotask(this.#wake);
  }

  stop(signal: AbortSignal): Promise<void> {
    this.#stopped ??= this.#end();
    return untilStopped(this.#stopped, signal, this.#hard);
  }

  #take(): void {
    const { concurrency, ordered, ahead } = this.#options;
    const atOnce = concurrency + (ahead?.() ?? 0);
    // A key whose first message is out, or held back by a `later`, is closed for everybody.
    const closedKeys = new Set<string>();
    for (const message of this.#queue.messages.values()) {
      if (this.#stopped !== undefined || this.#inFlight.size >= atOnce) return;
      if (message.state === 'ready' && !(ordered && message.key !== null && closedKeys.has(message.key)))
        this.#deliver(message);
      if (message.key !== null) closedKeys.add(message.key);
    }
  }

  #deliver(message: StoredMessage): void {
    message.state = 'in-flight';
    const controller = new AbortController();
    const { wire, redeliveries } = message;
    const verdict = safeVerdict(this.#handle, { wire, redeliveries, signal: controller.signal }, () => {});
    const settled = verdict.then((given) => {
      // Not ours any more: a hard stop has given it back.
      if (!this.#inFlight.delete(message)) return;
      if (given.kind === 'done') this.#queue.messages.delete(message.id);
      else this.#hold(message, given.delayMs);
      this.#wakeAll();
    });
    this.#inFlight.set(message, { controller, settled });
  }

  /** Gives the message back, to be handed out again after `delayMs`. Independent of this receiver, like a broker's own clock. */
  #hold(message: StoredMessage, delayMs: number): void {
    message.state = 'held';
    void this.#clock.sleep(delayMs).then(() => {
      message.state = 'ready';
      this.#wakeAll();
    });
  }

  async #end(): Promise<void> {
    this.#queue.readers.delete(this.#wake);
    const allSettled = Promise.all([...this.#inFlight.values()].map(({ settled }) => settled));
    try {
      await settledOrAborted(allSettled, this.#hard.signal);
    } catch {
      for (const { controller } of this.#inFlight.values()) controller.abort(new Error('the receiver is stopped'));
      // What a handler that obeys its signal says at once still counts.
      await new Promise((resolve) => setImmediate(resolve));
      for (const message of this.#inFlight.keys()) {
        message.redeliveries += 1;
        message.state = 'ready';
      }
      this.#inFlight.clear();
      this.#wakeAll();
    }
  }

  #wakeAll(): void {
    this.#queue.readers.forEach((wake) => wake());
  }
}
