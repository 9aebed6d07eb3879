/**
 * The Publisher over NATS: one link, opened with the first batch and again after it was lost.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';
import { partitionOf } from '../partitions.ts';
import type { OutboundMessage, Publisher, PublishOutcome } from '../port.ts';
import { settledOrAborted } from '../shared.ts';
import { PUBLISHED, unsentOutcomes } from '../unsent.ts';
import { apiCodeOf, isLeaderless, unavailable } from './errors.ts';
import { settleLayout } from './layout.ts';
import { type DiscoveredServers, type NatsLink, openLink } from './link.ts';
import { type DestinationNames, storedId, namesOf, subjectOf } from './names.ts';
import { Notes } from './notes.ts';
import type { NatsSettings } from './options.ts';
import { refusedByServer, sizeFault } from './outcome.ts';
import { assessStream, destinationStream, ensureStream } from './streams.ts';
import { PublishWindow, type Sendable } from './window.ts';

/** After this without a message, or at the latest after that, it is looked at anew how a destination is laid out. */
const IDLE_MS = 1_000;
const LOOK_AGAIN_MS = 30_000;
/** Between tries of what a stream could not take just then. */
const PAUSE_MS = 50;

const RESENT = 'Nothing is lost: it is sent again once the broker takes it.';

/** What belongs to one link, and is found out anew with the next. */
interface OpenPublisher {
  readonly link: NatsLink;
  readonly notes: Notes;
  readonly window: PublishWindow;
  /** Destinations whose stream will do and on whose layout all agree. */
  readonly ready: Map<string, { lookedMs: number; usedMs: number }>;
}

export function natsPublisher(settings: NatsSettings, discovered: DiscoveredServers): Publisher {
  const publisher = new NatsPublisher(settings, discovered);
  return {
    publish: async (batch, { signal }) => (batch.length === 0 ? [] : publisher.publish(batch, signal)),
    check: ({ signal }) => publisher.check(signal),
    close: () => publisher.close(),
  };
}

class NatsPublisher {
  readonly #settings: NatsSettings;
  readonly #discovered: DiscoveredServers;
  readonly #closed = new AbortController();
  #open: Promise<OpenPublisher> | undefined;

  constructor(settings: NatsSettings, discovered: DiscoveredServers) {
    this.#settings = settings;
    this.#discovered = discovered;
  }

  publish(batch: readonly OutboundMessage[], signal: AbortSignal): Promise<readonly PublishOutcome[]> {
    return this.#guarded('did not take the batch', signal, async (open, over) => {
      const outcomes = unsentOutcomes(batch);
      const sendables = this.#prepare(batch, open.link, outcomes);
      const destinations = new Set(sendables.map(({ index }) => (batch[index] as OutboundMessage).destination));
      await Promise.all(
        [...destinations].map((destination) =>
          this.#patiently(() => this.#settleDestination(destination, open, over), over),
        ),
      );
      await this.#sendAll(sendables, open, outcomes, over);
      return outcomes;
    });
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#guarded('does not answer', signal, async ({ link }) => {
      await link.api.getAccountInfo();
    });
  }

  async close(): Promise<void> {
    this.#closed.abort(new HoldfastError('HF_STOPPED', 'The publisher is closed.'));
    const open = await this.#open?.catch(() => undefined);
    await open?.link.close();
  }

  /** Runs `work` on an open link until it settles or `signal` aborts, and makes every failure one of the broker's: its outcome is unknown. */
  async #guarded<T>(
    did: string,
    signal: AbortSignal,
    work: (open: OpenPublisher, over: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#closed.signal.aborted) throw this.#closed.signal.reason;
    const over = AbortSignal.any([signal, this.#closed.signal]);
    let open: OpenPublisher | undefined;
    try {
      over.throwIfAborted();
      open = await settledOrAborted(this.#opened(), over);
      return await settledOrAborted(work(open, over), over, open.link.lost);
    } catch (error) {
      if (isHoldfastError(error, 'HF_STOPPED')) throw error;
      // What is given up without an answer may still stand in this process, and would be sent whenever the server reads again.
      if (!isHoldfastError(error) && apiCodeOf(error) === null) open?.link.cut('a batch was given up');
      throw unavailable(did, error, RESENT);
    }
  }

  #opened(): Promise<OpenPublisher> {
    this.#open ??= this.#openAnew().catch((error: unknown) => {
      this.#open = undefined;
      throw error;
    });
    return this.#open;
  }

  async #openAnew(): Promise<OpenPublisher> {
    const link = await openLink(this.#settings, this.#discovered, this.#closed.signal);
    const open = { link, notes: new Notes(link, this.#settings), window: new PublishWindow(link), ready: new Map() };
    link.lost.addEventListener('abort', () => (this.#open = undefined), { once: true });
    if (link.lost.aborted) throw link.lost.reason;
    return open;
  }

  #prepare(batch: readonly OutboundMessage[], link: NatsLink, outcomes: PublishOutcome[]): readonly Sendable[] {
    const { prefix, partitionsOf, maxMessageBytes } = this.#settings;
    const limits = { maxMessageBytes, maxPayload: link.maxPayload };
    const names = new Map<string, DestinationNames>();
    const sendables: Sendable[] = [];
    for (const [index, message] of batch.entries()) {
      const id = storedId(message);
      let fault: Error | undefined = sizeFault(message, id, limits);
      let found = names.get(message.destination);
      try {
        if (found === undefined) names.set(message.destination, (found = namesOf(prefix, message.destination)));
      } catch (error) {
        fault = error as Error;
      }
      if (fault !== undefined || found === undefined) {
        outcomes[index] = { kind: 'refused', permanent: true, error: fault as Error };
        continue;
      }
      const partitions = partitionsOf(message.destination);
      const subject = subjectOf(found, { partitions, partition: partitionOf(message, partitions) });
      sendables.push({ index, id, subject, stream: found.stream, wire: message.wire });
    }
    return sendables;
  }

  /** Before the first message of a destination, and after a pause in which others may have laid it out; while messages go on, now and then beside them. */
  async #settleDestination(destination: string, open: OpenPublisher, over: AbortSignal): Promise<void> {
    const nowMs = performance.now();
    const known = open.ready.get(destination);
    if (known === undefined) return this.#makeReady(destination, open, over);
    const isIdle = nowMs - known.usedMs > IDLE_MS;
    known.usedMs = nowMs;
    if (isIdle) return this.#agree(destination, open, over);
    if (nowMs - known.lookedMs > LOOK_AGAIN_MS) {
      known.lookedMs = nowMs;
      this.#agree(destination, open, over).catch(() => open.ready.delete(destination));
    }
    return undefined;
  }

  /** A stream that was just made, or has lost its leader, has none for a moment, and nobody answers for it. */
  async #patiently<T>(work: () => Promise<T>, over: AbortSignal): Promise<T> {
    const untilMs = performance.now() + this.#settings.publishTimeoutMs;
    for (;;) {
      try {
        // oxlint-disable-next-line no-await-in-loop
        return await work();
      } catch (error) {
        if (!isLeaderless(error) || performance.now() >= untilMs || over.aborted) throw error;
        // oxlint-disable-next-line no-await-in-loop
        await systemClock.sleep(PAUSE_MS, over);
      }
    }
  }

  async #makeReady(destination: string, open: OpenPublisher, over: AbortSignal): Promise<void> {
    const wanted = destinationStream(namesOf(this.#settings.prefix, destination), this.#settings);
    const { config } = await ensureStream(open.link, wanted, this.#settings.create);
    const { different } = assessStream(wanted, config, open.link.version);
    if (different.length > 0)
      this.#settings.onError(
        new HoldfastError(
          'HF_CONFIG',
          `The stream ${wanted.name} is not as this transport was told: ${different.join('; ')}.`,
          {
            advice: 'Change the stream, or the options of the transport.',
            details: { stream: wanted.name },
          },
        ),
      );
    await this.#agree(destination, open, over);
  }

  async #agree(destination: string, open: OpenPublisher, over: AbortSignal): Promise<void> {
    const { prefix, partitionsOf } = this.#settings;
    try {
      const agreeing = settleLayout(open.link, open.notes, namesOf(prefix, destination), partitionsOf(destination));
      await settledOrAborted(agreeing, over);
      const nowMs = performance.now();
      open.ready.set(destination, { lookedMs: nowMs, usedMs: nowMs });
    } catch (error) {
      open.ready.delete(destination);
      throw error;
    }
  }

  /** Sends what a stream could not take just then again, in its order, for as long as the server may take to answer. */
  async #sendAll(
    all: readonly Sendable[],
    open: OpenPublisher,
    outcomes: PublishOutcome[],
    over: AbortSignal,
  ): Promise<void> {
    const { publishTimeoutMs: timeoutMs } = this.#settings;
    let left = all;
    let progressMs = performance.now();
    while (left.length > 0) {
      // In their order, and what was not taken first.
      // oxlint-disable-next-line no-await-in-loop
      const sent = await open.window.send(left, { timeoutMs, signal: over });
      const through = new Set<number>();
      let why = '';
      for (const { sendable, meaning } of sent) {
        if (meaning.kind === 'failed') throw notTaken(meaning.why);
        if (meaning.kind === 'again') {
          why = meaning.why;
          continue;
        }
        outcomes[sendable.index] =
          meaning.kind === 'refused'
            ? { kind: 'refused', permanent: true, error: refusedByServer(meaning.why) }
            : PUBLISHED;
        through.add(sendable.index);
      }
      left = left.filter(({ index }) => !through.has(index));
      // Somebody may have removed the stream: it is looked for before the next batch.
      if (why !== '') open.ready.clear();
      if (through.size > 0) progressMs = performance.now();
      else if (performance.now() - progressMs > timeoutMs) throw notTaken(why);
      // oxlint-disable-next-line no-await-in-loop
      if (left.length > 0) await systemClock.sleep(PAUSE_MS, over);
    }
  }
}

/** Everything was answered. */
function notTaken(why: string): HoldfastError {
  return unavailable('did not take the batch', new Error(why), RESENT);
}
