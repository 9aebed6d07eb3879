/**
 * How publishers agree on the number of partitions of a destination. A layout is a number of partitions and an epoch; each partition knows
 * the one by which publishers may add to it, and turns away all others. A publisher that was told another number starts a new epoch, and so
 * stops everybody else; where order is kept, it begins itself only once what lay in the old partitions is done with. So the next message of
 * a key cannot overtake one that lies in another partition, whatever publishers were told.
 */
import { HoldfastError } from '../../errors.ts';
import type { StreamsConnection } from './connection.ts';
import { destinationKeys, indexKey, partitionKeys } from './keys.ts';
import { FENCE, OPEN, PROPOSE } from './publish-scripts.ts';

/** What a publisher shows to a partition. */
export interface AgreedLayout {
  readonly token: string;
  readonly epoch: string;
}

interface LayoutChange {
  readonly own: number;
  /** The number before. */
  readonly before: string;
  readonly epoch: string;
  readonly signal: AbortSignal;
}

/** Two publishers that are told different numbers take turns; this many in one call is more than chance. */
const MOST_TURNS = 5;

export class LayoutAgreement {
  readonly #connection: StreamsConnection;
  readonly #prefix: string;
  readonly #agreed = new Map<string, AgreedLayout>();

  constructor(connection: StreamsConnection, prefix: string) {
    this.#connection = connection;
    this.#prefix = prefix;
  }

  /**
   * The layout of a destination with `own` partitions. Rejects with HF_TRANSPORT_UNAVAILABLE while an ordered destination holds messages
   * that were spread otherwise.
   */
  async of(destination: string, own: number, signal: AbortSignal): Promise<AgreedLayout> {
    const known = this.#agreed.get(destination);
    if (known !== undefined) return known;
    const layout = await this.#agree(destination, own, signal);
    this.#agreed.set(destination, layout);
    return layout;
  }

  /** A partition has turned the layout of this publisher away: it has a newer one, or has forgotten all. */
  async turnedAway(destination: string, partition: number, own: number, signal: AbortSignal): Promise<void> {
    this.#agreed.delete(destination);
    // Not what this publisher knew: another may have gone on meanwhile, and that this partition was told so may be what was forgotten.
    const layout = await this.of(destination, own, signal);
    await this.#fence(destination, partition, layout, signal);
  }

  async #agree(destination: string, own: number, signal: AbortSignal): Promise<AgreedLayout> {
    const { meta } = destinationKeys(this.#prefix, destination);
    await this.#connection.ask((client) => client.sadd(indexKey(this.#prefix), destination), signal);
    let leastEpoch = '0';
    for (let turn = 0; turn < MOST_TURNS; turn += 1) {
      // oxlint-disable-next-line no-await-in-loop -- each turn answers to what the one before has found
      const proposed = await this.#connection.run(PROPOSE, [meta], [own, leastEpoch], signal);
      const [epoch, open, ordered, widest, before] = proposed as [string, number, number, number, string];
      const layout = { token: `${own}/${epoch}`, epoch };
      if (open === 1) return layout;
      const partitions = Array.from({ length: Math.max(own, widest) }, (_, partition) => partition);
      // oxlint-disable-next-line no-await-in-loop
      const newer = await Promise.all(partitions.map((each) => this.#fence(destination, each, layout, signal)));
      const latest = Math.max(...newer.map((token) => Number(token.split('/')[1] ?? 0)));
      if (latest > 0) {
        leastEpoch = String(latest + 1);
        continue;
      }
      // From here on nothing comes in but by this layout.
      // oxlint-disable-next-line no-await-in-loop
      if (ordered === 1) await this.#assertDrained(destination, partitions, { own, before, epoch, signal });
      // oxlint-disable-next-line no-await-in-loop
      if ((await this.#connection.run(OPEN, [meta], [epoch], signal)) === 1) return layout;
    }
    throw new HoldfastError(
      'HF_TRANSPORT_UNAVAILABLE',
      `publishers of ${destination} were told different numbers of partitions and interrupt each other`,
      { advice: 'Give all of them the same queues.', details: { destination, own } },
    );
  }

  /** What a partition has instead, when that is newer; '' otherwise. */
  async #fence(destination: string, partition: number, layout: AgreedLayout, signal: AbortSignal): Promise<string> {
    const { layout: key } = partitionKeys(this.#prefix, destination, partition);
    return String(await this.#connection.run(FENCE, [key], [layout.token, layout.epoch], signal));
  }

  async #assertDrained(
    destination: string,
    partitions: readonly number[],
    { own, before, epoch, signal }: LayoutChange,
  ): Promise<void> {
    const lengths = await Promise.all(
      partitions.map((partition) => {
        const { stream } = partitionKeys(this.#prefix, destination, partition);
        return this.#connection.ask((client) => client.xlen(stream), signal);
      }),
    );
    const left = lengths.reduce((sum, length) => sum + length, 0);
    if (left === 0) return;
    // Others that were told the same may have begun meanwhile: what lies there is theirs then.
    const { meta } = destinationKeys(this.#prefix, destination);
    const [latest, open] = await this.#connection.ask((client) => client.hmget(meta, 'epoch', 'open'), signal);
    if (latest === epoch && open === '1') return;
    throw new HoldfastError(
      'HF_TRANSPORT_UNAVAILABLE',
      `${destination} is ordered and holds ${left} messages that were spread otherwise than over ${own} partitions`,
      {
        advice: 'It goes on by itself once consumers have drained them. If the number was not to change, mend queues.',
        details: { destination, before, own, left },
      },
    );
  }
}
