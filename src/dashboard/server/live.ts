/**
 * The overview as it happens, of one database or of all, for all pages that are open: server-sent events, each made once and sent to all. A
 * page that does not take what it is sent is left out until it does, so that nothing piles up for it.
 */
import type { Clock } from '../../runtime/clock.ts';
import { failureOf, RequestRefusal } from './failure.ts';
import type { AnswerOf, Overview } from './contract.ts';
import type { Poller, Reading } from './poller.ts';
import type { Sessions } from './sessions.ts';
import type { Asker } from './who-asks.ts';

export interface LiveStreams {
  /** An answer that goes on until whoever asked has gone, or may not look any more. Throws RequestRefusal. */
  open(by: Asker, signal: AbortSignal): Response;
  /** Ends those whose session is over. */
  recheck(): void;
  /** That are open now. */
  readonly count: number;
  close(): void;
}

/** What pages are told of: calls back with the text of each event until it is taken off by what this returns. */
export type LiveSource = (told: (event: string) => void) => () => void;

export interface LiveOptions {
  readonly clock: Clock;
  readonly sources: readonly LiveSource[];
  readonly sessions: Sessions;
}

/** Of one database that is looked at alone. */
export function overviewSource(overview: Poller<Overview>): LiveSource {
  return (told) =>
    overview.watch((reading) =>
      told(
        'value' in reading ? eventText('overview', reading.value) : eventText('trouble', failureOf(reading.error).body),
      ),
    );
}

/** Of one among others. */
export function namedSource(database: string, overview: Poller<Overview>): LiveSource {
  return (told) => overview.watch((reading) => told(eventText('overview', overviewAmongOthers(database, reading))));
}

/** Pure. Lists of all have no charts, which are most of an overview. */
export function overviewAmongOthers(database: string, reading: Reading<Overview>): AnswerOf<Overview> {
  if ('error' in reading) return { database, answer: null, failure: failureOf(reading.error).body };
  return { database, answer: { ...reading.value, history: reading.value.history.slice(-1) }, failure: null };
}

/** More pages than an organization has people on call. */
const MOST_STREAMS = 500;
/** Then the page connects anew, and whoever looks is asked for anew. */
const LONGEST_MS = 60 * 60_000;
/** A page that has taken nothing for so long is gone. */
const PATIENCE_MS = 60_000;
const HEARTBEAT_MS = 15_000;

interface Stream {
  readonly by: Asker;
  readonly endsAtMs: number;
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  takenAtMs: number;
}

export function createLiveStreams(options: LiveOptions): LiveStreams {
  return new OverviewStreams(options);
}

class OverviewStreams implements LiveStreams {
  readonly #clock: Clock;
  readonly #sources: readonly LiveSource[];
  readonly #sessions: Sessions;
  readonly #streams = new Set<Stream>();
  readonly #encoder = new TextEncoder();
  #unwatch: readonly (() => void)[] | null = null;
  #heart: ReturnType<typeof setInterval> | null = null;
  /** The last event of each source, for whoever comes between two. */
  readonly #last = new Map<LiveSource, Uint8Array>();

  constructor({ clock, sources, sessions }: LiveOptions) {
    this.#clock = clock;
    this.#sources = sources;
    this.#sessions = sessions;
  }

  get count(): number {
    return this.#streams.size;
  }

  open(by: Asker, signal: AbortSignal): Response {
    if (this.#streams.size >= MOST_STREAMS) {
      throw new RequestRefusal(503, 'HF_OVERLOADED', `${MOST_STREAMS} pages are open already.`, {
        advice: 'Close some, or pause them.',
      });
    }
    let gone = (): void => undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const stream = this.#begin(by, controller);
          gone = () => this.#leave(stream);
        },
        cancel: () => gone(),
      },
      { highWaterMark: 4 },
    );
    signal.addEventListener('abort', () => gone(), { once: true });
    return new Response(body, {
      headers: { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' },
    });
  }

  recheck(): void {
    for (const stream of this.#streams) if (this.#whyOver(stream) === 'session') this.#end(stream, 'session');
  }

  close(): void {
    for (const stream of this.#streams) this.#end(stream, 'closed');
  }

  #begin(by: Asker, controller: Stream['controller']): Stream {
    const nowMs = this.#clock.monotonic();
    const stream = { by, controller, endsAtMs: nowMs + LONGEST_MS, takenAtMs: nowMs };
    this.#streams.add(stream);
    // Something at once, so that whoever is between does not wait for the beginning.
    controller.enqueue(this.#encoder.encode('retry: 3000\n\n'));
    if (this.#unwatch !== null) {
      for (const last of this.#last.values()) this.#send(stream, last);
      return stream;
    }
    // For what cuts connections on which nothing moves, and for sessions that end while nothing is read.
    this.#heart = setInterval(() => this.#sendAll(':\n\n'), HEARTBEAT_MS).unref();
    this.#unwatch = this.#sources.map((watch) => watch((event) => this.#last.set(watch, this.#sendAll(event))));
    return stream;
  }

  #sendAll(event: string): Uint8Array {
    const bytes = this.#encoder.encode(event);
    for (const stream of this.#streams) this.#send(stream, bytes);
    return bytes;
  }

  #send(stream: Stream, bytes: Uint8Array): void {
    const why = this.#whyOver(stream);
    if (why !== null) return this.#end(stream, why);
    if ((stream.controller.desiredSize ?? 0) <= 0) return;
    stream.takenAtMs = this.#clock.monotonic();
    stream.controller.enqueue(bytes);
  }

  #whyOver({ by, endsAtMs, takenAtMs }: Stream): string | null {
    if (by.session !== null && !this.#sessions.isOpen(by.session)) return 'session';
    if (this.#clock.monotonic() > endsAtMs) return 'time';
    return this.#clock.monotonic() - takenAtMs > PATIENCE_MS ? 'silence' : null;
  }

  #end(stream: Stream, why: string): void {
    this.#leave(stream);
    try {
      stream.controller.enqueue(this.#encoder.encode(eventText('end', { why })));
      stream.controller.close();
    } catch {
      // It is gone already.
    }
  }

  #leave(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    for (const stop of this.#unwatch ?? []) stop();
    this.#unwatch = null;
    if (this.#heart !== null) clearInterval(this.#heart);
    this.#heart = null;
    this.#last.clear();
  }
}

/** JSON has no line breaks of its own. */
function eventText(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
