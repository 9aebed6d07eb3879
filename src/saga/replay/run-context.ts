/**
 * What the code of a run is given: its input, its steps, waits, and time and chance that are the same at every replay.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '../../errors.ts';
import { encodePayload } from '../../message/payload.ts';
import type { Duration } from '../../runtime/duration.ts';
import { callIdOf } from '../definition/call-id.ts';
import type { CallOptions, RunContext, Saga, Signals, Steps } from '../definition/definition.ts';
import type { CallKind } from '../definition/kind-names.ts';
import type { NewCall } from '../kinds/kind.ts';
import { sleepFor, sleepUntil } from '../kinds/sleep.ts';
import { waitForSignal } from '../kinds/wait.ts';
import { refusedCall } from './loose-end.ts';

export interface RunContextOptions {
  readonly saga: Saga;
  readonly runId: string;
  readonly input: unknown;
  readonly maxBytes: number;
}

/** `at`: the time of the row in which the code is told what it was told last. */
export function createRunContext(
  options: RunContextOptions,
  call: (asked: NewCall) => Promise<unknown>,
  at: () => number,
): RunContext<unknown, Steps, Signals> {
  const { saga, runId, input } = options;
  const calls = new ContextCalls(options, call);
  let draws = 0;
  const draw = (): Buffer =>
    createHash('sha256')
      .update(`${runId}:${(draws += 1)}`)
      .digest();
  return {
    input,
    steps: Object.freeze(calls.ofSteps(saga)) as RunContext<unknown, Steps, Signals>['steps'],
    sleep: (duration) => calls.sleep(duration),
    sleepUntil: (time) => calls.sleepUntil(time),
    waitFor: (signal: string, waitOptions?: { readonly timeout?: Duration }) => calls.waitFor(signal, waitOptions),
    now: () => new Date(at()),
    // 48 bits of a hash: more than enough, and a whole number of bytes.
    random: () => draw().readUIntBE(0, 6) / 2 ** 48,
    uuid: () => formatUuid(draw()),
    runId,
  };
}

/** Makes calls of what the code asks for, or refuses it. */
class ContextCalls {
  readonly #options: RunContextOptions;
  readonly #call: (asked: NewCall) => Promise<unknown>;
  #counters: Map<string, number> | null = null;

  constructor(options: RunContextOptions, call: (asked: NewCall) => Promise<unknown>) {
    this.#options = options;
    this.#call = call;
  }

  ofSteps(saga: Saga): Record<string, unknown> {
    const steps: Record<string, unknown> = {};
    for (const name of Object.keys(saga.steps)) {
      const kind = saga.steps[name]?.kind;
      if (kind !== undefined)
        steps[name] = (input?: unknown, options?: CallOptions) => this.#step(name, kind, input, options);
    }
    return steps;
  }

  async sleep(duration: Duration): Promise<void> {
    await this.#ask(sleepFor(duration));
  }

  async sleepUntil(time: Date): Promise<void> {
    await this.#ask(sleepUntil(time));
  }

  waitFor(signal: string, options?: { readonly timeout?: Duration }): Promise<unknown> {
    const { saga } = this.#options;
    if (!Object.hasOwn(saga.signals, signal)) {
      return refusedCall(
        new HoldfastError('HF_SIGNAL_UNKNOWN', `The saga ${saga.name} declares no signal ${JSON.stringify(signal)}.`, {
          advice: `Declare it: signals: { ${signal}: schema }.`,
        }),
      );
    }
    const asked = waitForSignal(signal, options?.timeout);
    return this.#call({ id: this.#numbered(`wait:${signal}`), ...asked });
  }

  #ask(asked: ReturnType<typeof sleepFor>): Promise<unknown> {
    return this.#call({ id: this.#numbered(asked.step), ...asked });
  }

  #step(name: string, kind: CallKind, input: unknown, options: CallOptions | undefined): Promise<unknown> {
    const { saga, maxBytes } = this.#options;
    const given = options?.id;
    const id = callIdOf(name, given);
    if (id === null) {
      return refusedCall(
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
      return refusedCall(error as Error);
    }
    return this.#call({ id, kind, step: name, input: text, waitMs: null, untilAt: null });
  }

  #numbered(name: string): string {
    this.#counters ??= new Map();
    const count = (this.#counters.get(name) ?? 0) + 1;
    this.#counters.set(name, count);
    return `${name}#${count}`;
  }
}

/** RFC 9562 version 4, from the first 16 bytes. */
function formatUuid(bytes: Buffer): string {
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
