/**
 * A relay on an outbox in memory: reads what is committed, publishes it, and then says in the store how far it has come. What it has
 * published and not said is published again by its next life.
 */
import type { KeyHead } from '../../../src/relay/subscription/routes.ts';
import type { OutboundMessage } from '../../../src/transport/port.ts';
import type { Network } from '../machine/network.ts';
import type { Life } from '../machine/process.ts';
import type { Broker } from './broker.ts';

/** An outbox, as it is committed. */
export class OutboxLog {
  /** The last message of each key. */
  readonly #heads = new Map<string, KeyHead>();
  readonly entries: OutboundMessage[] = [];
  /** How many of them are known to be published. */
  cursor = 0;
  readonly #listeners = new Set<() => void>();

  add(message: OutboundMessage): void {
    this.entries.push(message);
    for (const listener of this.#listeners) listener();
  }

  /** Takes the place behind the last message of the key, which is returned: what a relay tells of to who reads in order. */
  follow(key: string, id: string, at: string): KeyHead | undefined {
    const before = this.#heads.get(key);
    this.#heads.set(key, { id, at, sentAt: at });
    return before;
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** Longest wait between two looks, in milliseconds. */
const IDLE_MS = 2_000;
const AGAIN_MS = 200;
const MOST_IN_PAGE = 5;
const NEVER = new AbortController().signal;

export function runRelay(life: Life, network: Network, log: OutboxLog, broker: Broker): void {
  let wake = new AbortController();
  life.onEnd(log.listen(() => void life.machine.scheduler.after(1, life, () => wake.abort('woken'))));
  const publisher = broker.transport(life).publisher();

  async function look(): Promise<number> {
    const from = await network.call(life, 'store', 'read log', () => log.cursor);
    const page = log.entries.slice(from, from + MOST_IN_PAGE);
    if (page.length === 0) return IDLE_MS;
    await publisher.publish(page, { signal: NEVER });
    await network.call(life, 'store', 'advance', () => {
      log.cursor = Math.max(log.cursor, from + page.length);
    });
    return 0;
  }

  async function go(): Promise<void> {
    while (life.alive) {
      wake = new AbortController();
      const waitMs = await look().catch(() => AGAIN_MS);
      await life.sleep(waitMs, wake.signal);
    }
  }
  void go();
}
