/**
 * Which run messages a worker has in memory already, so that a look at the store does not bring them a second time.
 *
 * A message that was taken in is deleted by a commit. A look that began before that commit still sees it, so it is forgotten only when the
 * next look begins.
 */
export class SeenMessages {
  /** With their sizes, in bytes. */
  readonly #ids = new Map<string, number>();
  #bytes = 0;
  readonly #deleted = new Set<string>();

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** How much is in memory, or has been until lately. */
  get bytes(): number {
    return this.#bytes;
  }

  add(id: string, bytes: number): void {
    this.#drop(id);
    this.#ids.set(id, bytes);
    this.#bytes += bytes;
  }

  /** It is here no longer, and still in the store. */
  forget(id: string): void {
    this.#drop(id);
  }

  #drop(id: string): void {
    this.#bytes -= this.#ids.get(id) ?? 0;
    this.#ids.delete(id);
  }

  /** A commit has deleted it from the store. */
  deleted(id: string): void {
    this.#deleted.add(id);
  }

  /** A look begins now: what it must leave out. */
  beginLook(): readonly string[] {
    for (const id of this.#deleted) this.#drop(id);
    this.#deleted.clear();
    return [...this.#ids.keys()];
  }
}
