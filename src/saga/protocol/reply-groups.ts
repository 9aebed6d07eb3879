/**
 * Stores replies in groups: one statement for all that have gathered, as soon as the one before is back. No timer holds anything up: one
 * that comes alone goes at once, and takes one exchange with the database.
 *
 * What goes wrong with a group says nothing of its members: each then goes by itself, in a transaction of its own, and its mark tells
 * whether the group was stored after all.
 */
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { describeError } from '../../runtime/describe-error.ts';
import type { Logger } from '../../runtime/log.ts';
import type { ArrivedReply } from './read-reply.ts';

/** stored: with its mark. known: it has a mark already. alone: nothing is known of it; it is to go by itself. */
export type GroupAnswer = 'stored' | 'known' | 'alone';

export interface ReplyGroupsOptions {
  readonly database: Database;
  readonly consumer: string;
  /** The body of a run message as it is stored. */
  readonly bodyText: (runId: string, body: string) => string;
  readonly crash: CrashPoint;
  readonly log: Logger;
}

interface Waiting {
  readonly reply: ArrivedReply;
  readonly resolve: (answer: GroupAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/** Most replies in one statement. */
const MOST_IN_GROUP = 200;
/** Most characters of them, unless one has more by itself. */
const MOST_TEXT_IN_GROUP = 4 * 1024 * 1024;
/** How long an answer is waited for, in milliseconds. */
const TIMEOUT_MS = 10_000;

export class ReplyGroups {
  readonly #options: ReplyGroupsOptions;
  readonly #sql: string;
  #waiting: Waiting[] = [];
  #isUnderWay = false;

  constructor(options: ReplyGroupsOptions) {
    this.#options = options;
    this.#sql = `SELECT ${quoteIdentifier(options.database.schema)}.post_saga_replies($1, $2::uuid[], $3::uuid[], $4::text[]) AS answers`;
  }

  /** Rejects only with what a crash point throws. */
  post(reply: ArrivedReply): Promise<GroupAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ reply, resolve, reject });
      if (!this.#isUnderWay) void this.#postAll();
    });
  }

  async #postAll(): Promise<void> {
    this.#isUnderWay = true;
    while (this.#waiting.length > 0) {
      const group = this.#next();
      try {
        const answers = await this.#postGroup(group);
        for (const [place, { resolve }] of group.entries()) resolve(answers[place] ?? 'alone');
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#isUnderWay = false;
  }

  /** A message that is in it already waits for the next one. */
  #next(): readonly Waiting[] {
    const group: Waiting[] = [];
    const left: Waiting[] = [];
    const ids = new Set<string>();
    let text = 0;
    for (const each of this.#waiting) {
      const { messageId, body } = each.reply;
      text += body.length;
      const fits = group.length === 0 || (group.length < MOST_IN_GROUP && text <= MOST_TEXT_IN_GROUP);
      if (fits && !ids.has(messageId)) group.push(each);
      else left.push(each);
      ids.add(messageId);
    }
    this.#waiting = left;
    return group;
  }

  async #postGroup(group: readonly Waiting[]): Promise<readonly GroupAnswer[]> {
    const { database, consumer, bodyText, crash, log } = this.#options;
    const replies = group.map(({ reply }) => reply);
    const values = [
      consumer,
      replies.map(({ messageId }) => messageId),
      replies.map(({ runId }) => runId),
      replies.map(({ runId, body }) => bodyText(runId, body)),
    ];
    crash('reply.post:before');
    const answered = await database
      .query<{ answers: readonly string[] }>(this.#sql, values, { timeoutMs: TIMEOUT_MS })
      .catch((error: unknown) => {
        log.warn(
          { replies: replies.length, error: describeError(error) },
          'replies could not be stored together: each goes by itself',
        );
        return null;
      });
    if (answered === null) return [];
    crash('reply.post:after');
    // What is for no run here has been left alone, and its own attempt finds out what becomes of it.
    return (answered.rows[0]?.answers ?? []).map((answer) =>
      answer === 'stored' || answer === 'known' ? answer : 'alone',
    );
  }
}
