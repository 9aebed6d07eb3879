/**
 * Sagas made ready for a test: each local step noted when it is run, replaced where the test has its own, failing where the test wants
 * it. The saga's `run` and everything else of it stays as it is.
 */
import { HoldfastError } from '../../errors.ts';
import type { AnySaga, Steps } from '../../saga/definition/definition.ts';
import type { CompensatedCall, StepContext, StepDefinition } from '../../saga/definition/steps.ts';
import type { EffectOf, EffectsLog } from './effects-log.ts';
import { findSteps, type FailPlan, type StepPart, type Planned } from './fail-plan.ts';

/** What a step of a test is given: `tx` is that of the `transaction` option, in transaction steps. */
export interface ScriptContext<Tx> extends StepContext {
  readonly tx: Tx;
}

/** Stands for the `run` of a declared step. */
export type StepScript<Tx> = (input: never, context: ScriptContext<Tx>) => unknown;
/** Stands for its `compensate`. */
export type CompensationScript<Tx> = (
  compensation: CompensatedCall<never, never>,
  context: ScriptContext<Tx>,
) => unknown;

export interface Scripts<Tx> {
  readonly steps: Readonly<Record<string, StepScript<Tx>>>;
  readonly compensations: Readonly<Record<string, CompensationScript<Tx>>>;
}

/** What the store hands out as `tx`: the test's own, and the effects that come with its commit. */
export interface StagedTx {
  readonly tx: unknown;
  readonly effects: EffectOf[];
}

interface Noted {
  readonly saga: string;
  readonly step: string;
  readonly kind: 'step' | 'transaction';
  readonly part: StepPart;
}

type Run = (input: unknown, context: ScriptContext<unknown>) => unknown;

export function scriptSagas<Tx>(
  sagas: readonly AnySaga[],
  scripts: Scripts<Tx>,
  log: EffectsLog,
  plan: FailPlan,
): readonly AnySaga[] {
  const steps = byStep<Run>(sagas, scripts.steps as unknown as Readonly<Record<string, Run>>, 'steps');
  const compensation = byStep<Run>(
    sagas,
    scripts.compensations as unknown as Readonly<Record<string, Run>>,
    'compensations',
  );

  function noted({ saga, step: name, kind, part }: Noted, run: Run) {
    return async (input: unknown, context: StepContext & { readonly tx?: unknown }): Promise<unknown> => {
      const { runId, attempt, idempotencyKey } = context;
      const call = callOf(context);
      const staged = kind === 'transaction' ? (context.tx as StagedTx) : null;
      const open = log.begin({ runId, saga, step: name, call, of: part, kind, attempt, idempotencyKey, input });
      const planned = plan.take(saga, name, part);
      const what = part === 'run' ? 'done' : 'compensated';
      const effect: EffectOf = { runId, saga, step: name, call, kind, what, idempotencyKey };
      try {
        if (planned?.after === false) await fail(planned, () => open.hang());
        const output = await run(
          input,
          staged === null ? (context as ScriptContext<unknown>) : scriptContext(context, staged.tx),
        );
        if (staged === null) log.note(effect);
        else staged.effects.push(effect);
        if (planned?.after === true) await fail(planned, () => open.hang());
        open.end('done');
        return output;
      } catch (error) {
        open.end('failed', error);
        throw error;
      }
    };
  }

  function scripted(saga: string, name: string, step: StepDefinition): StepDefinition {
    if (step.kind !== 'step' && step.kind !== 'transaction') return step;
    const own = step as unknown as { readonly run: Run; readonly compensate: Run | null };
    const about = { saga, step: name, kind: step.kind };
    const compensate = compensation.get(`${saga}.${name}`) ?? own.compensate;
    const parts = {
      run: noted({ ...about, part: 'run' }, steps.get(`${saga}.${name}`) ?? own.run),
      compensate: compensate === null ? null : noted({ ...about, part: 'compensation' }, compensate),
    };
    // The transaction is the test's: there is nothing in it that the runner of an ORM could flush.
    return Object.assign({ ...step, ...parts }, step.kind === 'transaction' ? { runner: null } : {});
  }

  return sagas.map((saga) => ({
    ...saga,
    steps: Object.fromEntries(
      Object.entries(saga.steps).map(([name, step]) => [name, scripted(saga.name, name, step)]),
    ) satisfies Steps,
  }));
}

/** Scripts by `saga.step`; refused where they would replace nothing. */
function byStep<Script>(
  sagas: readonly AnySaga[],
  scripts: Readonly<Record<string, Script>>,
  option: 'steps' | 'compensations',
): ReadonlyMap<string, Script> {
  const found = new Map<string, Script>();
  for (const [name, script] of Object.entries(scripts)) {
    for (const [saga, step, definition] of findSteps(sagas, name, option)) {
      if (definition.kind !== 'step' && definition.kind !== 'transaction')
        throw new HoldfastError('HF_CONFIG', `${option}: ${name} is a step of kind ${definition.kind}.`, {
          advice:
            definition.kind === 'command'
              ? 'Script its participant: participants: [respond(Type, …)].'
              : 'Only local steps and transactions can be replaced.',
        });
      if (option === 'compensations' && definition.compensate === null)
        throw new HoldfastError('HF_CONFIG', `${option}: ${name} declares no compensation.`, {
          advice: 'A test replaces what a saga declares, and adds nothing to it.',
        });
      found.set(`${saga}.${step}`, script);
    }
  }
  return found;
}

async function fail({ failure }: Planned, onHang: () => void): Promise<void> {
  if (failure !== 'hang') throw failure;
  onHang();
  await new Promise<never>(() => {});
}

/** The call that an attempt is of, from its key. */
function callOf({ idempotencyKey, runId }: StepContext): string {
  return idempotencyKey.slice(runId.length + 1).replace(/:undo(:\d+)?$/, '');
}

/** As the engine gives it; `signal` stays what it is, made when asked for. */
function scriptContext(context: StepContext, tx: unknown): ScriptContext<unknown> {
  const { idempotencyKey, attempt, runId, fencingToken } = context;
  return {
    tx,
    idempotencyKey,
    attempt,
    runId,
    fencingToken,
    get signal() {
      return context.signal;
    },
  };
}
