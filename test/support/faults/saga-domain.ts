/**
 * The saga that the promises are checked on, with all kinds of steps, and its participant. Local steps write to the outside ledger,
 * transactional steps and the participant write rows without any constraint, so that a double effect shows as two of them.
 */
import { z } from 'zod';
import { PermanentError, Rejection } from '../../../src/errors.ts';
import { message } from '../../../src/message/message-type.ts';
import type { Database } from '../../../src/postgres/database.ts';
import type { Duration } from '../../../src/runtime/duration.ts';
import { saga, type Saga } from '../../../src/saga/definition/definition.ts';
import { handle } from '../../../src/saga/participant/handle.ts';
import { createParticipant, type Participant } from '../../../src/saga/participant/participant.ts';
import type { DatabaseParticipantOptions } from '../../../src/saga/participant/participant-options.ts';
import { command } from '../../../src/saga/kinds/command.ts';
import { emit } from '../../../src/saga/kinds/emit.ts';
import { step } from '../../../src/saga/kinds/step.ts';
import { transaction } from '../../../src/saga/kinds/transaction.ts';
import type { StepContext, TransactionContext, CompensatedCall } from '../../../src/saga/definition/steps.ts';
import { readOutside, type Outside } from './saga-outside.ts';
import { fateOf, Plan, type Fate } from './saga-plan.ts';

const Work = z.object({ plan: Plan, line: z.number().optional() });
type Work = z.infer<typeof Work>;

export const Reserve = message('faults.reserve', { schema: Work });
export const Release = message('faults.release', { schema: Work });
export const Reserved = message('faults.reserved', { schema: z.object({ reservation: z.string() }) });
export const Announced = message('faults.announced', { schema: Work });
export const Recalled = message('faults.recalled', { schema: Work });

/** Quick, and so patient that a compensation never gives up by bad luck. */
const PATIENT = { retry: { attempts: 100_000, base: 1, cap: 30, within: '1h' }, timeout: '5s' } as const;
const QUICK = { retry: { attempts: 4, base: 1, cap: 20, within: '10m' }, compensation: PATIENT } as const;
/** Of an attempt that may hang, in ms; much longer than one that does not takes. */
const ATTEMPT_MS = 500;

export const FAULTS_TABLES = `
  CREATE TABLE fault_effect (position bigint GENERATED ALWAYS AS IDENTITY, what text, run uuid, call text, key text, amount integer,
    token integer, at timestamptz DEFAULT clock_timestamp())`;

export interface TestSagaOptions {
  readonly outside: Outside;
  readonly outsidePath: string;
  /** The name of this process in the ledger. */
  readonly by: string;
  /** How long a reply is waited for before the command is sent again; default '5s'. */
  readonly replyTimeout?: Duration;
}

const signals = { answer: z.object({ n: z.number() }), vain: z.object({}) };
export type TestSaga = Saga<Plan, { readonly n: number; readonly answer: number | null }, typeof signals>;

export function testSaga({ outside, outsidePath, by, replyTimeout = '5s' }: TestSagaOptions): TestSaga {
  const local = (call: string) => ({
    run: ({ plan, line }: Work, context: StepContext) =>
      outsideWork(fateOf(plan.fates, call), context, (late) => note('do', { plan, line }, context, late)),
    compensate: ({ input }: CompensatedCall<Work, unknown>, context: StepContext) =>
      outsideWork(fateOf(input.plan.compensates, call), context, () => note('compensate', input, context, false)),
    timeout: ATTEMPT_MS,
    ...QUICK,
  });
  const inTransaction = (call: string) => ({
    run: async ({ plan }: Work, context: TransactionContext) => {
      await rowWork(fateOf(plan.fates, call), context, () => row(context, 'do', plan.amount));
      return { by };
    },
    compensate: ({ input }: CompensatedCall<Work, unknown>, context: TransactionContext) =>
      rowWork(fateOf(input.plan.compensates, call), context, () => row(context, 'compensate', input.plan.amount)),
    ...QUICK,
  });

  function note(what: 'do' | 'compensate', { plan }: Work, context: StepContext, late: boolean): void {
    const { runId: run, idempotencyKey: key, attempt, fencingToken: token } = context;
    const call = callOf(key);
    outside.append({
      by,
      what,
      run,
      call,
      key,
      amount: plan.amount,
      attempt,
      token,
      at: Date.now(),
      ...(late ? { late } : {}),
    });
  }

  return saga({
    name: 'faults',
    input: Plan,
    signals,
    steps: {
      debit: transaction(inTransaction('debit')),
      charge: step({
        ...local('charge'),
        verify: (_work, { idempotencyKey }) => {
          const happened = readOutside(outsidePath).some(
            ({ run, call, what }) => what === 'do' && idempotencyKey.startsWith(`${run}:${call}:`),
          );
          return happened ? { happened: true, output: { by: 'verified' } } : { happened: false };
        },
      }),
      reserve: command(Reserve, { reply: Reserved, compensate: Release, timeout: replyTimeout, ...QUICK }),
      announce: emit(Announced, { compensate: Recalled }),
      gift: step(local('gift')),
      tip: step({ ...local('tip'), fallback: () => ({ by: 'fallback' }) }),
      line: step(local('line')),
      close: step(local('close')),
      book: transaction({ run: inTransaction('book').run, pivot: true, retry: { ...QUICK.retry, attempts: 1_000 } }),
      thank: step({ run: local('thank').run, timeout: ATTEMPT_MS, retry: QUICK.retry }),
    },
    async run({ input, steps, sleep, waitFor, now, random, uuid }) {
      const work = { plan: input };
      const before = now().getTime();
      await steps.debit(work);
      await Promise.all([steps.charge(work), steps.reserve(work)]);
      if (input.pauseMs > 0) await sleep(input.pauseMs);
      if (input.vainMs > 0 && (await waitFor('vain', { timeout: input.vainMs })) !== null) throw new Error('came');
      const answer = input.asks ? await waitFor('answer') : null;
      await steps.announce(work);
      // What may be done without: given up, and compensated at the end when it may have happened.
      await steps.gift(work).catch(() => null);
      await steps.tip(work);
      if (random() < 0 || uuid() === '' || now().getTime() < before) throw new Error('the clock of the run went back');
      for (let line = 1; line <= input.lines; line += 1) await steps.line({ ...work, line }, { id: String(line) });
      await steps.close(work);
      await steps.book(work);
      await steps.thank(work);
      return { n: input.n, answer: answer?.n ?? null };
    },
  });
}

/** The call in `run:call` and `run:call:undo`, `run:call:undo:2`. */
export function callOf(key: string): string {
  return key.slice(37).replace(/:undo(?::\d+)?$/, '');
}

async function outsideWork(
  fate: Fate,
  { attempt, signal }: StepContext,
  act: (late: boolean) => void,
): Promise<{ by: string }> {
  if (fate.kind === 'no') throw new PermanentError('no');
  const bad = fate.kind !== 'ok' && attempt <= fate.times;
  if (bad && fate.kind === 'hangs') {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    if (fate.effect) act(true);
    return new Promise(() => {});
  }
  if (!bad || fate.effect) act(false);
  if (bad) throw new Error('not now');
  return { by: 'step' };
}

async function rowWork(fate: Fate, { attempt }: StepContext, act: () => Promise<unknown>): Promise<void> {
  if (fate.kind === 'no') throw new PermanentError('no');
  // An effect that fails is rolled back: it is written before the failure, so that it would show.
  await act();
  if (fate.kind === 'fails' && attempt <= fate.times) throw new Error('not now');
}

const INSERT = 'INSERT INTO fault_effect (what, run, call, key, amount, token) VALUES ($1, $2, $3, $4, $5, $6)';

function row(context: TransactionContext, what: string, amount: number): Promise<unknown> {
  const { tx, runId, idempotencyKey, fencingToken } = context;
  return tx.query(INSERT, [what, runId, callOf(idempotencyKey), idempotencyKey, amount, fencingToken]);
}

export function testParticipant(
  options: Omit<DatabaseParticipantOptions, 'handlers'> & { readonly database: Database },
): Participant {
  const tries = new Map<string, number>();
  /** Counted here, because a message that comes again begins anew. */
  const isTry = (key: string, upTo: number): boolean => {
    const count = (tries.get(key) ?? 0) + 1;
    tries.set(key, count);
    return count <= upTo;
  };
  return createParticipant('stock', {
    retry: { attempts: 2, base: 1, cap: 1 },
    parkedRetry: { attempts: 1_000, base: 1, cap: 20 },
    parkedPoll: 20,
    ...options,
    handlers: [
      handle(Reserve, { reply: Reserved }, async ({ plan }, { tx, saga: call, idempotencyKey }) => {
        const fate = fateOf(plan.fates, 'reserve');
        if (fate.kind === 'no') throw new Rejection('sold out');
        await tx.query(INSERT, ['do', call?.runId, call?.call, idempotencyKey, plan.amount, 0]);
        if (fate.kind === 'fails' && isTry(idempotencyKey, fate.times)) throw new Error('not now');
        return { reservation: idempotencyKey };
      }),
      handle(
        Release,
        { compensates: Reserve, reply: Reserved },
        async ({ plan }, { tx, saga: call, idempotencyKey }) => {
          await tx.query(INSERT, ['compensate', call?.runId, call?.call, idempotencyKey, plan.amount, 0]);
          const fate = fateOf(plan.compensates, 'reserve');
          if (fate.kind === 'fails' && isTry(idempotencyKey, fate.times)) throw new Error('not now');
        },
      ),
    ],
  });
}
