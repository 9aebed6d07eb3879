/**
 * The services that answer the commands of the sagas, and the one that reads their news: the consumers of production on a database in
 * memory, which outlives the processes.
 */
import { Rejection } from '../../../src/errors.ts';
import { handlersFor } from '../../../src/inbox/handlers/handler.ts';
import { handleFor } from '../../../src/saga/participant/handle.ts';
import { Activity } from '../../../src/testing/messages/settling.ts';
import { DeliveriesLog } from '../../../src/testing/messages/deliveries-log.ts';
import {
  memoryConsumer,
  memoryParticipant,
  memoryStores,
  type MemoryConsumer,
  type MemoryStores,
  type MemoryWorld,
} from '../../../src/testing/messages/memory-consumers.ts';
import { createMemoryOutbox } from '../../../src/testing/messages/memory-outbox.ts';
import { MemoryDatabase, type MemoryWork } from '../../../src/testing/messages/memory-work.ts';
import { encodeWire } from '../../../src/message/envelope.ts';
import type { Outbox } from '../../../src/outbox/outbox.ts';
import type { Network } from '../machine/network.ts';
import type { Life, Machine } from '../machine/process.ts';
import type { Broker } from '../services/broker.ts';
import type { Company } from '../services/company.ts';
import type { Ledger } from '../services/ledger.ts';
import type { BackWeather, CompanyWeather } from '../services/weather.ts';
import { OutboxLog } from '../services/relay.ts';
import { Charge, Charged, News, QUEUES, Refund, Release, Reserve, Reserved, Ship } from './messages.ts';
import type { SimulatedTx } from './steps.ts';

/** The database of the services. Transactions of a process that dies are rolled back. */
class ServiceDatabase extends MemoryDatabase {
  life: Life | null = null;

  override begin(): MemoryWork {
    const work = super.begin();
    this.life?.onEnd(() => work.rollback());
    return work;
  }
}

/** Stores in memory have no use for one. */
const noExecutor = (): Promise<never> => Promise.reject(new Error('there is no SQL in memory'));

/** Longer than impatient runs wait for an answer, in milliseconds. */
const SLOW_MS = 3_500;

/** How soon it forgets, in milliseconds. */
const FORGETS_MS = 300;

export type ServiceName = 'payments' | 'stock' | 'mail';

export class Services {
  readonly log = new OutboxLog();
  /** Payments knows nothing of what it has refused, or was asked to take back before it came. */
  readonly forgets: boolean;
  /** Keys of what was refused, and of that part of it which payments has forgotten. */
  readonly #refused = new Set<string>();
  readonly #forgotten = new Set<string>();
  /** Run and call of what it has carried out when it was asked again, because it did not know any more that it had refused it. */
  readonly #doneAfterRefusal = new Set<string>();
  readonly #machine: Machine;
  readonly #network: Network;
  readonly #broker: Broker;
  readonly #ledger: Ledger;
  /** When that is mended, so are the services. */
  readonly #company: Company;
  readonly #databases = new Map<ServiceName, ServiceDatabase>();
  readonly #stores = new Map<ServiceName, MemoryStores>();
  readonly #outboxes = new Map<ServiceName, Outbox>();
  readonly #parts = new Map<ServiceName, MemoryConsumer>();

  constructor(machine: Machine, network: Network, broker: Broker, ledger: Ledger, company: Company) {
    this.#company = company;
    this.forgets = machine.choices.choose('payments is forgetful', [0.25]) === 1;
    if (this.forgets) broker.dawdling.add(Charge.topic);
    this.#machine = machine;
    this.#network = network;
    this.#broker = broker;
    this.#ledger = ledger;
    for (const name of ['payments', 'stock', 'mail'] as const) {
      const database = new ServiceDatabase(() => machine.startMs + machine.scheduler.now);
      this.#databases.set(name, database);
      const stores = memoryStores(database, name);
      // As a consumer that is started says by itself: what was sent before it was there is not waited for.
      void stores.suspects.firstRunAt(noExecutor);
      this.#stores.set(name, stores);
      const outbox = createMemoryOutbox(database, ({ id, topic, key, payload, attributes, at }) => {
        const wire = encodeWire({ id, topic, key, payload, headers: attributes, time: new Date(at).toISOString() });
        this.log.add({ id, topic, key, destination: QUEUES[topic] ?? topic, wire, replayId: null });
      });
      this.#outboxes.set(name, outbox);
    }
  }

  /** Messages that a service has set aside, waiting for another try. */
  get parked(): number {
    const now = this.#machine.startMs + this.#machine.scheduler.now;
    return [...this.#parts.values()].filter(({ parked, topics }) => parked.nextDueAt(topics) < now + 864e5).length;
  }

  /** Whether a participant has carried out what it had refused before: it has forgotten that, and was sent the command again. */
  isDoneAfterRefusal(runId: string, call: string): boolean {
    return this.#doneAfterRefusal.has(runId + call);
  }

  /** Whether a service has marked a message as handled, or set it aside. */
  async isSettled(name: string, id: string): Promise<boolean> {
    const stores = this.#stores.get(name as ServiceName);
    return stores !== undefined && (stores.parked.has(id) || (await stores.inbox.has(noExecutor, id)));
  }

  /** One life of a service. */
  run(life: Life, name: ServiceName): void {
    const part = this.#assemble(life, name);
    this.#parts.set(name, part);
    void part.receiver.start();
    void this.#redrive(life, part);
    if (this.forgets && name === 'payments') void this.#forget(life, name);
  }

  /** Records without an effect, as one whose retention is far too short: a command that comes late is carried out, although it was taken back. */
  async #forget(life: Life, name: ServiceName): Promise<void> {
    while (life.alive) {
      await life.sleep(FORGETS_MS);
      const work = this.#databases.get(name)?.begin();
      if (work === undefined) return;
      await this.#stores.get(name)?.calls.prune(work.execute, 'no effect', 0, 100);
      work.commit();
      for (const key of this.#refused) this.#forgotten.add(key);
    }
  }

  /** Takes up what is parked and due. */
  async #redrive(life: Life, part: MemoryConsumer): Promise<void> {
    while (life.alive) {
      await life.sleep(1_000);
      if (part.parked.nextDueAt(part.topics) <= this.#machine.startMs + this.#machine.scheduler.now)
        await part.consumer.tickParked().catch(() => undefined);
    }
  }

  #assemble(life: Life, name: ServiceName): MemoryConsumer {
    const database = this.#databases.get(name);
    const stores = this.#stores.get(name);
    const outbox = this.#outboxes.get(name);
    if (database === undefined || stores === undefined || outbox === undefined) throw new TypeError(name);
    database.life = life;
    const world: MemoryWorld<SimulatedTx> = {
      database,
      standIn: {
        transaction: () => ({ effects: [] }),
        endTransaction: ({ effects }, outcome) => {
          if (outcome === 'commit') for (const effect of effects) this.#ledger.note(effect);
        },
      },
      transport: this.#broker.transport(life),
      outbox,
      log: new DeliveriesLog(() => {}),
      activity: new Activity(),
      clock: life.clock,
      random: life.random,
    };
    const retry = { attempts: 3, base: '50ms', cap: '500ms' } as const;
    const parkedRetry = { attempts: 1_000, base: '1s', cap: '5s', within: '100h' } as const;
    const options = { retry, parkedRetry, timeout: '5s' } as const;
    if (name === 'mail') {
      const inOrder = { ordered: true, predecessorWait: '2s' } as const;
      return memoryConsumer(world, name, { ...options, ...inOrder, handlers: this.#news(life) }, stores);
    }
    const handlers = name === 'payments' ? this.#payments(life) : this.#stock(life);
    return memoryParticipant(world, name, { ...options, handlers }, stores);
  }

  #news(life: Life) {
    const on = handlersFor<SimulatedTx>();
    return [
      on(News, async ({ run }, { tx, message }) => {
        await this.#touch(life, 'news');
        tx.effects.push({
          runId: run,
          saga: 'order',
          step: 'mail',
          call: 'mail',
          kind: 'emit',
          what: 'done',
          idempotencyKey: message.id,
          amount: 0,
        });
      }),
    ];
  }

  #payments(life: Life) {
    const handle = handleFor<SimulatedTx>();
    return [
      handle(Charge, { reply: Charged }, async ({ amount, weather }, context) => {
        await this.#work(life, { step: 'charge', amount, weather, what: 'done' }, context);
        return { payment: `p-${amount}` };
      }),
      handle(Refund, { compensates: Charge }, ({ amount, back = 'fair' }, context) =>
        this.#work(life, { step: 'charge', amount, weather: back, what: 'compensated' }, context),
      ),
    ];
  }

  #stock(life: Life) {
    const handle = handleFor<SimulatedTx>();
    return [
      handle(Reserve, { reply: Reserved }, async ({ amount, weather }, context) => {
        await this.#work(life, { step: 'reserve', amount, weather, what: 'done' }, context);
        return { shelf: 'a' };
      }),
      handle(Release, { compensates: Reserve }, ({ amount, back = 'fair' }, context) =>
        this.#work(life, { step: 'reserve', amount, weather: back, what: 'compensated' }, context),
      ),
      handle(Ship, {}, ({ amount, weather }, context) =>
        this.#work(life, { step: 'ship', amount, weather, what: 'done' }, context),
      ),
    ];
  }

  async #work(
    life: Life,
    { step, amount, weather, what }: Work,
    { tx, saga, idempotencyKey }: HandledCall,
  ): Promise<void> {
    await this.#touch(life, step);
    if (!this.#company.mended) await this.#meet(life, weather, idempotencyKey);
    const { runId = '', call: name = '' } = saga ?? {};
    // As a run knows it, in whichever round.
    const call = name.replace(/!\d+$/, '');
    if (what === 'done' && this.#forgotten.has(idempotencyKey)) this.#doneAfterRefusal.add(runId + call);
    tx.effects.push({ runId, saga: 'order', step, call, amount, kind: 'command', what, idempotencyKey });
  }

  async #meet(life: Life, weather: Work['weather'], key: string): Promise<void> {
    if (weather === 'slow') await life.sleep(SLOW_MS);
    // What it has refused it would do if it were asked again: the refusal is what counts.
    if (weather === 'rejected' && this.#ledger.fails(`${key} refused`, 1)) {
      this.#refused.add(key);
      throw new Rejection('no');
    }
    if (weather === 'failing twice' && this.#ledger.fails(key, 2)) throw new Error('not now');
  }

  /** A statement of the handler, on its way to the database and back. */
  async #touch(life: Life, step: string): Promise<void> {
    await this.#network.call(life, 'store', `${step} in a transaction`, () => undefined);
  }
}

interface Work {
  readonly step: string;
  readonly amount: number;
  readonly weather: CompanyWeather | BackWeather;
  readonly what: 'done' | 'compensated';
}

interface HandledCall {
  readonly tx: SimulatedTx;
  readonly saga: { readonly runId: string; readonly call: string } | null;
  readonly idempotencyKey: string;
}
