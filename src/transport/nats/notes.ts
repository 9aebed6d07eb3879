/**
 * Small facts that outlive a process and belong to no message, in a stream of their own where each subject has one note, the newest: by how
 * many partitions a destination is spread, which databases read it, and how often a message was put off. NATS counts every time that it hands
 * a message out, and does not tell those that ended with `later` from those that ended with the death of a consumer.
 */
import type { NatsLink } from './link.ts';
import { apiCodeOf, CODES } from './errors.ts';
import { notesStream } from './names.ts';
import type { NatsSettings } from './options.ts';
import { ensureStream, notesStreamOf } from './streams.ts';

export class Notes {
  readonly #link: NatsLink;
  readonly #settings: NatsSettings;
  #ready: Promise<unknown> | undefined;

  constructor(link: NatsLink, settings: NatsSettings) {
    this.#link = link;
    this.#settings = settings;
  }

  /** The note as a JSON value and when it was written; null: there is none. */
  async read(subject: string): Promise<{ readonly value: unknown; readonly writtenMs: number } | null> {
    await this.#open();
    const stream = notesStream(this.#settings.prefix);
    try {
      const message = await this.#link.api.streams.getMessage(stream, { last_by_subj: `${stream}.${subject}` });
      return message === null ? null : { value: parsed(message.string()), writtenMs: message.time.getTime() };
    } catch (error) {
      if (apiCodeOf(error) === CODES.noMessageFound) return null;
      throw error;
    }
  }

  /** Resolves when the server has it. */
  async write(subject: string, value: unknown): Promise<void> {
    await this.#open();
    const stream = notesStream(this.#settings.prefix);
    const answer = await this.#link.nc.request(`${stream}.${subject}`, JSON.stringify(value), {
      timeout: this.#settings.publishTimeoutMs,
    });
    const { error } = answer.json<{ error?: { description?: string } }>();
    if (error !== undefined) throw new Error(`the note ${subject} was not taken: ${error.description}`);
  }

  /** The subjects of all notes below this one. */
  async below(subject: string): Promise<readonly string[]> {
    await this.#open();
    const stream = notesStream(this.#settings.prefix);
    const { state } = await this.#link.api.streams.info(stream, { subjects_filter: `${stream}.${subject}.>` });
    return Object.keys(state.subjects ?? {}).map((each) => each.slice(stream.length + 1));
  }

  /** Removes a note, or all below it (`subject.>`). Nobody waits for it: a note that stays is gone by its age. */
  forget(subject: string): void {
    const stream = notesStream(this.#settings.prefix);
    this.#link.api.streams.purge(stream, { filter: `${stream}.${subject}` }).catch(() => {});
  }

  #open(): Promise<unknown> {
    this.#ready ??= ensureStream(this.#link, notesStreamOf(this.#settings), this.#settings.create).catch(
      (error: unknown) => {
        this.#ready = undefined;
        throw error;
      },
    );
    return this.#ready;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
