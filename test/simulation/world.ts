/**
 * One simulation: workers, services, relays and clients in one process, on one clock and a network of chance, from the first start of a run
 * until nothing moves any more.
 */
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import type { RunCommit } from '../../src/saga/store/store.ts';
import type { EffectOf } from '../../src/testing/saga/effects-log.ts';
import { encodeWire } from '../../src/message/envelope.ts';
import { memorySagaStoreOn, type MemorySagaStore } from '../../src/testing/saga/memory-saga-store.ts';
import { createMemoryTables, type MemoryTables } from '../../src/testing/saga/memory-tables.ts';
import { breachesAtTheEnd } from './invariants/at-the-end.ts';
import { Judge } from './invariants/judge.ts';
import { MessageJudge } from './invariants/message-judge.ts';
import { short } from './invariants/short.ts';
import { Choices, type Deviations } from './machine/choices.ts';
import { Network } from './machine/network.ts';
import { Life, SimulatedProcess, type Machine, type Stoppable } from './machine/process.ts';
import { Scheduler } from './machine/scheduler.ts';
import { Stops } from './machine/stops.ts';
import { Trace } from './machine/trace.ts';
import { Broker } from './services/broker.ts';
import { Company } from './services/company.ts';
import { Ledger } from './services/ledger.ts';
import { OutboxLog, runRelay } from './services/relay.ts';
import { RemoteStore } from './services/remote-store.ts';
import { runWorker } from './services/saga-worker.ts';
import { mayBeStuck, mayFail } from './workload/blame.ts';
import { Cancellations } from './workload/cancellations.ts';
import { carryOut, plannedRuns, type PlannedRun, type ToldRun } from './workload/clients.ts';
import { SagaShelf, type LentSagas } from './workload/lent-sagas.ts';
import { News, QUEUES } from './workload/messages.ts';
import { Impatient } from './workload/impatient.ts';
import { canBeLost } from './workload/menu.ts';
import { Operator } from './workload/operator.ts';
import { Services } from './workload/participants.ts';
import { attemptedOf, declarationsOf } from './workload/sagas.ts';
import type { SagaSurroundings, SimulatedTx } from './workload/steps.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** What goes otherwise than usual; null: as the seed has it. */
  readonly deviations?: Deviations | null | undefined;
  /** Keep the lines of the trace. */
  readonly trace?: boolean | undefined;
}

export interface SimulationResult {
  readonly seed: number;
  /** Promises that were broken; empty when all held. */
  readonly breaches: readonly string[];
  readonly deviations: Deviations;
  readonly hash: string;
  readonly lines: readonly string[];
  /** Things that have happened. */
  readonly events: number;
  /** Simulated, in milliseconds. */
  readonly elapsedMs: number;
}

const START_MS = Date.UTC(2026, 0, 1);
/** When faults end, by chance. */
const CALM_MS = [8_000, 3_000, 20_000, 40_000];
/** After the faults have ended, everything is over within this: nothing that is waited for takes longer than some ten seconds. */
const DRAIN_MS = 180_000;
/** How long after the end of the faults the operator looks, and how often. */
const OPERATOR_MS = 15_000;

export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  return new World(options).run();
}

class World {
  readonly #options: SimulationOptions;
  readonly #machine: Machine;
  readonly #network: Network;
  readonly #broker: Broker;
  readonly #tables: MemoryTables = createMemoryTables();
  readonly #store: MemorySagaStore;
  readonly #log = new OutboxLog();
  readonly #ledger: Ledger;
  readonly #company: Company;
  readonly #operator: Operator;
  readonly #cancellations: Cancellations;
  readonly #impatient: Impatient;
  readonly #services: Services;
  readonly #judge: Judge;
  readonly #messages: MessageJudge;
  readonly #stops: Stops;
  readonly #concurrency: number;
  readonly #planned: readonly (PlannedRun & { readonly told: ToldRun })[];
  readonly #workers: readonly SimulatedProcess[];
  readonly #shelf = new SagaShelf();
  /** For clients that have no life of their own, and for judges. */
  readonly #common: LentSagas;
  readonly #calmAtMs: number;
  #clientsAreDone = false;

  constructor(options: SimulationOptions) {
    const scheduler = new Scheduler();
    const choices = new Choices(options.seed, options.deviations ?? null);
    const trace = new Trace(options.trace === true, () => scheduler.now);
    this.#options = options;
    this.#machine = { scheduler, choices, trace, startMs: START_MS };
    this.#network = new Network(choices);
    this.#broker = new Broker(this.#machine, this.#network, {
      delivered: (message) => this.#messages.delivered(message),
      acknowledged: (message) => this.#messages.acknowledged(message),
    });
    this.#concurrency = [100, 1, 2][choices.choose('room of a worker', [0.08, 0.08])] ?? 100;
    this.#calmAtMs = CALM_MS[choices.choose('how long', [0.2, 0.2, 0.1])] ?? 0;
    this.#store = this.#createStore();
    this.#planned = plannedRuns(choices).map((run) => ({
      ...run,
      told: {
        started: false,
        cancelled: null,
        momentHasCome: false,
        wasCancelledWhenStuck: false,
        signalled: new Set<number>(),
      },
    }));
    this.#common = this.#sagas(new Life(this.#machine, 'judge', 0, 1));
    this.#judge = this.#createJudge();
    this.#messages = this.#createMessageJudge();
    this.#store.onChange(() => this.#judge.changed());
    this.#ledger = new Ledger((effect, places) => this.#happened(effect, places));
    this.#company = new Company(this.#ledger, this.#network, outageOf(choices));
    this.#operator = new Operator(choices, this.#store, this.#tables, this.#company);
    this.#cancellations = new Cancellations({
      machine: this.#machine,
      store: this.#store,
      tables: this.#tables,
      lent: this.#common,
      planned: this.#planned,
    });
    this.#impatient = new Impatient({
      choices,
      scheduler,
      lookAt: (runId) => this.#operator.lookAt(runId),
      cancel: (runId) => this.#cancellations.whenStuck(runId),
    });
    this.#services = new Services(this.#machine, this.#network, this.#broker, this.#ledger, this.#company);
    const count = 2 + choices.choose('number of workers', [0.2]);
    this.#workers = Array.from({ length: count }, (_, n) =>
      this.#process(`worker ${n + 1}`, (life) => this.#runWorker(life)),
    );
    this.#stops = new Stops(
      this.#machine,
      this.#workers,
      this.#planned.some(({ plan }) => plan.bug),
    );
  }

  async run(): Promise<SimulationResult> {
    const { scheduler, choices, trace } = this.#machine;
    this.#begin();
    const isOver = await scheduler.run(
      () => this.#judge.breaches.length > 0 || this.#isQuiet(),
      this.#calmAtMs + DRAIN_MS,
    );
    const breaches = [...this.#judge.breaches];
    if (breaches.length === 0) breaches.push(...(await breachesAtTheEnd(this.#ended(isOver))));
    this.#shelf.giveBack();
    return {
      seed: this.#options.seed,
      breaches,
      deviations: choices.deviations,
      hash: trace.hash,
      lines: trace.lines,
      events: scheduler.happened,
      elapsedMs: scheduler.now,
    };
  }

  #begin(): void {
    for (const worker of this.#workers) worker.start();
    for (const name of ['payments', 'stock', 'mail'] as const)
      this.#process(name, (life) => this.#services.run(life, name)).start();
    this.#process('relay of the sagas', (life) => runRelay(life, this.#network, this.#log, this.#broker)).start();
    this.#process('relay of the services', (life) =>
      runRelay(life, this.#network, this.#services.log, this.#broker),
    ).start();
    this.#process('client', (life) => void this.#runClient(life)).start();
    this.#machine.scheduler.after(this.#calmAtMs, null, () => this.#calmDown());
  }

  #process(name: string, begin: (life: Life) => Stoppable | void): SimulatedProcess {
    return new SimulatedProcess(
      this.#machine,
      name,
      (life) => begin(life) ?? null,
      (which) => this.#judge.doesNotStop(which),
    );
  }

  #createJudge(): Judge {
    const { scheduler } = this.#machine;
    const sagas = Object.values(this.#common.sagas);
    return new Judge({
      tables: this.#tables,
      now: () => START_MS + scheduler.now,
      mayFail: (runId) =>
        this.#planned.every((run) => run.id !== runId || mayFail(run) || run.told.wasCancelledWhenStuck),
      mayBeStuck: (runId, why, call) => {
        const id = this.#tables.runs.get(runId)?.parent?.id ?? runId;
        const isLost = why === 'undefined step' && this.#mayBeLost(call?.split(':')[0] ?? '');
        return isLost || this.#planned.some((run) => run.id === id && mayBeStuck(run, why, call));
      },
      actors: new Set(['client', 'operator']),
      declared: declarationsOf(sagas),
      attempted: attemptedOf(sagas),
      forgets: () => this.#services.forgets,
      mayBeLost: (step) => this.#mayBeLost(step),
      isDone: (runId, call) => this.#ledger.isDone(runId + call),
      isDoneAfterRefusal: (runId, call) => this.#services.isDoneAfterRefusal(runId, call),
    });
  }

  #mayBeLost(step: string): boolean {
    return this.#stops.losing !== null && canBeLost(step);
  }

  #happened(effect: EffectOf, places: number): void {
    this.#machine.trace.say(`effect of ${short(effect.runId)}: ${effect.call} ${effect.what}`);
    this.#judge.happened(effect, places);
    if (effect.call === 'mail') this.#messages.happenedInLine(effect.idempotencyKey);
    if (effect.what === 'done') this.#cancellations.moment(effect, 'happens');
  }

  #createMessageJudge(): MessageJudge {
    return new MessageJudge({
      say: (breach) => this.#judge.say(breach),
      wasCalled: (runId, call) => this.#judge.wasCalled(runId, call),
      hasHappened: (runId, call) => this.#ledger.balance.has(runId + call),
      isSettled: (destination, id) => this.#services.isSettled(destination, id),
      isRecorded: (reply) => this.#judge.isRecorded(reply),
    });
  }

  #createStore(): MemorySagaStore {
    const { scheduler } = this.#machine;
    const clock = {
      now: () => START_MS + scheduler.now,
      monotonic: () => scheduler.now,
      sleep: () => Promise.reject(new Error('the store does not sleep')),
    };
    return memorySagaStoreOn(this.#tables, {
      clock,
      transaction: (): SimulatedTx => ({ effects: [] }),
      endTransaction: (tx, outcome) => {
        if (outcome === 'commit') for (const effect of (tx as SimulatedTx).effects) this.#ledger.note(effect);
      },
      onMessage: ({ id, topic, key, payload, headers }) => {
        const time = new Date(clock.now()).toISOString();
        const row = { id, topic, key, time, payload: JSON.stringify(payload), headers: JSON.stringify(headers) };
        const inOrder = topic === News.topic && key !== null;
        if (inOrder) this.#messages.committedInLine(key, id);
        const before = inOrder ? this.#log.follow(key, id, time) : undefined;
        const wire = encodeWire(row, before === undefined ? {} : { predecessor: before, sentAt: time });
        this.#log.add({ id, topic, key, destination: QUEUES[topic] ?? topic, wire, replayId: null });
      },
    });
  }

  #remote(life: Life): RemoteStore {
    return new RemoteStore(
      {
        network: this.#network,
        store: this.#store,
        onCommitted: (workerId, runs) => {
          if (life.stopped) this.#judge.stirred(life.name, 'commits');
          for (const commit of runs) this.#machine.trace.say(`${life.name} has committed: ${describeCommit(commit)}`);
          this.#judge.committed(workerId, runs);
          for (const { runId, update } of runs) if (update?.status === 'stuck') this.#impatient.seen(runId);
        },
      },
      life,
    );
  }

  #sagas(life: Life, code: 'whole' | 'lost' = 'whole'): LentSagas {
    const surroundings: SagaSurroundings = {
      life,
      network: this.#network,
      ledger: this.#ledger,
      company: this.#company,
      watch: {
        begins: (attempt) => {
          if (life.stopped) this.#judge.stirred(life.name, 'begins an attempt');
          this.#judge.attempted(attempt);
          if (attempt.what === 'done') this.#cancellations.moment(attempt, 'begins');
        },
        ends: (attempt, how) => {
          if (life.alive) this.#judge.attempts.ends(attempt, how);
          if (attempt.what === 'done' && how !== 'timed out') this.#cancellations.moment(attempt, 'ends');
        },
      },
    };
    return this.#shelf.lend(surroundings, code);
  }

  #runWorker(life: Life): Stoppable {
    const remote = this.#remote(life);
    return runWorker({
      concurrency: this.#concurrency,
      onStopped: (workerId) => this.#judge.stopped(life.name, workerId),
      life,
      worker: remote.worker,
      client: remote.client,
      registry: this.#sagas(life, life.generation === this.#stops.losing ? 'lost' : 'whole').registry,
      network: this.#network,
      store: this.#store,
      transport: this.#broker.transport(life),
    });
  }

  /** What a client has not done when it dies, its next life does: all of it again, which changes nothing. */
  async #runClient(life: Life): Promise<void> {
    const client = { life, store: this.#remote(life).client, lent: this.#sagas(life) };
    await Promise.all(this.#planned.map((run) => carryOut(client, run, run.told)));
    this.#clientsAreDone = true;
  }

  /** The faults are over; mended code is deployed where runs wait for it, and an operator has what is stuck tried again. */
  #calmDown(): void {
    const { choices, trace, scheduler } = this.#machine;
    trace.say('the faults are over');
    choices.calm = true;
    this.#stops.deploy();
    scheduler.after(OPERATOR_MS, null, () => this.#lookAfterStuck());
  }

  #lookAfterStuck(): void {
    this.#operator.look();
    this.#machine.scheduler.after(OPERATOR_MS, null, () => this.#lookAfterStuck());
  }

  #isQuiet(): boolean {
    // Cheaply first: it is asked after each thing that happens.
    if (!this.#clientsAreDone || this.#broker.pending > 0) return false;
    for (const { status } of this.#tables.runs.values())
      if (status !== 'completed' && status !== 'compensated') return false;
    return this.#whatGoesOn() === null;
  }

  #whatGoesOn(): string | null {
    for (const { id, status, saga } of this.#tables.runs.values())
      if (status !== 'completed' && status !== 'compensated') return `a run of ${saga} is ${status} (${id})`;
    if (this.#tables.addressed.length > 0) return 'a run message is not taken in';
    if (this.#broker.pending > 0) return 'the broker has messages';
    if (this.#log.cursor + this.#services.log.cursor < this.#log.entries.length + this.#services.log.entries.length)
      return 'a message is not published';
    if (this.#services.parked > 0) return 'a message is parked';
    return null;
  }

  #ended(isOver: boolean): Parameters<typeof breachesAtTheEnd>[0] {
    const goesOn = this.#whatGoesOn() ?? 'a client has no answer';
    return {
      runs: this.#store.snapshot().runs,
      planned: this.#planned,
      sagas: Object.values(this.#common.sagas),
      unpromised: this.#judge.unpromised,
      effects: this.#ledger.log.effects,
      balance: this.#ledger.balance,
      forgets: this.#services.forgets,
      leftOut: new Set([...this.#operator.leftOut, ...this.#judge.unpromised]),
      messages: this.#store.messages,
      signalsOf: (runId) => this.#judge.signalsOf(runId),
      unfinished: isOver ? null : `${goesOn}, long after the faults are over`,
    };
  }
}

/** For how long the other company answers nobody but with an error. */
function outageOf(choices: Choices): { readonly fromMs: number; readonly untilMs: number } {
  const fromMs = [Infinity, 100, 1_000, 3_000][choices.choose('the other company is out of order', [0.05, 0.05, 0.05])];
  return { fromMs: fromMs ?? 0, untilMs: (fromMs ?? 0) + 7_000 };
}

function describeCommit({ runId, journal, update }: RunCommit): string {
  const events = journal === null ? [] : (JSON.parse(journal.events) as readonly JournalEvent[]);
  const what = events.map((event) => ('call' in event ? `${event.t} ${event.call}` : event.t)).join(', ');
  const status = update === null ? '' : `, is ${update.status}${update.release === null ? '' : ' and released'}`;
  return `${short(runId)}: ${what === '' ? 'nothing new' : what}${status}`;
}
