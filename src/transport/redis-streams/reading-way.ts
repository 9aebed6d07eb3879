/**
 * In which way an unordered partition is read next: wholly, by the script that does all there is to do in one step, or on from where the last
 * read ended, by plain commands. Redis turns what a script reads into values of the script's language and back, and with many messages that is
 * more work than all the rest; with few, one command is less than three. Pure.
 */

/** From so many at once on, plain commands are less work for both sides. Measured with messages of 500 bytes. */
const MANY = 32;
/** What is delayed is seen by the script alone, so at most so many reads are without it, one after the other. */
const MOST_WITHOUT = 15;

export class ReadingWay {
  #hadMany = false;
  #without = 0;

  /** @param later how many messages are to be put off. @param take how many are wanted */
  mayReadOn({ later, take }: { readonly later: number; readonly take: number }): boolean {
    return this.#hadMany && later === 0 && take >= MANY && this.#without < MOST_WITHOUT;
  }

  /** Read wholly. @param due how many had been delayed: there may be more of them. @param fresh how many were new */
  hasReadWholly({ due, fresh }: { readonly due: number; readonly fresh: number }): void {
    this.#without = 0;
    this.#hadMany = due === 0 && fresh >= MANY;
  }

  hasReadOn({ fresh }: { readonly fresh: number }): void {
    this.#without += 1;
    this.#hadMany = fresh >= MANY;
  }
}
