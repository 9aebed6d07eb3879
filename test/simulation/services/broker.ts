/**
 * A broker that delivers at least once, in any order it likes: messages overtake each other, come twice, and come again when whoever had
 * them died, stood still for too long, or could not say that it was done.
 */
import { HoldfastError } from '../../../src/errors.ts';
import type {
  Delivery,
  OutboundMessage,
  Publisher,
  Receiver,
  Transport,
  Verdict,
} from '../../../src/transport/port.ts';
import type { Odds } from '../machine/choices.ts';
import { Unanswered, type Network } from '../machine/network.ts';
import type { SeenMessage } from '../invariants/message-judge.ts';
import type { Life, Machine } from '../machine/process.ts';

interface Queued extends SeenMessage {
  redeliveries: number;
  /** Of the delivery that is under way; earlier ones have lost their claim. */
  claim: number;
}

interface Reader {
  readonly life: Life;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
}

const WAY_MS = [1, 5, 40, 300, 3_000, 7_000];
const WAY: Odds = [0.2, 0.08, 0.03, 0.005];
/** Where the broker is slow, so that what was sent first comes after what answers to its absence. */
const SLOW_WAY: Odds = [0.2, 0.1, 0.15, 0.15];
/** Of messages that dawdle: many come after whoever waited for their answer has given up, and has taken back what they ask for. */
const DAWDLING_WAY: Odds = [0.1, 0.1, 0.1, 0.2, 0.15];
/** That a message which was taken comes a second time all the same. */
const TWICE: Odds = [0.02];
const DAWDLING_TWICE: Odds = [0.3];
/** For so long who has a message is taken for alive, in milliseconds. */
const CLAIM_MS = 5_000;
/** Nobody reads: looked again after this, in milliseconds. */
const UNREAD_MS = 250;

/** Told of what happens to messages, at its moment. */
export interface BrokerWatch {
  delivered(message: SeenMessage): void;
  acknowledged(message: SeenMessage): void;
}

export class Broker {
  readonly #machine: Machine;
  readonly #network: Network;
  readonly #queued = new Map<string, Queued>();
  readonly #readers = new Map<string, Reader[]>();
  readonly #watch: BrokerWatch;
  readonly #way: Odds;
  #duplicates = 0;
  /** Topics of which many messages come late, and twice. */
  readonly dawdling = new Set<string>();

  constructor(machine: Machine, network: Network, watch: BrokerWatch) {
    this.#machine = machine;
    this.#network = network;
    this.#watch = watch;
    this.#way = machine.choices.choose('the broker is slow', [0.2]) === 0 ? WAY : SLOW_WAY;
  }

  /** Messages that nobody is done with. */
  get pending(): number {
    return this.#queued.size;
  }

  transport(life: Life): Transport {
    return {
      kind: 'simulated',
      abilities: {
        receives: true,
        // Consumers that read in order are held to it by what they know of predecessors; here that is all they have.
        orders: true,
        deduplicates: 'while-queued',
        delays: 'broker',
        maxMessageBytes: null,
        durability: 'majority',
      },
      publisher: () => this.#publisher(life),
      receiver: (destination, handle) => this.#receiver(destination, { life, handle }),
      close: () => Promise.resolve(),
    };
  }

  #publisher(life: Life): Publisher {
    return {
      publish: async (batch) => {
        await this.#ask(life, 'publish', () => this.#take(batch));
        return batch.map(() => ({ kind: 'published' }));
      },
      check: () => this.#ask(life, 'check', () => undefined),
      close: () => Promise.resolve(),
    };
  }

  async #ask(life: Life, what: string, act: () => void): Promise<void> {
    try {
      await this.#network.call(life, 'broker', what, act);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', error.message, { cause: error });
    }
  }

  #take(batch: readonly OutboundMessage[]): void {
    for (const { id, topic, destination, wire } of batch) {
      const place = `${destination} ${id}`;
      // The same message once more while it is here.
      if (!this.#queued.has(place)) this.#enqueue(place, { id, topic, destination, wire, redeliveries: 0, claim: 0 });
      const odds = this.dawdling.has(topic) ? DAWDLING_TWICE : TWICE;
      if (this.#machine.choices.choose(`twice ${topic}`, odds) !== 0) {
        this.#machine.trace.say(`${topic} comes twice`);
        const second = `${place} again ${(this.#duplicates += 1)}`;
        this.#enqueue(second, { id, topic, destination, wire, redeliveries: 0, claim: 0 });
      }
    }
  }

  #enqueue(place: string, message: Queued): void {
    this.#queued.set(place, message);
    this.#deliverAfter(this.#travel(message.topic), place, message);
  }

  #travel(topic: string): number {
    const odds = this.dawdling.has(topic) ? DAWDLING_WAY : this.#way;
    return WAY_MS[this.#machine.choices.choose(`way of ${topic}`, odds)] ?? 1;
  }

  #deliverAfter(delayMs: number, place: string, message: Queued): void {
    this.#machine.scheduler.after(delayMs, null, () => this.#deliver(place, message));
  }

  #deliver(place: string, message: Queued): void {
    if (!this.#queued.has(place)) return;
    const readers = (this.#readers.get(message.destination) ?? []).filter(
      ({ life }) => life.alive && !life.isCut('broker'),
    );
    const chosen = readers.length < 2 ? 0 : this.#machine.choices.choose(`reader of ${message.destination}`, [0.4]);
    const reader = readers[chosen % Math.max(1, readers.length)];
    if (reader === undefined) return this.#deliverAfter(UNREAD_MS, place, message);
    const { topic, wire, redeliveries } = message;
    const claim = (message.claim += 1);
    const { scheduler, trace } = this.#machine;
    const controller = new AbortController();
    scheduler.after(1, reader.life, () => {
      this.#watch.delivered(message);
      trace.say(`${reader.life.name} is handed ${topic}${redeliveries === 0 ? '' : ' again'}`);
      const verdict = reader
        .handle({ wire, redeliveries, signal: controller.signal })
        .catch((): Verdict => ({ kind: 'later', delayMs: 1_000 }));
      void verdict.then((given) => this.#settle(reader.life, place, message, claim, given));
    });
    this.#watchClaim(reader.life, place, message, claim, controller);
  }

  async #settle(life: Life, place: string, message: Queued, claim: number, verdict: Verdict): Promise<void> {
    const done = (): void => {
      if (message.claim !== claim || !this.#queued.has(place)) return;
      if (verdict.kind === 'done') {
        this.#queued.delete(place);
        this.#watch.acknowledged(message);
      } else {
        message.claim += 1;
        this.#deliverAfter(Math.max(1, verdict.delayMs), place, message);
      }
    };
    // An answer that gets lost: the claim ends by itself, and the message comes again.
    await this.#network.call(life, 'broker', `ack ${message.topic}`, done).catch(() => undefined);
  }

  /** Whoever lives and can be reached prolongs the claim without being asked. */
  #watchClaim(life: Life, place: string, message: Queued, claim: number, controller: AbortController): void {
    const { scheduler, trace } = this.#machine;
    let silent = 0;
    const look = (): void => {
      if (message.claim !== claim || !this.#queued.has(place)) return;
      const heard = life.alive && life.pausedUntil <= scheduler.now && !life.isCut('broker');
      silent = heard ? silent + 1 : Infinity;
      // Also when who has it lives: what is acknowledged and was not heard is claimed by nobody.
      if (silent <= 2) return void scheduler.after(CLAIM_MS, null, look);
      trace.say(`${message.topic} is taken away from ${life.name}`);
      message.claim += 1;
      message.redeliveries += 1;
      if (life.alive) controller.abort(new Error('the claim is lost'));
      this.#deliver(place, message);
    };
    scheduler.after(CLAIM_MS, null, look);
  }

  #receiver(destination: string, reader: Reader): Receiver {
    const readers = this.#readers.get(destination) ?? [];
    this.#readers.set(destination, readers);
    const leave = (): void => {
      const place = readers.indexOf(reader);
      if (place >= 0) readers.splice(place, 1);
    };
    return {
      async start() {
        readers.push(reader);
        reader.life.onEnd(leave);
      },
      async stop() {
        leave();
      },
    };
  }
}
