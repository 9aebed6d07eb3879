/**
 * A map from ids to what is here for a while: entries come and go thousands of times a second, and few are there at a time. Used where a
 * worker keeps its runs, and those who wait for them.
 *
 * Not a Map, because each table that a Map of V8 outgrows or tidies up points on to the one that took its place (for iterators under
 * way). One table that has become old is enough for all that follow it to outlive the collections of young objects, together with the
 * dead entries they held: a third of a worker's time went into moving them. The table of an object without prototype has no such pointer.
 */
export class IdMap<Value> {
  #values: Record<string, Value> = newTable();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: string): Value | undefined {
    return this.#values[id];
  }

  has(id: string): boolean {
    return id in this.#values;
  }

  set(id: string, value: Value): void {
    if (!(id in this.#values)) this.#size += 1;
    this.#values[id] = value;
  }

  delete(id: string): void {
    if (!(id in this.#values)) return;
    this.#size -= 1;
    delete this.#values[id];
  }

  clear(): void {
    this.#values = newTable();
    this.#size = 0;
  }

  /** As they are now; what comes or goes later does not change the list. */
  values(): readonly Value[] {
    return Object.values(this.#values);
  }

  /** As `values`, with their ids. */
  entries(): readonly (readonly [id: string, value: Value])[] {
    return Object.entries(this.#values);
  }
}

function newTable<Value>(): Record<string, Value> {
  return Object.create(null) as Record<string, Value>;
}
