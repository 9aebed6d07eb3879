/**
 * Runs one handler once: builds its context, sets its time limit, and deals with a handler that takes no notice of it.
 */
import { HoldfastError } from '../../errors.ts';
import type { Envelope } from '../../message/envelope.ts';
import type { MessageType, PayloadInput } from '../../message/message-type.ts';
import { describeError } from '../../runtime/describe-error.ts';
import { inScope } from '../../runtime/scope.ts';
import type { TracedSpan } from '../../runtime/telemetry.ts';
import { lookable } from '../../runtime/thrown.ts';
import type { Deadlines } from '../../runtime/deadlines.ts';
import type { TransactionHandle } from '../../postgres/executor.ts';
import type { HandlerContext, HandlerSendOptions, ResolvedHandler } from './handler.ts';
import { EffectRefused, type OpenRecord } from './recording.ts';
import type { OpenUnitOfWork } from './unit-of-work.ts';

/** What a consumer needs of the outbox; `createOutbox()` fits. */
export interface OutboxPort {
  send<Type extends MessageType>(
    tx: TransactionHandle,
    type: Type,
    payload: PayloadInput<Type>,
    options?: HandlerSendOptions & { readonly causedBy?: Envelope | undefined },
  ): Promise<{ readonly id: string }>;
}

export type HandlerResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** Of a handler that keeps records: what it wrote is to be taken back, and the refusal recorded. */
  | { readonly kind: 'refused'; readonly refusal: EffectRefused }
  /** `hung`: it did not settle within the grace after its signal aborted, and still runs. */
  | { readonly kind: 'timeout' | 'aborted'; readonly error: unknown; readonly hung: boolean };

export interface HandlerRun<Tx> {
  readonly handler: ResolvedHandler<Tx>;
  readonly payload: unknown;
  readonly opened: Pick<OpenUnitOfWork<Tx>, 'tx' | 'handle'>;
  /** Of a handler that keeps records; else null. */
  readonly record: OpenRecord | null;
  readonly message: Envelope;
  /** Active while the handler runs; null: nobody traces. */
  readonly span: TracedSpan | null;
  readonly attempt: number;
  readonly outbox: OutboxPort | null;
  readonly deadlines: Deadlines;
  /** Of the delivery: claim lost or hard stop. */
  readonly signal: AbortSignal;
  /** Told of a promise that the handler has left behind and that was rejected. */
  readonly onStray: (error: unknown) => void;
}

/** How long a handler whose signal has aborted may take to settle, in milliseconds. */
export const HANDLER_GRACE_MS = 1_000;

/** Never rejects. A handler that resolves after its time is up has failed: its transaction is to be rolled back. */
export function runHandler<Tx>(run: HandlerRun<Tx>): Promise<HandlerResult> {
  const { handler, deadlines, signal } = run;
  const context = new Context(run);
  return new Promise((resolve) => {
    let ended: { readonly kind: 'timeout' | 'aborted'; readonly error: unknown } | null = null;
    let cancelDeadline = (): void => {};

    const settle = (result: HandlerResult): void => {
      cancelDeadline();
      signal.removeEventListener('abort', onAbort);
      resolve(result);
    };
    const end = (kind: 'timeout' | 'aborted', error: unknown): void => {
      if (ended !== null) return;
      ended = { kind, error };
      cancelDeadline();
      cancelDeadline = deadlines.add(HANDLER_GRACE_MS, () => settle({ kind, error, hung: true }));
      context.abort(error);
    };
    const onAbort = (): void => end('aborted', signal.reason);

    if (signal.aborted) return resolve({ kind: 'aborted', error: signal.reason, hung: false });
    signal.addEventListener('abort', onAbort);
    cancelDeadline = deadlines.add(handler.timeoutMs, () => end('timeout', timedOut(handler.topic, handler.timeoutMs)));
    const failed = (error: unknown): void =>
      settle(ended === null ? failure(lookable(error) ?? new Error(describeError(error))) : { ...ended, hung: false });
    try {
      // What it returns may begin to run only when it is asked for its result.
      inScope({ stray: run.onStray }, () => Promise.resolve(call(run, context))).then(
        // Done in spite of an abort is done: the mark protects it. Late is late, or a timeout would mean nothing.
        () => settle(ended === null || ended.kind === 'aborted' ? { kind: 'done' } : { ...ended, hung: false }),
        failed,
      );
    } catch (error) {
      failed(error);
    }
  });
}

function call<Tx>(run: HandlerRun<Tx>, context: HandlerContext<Tx>): unknown {
  return run.span === null ? callHandler(run, context) : run.span.run(() => callHandler(run, context));
}

function callHandler<Tx>({ handler, payload, record }: HandlerRun<Tx>, context: HandlerContext<Tx>): unknown {
  if (handler.recording === null) return handler.run(payload, context);
  if (record === null) throw new TypeError(`The record of a message for ${handler.topic} was not opened.`);
  return handler.recording.run(payload, context, record);
}

function failure(error: unknown): HandlerResult {
  return error instanceof EffectRefused ? { kind: 'refused', refusal: error } : { kind: 'failed', error };
}

function timedOut(topic: string, timeoutMs: number): HoldfastError {
  return new HoldfastError('HF_HANDLER_TIMEOUT', `The handler of ${topic} did not finish within ${timeoutMs} ms.`, {
    advice: 'Raise timeout, or pass signal on to what it waits for.',
    details: { topic, timeoutMs },
  });
}

class Context<Tx> implements HandlerContext<Tx> {
  readonly tx: Tx;
  readonly message: Envelope;
  readonly attempt: number;
  readonly send: HandlerContext<Tx>['send'];
  #controller: AbortController | null = null;
  #reason: { readonly error: unknown } | null = null;

  constructor({ opened, message, attempt, outbox, handler }: HandlerRun<Tx>) {
    this.tx = opened.tx;
    this.message = message;
    this.attempt = attempt;
    // A property, not a method: handlers take the context apart.
    this.send = async (type, payload, options) => {
      if (outbox === null) throw noOutbox(handler.topic);
      return outbox.send(opened.handle, type, payload, { causedBy: message, ...options });
    };
  }

  /** Made when asked for: most handlers never look at it. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#reason !== null) this.#controller.abort(this.#reason.error);
    }
    return this.#controller.signal;
  }

  abort(error: unknown): void {
    this.#reason = { error };
    this.#controller?.abort(error);
  }
}

function noOutbox(topic: string): HoldfastError {
  return new HoldfastError('HF_CONFIG', `The handler of ${topic} calls send, but its consumer has no outbox.`, {
    advice: 'Give consumer(…) the option outbox: createOutbox().',
  });
}
