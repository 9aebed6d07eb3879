/**
 * The forward path of a run: its code, run against what is recorded. The code is told one thing at a time, and whatever it does in
 * answer it does before the event loop turns (it awaits nothing but steps), so the same things told in the same order lead to the
 * same calls. What breaks that rule is found and named: a call out of turn, or silence with nothing pending.
 *
 * A run that waits is a promise that nobody settles: leaving memory needs no exception that user code could catch.
 */
import { HoldfastError } from '../../errors.ts';
import { encodePayload } from '../../message/payload.ts';
import type { Saga } from '../definition/definition.ts';
import { looseEnd, refusedCall } from './loose-end.ts';
import type { NewCall } from '../kinds/kind.ts';
import { createRunContext } from './run-context.ts';
import type { RecordedError } from '../journal/events.ts';
import { inScope, type Owner } from '../../runtime/scope.ts';
import { describeError } from '../../runtime/describe-error.ts';
import { lookable } from '../../runtime/thrown.ts';

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
  look(): FlowState;
}

export interface FlowState {
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
  return new CodeFlow(options);
}

class CodeFlow implements Flow {
  readonly #options: FlowOptions;
  readonly #owner: Owner;
  /** All calls that were made; null for those that were told how they ended. */
  readonly #made = new Map<string, Pending | null>();
  #pending = 0;
  #fresh: NewCall[] = [];
  #ending: CodeEnding | null = null;
  #violation: RecordedError | null = null;
  /** Whether it is the code's turn. */
  #open = false;
  #at = 0;
  /** Branches of the code that failed, and that it has not awaited yet. */
  #strays: Map<Promise<unknown>, unknown> | null = null;
  /** What it was told that failed, by the error it was told. */
  #failures: Map<unknown, string> | null = null;

  constructor(options: FlowOptions) {
    this.#options = options;
    this.#owner = {
      stray: (error, promise) => this.#stray(error, promise),
      awaited: (promise) => void this.#strays?.delete(promise),
    };
  }

  begin(at: number): void {
    this.#open = true;
    this.#at = at;
    void inScope(this.#owner, () => this.#run());
  }

  tell(callId: string, told: CallOutcome, at: number): void {
    const waiting = this.#made.get(callId);
    if (waiting === undefined || waiting === null) return;
    this.#made.set(callId, null);
    this.#pending -= 1;
    this.#open = true;
    this.#at = at;
    if (told.kind === 'done') waiting.resolve(told.value);
    else {
      (this.#failures ??= new Map()).set(told.error, callId);
      waiting.reject(told.error);
    }
  }

  look(): FlowState {
    this.#open = false;
    const calls = this.#fresh;
    if (calls.length > 0) this.#fresh = [];
    const strays = this.#strays;
    // What nobody has awaited by the end is not lost: the run fails with it.
    if (this.#ending?.kind === 'returned' && strays !== null && strays.size > 0)
      this.#ending = this.#threw([...strays.values()][0]);
    if (this.#violation === null && this.#ending === null && this.#pending === 0)
      this.#breaks('waits, but for none of its steps');
    return { calls, ending: this.#ending, violation: this.#violation };
  }

  async #run(): Promise<void> {
    const { saga, maxBytes } = this.#options;
    try {
      const context = createRunContext(
        this.#options,
        (call) => this.#call(call),
        () => this.#at,
      );
      const result = await saga.run(context);
      this.#end(() => ({
        kind: 'returned',
        result: result === undefined ? undefined : encodePayload(result, { maxBytes, where: `${saga.name}, result` }),
      }));
    } catch (error) {
      this.#end(() => this.#threw(error));
    }
  }

  #call(asked: NewCall): Promise<unknown> {
    if (!this.#open) {
      this.#breaks(`called ${asked.id} at a moment when it had been told nothing`);
      return new Promise(() => {});
    }
    if (this.#made.has(asked.id)) return refusedCall(repeatedCall(this.#options.saga, asked));
    this.#fresh.push(asked);
    this.#pending += 1;
    return looseEnd(new Promise((resolve, reject) => this.#made.set(asked.id, { resolve, reject })));
  }

  #end(how: () => CodeEnding): void {
    if (!this.#open) return this.#breaks('ended at a moment when it had been told nothing');
    try {
      this.#ending = how();
    } catch (error) {
      // A result that JSON cannot carry.
      this.#ending = this.#threw(error);
    }
  }

  #threw(error: unknown): CodeEnding {
    const lookedAt = lookable(error);
    return { kind: 'threw', error: lookedAt, of: callsBehind(lookedAt, this.#failures) };
  }

  #stray(error: unknown, promise: Promise<unknown>): void {
    this.#options.onStray?.(error);
    if (this.#open) (this.#strays ??= new Map()).set(promise, error);
    else this.#breaks(`has a branch that failed at a moment when it had been told nothing (${describeError(error)})`);
  }

  /** The first counts. */
  #breaks(what: string): void {
    this.#violation ??= {
      name: 'HoldfastError',
      code: 'HF_OUTSIDE_AWAIT',
      message:
        `The saga ${this.#options.saga.name} ${what}: its code awaits something that is no step. ` +
        'Put it into a step, so that its outcome is recorded; then have the run retried.',
    };
  }
}

function repeatedCall(saga: Saga, { id, step }: NewCall): HoldfastError {
  return new HoldfastError('HF_CALL_REPEATED', `The saga ${saga.name} calls ${id} a second time.`, {
    advice: `Name the calls apart: steps.${step}(input, { id: 'line-2' }).`,
  });
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
