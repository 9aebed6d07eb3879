/**
 * What a receiver reads by over one link: the consumers of its destination, found or made, and a puller for each. Looked at again every few
 * seconds, and when a consumer falls silent.
 */
import type { Msg } from '@nats-io/transport-node';
import { HoldfastError } from '../../errors.ts';
import { ensureConsumer, type FormerConsumers, isOverlap } from './consumers.ts';
import { heldPlaces, readLayout } from './layout.ts';
import type { NatsLink } from './link.ts';
import { consumerName, type DestinationNames, type PartitionPlace } from './names.ts';
import type { NatsSettings } from './options.ts';
import { StepWatch } from './out-of-step.ts';
import { type PullEnd, Puller } from './pull.ts';
import { assessStream, destinationStream, ensureStream, NANOS_PER_MS } from './streams.ts';
import type { ReceiverLink } from './verdicts.ts';

/** How often consumers are held against their stream, and so many at a time: they are asked one by one. */
const STEPS_EVERY_MS = 4_000;
const STEPS_AT_ONCE = 16;

export interface ReadersOptions {
  readonly open: ReceiverLink;
  readonly names: DestinationNames;
  readonly settings: NatsSettings;
  readonly ordered: boolean;
  readonly former: FormerConsumers;
  readonly onMessage: (message: Msg) => void;
  /** Something about the consumers has changed: look again soon. */
  readonly onLost: (why: string) => void;
  /** Something can be asked for, or could not. */
  readonly onReady: () => void;
}

export class Readers {
  readonly #options: ReadersOptions;
  readonly #pullers = new Map<string, Puller>();
  /** Consumers to be looked at before anything more is asked of them. */
  readonly #doubtful = new Set<string>();
  readonly #said = new Set<string>();
  /** How long the server keeps a claim, by the consumers that are read. */
  #claimMs: number;
  #others: readonly PartitionPlace[] = [];
  readonly #steps: StepWatch;
  /** All that are read, those that were looked at longest ago first. */
  readonly #toLookAt: (PartitionPlace | null)[] = [];
  #steppedMs = performance.now();
  #isStopped = false;

  constructor(options: ReadersOptions) {
    this.#options = options;
    this.#claimMs = options.settings.claimDurationMs;
    this.#steps = new StepWatch(options.names, options.ordered);
  }

  get claimMs(): number {
    return this.#claimMs;
  }

  /** Asks each consumer that is well for as many messages as `wanted` says; it is told how many may still come from it. */
  ask(wanted: (consumer: string, due: number) => number): void {
    if (this.#isStopped) return;
    for (const puller of this.#pullers.values())
      if (!this.#doubtful.has(puller.consumer)) puller.ask(wanted(puller.consumer, puller.due));
  }

  /** Finds requests that the server has forgotten. */
  watch(): void {
    for (const puller of this.#pullers.values()) puller.watch();
  }

  /** Makes what is not there, and reads all that holds something. Rejects with what keeps it from that. */
  async refresh(): Promise<void> {
    const { open, names, settings, ordered } = this.#options;
    const { link } = open;
    const wanted = destinationStream(names, settings);
    const { config } = await ensureStream(link, wanted, settings.create);
    for (const difference of assessStream(wanted, config, link.version).different)
      this.#say(`The stream ${names.stream} is not as this transport was told: ${difference}.`);
    const own = ordered ? settings.partitionsOf(names.destination) : 0;
    // Each by itself is read in order, whoever else knows more of the layout.
    await this.#openAll(
      ordered ? Array.from({ length: own }, (_, partition) => ({ partitions: own, partition })) : [null],
    );
    if (ordered) await this.#openAll(await this.#otherPlaces(own));
    // Beside what is to go on: nobody waits for it.
    void this.#lookAtSteps().catch(() => {});
  }

  /** Nothing more is handed out. Resolves when all that was on its way has come. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#pullers.values()].map((puller) => puller.stop()));
  }

  async #openAll(places: readonly (PartitionPlace | null)[]): Promise<void> {
    for (const place of places) {
      const name = consumerName(place);
      if (this.#isStopped) return;
      if (this.#pullers.has(name) && !this.#doubtful.has(name)) continue;
      // oxlint-disable-next-line no-await-in-loop
      await this.#open(this.#options.open.link, place);
    }
    this.#options.onReady();
  }

  async #open(link: NatsLink, place: PartitionPlace | null): Promise<void> {
    const { names, settings, ordered, former } = this.#options;
    const name = consumerName(place);
    try {
      const { config } = await ensureConsumer(link, names, { place, settings });
      this.#claimMs = Math.min(this.#claimMs, (config.ack_wait ?? Infinity) / NANOS_PER_MS);
    } catch (error) {
      if (!isOverlap(error)) throw error;
      // Gone now, or there is an error that says who it is.
      await former.remove(link, names, { ordered, claimMs: settings.claimDurationMs });
      throw error;
    }
    this.#doubtful.delete(name);
    if (this.#pullers.has(name) || this.#isStopped) return;
    const onEnd = (end: PullEnd): void => this.#ended(name, end);
    const { onMessage } = this.#options;
    this.#toLookAt.push(place);
    this.#pullers.set(name, new Puller({ link, stream: names.stream, consumer: name, onMessage, onEnd }));
  }

  #ended(consumer: string, end: PullEnd): void {
    if (this.#isStopped) return;
    if (end.kind === 'over') return this.#options.onReady();
    this.#doubtful.add(consumer);
    if (end.kind === 'refused')
      this.#say(`The consumer ${consumer} of ${this.#options.names.stream} refuses to hand out: ${end.why}.`);
    this.#options.onLost(end.why);
  }

  /** Makes consumers anew that keep back messages for good. Rejects where the server does not answer, or may not be asked. */
  async #lookAtSteps(): Promise<void> {
    if (performance.now() - this.#steppedMs < STEPS_EVERY_MS) return;
    this.#steppedMs = performance.now();
    const { open, names, settings } = this.#options;
    const places = this.#toLookAt.splice(0, STEPS_AT_ONCE);
    this.#toLookAt.push(...places);
    for (const place of places) {
      // oxlint-disable-next-line no-await-in-loop
      if (this.#isStopped || !(await this.#steps.look(open.link, place))) continue;
      settings.onError(outOfStep(names, consumerName(place), settings.create));
      // It says so itself to whoever reads by it, and is made anew by the first that hears it.
      // oxlint-disable-next-line no-await-in-loop
      if (settings.create) await open.link.api.consumers.delete(names.stream, consumerName(place));
    }
  }

  /** The partitions of other layouts, as long as they may hold something. */
  async #otherPlaces(own: number): Promise<readonly PartitionPlace[]> {
    const { open, names } = this.#options;
    const layout = await readLayout(open.notes, names);
    if (layout !== null && layout.partitions !== own)
      this.#say(
        `${names.destination} has ${layout.partitions} partitions, but this receiver was told ${own}; it reads all that hold messages.`,
      );
    if (layout !== null && layout.known.every((number) => number === own)) return this.#others;
    const known = new Set(this.#others.map(consumerName));
    const held = await heldPlaces(open.link, names);
    const found = held.filter((place) => place.partitions !== own && !known.has(consumerName(place)));
    this.#others = [...this.#others, ...found];
    return this.#others;
  }

  #say(what: string): void {
    if (this.#said.has(what)) return;
    this.#said.add(what);
    this.#options.settings.onError(
      new HoldfastError('HF_CONFIG', what, {
        advice: 'Give publishers and consumers of a destination the same options, and the stream the same settings.',
        details: { destination: this.#options.names.destination },
      }),
    );
  }
}

function outOfStep({ destination, stream }: DestinationNames, consumer: string, create: boolean): HoldfastError {
  return new HoldfastError(
    'HF_TRANSPORT_UNAVAILABLE',
    `The consumer ${consumer} of ${stream} is out of step with its stream, and would keep messages back for good${create ? ': it is made anew' : ''}.`,
    {
      advice: create
        ? 'Nothing is lost by that. It comes of servers of NATS that died: see which version they have, and docs/transports.md.'
        : 'Remove it and make it anew, as docs/transports.md says: no message is lost with it.',
      details: { destination, stream, consumer },
    },
  );
}
