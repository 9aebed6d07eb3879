/**
 * The consumers and participants of a test in memory: their decisions, retries, parking and redrives are those of production.
 */
import { assembleConsumer, type Consumer } from '../../inbox/consumer.ts';
import { handlerList, KNOWN_OPTIONS, type CommonConsumerOptions } from '../../inbox/consumer-options.ts';
import { resolveConsumer, whereOf } from '../../inbox/consumer-settings.ts';
import type { Handler } from '../../inbox/handlers/handler.ts';
import type { Outbox } from '../../outbox/outbox.ts';
import type { Clock } from '../../runtime/clock.ts';
import { guardCrashPoint } from '../../inbox/handlers/unit-of-work.ts';
import { noCrash, type CrashPoint } from '../../runtime/crash-point.ts';
import { createDeadlines } from '../../runtime/deadlines.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import type { SuspectStore } from '../../inbox/stores/suspect-store.ts';
import { assembleParticipant } from '../../saga/participant/participant.ts';
import type { Receiver, Transport } from '../../transport/port.ts';
import type { DeliveriesLog } from './deliveries-log.ts';
import { MemoryCalls } from './memory-calls.ts';
import { createMemorySuspects, MemoryInbox } from './memory-inbox.ts';
import { MemoryParked } from './memory-parked.ts';
import { MemoryUnitOfWork, type StandIn } from './memory-unit-of-work.ts';
import type { MemoryDatabase } from './memory-work.ts';
import type { CommonMessageTestOptions, TestConsumerOptions, TestParticipantOptions } from './message-test-options.ts';
import type { Activity } from './settling.ts';

export interface MemoryWorld<Tx> {
  readonly database: MemoryDatabase;
  readonly standIn: StandIn<Tx>;
  readonly transport: Transport;
  readonly outbox: Outbox;
  readonly log: DeliveriesLog;
  readonly activity: Activity;
  readonly clock: Clock;
  readonly random: () => number;
  /** @defaultValue none */
  readonly crashPoint?: CrashPoint | undefined;
}

/** A consumer and what it keeps. */
export interface MemoryConsumer {
  readonly consumer: Consumer;
  readonly receiver: Receiver;
  readonly parked: MemoryParked;
  /** Of its handlers. */
  readonly topics: readonly string[];
}

export class MemoryConsumers {
  readonly #parts: readonly MemoryConsumer[];
  readonly #activity: Activity;
  readonly #now: () => number;
  readonly #redriving = new Set<MemoryConsumer>();

  constructor(parts: readonly MemoryConsumer[], activity: Activity, now: () => number) {
    this.#parts = parts;
    this.#activity = activity;
    this.#now = now;
  }

  async start(): Promise<void> {
    await Promise.all(this.#parts.map(({ receiver }) => receiver.start()));
  }

  /** When the next parked message is due, in milliseconds since the epoch; Infinity: none is by itself. */
  get nextDueAt(): number {
    return Math.min(...this.#waiting().map((part) => part.parked.nextDueAt(part.topics)));
  }

  /** Takes up parked messages that are due. */
  redriveDue(): void {
    for (const part of this.#waiting()) {
      if (part.parked.nextDueAt(part.topics) > this.#now()) continue;
      this.#redriving.add(part);
      const what = `a parked message of ${part.consumer.name}`;
      void this.#activity.during(what, () => part.consumer.tickParked()).finally(() => this.#redriving.delete(part));
    }
  }

  #waiting(): readonly MemoryConsumer[] {
    return this.#parts.filter((part) => !this.#redriving.has(part));
  }
}

export function createMemoryConsumers<Tx>(
  world: MemoryWorld<Tx>,
  { consumers = {}, participants = {} }: CommonMessageTestOptions,
): MemoryConsumers {
  const parts = [
    ...Object.entries(consumers).map(([name, given]) => memoryConsumer(world, name, given)),
    ...Object.entries(participants).map(([name, given]) => memoryParticipant(world, name, given)),
  ];
  return new MemoryConsumers(parts, world.activity, world.database.now);
}

/** @param stores what a consumer of this name has kept before */
export function memoryConsumer<Tx>(
  world: MemoryWorld<Tx>,
  name: string,
  given: TestConsumerOptions,
  stores: MemoryStores = memoryStores(world.database, name),
): MemoryConsumer {
  const work = (crash: CrashPoint): MemoryUnitOfWork<Tx, Tx> =>
    new MemoryUnitOfWork({ ...world, crash, present: (tx) => tx });
  const { handlers, ...options } = given;
  return assembled(world, { name, options, handlers: handlerList(handlers) as readonly Handler<Tx>[], work, stores });
}

/** The transaction of a participant, with what the outbox knows it by. */
interface Presented<Tx> {
  readonly tx: Tx;
  readonly execute: SqlExecutor;
}

/** @param stores what a participant of this name has kept before */
export function memoryParticipant<Tx>(
  world: MemoryWorld<Tx>,
  name: string,
  given: TestParticipantOptions,
  stores: MemoryStores = memoryStores(world.database, name),
): MemoryConsumer {
  const work = (crash: CrashPoint): MemoryUnitOfWork<Tx, Presented<Tx>> =>
    new MemoryUnitOfWork({ ...world, crash, present: (tx, { execute }) => ({ tx, execute }) });
  let made: MemoryConsumer | null = null;
  const brought = { transport: world.transport, outbox: world.outbox, clock: world.clock };
  const participant = assembleParticipant<never>(
    name,
    { ...given, ...brought },
    {
      schema: 'memory',
      store: stores.calls,
      lend: (lent: Presented<Tx>) => ({
        // Handlers take what the participant opens, whatever that is.
        tx: lent.tx as never,
        handle: lent.execute,
        trouble: () => null,
        restoreRole: () => Promise.resolve(),
        takeBack: () => {},
      }),
      transaction: (fn) => work(noCrash).transaction(fn),
      consumer(own, handlers, rest) {
        const { transport: _transport, outbox: _outbox, ...options } = rest;
        made = assembled(world, {
          name: own,
          options,
          handlers,
          work,
          stores,
        });
        return made.consumer;
      },
    },
  );
  if (made === null) throw new TypeError('A participant is a consumer.');
  return { ...(made as MemoryConsumer), consumer: participant };
}

/** What a consumer or a participant keeps; it outlives the process that works on it. */
export interface MemoryStores {
  readonly inbox: MemoryInbox;
  readonly parked: MemoryParked;
  /** Of a participant. */
  readonly calls: MemoryCalls;
  readonly suspects: SuspectStore;
}

export function memoryStores(database: MemoryDatabase, name: string): MemoryStores {
  const parked = new MemoryParked(database, name);
  const inbox = new MemoryInbox(database, name, parked);
  return { inbox, parked, calls: new MemoryCalls(database, name, inbox), suspects: createMemorySuspects(database) };
}

interface Assembling<Stand, Tx> {
  readonly name: string;
  readonly options: Omit<CommonConsumerOptions, 'transport' | 'outbox'>;
  readonly handlers: readonly Handler<Tx>[];
  readonly work: (crash: CrashPoint) => MemoryUnitOfWork<Stand, Tx>;
  readonly stores: MemoryStores;
}

function assembled<Stand, Tx>(
  { transport, outbox, log, activity, clock, random, crashPoint }: MemoryWorld<Stand>,
  { name, options, handlers, work, stores }: Assembling<Stand, Tx>,
): MemoryConsumer {
  refuseUnknownOptions(options, KNOWN_OPTIONS, whereOf(name));
  const all = { ...options, transport, outbox, clock: activity.counting(clock), random };
  const settings = resolveConsumer(name, all, handlers, null);
  const crash = guardCrashPoint(crashPoint ?? noCrash);
  const consumer = assembleConsumer(settings, {
    work: work(crash),
    stores,
    runBatch: null,
    database: null,
    deadlines: createDeadlines(clock),
    crash,
    watch: log.watch(name),
  });
  const { destination, concurrency, ordered } = settings;
  const receiver = transport.receiver(
    destination,
    (delivery) => activity.during(`a message of ${name}`, () => consumer.handle(delivery)),
    { concurrency, ordered },
  );
  return { consumer, receiver, parked: stores.parked, topics: [...settings.handlers.keys()] };
}
