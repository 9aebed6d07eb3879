/**
 * How many messages a relay brings out before it stores that they are out. As many as the subscription says, while its sessions get that far.
 *
 * A session that ends before has brought out all of them for nothing: they go out again. Where a page takes longer than a session lasts (a
 * process that is starved of processor time, a lease that is short, a server that drops connections), that would be so each time, and what
 * gathers meanwhile makes the page longer still. So after such an end pages have half as many messages, and each is stored before the
 * next one is read. When some have been stored in a row, they have twice as many again.
 */

/** Pages that are stored in a row before they grow: what turns out to be too long is brought out for nothing. */
const WELL_BEFORE_GROWTH = 8;

export class PageLimit {
  readonly #most: number;
  #limit: number;
  /** On their way, or out, in a session that has stored nothing yet. */
  #begun = 0;
  /** Pages stored in a row at this limit. */
  #well = 0;

  constructor(most: number) {
    this.#most = most;
    this.#limit = most;
  }

  get messages(): number {
    return this.#limit;
  }

  /** Pages are shorter than they might be. */
  get isCut(): boolean {
    return this.#limit < this.#most;
  }

  /** So many messages are about to go out. */
  begin(count: number): void {
    this.#begun += count;
  }

  /** That all that was begun is out is stored. */
  stored(): void {
    this.#begun = 0;
    this.#well += 1;
    if (this.#well < WELL_BEFORE_GROWTH) return;
    this.#well = 0;
    this.#limit = Math.min(this.#most, 2 * this.#limit);
  }

  /** `hasStored`: it had stored progress. Returns whether pages have become shorter. */
  sessionEnded(hasStored: boolean): boolean {
    const begun = this.#begun;
    this.#begun = 0;
    if (hasStored || begun === 0 || this.#limit === 1) return false;
    this.#well = 0;
    this.#limit = Math.max(1, Math.floor(Math.min(this.#limit, begun) / 2));
    return true;
  }
}
