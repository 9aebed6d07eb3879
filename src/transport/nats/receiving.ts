/**
 * What a receiver over NATS does from start to stop. It opens a link, and another one when that is lost; what it has in hand meanwhile is kept
 * as long as its claims last. NATS hands out and takes back messages of dead consumers; retries, attempts and parking are Holdfast's.
 */
import type { Msg } from '@nats-io/transport-node';
import { setMaxListeners } from 'node:events';
import { HoldfastError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import type { Delivery, QueueState, ReceiveOptions, Verdict } from '../port.ts';
import { AbortableDelivery } from '../lazy-abort.ts';
import { drainedOrForced, type Stoppable } from '../open-deliveries.ts';
import { safeVerdict } from '../safe-verdict.ts';
import { abortReason, settledOrAborted, untilStopped } from '../shared.ts';
import { ackPlaceOf, redeliveriesOf } from './ack.ts';
import { FormerConsumers } from './consumers.ts';
import { Deliveries, type NatsDelivery } from './deliveries.ts';
import { unavailable } from './errors.ts';
import { type DiscoveredServers, openLink } from './link.ts';
import { type DestinationNames, namesOf } from './names.ts';
import { Notes } from './notes.ts';
import type { NatsSettings } from './options.ts';
import { readDestinationState } from './queue-state.ts';
import { wantedNow } from './pull.ts';
import { Readers } from './readers.ts';
import { type ReceiverLink, Verdicts } from './verdicts.ts';

/** How often it is looked whether there are messages under another layout. */
const LOOK_MS = 5_000;
/** After a failure, and ever longer up to the second. */
const REST_MS = 100;
const LONGEST_REST_MS = 2_000;
/** How long a stop waits for the server to hand out no more. */
const LAST_ANSWER_MS = 2_000;
const LONGEST_TICK_MS = 1_000;

export interface NatsReceiverOptions {
  readonly settings: NatsSettings;
  readonly discovered: DiscoveredServers;
  readonly destination: string;
  readonly handle: (delivery: Delivery) => Promise<Verdict>;
  readonly options: ReceiveOptions;
}

export class Receiving {
  readonly #options: NatsReceiverOptions;
  readonly #names: DestinationNames;
  readonly #deliveries = new Deliveries();
  /** Taken, and waiting for one of the others to end. */
  readonly #line: NatsDelivery[] = [];
  readonly #former = new FormerConsumers();
  readonly #verdicts: Verdicts;
  readonly #stopping = new AbortController();
  /** Aborts when a stop is to wait no longer. */
  readonly #hard = new AbortController();
  /** Aborts when nothing can be said to the server any more. */
  readonly #over = new AbortController();
  readonly #tick: NodeJS.Timeout;
  readonly #linking: Promise<void>;
  #open: ReceiverLink | null = null;
  #readers: Readers | null = null;
  #lookSoon = new AbortController();
  #failure: Error | undefined;
  #handling = 0;
  #stopped: Promise<void> | undefined;

  constructor(options: NatsReceiverOptions) {
    const { settings, destination } = options;
    this.#options = options;
    this.#names = namesOf(settings.prefix, destination);
    this.#verdicts = new Verdicts({
      names: this.#names,
      link: () => this.#open,
      stopping: this.#stopping.signal,
      over: this.#over.signal,
    });
    for (const { signal } of [this.#stopping, this.#hard, this.#over]) setMaxListeners(0, signal);
    this.#tick = setInterval(() => this.#lookAfter(), Math.min(settings.claimDurationMs / 4, LONGEST_TICK_MS));
    this.#linking = this.#keepLinked();
  }

  async look(signal: AbortSignal): Promise<QueueState> {
    try {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#open === null) throw new Error('no answer yet');
      const { settings, options } = this.#options;
      const state = readDestinationState(this.#open, this.#names, { settings, owner: options.owner ?? null });
      return await settledOrAborted(state, signal);
    } catch (error) {
      throw unavailable('does not hand out', error);
    }
  }

  stop(signal: AbortSignal | undefined): Promise<void> {
    this.#stopped ??= this.#end();
    // Every caller may lose patience: a second stop can make the first one hard.
    return untilStopped(this.#stopped, signal, this.#hard);
  }

  /** One link after the other, until the receiver has ended. */
  async #keepLinked(): Promise<void> {
    const over = this.#over.signal;
    let failures = 0;
    while (!over.aborted) {
      try {
        const link = await openLink(this.#options.settings, this.#options.discovered, over);
        failures = 0;
        await this.#useLink({ link, notes: new Notes(link, this.#options.settings) });
      } catch (error) {
        this.#fail(error);
      }
      await systemClock.sleep(restMs(failures), over);
      failures += 1;
    }
  }

  /** Until it is lost, or the receiver has ended. */
  async #useLink(open: ReceiverLink): Promise<void> {
    const { settings, options } = this.#options;
    const { link } = open;
    const ended = AbortSignal.any([link.lost, this.#over.signal]);
    this.#open = open;
    this.#verdicts.linked();
    this.#readers = new Readers({
      open,
      names: this.#names,
      settings,
      ordered: options.ordered,
      former: this.#former,
      onMessage: (message) => this.#take(message),
      onLost: () => this.#lookSoon.abort(),
      onReady: () => this.#pump(),
    });
    try {
      await this.#keepReading(this.#readers, ended);
      await systemClock.sleep(Infinity, ended);
      if (!this.#over.signal.aborted) throw abortReason(link.lost);
    } finally {
      this.#open = null;
      this.#readers = null;
      await link.close();
    }
  }

  /** Until the link or the receiver ends, or is to stop. */
  async #keepReading(readers: Readers, ended: AbortSignal): Promise<void> {
    const stopping = this.#stopping.signal;
    const until = AbortSignal.any([ended, stopping]);
    let failures = 0;
    while (!until.aborted) {
      this.#lookSoon = new AbortController();
      try {
        await settledOrAborted(readers.refresh(), until);
        this.#failure = undefined;
        failures = 0;
        await systemClock.sleep(LOOK_MS, AbortSignal.any([until, this.#lookSoon.signal]));
        // A consumer that was lost is not there again at once.
        if (this.#lookSoon.signal.aborted) await systemClock.sleep(REST_MS, until);
      } catch (error) {
        if (until.aborted) return;
        this.#fail(error);
        await systemClock.sleep(restMs(failures), until);
        failures += 1;
      }
    }
  }

  #fail(error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    this.#failure = unavailable('does not hand out', error);
    this.#options.settings.onError(this.#failure);
  }

  #take(message: Msg): void {
    const reply = message.reply ?? '';
    const place = ackPlaceOf(reply);
    if (place === null) return;
    const claimMs = this.#claimMs();
    const wire = Buffer.from(message.data.buffer, message.data.byteOffset, message.data.byteLength).toString('utf8');
    const delivery = this.#deliveries.add(place, { reply, wire, claimMs });
    if (place.deliveries === 1) this.#enqueue(delivery);
    else
      void this.#verdicts.readVerdicts(place).then((verdicts) => {
        delivery.verdicts = verdicts;
        this.#enqueue(delivery);
      });
  }

  #enqueue(delivery: NatsDelivery): void {
    this.#line.push(delivery);
    if (this.#stopping.signal.aborted) this.#giveBackLine();
    else this.#pump();
  }

  /** Hands out what waits, and asks for more. */
  #pump(): void {
    if (this.#stopping.signal.aborted) return;
    while (this.#handling < this.#limit()) {
      const delivery = this.#line.shift();
      if (delivery === undefined) break;
      if (delivery.isLost) this.#deliveries.remove(delivery);
      else this.#process(delivery);
    }
    const { ordered } = this.#options.options;
    this.#readers?.ask((consumer, due) => {
      const [limit, inHand] = [this.#limit(), this.#deliveries.size];
      if (!ordered) return wantedNow({ limit, inHand, due });
      return inHand < limit ? 1 - this.#deliveries.ofConsumer(consumer) - due : 0;
    });
  }

  #limit(): number {
    const { concurrency, ordered, ahead } = this.#options.options;
    return ordered ? concurrency : concurrency + (ahead?.() ?? 0);
  }

  #claimMs(): number {
    return this.#readers?.claimMs ?? this.#options.settings.claimDurationMs;
  }

  #process(delivery: NatsDelivery): void {
    this.#handling += 1;
    let isOver = false;
    const end = (verdict: Verdict | null): void => {
      if (isOver) return;
      isOver = true;
      const telling = verdict === null ? undefined : this.#tell(delivery, verdict);
      if (telling === undefined) this.#through(delivery);
      else void telling.then(() => this.#through(delivery));
    };
    delivery.abandon = () => end(null);
    void this.#handle(delivery).then(end);
  }

  /** A promise only where there is something to wait for. */
  #tell(delivery: NatsDelivery, verdict: Verdict): Promise<void> | undefined {
    return verdict.kind === 'done' ? this.#verdicts.done(delivery) : this.#verdicts.later(delivery, verdict.delayMs);
  }

  #through(delivery: NatsDelivery): void {
    this.#handling -= 1;
    this.#deliveries.remove(delivery);
    this.#pump();
  }

  #handle({ wire, place, verdicts, controller }: NatsDelivery): Promise<Verdict> {
    const { handle, settings } = this.#options;
    const redeliveries = redeliveriesOf(place.deliveries, verdicts);
    return safeVerdict(handle, new AbortableDelivery(wire, redeliveries, controller), settings.onError);
  }

  #lookAfter(): void {
    this.#readers?.watch();
    const claimMs = this.#claimMs();
    const nowMs = performance.now();
    for (const delivery of this.#deliveries)
      if (!delivery.isLost && delivery.claimedUntilMs - nowMs < (claimMs * 2) / 3)
        void this.#verdicts.renew(delivery, claimMs);
    this.#deliveries.loseExpired();
  }

  /** What was taken and not handed out is nobody's fault: others get it at once, and not as if somebody had died over it. */
  #giveBackLine(): void {
    for (const delivery of this.#line.splice(0))
      void this.#verdicts.later(delivery, 0).then(() => this.#deliveries.remove(delivery));
  }

  /** What was on its way has come then, unless the server does not answer. */
  async #stopReading(): Promise<void> {
    const stopping = this.#readers?.stop();
    if (stopping === undefined) return;
    const enough = AbortSignal.any([this.#hard.signal, timeLimit(LAST_ANSWER_MS)]);
    await settledOrAborted(stopping, enough).catch(() => {});
  }

  #stoppable(): Stoppable {
    const deliveries = this.#deliveries;
    return {
      drained: deliveries.drained,
      abortAll: (why) => deliveries.abortAll(why),
      abandonAll: () => {
        for (const delivery of deliveries) this.#verdicts.abandon(delivery);
        deliveries.abandonAll();
      },
    };
  }

  async #end(): Promise<void> {
    this.#stopping.abort();
    this.#giveBackLine();
    await this.#stopReading();
    this.#deliveries.drain();
    await drainedOrForced(this.#stoppable(), this.#hard.signal, this.#over.signal);
    await this.#open?.link.close();
    this.#over.abort(new HoldfastError('HF_STOPPED', `The receiver of ${this.#options.destination} is stopped.`));
    clearInterval(this.#tick);
    await this.#linking;
  }
}

function restMs(failures: number): number {
  return Math.min(LONGEST_REST_MS, REST_MS * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
}
