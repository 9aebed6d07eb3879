/**
 * What happened in a simulation, in order: a hash of it always, the lines where somebody wants to read them.
 */
import { hash } from './choices.ts';

export class Trace {
  readonly lines: string[] = [];
  readonly #keep: boolean;
  readonly #now: () => number;
  #hash = 0;

  constructor(keep: boolean, now: () => number) {
    this.#keep = keep;
    this.#now = now;
  }

  get hash(): string {
    return this.#hash.toString(16).padStart(8, '0');
  }

  /** What nobody wants to read, because it happens all the time. */
  note(text: string): void {
    this.#hash = hash(text, (this.#hash ^ this.#now()) >>> 0);
  }

  /** `text` names nothing that differs from one execution of a seed to the next, such as ids of messages. */
  say(text: string): void {
    this.note(text);
    if (this.#keep) this.lines.push(`${(this.#now() / 1_000).toFixed(3).padStart(9)}  ${text}`);
  }
}
