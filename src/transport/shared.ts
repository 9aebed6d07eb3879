/**
 * What all transports do alike: remember the publishers and receivers they made, close them, and stop them softly first.
 */
import { HoldfastError, isHoldfastError } from '../errors.ts';
import { defectOf } from '../runtime/defect.ts';
import { assertAble, type TransportAbilities } from './abilities.ts';
import type { Delivery, Publisher, Receiver, ReceiveOptions, Transport, Verdict } from './port.ts';

type Handle = (delivery: Delivery) => Promise<Verdict>;

/** What an adapter is made of. */
export interface TransportParts {
  readonly kind: string;
  readonly abilities: TransportAbilities;
  readonly address?: string | undefined;
  readonly publisher: () => Publisher;
  /** Absent for a sink. */
  readonly receiver?: ((destination: string, handle: Handle, options: ReceiveOptions) => Receiver) | undefined;
  readonly queues?: Transport['queues'] | undefined;
}

/** A Transport that closes its publishers and stops its receivers (softly) when it is closed. */
export function transportOf(parts: TransportParts): Transport {
  const { kind, abilities, address, publisher: makePublisher, receiver: makeReceiver, queues } = parts;
  const publishers = new Set<Publisher>();
  const receivers = new Set<Receiver>();
  let closing: Promise<void> | undefined;
  const assertOpen = (): void => {
    if (closing !== undefined) throw new HoldfastError('HF_STOPPED', `The transport (${kind}) is closed.`);
  };
  return {
    kind,
    abilities,
    address,
    ...(queues === undefined ? {} : { queues }),
    publisher() {
      assertOpen();
      const publisher = makePublisher();
      publishers.add(publisher);
      return {
        ...publisher,
        async close() {
          await publisher.close();
          // Relays and consumers that are started again and again make one each time.
          publishers.delete(publisher);
        },
      };
    },
    receiver(destination, handle, options) {
      assertOpen();
      assertAble({ kind, abilities }, { receive: true, order: options.ordered }, `The receiver of ${destination}`);
      if (makeReceiver === undefined) throw new TypeError(`${kind} says that it receives, and has no receiver.`);
      if (!Number.isInteger(options.concurrency) || options.concurrency < 1) {
        throw new HoldfastError('HF_CONFIG', `The receiver of ${destination} has concurrency ${options.concurrency}.`, {
          advice: 'Give a whole number from 1.',
        });
      }
      const receiver = makeReceiver(destination, handle, options);
      receivers.add(receiver);
      return {
        ...receiver,
        async start() {
          await receiver.start();
          receivers.add(receiver);
        },
        async stop(stopOptions) {
          await receiver.stop(stopOptions);
          receivers.delete(receiver);
        },
      };
    },
    close() {
      closing ??= (async () => {
        await Promise.all([...receivers].map((receiver) => receiver.stop()));
        await Promise.all([...publishers].map((publisher) => publisher.close()));
      })();
      return closing;
    },
  };
}

/**
 * Whether the code of an adapter has failed, and not its broker; also when the adapter has wrapped the error as the broker's. A SyntaxError
 * does not say so: it may be what the broker answered that does not parse.
 */
export function isTransportDefect(error: unknown): boolean {
  const name = defectOf(isHoldfastError(error, 'HF_TRANSPORT_UNAVAILABLE') ? error.cause : error);
  return name !== null && name !== 'SyntaxError';
}

/** Resolves with `stopped`, and makes the stop hard when `signal` aborts before. */
export async function untilStopped(
  stopped: Promise<void>,
  signal: AbortSignal | undefined,
  hard: AbortController,
): Promise<void> {
  const beHard = (): void => hard.abort();
  if (signal?.aborted === true) beHard();
  signal?.addEventListener('abort', beHard);
  try {
    await stopped;
  } finally {
    signal?.removeEventListener('abort', beHard);
  }
}

/**
 * Settles as `work` does, or rejects with the reason of the first of the signals that aborts before; `work` then goes on unheard. It listens to
 * each of them: a signal of several (`AbortSignal.any`) is much more work to make, and leaves something behind at those that live long.
 */
export function settledOrAborted<T>(work: Promise<T>, ...signals: readonly AbortSignal[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = (): void => {
      for (const signal of signals) signal.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      const aborted = signals.find((signal) => signal.aborted);
      if (aborted === undefined) return;
      forget();
      reject(abortReason(aborted));
    };
    work.then(
      (value) => {
        forget();
        resolve(value);
      },
      (error: unknown) => {
        forget();
        reject(error);
      },
    );
    for (const signal of signals) signal.addEventListener('abort', onAbort);
    // Behind work that has settled already, which is what counts then.
    if (signals.some(({ aborted }) => aborted)) void Promise.resolve().then(onAbort);
  });
}

/** The reason of an aborted signal, which may be anything, as an error. */
export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error(String(reason));
}
