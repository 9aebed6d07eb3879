/**
 * How much more a worker takes into memory. Runs are counted and weighed, because a few may hold more than a thousand others.
 */
import { getHeapStatistics } from 'node:v8';
import type { AnySaga, Registry } from '../definition/definition.ts';
import type { Engine } from '../engine/engine.ts';
import type { SagaVersion } from '../store/store.ts';

/**
 * Of the journals of the runs in memory, in bytes: no more runs are taken up then. A run takes several times the bytes of its journal while
 * it is loaded, so a sixteenth of what the process may have.
 */
const MOST_BYTES = Math.max(32 * 1024 * 1024, Math.floor(getHeapStatistics().heap_size_limit / 16));
/** Of run messages that are in memory and not yet taken in, in bytes. */
const MOST_MESSAGE_BYTES = 32 * 1024 * 1024;

export class RunCapacity {
  readonly #engine: Engine;
  readonly #registry: Registry;
  readonly #concurrency: number;

  /** `concurrency`: most runs in memory that do not just wait. */
  constructor(engine: Engine, registry: Registry, concurrency: number) {
    this.#engine = engine;
    this.#registry = registry;
    this.#concurrency = concurrency;
  }

  /** How many more runs may be taken up. */
  get runs(): number {
    return Math.max(0, this.#concurrency - (this.#engine.inMemory - this.#engine.waiting));
  }

  /** How many more of one saga. */
  runsOf(saga: AnySaga): number {
    const own = saga.concurrency === null ? Infinity : saga.concurrency - this.#engine.countOf(saga.name, saga.version);
    return Math.max(0, Math.min(this.runs, own));
  }

  /** Each saga gets its part, so that all together do not take more than there is, and none takes all. */
  shares(): readonly (SagaVersion & { readonly limit: number })[] {
    const part = Math.ceil(this.runs / this.#registry.all.length);
    return this.#registry.all
      .map((saga) => ({ saga: saga.name, version: saga.version, limit: Math.min(part, this.runsOf(saga)) }))
      .filter(({ limit }) => limit > 0);
  }

  /** How many more bytes of journals. */
  get bytes(): number {
    return this.#engine.inMemory === 0 ? MOST_BYTES : MOST_BYTES - this.#engine.bytes;
  }

  /** How many more bytes of run messages. */
  get messageBytes(): number {
    return Math.max(0, MOST_MESSAGE_BYTES - this.#engine.runMessageBytes);
  }
}
