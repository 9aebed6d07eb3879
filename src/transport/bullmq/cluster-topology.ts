/**
 * What is known of a Redis Cluster: which master serves which slot. It is asked of the nodes that were named, and of those that they told,
 * when somebody needs it and it is not known, or has turned out to be wrong.
 */
import { Redis, type RedisOptions } from 'ioredis';
import { systemClock } from '../../runtime/clock.ts';
import { masterOf, readSlots, type SlotRange } from './cluster-slots.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import type { ClusterPlace } from '../redis/redis-place.ts';
import { explainRedisError } from '../redis/redis-client.ts';
import { type HostAndPort, readHost, writeHost } from '../redis/redis-url.ts';

/** A node that has said nothing for so long is not waited for alone. */
const NEXT_NODE_MS = 300;
/** Many that find out at once that the table is old share one look. */
const FRESH_MS = 100;

export class ClusterTopology {
  readonly #place: ClusterPlace;
  readonly #timeoutMs: number;
  #ranges: readonly SlotRange[] = [];
  /** Monotonic; null: not known, or wrong. */
  #readAtMs: number | null = null;
  #reading: Promise<void> | undefined;
  /** Where the next look begins: the node that answered the last time may be cut off from the others. */
  #turn = 0;

  /** @param timeoutMs for all nodes together */
  constructor(place: ClusterPlace, timeoutMs: number) {
    this.#place = place;
    this.#timeoutMs = timeoutMs;
  }

  /** The table was wrong for somebody: it is read again before it is used the next time. */
  suspect(): void {
    if (this.#readAtMs !== null && performance.now() - this.#readAtMs >= FRESH_MS) this.#readAtMs = null;
  }

  /** A node that was asked for what another one has says who that is. False when it has not said so. */
  learn(error: Error): boolean {
    const [, slot, where = ''] = /^MOVED (\d+) (\S*)/.exec(error.message) ?? [];
    if (slot === undefined) return false;
    const node = readHost(where.replace(/^([\da-f:]*:[\da-f:]*):(\d+)$/i, '[$1]:$2'), 6379);
    if (node === null) {
      // It has not said its name.
      this.#readAtMs = null;
      return true;
    }
    const range = { from: Number(slot), to: Number(slot), master: this.#mapped(node) };
    this.#ranges = [range, ...this.#ranges.filter(({ from, to }) => from !== range.from || to !== range.to)];
    this.#readAtMs = performance.now();
    return true;
  }

  /** The master that serves a slot. Rejects when no node can be asked, or none serves it. */
  async masterOf(slot: number): Promise<HostAndPort> {
    await this.#known();
    const master = masterOf(this.#ranges, slot);
    if (master !== undefined) return master;
    this.#readAtMs = null;
    throw new Error(`no node of the cluster serves slot ${slot}`);
  }

  /** All that serve slots. */
  async masters(): Promise<readonly HostAndPort[]> {
    await this.#known();
    return [...new Map(this.#ranges.map(({ master }) => [writeHost(master), master])).values()];
  }

  #known(): Promise<void> {
    if (this.#readAtMs !== null) return Promise.resolve();
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #read(): Promise<void> {
    const nodes = this.#candidates();
    const settled = new AbortController();
    const signal = AbortSignal.any([settled.signal, timeLimit(this.#timeoutMs)]);
    const failures: Error[] = [];
    try {
      const ranges = await Promise.any(
        nodes.map(async (node, index) => {
          // One after another, but none for long: the first may be stopped, and take connections all the same.
          await systemClock.sleep(index * NEXT_NODE_MS, signal);
          signal.throwIfAborted();
          try {
            return await this.#ask(node, signal);
          } catch (error) {
            failures.push(error as Error);
            throw error;
          }
        }),
      );
      this.#ranges = ranges;
      this.#readAtMs = performance.now();
    } catch {
      const [first] = failures;
      const why = first === undefined ? `no answer within ${this.#timeoutMs} ms` : first.message;
      throw new Error(`no node of the cluster can be asked for its slots: ${why}`, { cause: first });
    } finally {
      settled.abort(new Error('answered'));
    }
  }

  /** Those that serve slots as far as is known, and those that were named; each time another one first. */
  #candidates(): readonly HostAndPort[] {
    const all = [...this.#ranges.map(({ master }) => master), ...this.#place.nodes];
    const nodes = [...new Map(all.map((node) => [writeHost(node), node])).values()];
    this.#turn += 1;
    return nodes.map((_, index) => nodes[(index + this.#turn) % nodes.length] as HostAndPort);
  }

  async #ask(node: HostAndPort, signal: AbortSignal): Promise<readonly SlotRange[]> {
    const client = new Redis({
      ...nodeOptions(this.#place, node),
      lazyConnect: true,
      connectTimeout: this.#timeoutMs,
      commandTimeout: this.#timeoutMs,
      retryStrategy: () => null,
      maxRetriesPerRequest: 0,
      enableReadyCheck: false,
      replyMapping: 'legacy' as const,
    });
    let failure: Error | undefined;
    client.on('error', (error: Error) => void (failure = error));
    const giveUp = (): void => client.disconnect();
    signal.addEventListener('abort', giveUp);
    try {
      await client.connect();
      const ranges = readSlots(await client.cluster('SLOTS'), node);
      if (ranges.length === 0) throw new Error(`${writeHost(node)} knows of no slots`);
      return ranges.map((range) => ({ ...range, master: this.#mapped(range.master) }));
    } catch (error) {
      // What connect rejects with says no more than that the connection is closed.
      const cause = failure ?? (error as Error);
      throw explainRedisError(notACluster(cause, node), this.#place.tls);
    } finally {
      signal.removeEventListener('abort', giveUp);
      client.disconnect();
    }
  }

  #mapped(node: HostAndPort): HostAndPort {
    const { natMap } = this.#place;
    const name = `${node.host}:${node.port}`;
    const mapped = typeof natMap === 'function' ? natMap(name) : natMap?.[name];
    return mapped ?? node;
  }
}

/** The options for the connection to one node. */
export function nodeOptions({ options }: ClusterPlace, { host, port }: HostAndPort): RedisOptions {
  return { ...options, host, port, db: 0 };
}

/** Names the server that has no cluster, where that is what it answers. */
function notACluster(error: Error, node: HostAndPort): Error {
  if (!/cluster support disabled/i.test(error.message)) return error;
  return new Error(`${writeHost(node)} is no node of a Redis Cluster; give its URL as redis://`, { cause: error });
}
