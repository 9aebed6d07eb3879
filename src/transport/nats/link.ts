/**
 * One connection to NATS, from its making to its end. It is not connected again: by itself the client would keep what is published
 * meanwhile, without limit, and send it whenever a server is back. Whoever uses a link opens another one.
 */
import { setMaxListeners } from 'node:events';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { systemClock } from '../../runtime/clock.ts';
import { settledOrAborted } from '../shared.ts';
import { placeText, type NatsServerPlace } from './address.ts';
import { loadNatsClient, type NatsClient } from './client.ts';
import { knock, type ServerGreeting } from './knock.ts';
import type { NatsSettings } from './options.ts';

/** A server or a network that is gone without a word is asked this often, and has as long to answer; more often where claims are short. */
const ANSWER_WITHIN_MS = 10_000;
const SHORTEST_ANSWER_MS = 2_000;
/** The client's own such look is not used: at a full send buffer it waits for ever. */
const NEVER_MS = 2_000_000_000;
/** The longest that an answer about streams and consumers is waited for: where no server leads them there is none, and the next may know more. */
const API_WITHIN_MS = 2_000;
/** How long what was written last may take to leave, before a link is closed. */
const LAST_WORDS_MS = 1_000;
/** Servers of the cluster that are remembered beside those that were named. */
const MOST_DISCOVERED = 20;

export interface NatsLink {
  readonly nc: NatsConnection;
  readonly api: JetStreamManager;
  readonly client: NatsClient;
  /** Bytes of headers and payload that the server takes. */
  readonly maxPayload: number;
  /** Of the server. */
  readonly version: string;
  /** Aborts, with the reason, when the connection is gone. */
  readonly lost: AbortSignal;
  /** What the server last refused for want of a right. It tells that beside all requests. */
  readonly violation: RightsViolation | null;
  /** A subject for answers that nobody else has. */
  newInbox(): string;
  /** One round trip. */
  ping(timeoutMs: number): Promise<void>;
  /** Ends it at once. */
  cut(why: string): void;
  /** Ends it when what was written has left, or after a second. */
  close(): Promise<void>;
}

export interface RightsViolation {
  readonly error: Error;
  readonly subject: string;
  /** Monotonic milliseconds. */
  readonly atMs: number;
}

/** Servers that others have told of: a process that was told of one node of a cluster finds the others when that one is gone. */
export type DiscoveredServers = Set<string>;

/** Rejects with the reason why none of the servers could be connected to, or with the reason of `signal`. */
export async function openLink(
  settings: NatsSettings,
  discovered: DiscoveredServers,
  signal: AbortSignal,
): Promise<NatsLink> {
  const client = await loadNatsClient();
  let failure: unknown = new Error('no server is named');
  for (const place of placesOf(settings, discovered)) {
    signal.throwIfAborted();
    try {
      // One after the other, until one is there.
      // oxlint-disable-next-line no-await-in-loop
      return await openAt(place, settings, { client, discovered, signal });
    } catch (error) {
      failure = error;
    }
  }
  signal.throwIfAborted();
  throw failure;
}

/** Those that were named in any order, so that a cluster's clients spread; then those it told of. */
function placesOf({ address }: NatsSettings, discovered: DiscoveredServers): readonly NatsServerPlace[] {
  const named = address.servers.toSorted(() => Math.random() - 0.5);
  const texts = new Set(named.map(placeText));
  const others = [...discovered].flatMap((text) => {
    const [, host = '', port = ''] = /^\[?(.+?)\]?:(\d+)$/.exec(text) ?? [];
    return host === '' || texts.has(text) ? [] : [{ host, port: Number(port) }];
  });
  return [...named, ...others];
}

interface Opening {
  readonly client: NatsClient;
  readonly discovered: DiscoveredServers;
  readonly signal: AbortSignal;
}

async function openAt(place: NatsServerPlace, settings: NatsSettings, opening: Opening): Promise<NatsLink> {
  const { client, discovered, signal } = opening;
  const { address, publishTimeoutMs: timeoutMs } = settings;
  const { tls, name = 'holdfast' } = address.client;
  const handshakeFirst = tls !== null && tls !== undefined && 'handshakeFirst' in tls && tls.handshakeFirst === true;
  const greeting = handshakeFirst ? {} : await knock(place, { timeoutMs, signal });
  if (!handshakeFirst && tls && greeting.tls_required !== true && greeting.tls_available !== true)
    throw new Error(`${placeText(place)} does not offer TLS`);
  for (const url of greeting.connect_urls ?? []) if (discovered.size < MOST_DISCOVERED) discovered.add(url);
  const options = {
    ...address.client,
    name,
    servers: [placeText(place)],
    timeout: timeoutMs,
    reconnect: false,
    waitOnFirstConnect: false,
    ignoreClusterUpdates: true,
    pingInterval: NEVER_MS,
    noAsyncTraces: true,
  };
  // Ours are written down so that declarations do not need those of the client.
  const connecting = client.connect(options as NodeConnectionOptions);
  let nc: NatsConnection;
  try {
    nc = await settledOrAborted(connecting, signal);
  } catch (error) {
    connecting.then((late) => void late.close()).catch(() => {});
    throw error;
  }
  const api = await client.jetstreamManager(nc, { checkAPI: false, timeout: Math.min(timeoutMs, API_WITHIN_MS) });
  const answerWithinMs = Math.max(SHORTEST_ANSWER_MS, Math.min(ANSWER_WITHIN_MS, settings.claimDurationMs));
  return new OpenLink({ nc, api, client, greeting, inboxPrefix: address.client.inboxPrefix, answerWithinMs });
}

interface LinkParts {
  readonly nc: NatsConnection;
  readonly api: JetStreamManager;
  readonly client: NatsClient;
  readonly greeting: ServerGreeting;
  readonly inboxPrefix: string | undefined;
  readonly answerWithinMs: number;
}

class OpenLink implements NatsLink {
  readonly nc: NatsConnection;
  readonly api: JetStreamManager;
  readonly client: NatsClient;
  readonly maxPayload: number;
  readonly version: string;
  violation: RightsViolation | null = null;
  readonly #inboxPrefix: string | undefined;
  readonly #lost = new AbortController();
  readonly #watch: NodeJS.Timeout;

  constructor({ nc, api, client, greeting, inboxPrefix, answerWithinMs }: LinkParts) {
    this.nc = nc;
    this.api = api;
    this.client = client;
    this.#inboxPrefix = inboxPrefix;
    this.maxPayload = nc.info?.max_payload ?? greeting.max_payload ?? 1024 * 1024;
    this.version = nc.info?.version ?? greeting.version ?? '';
    // Each batch and each delivery hears of the end.
    setMaxListeners(0, this.#lost.signal);
    this.#watch = setInterval(() => void this.#cutSilent(answerWithinMs - 100), answerWithinMs);
    this.#watch.unref();
    void this.#listen();
    void nc.closed().then((error) => this.#end(error instanceof Error ? error : new Error('the connection was lost')));
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  newInbox(): string {
    return this.client.createInbox(this.#inboxPrefix);
  }

  async ping(timeoutMs: number): Promise<void> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`it has not answered for ${timeoutMs} ms`)), timeoutMs);
    try {
      await settledOrAborted(this.nc.flush(), late.signal, this.lost);
    } finally {
      clearTimeout(timer);
    }
  }

  cut(why: string): void {
    this.#end(new Error(why));
  }

  async close(): Promise<void> {
    if (!this.lost.aborted) await this.ping(LAST_WORDS_MS).catch(() => {});
    this.#end(new Error('the connection is closed'));
  }

  #end(why: Error): void {
    clearInterval(this.#watch);
    this.#lost.abort(why);
    // Without waiting for what is written: the other end may be gone.
    if (!this.nc.isClosed()) this.nc.close().catch(() => {});
  }

  async #cutSilent(timeoutMs: number): Promise<void> {
    try {
      await this.ping(timeoutMs);
    } catch {
      // A process that was held up has not read yet what has come meanwhile.
      await systemClock.sleep(0);
      const answered = await this.ping(100).then(
        () => true,
        () => false,
      );
      if (!answered) this.cut('the server has fallen silent');
    }
  }

  /** The server tells beside the requests what the user may not do. */
  async #listen(): Promise<void> {
    for await (const status of this.nc.status())
      if (status.type === 'error' && status.error.name === 'PermissionViolationError') {
        const { subject } = status.error as Error & { readonly subject?: string };
        this.violation = { error: status.error, subject: subject ?? '', atMs: performance.now() };
      }
  }
}
