/**
 * The forward path of a run: its code, run against what is recorded. The code is told one thing at a time, and whatever it does in
 * answer it does before the event loop turns (it awaits nothing but steps), so the same things told in the same order lead to the
 * same calls. What breaks that rule is found and named: a call out of turn, or silence with nothing pending.
 *
 * A run that waits is a promise that nobody settles: leaving memory needs no exception that user code could catch.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '../../errors.ts';
import { encodePayload } from '../../message/payload.ts';
import type { Duration } from '../../runtime/duration.ts';
import { callIdOf } from '../definition/call-id.ts';
import type { CallOptions, Saga, Signals, Steps, RunContext } from '../definition/definition.ts';
import type { CallKind } from '../definition/kind-names.ts';
import type { RecordedError } from '../journal/events.ts';
import type { NewCall } from '../kinds/kind.ts';
import { sleepFor, sleepUntil } from '../kinds/sleep.ts';
import { waitForSignal } from '../kinds/wait.ts';
import { inScope, type Owner } from '../../runtime/scope.ts';
import { describeError } from '../../runtime/describe-error.ts';

export type CallOutcome =
  | { readonly kind: 'done'; readonly value: unknown }
  | { readonly kind: 'failed'; readonly error: Error };

export type CodeEnding =
  | { readonly kind: 'returned'; readonly result: string | undefined }
  /** `of`: the calls whose failures it threw, as they were told or as causes of its own error. */
  | { readonly kind: 'threw'; readonly error: unknown; readonly of: readonly string[] };

export interface Flow {
  /** Runs the code up to its first await. `at`: what now() gives. */
  begin(at: number): void;
  /** Settles the call; the code goes on in the microtasks that follow. */
  tell(callId: string, told: CallOutcome, at: number): void;
  /** After a turn of the event loop: what the code did. Closes the window in which it may act. */
  look(): Looked;
}

export interface Looked {
  readonly calls: readonly NewCall[];
  readonly ending: CodeEnding | null;
  /** It waits for something that is no step. */
  readonly violation: RecordedError | null;
}

export interface FlowOptions {
  readonly saga: Saga;
  readonly runId: string;
  readonly input: unknown;
  readonly maxBytes: number;
  /** Told of a branch of the code that failed and that nobody awaits just then. */
  readonly onStray?: (error: unknown) => void;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export function createFlow(options: FlowOptions): Flow {
  const { saga, runId, maxBytes } = options;
  /** All calls that were made; null for those that were told how they ended. */
  const made = new Map<string, Pending | null>();
  let pending = 0;
  let counters: Map<string, number> | null = null;
  let fresh: NewCall[] = [];
  let ending: CodeEnding | null = null;
  let violation: RecordedError | null = null;
  /** Whether it is the code's turn. */
  let open = false;
  let at = 0;
  let draws = 0;
  /** Branches of the code that failed, and that it has not awaited yet. */
  let strays: Map<Promise<unknown>, unknown> | null = null;
  /** What it was told that failed, by the error it was told. */
  let failures: Map<unknown, string> | null = null;
  const threw = (error: unknown): CodeEnding => ({ kind: 'threw', error, of: callsBehind(error, failures) });

  const owner: Owner = {
    stray(error, promise) {
      options.onStray?.(error);
      if (open) (strays ??= new Map()).set(promise, error);
      else
        violation ??= outside(
          `has a branch that failed at a moment when it had been told nothing (${describeError(error)})`,
        );
    },
    awaited: (promise) => void strays?.delete(promise),
  };

  function outside(what: string): RecordedError {
    return {
      name: 'HoldfastError',
      code: 'HF_OUTSIDE_AWAIT',
      message:
        `The saga ${saga.name} ${what}: its code awaits something that is no step. ` +
        'Put it into a step, so that its outcome is recorded; then have the run retried.',
    };
  }

  function call(asked: NewCall): Promise<unknown> {
    if (!open) {
      violation ??= outside(`called ${asked.id} at a moment when it had been told nothing`);
      return new Promise(() => {});
    }
    if (made.has(asked.id)) {
      return refuse(
        new HoldfastError('HF_CALL_REPEATED', `The saga ${saga.name} calls ${asked.id} a second time.`, {
          advice: `Name the calls apart: steps.${asked.step}(input, { id: 'line-2' }).`,
        }),
      );
    }
    fresh.push(asked);
    pending += 1;
    return looseEnd(new Promise((resolve, reject) => made.set(asked.id, { resolve, reject })));
  }

  function numbered(name: string): string {
    counters ??= new Map();
    const count = (counters.get(name) ?? 0) + 1;
    counters.set(name, count);
    return `${name}#${count}`;
  }

  function stepCall(
    name: string,
    kind: CallKind,
    input: unknown,
    callOptions: CallOptions | undefined,
  ): Promise<unknown> {
    const given = callOptions?.id;
    const id = callIdOf(name, given);
    if (id === null) {
      return refuse(
        new HoldfastError('HF_CONFIG', `${saga.name}: ${JSON.stringify(given)} is no id for a call of ${name}.`, {
          advice: 'Give any text that is not empty, such as the id of an order line.',
        }),
      );
    }
    let text: string | undefined;
    try {
      text =
        input === undefined ? undefined : encodePayload(input, { maxBytes, where: `${saga.name}, input of ${id}` });
    } catch (error) {
      return refuse(error as Error);
    }
    return call({ id, kind, step: name, input: text, waitMs: null, untilAt: null });
  }

  function waitFor(signal: string, waitOptions?: { readonly timeout?: Duration }): Promise<unknown> {
    if (!Object.hasOwn(saga.signals, signal)) {
      return refuse(
        new HoldfastError('HF_SIGNAL_UNKNOWN', `The saga ${saga.name} declares no signal ${JSON.stringify(signal)}.`, {
          advice: `Declare it: signals: { ${signal}: schema }.`,
        }),
      );
    }
    const asked = waitForSignal(signal, waitOptions?.timeout);
    return call({ id: numbered(`wait:${signal}`), ...asked });
  }

  const draw = (): Buffer =>
    createHash('sha256')
      .update(`${runId}:${(draws += 1)}`)
      .digest();

  const steps: Record<string, unknown> = {};
  for (const name of Object.keys(saga.steps)) {
    const kind = saga.steps[name]?.kind;
    if (kind !== undefined)
      steps[name] = (input?: unknown, callOptions?: CallOptions) => stepCall(name, kind, input, callOptions);
  }

  const context: RunContext<unknown, Steps, Signals> = {
    input: options.input,
    steps: Object.freeze(steps) as RunContext<unknown, Steps, Signals>['steps'],
    sleep: async (duration) => {
      const asked = sleepFor(duration);
      await call({ id: numbered(asked.step), ...asked });
    },
    sleepUntil: async (time) => {
      const asked = sleepUntil(time);
      await call({ id: numbered(asked.step), ...asked });
    },
    waitFor: waitFor,
    now: () => new Date(at),
    // 48 bits of a hash: more than enough, and a whole number of bytes.
    random: () => draw().readUIntBE(0, 6) / 2 ** 48,
    uuid: () => formatUuid(draw()),
    runId,
  };

  async function run(): Promise<void> {
    try {
      const result = await saga.run(context);
      end(() => ({
        kind: 'returned',
        result: result === undefined ? undefined : encodePayload(result, { maxBytes, where: `${saga.name}, result` }),
      }));
    } catch (error) {
      end(() => threw(error));
    }
  }

  function end(how: () => CodeEnding): void {
    if (!open) {
      violation ??= outside('ended at a moment when it had been told nothing');
      return;
    }
    try {
      ending = how();
    } catch (error) {
      // A result that JSON cannot carry.
      ending = threw(error);
    }
  }

  return {
    begin(now) {
      open = true;
      at = now;
      void inScope(owner, run);
    },
    tell(callId, told, now) {
      const waiting = made.get(callId);
      if (waiting === undefined || waiting === null) return;
      made.set(callId, null);
      pending -= 1;
      open = true;
      at = now;
      if (told.kind === 'done') waiting.resolve(told.value);
      else {
        (failures ??= new Map()).set(told.error, callId);
        waiting.reject(told.error);
      }
    },
    look() {
      open = false;
      const calls = fresh;
      if (calls.length > 0) fresh = [];
      // What nobody has awaited by the end is not lost: the run fails with it.
      if (ending?.kind === 'returned' && strays !== null && strays.size > 0) ending = threw([...strays.values()][0]);
      if (violation === null && ending === null && pending === 0)
        violation = outside('waits, but for none of its steps');
      return { calls, ending, violation };
    },
  };
}

/** How deep causes and aggregates are looked into. */
const MOST_CAUSES = 10;

/** The calls of which an error is the failure, itself, by its causes, or as one of an aggregate. */
function callsBehind(error: unknown, failures: ReadonlyMap<unknown, string> | null, depth = 0): readonly string[] {
  if (failures === null || typeof error !== 'object' || error === null || depth > MOST_CAUSES) return [];
  const call = failures.get(error);
  if (call !== undefined) return [call];
  try {
    const { cause, errors } = error as { readonly cause?: unknown; readonly errors?: unknown };
    const within: readonly unknown[] = [cause, ...(Array.isArray(errors) ? (errors as unknown[]) : [])];
    return [...new Set(within.flatMap((each) => callsBehind(each, failures, depth + 1)))];
  } catch {
    // Getters and proxies may do anything.
    return [];
  }
}

/** Code that does not await a call must not end the process when the call fails: nobody awaits it, nobody is told. */
function looseEnd<T>(promise: Promise<T>): Promise<T> {
  promise.catch(nothing);
  return promise;
}

function nothing(): void {}

function refuse(error: Error): Promise<never> {
  return looseEnd(Promise.reject(error));
}

/** RFC 9562 version 4, from the first 16 bytes. */
function formatUuid(bytes: Buffer): string {
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
