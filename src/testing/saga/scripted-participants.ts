/**
 * The participants of a saga under test: take its commands and compensations, keep a record of each call as real ones do (by the same
 * decisions, src/saga/participant/participant-decide.ts), and send replies, as the test has scripted them.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { decodePayload } from '../../message/decode.ts';
import { encodeForSend, type MessageType } from '../../message/message-type.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { decideCompensation, decideRepeated, DONE, refusal } from '../../saga/participant/participant-decide.ts';
import type { Answer, CallRow } from '../../saga/participant/participant-store.ts';
import { isCommand, type CommandStep } from '../../saga/kinds/command.ts';
import type { RunMessageBody } from '../../saga/store/store.ts';
import { readSagaCall, type SagaCall } from '../../saga/protocol/wire.ts';
import type { EffectsLog } from './effects-log.ts';
import type { FailPlan, Planned } from './fail-plan.ts';
import type { MemoryMessage } from './memory-rows.ts';
import { scriptedAnswer, type Responder } from './respond.ts';

export interface ScriptedParticipantsOptions {
  readonly sagas: readonly AnySaga[];
  readonly responders: readonly Responder[];
  readonly log: EffectsLog;
  readonly plan: FailPlan;
  /** The name of the saga of a run. */
  readonly sagaOf: (runId: string) => string | undefined;
  readonly post: (runId: string, body: RunMessageBody) => Promise<void>;
  readonly sleep: (delayMs: number) => Promise<void>;
}

/** What a saga declares of a command. */
interface Declared {
  readonly step: CommandStep;
  readonly compensatedBy: string | null;
}

/** What came of a script: an answer and how it gets back, or nothing at all. */
interface Scripted {
  readonly answer: Answer;
  readonly replies: number;
  readonly delayMs: number;
}

/** @throws HoldfastError HF_CONFIG for a command that nobody answers, and for a script that no saga asks for */
export class ScriptedParticipants {
  readonly #options: ScriptedParticipantsOptions;
  readonly #declared: ReturnType<typeof declaredCommands>;
  readonly #responders: ReturnType<typeof checkResponders>;
  readonly #records = new Map<string, CallRow>();
  readonly #attempts = new Map<string, number>();
  readonly #queues = new Map<string, Promise<void>>();

  constructor(options: ScriptedParticipantsOptions) {
    this.#options = options;
    this.#declared = declaredCommands(options.sagas);
    this.#responders = checkResponders(options.responders, this.#declared);
  }

  /** Handles a message; resolves when its answer is on its way. Rejects with mistakes of the test. */
  async receive(message: MemoryMessage): Promise<void> {
    const attributes = message.headers as { readonly headers?: Readonly<Record<string, string>> };
    const call = readSagaCall(attributes.headers ?? {});
    if (call === null) return;
    // One after the other for each call, as the lock on its record has it.
    const key = `${call.runId}:${call.call}`;
    const work = (this.#queues.get(key) ?? Promise.resolve()).then(() => this.#handle(message, call, key));
    this.#queues.set(
      key,
      work.catch(() => {}),
    );
    await work;
  }

  async #handle(message: MemoryMessage, call: SagaCall, key: string): Promise<void> {
    const row = this.#records.get(key) ?? null;
    if (call.role === 'command') {
      if (row !== null)
        return this.#reply(call, { answer: decideRepeated(row, message.topic), replies: 1, delayMs: 0 });
      const scripted = await this.#runScript(message, call, 'run');
      if (scripted === null) return;
      const { topic, payload } = message;
      const { answer } = scripted;
      const version = this.#responders.get(topic)?.type.version ?? 1;
      this.#records.set(key, {
        state: answer.outcome,
        command: { topic, version, text: JSON.stringify(payload) },
        reply: answer,
      });
      return this.#reply(call, scripted);
    }
    const compensated = [...this.#declared].find(([, { compensatedBy }]) => compensatedBy === message.topic)?.[0] ?? '';
    const decision = decideCompensation(row, compensated, call.outcome ?? 'unknown');
    if (decision.do === 'answer') return this.#reply(call, { answer: decision.answer, replies: 1, delayMs: 0 });
    if (decision.do === 'write tombstone') {
      this.#records.set(key, { state: 'tombstone', command: null, reply: null });
      return this.#reply(call, { answer: DONE, replies: 1, delayMs: 0 });
    }
    const scripted = await this.#runScript(message, call, 'compensation');
    if (scripted === null) return;
    if (scripted.answer.outcome === 'done')
      this.#records.set(key, { command: null, reply: null, ...row, state: 'compensated' });
    return this.#reply(call, scripted);
  }

  /** Null: nothing has happened, and nobody answers. */
  async #runScript(message: MemoryMessage, call: SagaCall, of: 'run' | 'compensation'): Promise<Scripted | null> {
    const { runId } = call;
    const saga = this.#options.sagaOf(runId) ?? '';
    const step = call.call.split(':')[0] ?? '';
    const idempotencyKey = `${runId}:${call.call}${of === 'compensation' ? ':undo' : ''}`;
    const attempt = (this.#attempts.get(idempotencyKey) ?? 0) + 1;
    this.#attempts.set(idempotencyKey, attempt);
    const about = { runId, saga, step, call: call.call, kind: 'command', idempotencyKey } as const;
    const open = this.#options.log.begin({ ...about, of, attempt, input: message.payload });
    const planned = this.#options.plan.take(saga, step, of);
    const context = { attempt, runId, call: call.call, idempotencyKey };
    const scripted = await (
      planned?.after === false ? Promise.resolve(failed(planned)) : this.#script(message, context, of)
    ).catch((error: unknown) => {
      open.end('failed', error);
      throw error;
    });
    if (scripted === null) {
      open.hang();
      return null;
    }
    const done = scripted.answer.outcome === 'done';
    if (done) this.#options.log.note({ ...about, what: of === 'run' ? 'done' : 'compensated' });
    open.end(done ? 'done' : 'failed', done ? undefined : scripted.answer);
    return planned?.after === true ? { ...scripted, replies: 0 } : scripted;
  }

  async #script(
    message: MemoryMessage,
    context: Parameters<Responder['script']>[1],
    of: 'run' | 'compensation',
  ): Promise<Scripted | null> {
    const responder = this.#responders.get(message.topic);
    // Compensations that a test has nothing to say about are done.
    if (responder === undefined) return { answer: DONE, replies: 1, delayMs: 0 };
    const { version } = responder.type;
    const command = await decodePayload(responder.type, { id: message.id, version, data: message.payload });
    const replyType = of === 'run' ? (this.#declared.get(message.topic)?.step.reply ?? null) : null;
    let value: unknown;
    try {
      value = await responder.script(command, context);
    } catch (error) {
      // A handler that fails otherwise is parked, in the end, and nobody answers.
      return isRefusal(error) ? { answer: refusal(error), replies: 1, delayMs: 0 } : null;
    }
    return resolveAnswer(value, replyType);
  }

  async #reply(call: SagaCall, { answer, replies, delayMs }: Scripted): Promise<void> {
    const body = { kind: 'reply', call: call.call, to: call.role, ...answer } as RunMessageBody;
    if (delayMs > 0) {
      void this.#options.sleep(delayMs).then(async () => {
        for (let n = 0; n < replies; n += 1) await this.#options.post(call.runId, body);
      });
      return;
    }
    for (let n = 0; n < replies; n += 1) await this.#options.post(call.runId, body);
  }
}

function isRefusal(error: unknown): boolean {
  return isHoldfastError(error, 'HF_REJECTED') || isHoldfastError(error, 'HF_PERMANENT');
}

function failed({ failure }: Planned): Scripted | null {
  return failure !== 'hang' && isRefusal(failure) ? { answer: refusal(failure), replies: 1, delayMs: 0 } : null;
}

async function resolveAnswer(value: unknown, replyType: MessageType | null): Promise<Scripted | null> {
  const special = scriptedAnswer(value);
  if (special === null) return { answer: await encodeReply(value, replyType), replies: 1, delayMs: 0 };
  if (special.kind === 'silence') return null;
  if (special.kind === 'reject') return { answer: refusal(special.error), replies: 1, delayMs: 0 };
  const inner = await resolveAnswer(special.answer, replyType);
  if (inner === null) return null;
  if (special.kind === 'lost') return { ...inner, replies: 0 };
  if (special.kind === 'twice') return { ...inner, replies: 2 };
  return { ...inner, delayMs: special.delayMs };
}

async function encodeReply(value: unknown, replyType: MessageType | null): Promise<Answer> {
  if (replyType === null) return DONE;
  const { text } = await encodeForSend(replyType, value, { maxBytes: Infinity, key: null });
  return { outcome: 'done', output: JSON.parse(text) as unknown, outputVersion: replyType.version };
}

function declaredCommands(sagas: readonly AnySaga[]): ReadonlyMap<string, Declared> {
  const declared = new Map<string, Declared>();
  for (const step of sagas.flatMap((saga) => Object.values(saga.steps))) {
    if (isCommand(step))
      declared.set(step.command.topic, { step, compensatedBy: step.compensate?.message.topic ?? null });
  }
  return declared;
}

function checkResponders(
  given: readonly Responder[],
  declared: ReadonlyMap<string, Declared>,
): ReadonlyMap<string, Responder> {
  const responders = new Map(given.map((responder) => [responder.type.topic, responder]));
  const asked = new Set([...declared].flatMap(([topic, { compensatedBy }]) => [topic, compensatedBy]));
  for (const [topic] of responders) {
    if (!asked.has(topic))
      throw new HoldfastError('HF_CONFIG', `participants: no saga here sends the command ${topic}.`, {
        advice: `They send: ${[...declared.keys()].join(', ') || 'none'}.`,
      });
  }
  for (const [topic] of declared) {
    if (!responders.has(topic))
      throw new HoldfastError('HF_CONFIG', `participants: nobody answers ${topic}.`, {
        advice: 'Add respond(Type, (command) => …), or respond(Type, silence) for a participant that is away.',
      });
  }
  return responders;
}
