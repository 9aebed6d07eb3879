/**
 * The connections of one publisher or receiver: one for commands, and one for each partition that waits for messages. A command is sent at
 * once or fails at once, and nothing is kept to be sent later. Loaded with the first publisher or receiver.
 */
import { createHash } from 'node:crypto';
import { once, setMaxListeners } from 'node:events';
import { type ChainableCommander, Cluster, Redis } from 'ioredis';
import { HoldfastError } from '../../errors.ts';
import { settledOrAborted } from '../shared.ts';
import { explainRedisError } from '../redis/redis-client.ts';
import { evictionWarning } from '../redis/redis-info.ts';
import { DIRECT_COMMANDS, openClient, reconnectDelayMs } from '../redis/redis-open.ts';
import type { ClusterPlace } from '../redis/redis-place.ts';
import { LOST_BY_EVICTION } from './answers.ts';
import type { StreamsSettings } from './options.ts';
import type { RedisScript } from './publish-scripts.ts';

type Client = Redis | Cluster;
type Settings = Pick<StreamsSettings, 'place' | 'publishTimeoutMs' | 'replicas' | 'onError'>;

/** How often a cluster is asked anew where a key lies, within one command. */
const REDIRECTIONS = 4;
/** What nothing has told that it has changed is asked for anew after this. */
const SLOTS_REFRESH_MS = 5000;

const shas = new WeakMap<RedisScript, string>();
function shaOf(script: RedisScript): string {
  let sha = shas.get(script);
  if (sha === undefined) shas.set(script, (sha = createHash('sha1').update(script.lua).digest('hex')));
  return sha;
}

export class StreamsConnection {
  readonly #settings: Settings;
  readonly #ended = new AbortController();
  #client: Client | undefined;
  #readying: Promise<void> | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
    // Each command that is under way listens to it.
    setMaxListeners(0, this.#ended.signal);
  }

  /** Resolves when there is a connection; rejects soon, with the reason, when there is none. */
  async ready(signal: AbortSignal): Promise<Client> {
    if (this.#ended.signal.aborted) throw new HoldfastError('HF_STOPPED', 'The connection to Redis is closed.');
    this.#client ??= openFor(this.#settings, () => this.#warnOfEviction());
    const client = this.#client;
    if (client.status === 'ready') return client;
    // All that come meanwhile wait together.
    this.#readying ??= untilReady(client, this.#ended.signal, this.#settings).finally(
      () => (this.#readying = undefined),
    );
    await settledOrAborted(this.#readying, signal);
    return client;
  }

  /** All keys are of one partition, or of one destination. */
  run(
    script: RedisScript,
    keys: readonly string[],
    args: readonly (string | number)[],
    signal: AbortSignal,
  ): Promise<unknown> {
    return this.ask((client) => evaluate(client, script, keys, args), signal);
  }

  /** The same, and says how many replicas have what was written by this connection. */
  runReplicated(
    script: RedisScript,
    keys: readonly string[],
    args: readonly (string | number)[],
    signal: AbortSignal,
  ): Promise<{ readonly answer: unknown; readonly replicas: number }> {
    const { replicas, publishTimeoutMs } = this.#settings;
    const waitMs = Math.ceil(publishTimeoutMs / 2);
    return this.ask(async (client) => {
      // In one pipeline, so that both go to the same node.
      const pipeline = client.pipeline().eval(script.lua, keys.length, ...keys, ...args);
      const [answer, waited] = await answersOf(pipeline.call('WAIT', replicas, waitMs));
      return { answer, replicas: Number(waited ?? 0) };
    }, signal);
  }

  /** Commands about one partition that leave together and are done one after the other; rejects with the first failure among them. */
  runAll(fill: (pipeline: ChainableCommander) => ChainableCommander, signal: AbortSignal): Promise<readonly unknown[]> {
    return this.ask((client) => answersOf(fill(client.pipeline())), signal);
  }

  /** One exchange. When it takes too long the connection is given up: the answer is unknown either way, and nothing of it is sent later. */
  async ask<T>(work: (client: Client) => Promise<T>, signal: AbortSignal): Promise<T> {
    const client = await this.ready(signal);
    const { publishTimeoutMs } = this.#settings;
    const late = new AbortController();
    // A process that was held up has not read yet what has come meanwhile.
    const timer = setTimeout(() => setImmediate(() => late.abort(noAnswer(publishTimeoutMs))), publishTimeoutMs);
    try {
      return await settledOrAborted(work(client), signal, late.signal, this.#ended.signal);
    } catch (error) {
      if (late.signal.aborted) this.#drop(client);
      this.#suspect(error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * After what says that a key lies elsewhere by now, or that its node is gone, a cluster is asked anew. ioredis does so by itself for single
   * commands, and not for a pipeline of which one command was answered.
   */
  #suspect(error: unknown): void {
    if (!(this.#client instanceof Cluster) || !(error instanceof Error)) return;
    if (/MOVED|CLUSTERDOWN|READONLY|UNBLOCKED|[Cc]onnection|ECONN/.test(error.message))
      this.#client.refreshSlotsCache(() => {});
  }

  /** A connection that waits on one partition. Opened with its first use. */
  bell(stream: string): Bell {
    const open = async (signal: AbortSignal): Promise<Redis> => {
      const client = await this.ready(signal);
      if (client instanceof Redis) return client.duplicate();
      const slot = await this.ask((cluster) => cluster.call('CLUSTER', 'KEYSLOT', stream), signal);
      const [home] = client.slots[Number(slot)] ?? [];
      const node = client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === home);
      if (node === undefined) throw new Error(`no node of the cluster is known to have ${stream}`);
      const { publishTimeoutMs } = this.#settings;
      return openClient({ url: undefined, options: node.options }, publishTimeoutMs, DIRECT_COMMANDS);
    };
    return new Bell(stream, { settings: this.#settings, open, suspect: (error) => this.#suspect(error) });
  }

  end(): void {
    this.#ended.abort(new HoldfastError('HF_STOPPED', 'The connection to Redis is closed.'));
    this.#client?.disconnect();
    this.#client = undefined;
  }

  #drop(client: Client): void {
    client.disconnect();
    if (this.#client === client) this.#client = undefined;
  }

  /** Says so when Redis may throw queued messages away to make room. Never fails: INFO may be forbidden. */
  #warnOfEviction(): void {
    const client = this.#client;
    if (client === undefined) return;
    client.info('memory').then(
      (info) => {
        const warning = evictionWarning(info, LOST_BY_EVICTION);
        if (warning === undefined) return;
        this.#settings.onError(new HoldfastError('HF_CONFIG', warning.what, { advice: warning.advice }));
      },
      () => {},
    );
  }
}

interface BellParts {
  readonly settings: Settings;
  /** On the server that has the stream. */
  readonly open: (signal: AbortSignal) => Promise<Redis>;
  /** Told of each failure. */
  readonly suspect: (error: unknown) => void;
}

/** Waits until something comes into a stream. It takes nothing out of it, so it may be cut at any time. */
export class Bell {
  readonly #stream: string;
  readonly #settings: Settings;
  readonly #parts: BellParts;
  #client: Redis | undefined;

  constructor(stream: string, parts: BellParts) {
    this.#stream = stream;
    this.#settings = parts.settings;
    this.#parts = parts;
  }

  /** Resolves when there is an entry behind `after`, or after `forMs`. */
  async wait(after: string, forMs: number, signal: AbortSignal): Promise<void> {
    const answerMs = forMs + this.#settings.publishTimeoutMs;
    let timer: NodeJS.Timeout | undefined;
    const late = new AbortController();
    try {
      this.#client ??= quiet(await this.#parts.open(signal));
      const client = this.#client;
      if (client.status !== 'ready') await untilReady(client, signal, this.#settings);
      timer = setTimeout(() => setImmediate(() => late.abort(noAnswer(answerMs))), answerMs);
      const rung = client.xread('COUNT', 1, 'BLOCK', forMs, 'STREAMS', this.#stream, after);
      await settledOrAborted(rung, signal, late.signal);
    } catch (error) {
      // It may be on its way to another node, silent, or asked something still: the next wait has a connection of its own.
      this.end();
      this.#parts.suspect(error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  end(): void {
    this.#client?.disconnect();
    this.#client = undefined;
  }
}

function openFor(settings: Settings, onReady: () => void): Client {
  const { place, publishTimeoutMs } = settings;
  const client =
    place.kind === 'single'
      ? openClient(place, publishTimeoutMs, DIRECT_COMMANDS)
      : openCluster(place, publishTimeoutMs);
  client.once('ready', onReady);
  return client;
}

function openCluster({ nodes, options, natMap }: ClusterPlace, timeoutMs: number): Cluster {
  const { enableOfflineQueue, ...ofNodes } = DIRECT_COMMANDS;
  return quiet(
    new Cluster([...nodes], {
      redisOptions: { ...options, ...ofNodes, connectTimeout: timeoutMs, replyMapping: 'legacy' },
      enableOfflineQueue,
      maxRedirections: REDIRECTIONS,
      slotsRefreshTimeout: timeoutMs,
      slotsRefreshInterval: SLOTS_REFRESH_MS,
      clusterRetryStrategy: reconnectDelayMs,
      ...(natMap === undefined ? {} : { natMap }),
    }),
  );
}

/** An 'error' event without a listener would end the process. The failure also reaches whoever waits for the command. */
function quiet<C extends Client>(client: C): C {
  client.on('error', () => {});
  return client;
}

/** Resolves when the client is ready; rejects at its next failure to become so, on abort, or when it takes too long. */
async function untilReady(client: Client, signal: AbortSignal, { publishTimeoutMs, place }: Settings): Promise<void> {
  const over = new AbortController();
  const patience = setTimeout(() => over.abort(), publishTimeoutMs);
  const either = AbortSignal.any([signal, over.signal]);
  const closed = async (): Promise<never> => {
    await once(client, 'close', { signal: either });
    throw new Error('the connection was closed');
  };
  try {
    await Promise.race([once(client, 'ready', { signal: either }), closed()]);
  } catch (error) {
    signal.throwIfAborted();
    const why = over.signal.aborted ? new Error(`no connection within ${publishTimeoutMs} ms`) : error;
    throw explainRedisError(why instanceof Error ? why : new Error(String(why)), place.tls);
  } finally {
    clearTimeout(patience);
    over.abort();
  }
}

async function answersOf(pipeline: ChainableCommander): Promise<readonly unknown[]> {
  const results = (await pipeline.exec()) ?? [];
  for (const [error] of results) if (error !== null) throw error;
  return results.map(([, answer]) => answer);
}

async function evaluate(
  client: Client,
  script: RedisScript,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await client.evalsha(shaOf(script), keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return client.eval(script.lua, keys.length, ...keys, ...args);
  }
}

function noAnswer(ms: number): Error {
  return new Error(`no answer within ${ms} ms`);
}
