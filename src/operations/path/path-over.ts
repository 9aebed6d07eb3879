/**
 * One message's whole way over several databases: it is written in the one of its sender, and has the same id in the inbox of whoever handles
 * it, which may be in another. Each database is asked what it knows by itself; what it takes to know more (which message it is, what was
 * sent while it was handled, what led to it) goes from one to the others in rounds.
 */
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';
import type { Database } from '../../postgres/database.ts';
import {
  AskedDatabases,
  type PatienceOptions,
  type DatabaseAnswer,
  type SilentDatabase,
} from '../databases/ask-each.ts';
import { boundedRead } from '../reads/bounded.ts';
import { assertMessageId, subscriptionPassages } from '../reads/messages.ts';
import {
  isNowhere,
  NO_SURROUNDINGS,
  noSuchMessage,
  originFacts,
  readTraces,
  type MessageTraces,
  type Surroundings,
} from './message-path.ts';
import { followLed, readBehind, readMarked, type Led } from './path-led.ts';
import { MOST_CAUSES, readCauses, readTogether, type OriginRow } from './path-message.ts';
import type { InDatabase, MessagePath, PathAnswer, PathCause, PathMessage } from './path-model.ts';
import { readAnswer, readSender } from './path-saga.ts';
import { storyOf } from './path-story.ts';
import { readParticipants } from './path-visits.ts';

/** What {@link pathOver} answers. */
export interface PathOver {
  /** Everything in it says in which database it is. */
  readonly path: MessagePath;
  /** Those that did not answer: what they know is missing. */
  readonly silent: readonly SilentDatabase[];
}

/**
 * All of it within the time of one question. Rejects with HF_NOT_FOUND for what has left no trace anywhere, HF_READ_TIMEOUT where one that did
 * not answer may have it, HF_CONFIG for what is no id.
 */
export async function pathOver(
  databases: ReadonlyMap<string, Database>,
  id: string,
  options: PatienceOptions = {},
): Promise<PathOver> {
  assertMessageId(id);
  const lowerId = id.toLowerCase();
  const asked = new AskedDatabases(databases, options);
  const traces = await asked.each(async (database) => {
    const passages = await subscriptionPassages(database, lowerId);
    return boundedRead(database, (read) => readTraces(read, lowerId, passages));
  });
  const home = homeOf(traces);
  if (home === null) throw nowhere(lowerId, asked);
  const { origin } = home.value;
  const facts = {
    ...originFacts(lowerId, origin),
    ...(origin.message === null && origin.scheduled === null ? {} : { database: home.database }),
    relays: placedIn(traces, ({ relays }) => relays),
    consumers: placedIn(traces, ({ consumers }) => consumers),
    ...(origin.message === null
      ? NO_SURROUNDINGS
      : await surroundings(asked, home.database, { ...origin, message: origin.message })),
  };
  return { path: { ...facts, steps: storyOf(facts) }, silent: asked.silent };
}

type Traces = readonly DatabaseAnswer<MessageTraces>[];

/** The one whose outbox has it; or where it is scheduled; or one where it was. Null: it has left no trace. Pure. */
function homeOf(traces: Traces): Traces[number] | null {
  return (
    traces.find(({ value: { origin } }) => origin.message !== null) ??
    traces.find(({ value: { origin } }) => origin.scheduled !== null) ??
    traces.find(({ value }) => !isNowhere(value)) ??
    null
  );
}

/** What each has, with its name. Pure. */
function placedIn<T, Item extends object>(
  answers: readonly DatabaseAnswer<T>[],
  itemsOf: (value: T) => readonly Item[],
): readonly (Item & InDatabase)[] {
  return answers.flatMap(({ database, value }) => itemsOf(value).map((item) => ({ ...item, database })));
}

type LoggedOrigin = OriginRow & { readonly message: PathMessage };

async function surroundings(
  asked: AskedDatabases,
  home: string,
  { message, reply }: LoggedOrigin,
): Promise<Surroundings> {
  const found = await asked.each((database, name) =>
    boundedRead(database, async (read) => ({
      participants: await readParticipants(read, message),
      answer: await readAnswer(read, message, reply),
      ofHome:
        name !== home
          ? null
          : {
              causes: await readCauses(read, message.id),
              together: await readTogether(read, message),
              sender: reply === null ? await readSender(read, message) : null,
            },
    })),
  );
  const ofHome = found.find(({ value }) => value.ofHome !== null)?.value.ofHome ?? null;
  const { sender = null, together = NO_SURROUNDINGS.together } = ofHome ?? {};
  const led = await ledOver(asked, home, message);
  return {
    causes: await causesOver(asked, message, placed(ofHome?.causes ?? [], home)),
    together: { messages: together.messages, runs: placed(together.runs, home) },
    sender: sender === null || sender.run === null ? sender : { ...sender, run: { ...sender.run, database: home } },
    answer: answerOf(found.map(({ database, value }) => ({ database, value: value.answer }))),
    participants: placedIn(found, ({ participants }) => participants),
    led: led.messages,
    ledComplete: led.complete && asked.silent.length === 0,
  };
}

function placed<Item extends object>(items: readonly Item[], database: string): readonly (Item & InDatabase)[] {
  return items.map((item) => ({ ...item, database }));
}

/** As the database with the run tells it. Pure. */
function answerOf(answers: readonly DatabaseAnswer<PathAnswer | null>[]): PathAnswer | null {
  const known = answers.find(({ value }) => value?.run !== null && value?.run !== undefined);
  const { database, value } = known ?? { database: '', value: null };
  if (value === null || value.run === null) return answers.find((each) => each.value !== null)?.value ?? null;
  return { ...value, run: { ...value.run, database } };
}

/** Handlers of one database may send what another one handles: each level is looked for in all of them. */
async function ledOver(asked: AskedDatabases, home: string, message: PathMessage): Promise<Led> {
  return followLed(message, {
    marked: async (ids) => {
      const levels = await asked.each((database) => boundedRead(database, (read) => readMarked(read, ids)));
      return levels.some(({ value }) => value === null) ? null : placedIn(levels, (value) => value ?? []);
    },
    behind: async () => {
      const rows = await asked.each(async (database, name) =>
        name === home ? boundedRead(database, (read) => readBehind(read, message)) : [],
      );
      return rows.some(({ value }) => value === null) ? null : placedIn(rows, (value) => value ?? []);
    },
  });
}

/** Where the chain ends in one database, it may go on in another: what led to a reply is in the outbox of whoever sent the command. */
async function causesOver(
  asked: AskedDatabases,
  message: PathMessage,
  ofHome: readonly PathCause[],
): Promise<readonly PathCause[]> {
  const causes = [...ofHome];
  const seen = new Set([message.id, ...causes.map(({ id }) => id)]);
  for (;;) {
    const next = (causes.at(-1) ?? message).causationId?.toLowerCase() ?? null;
    if (!isUuid(next) || seen.has(next) || causes.length >= MOST_CAUSES) return causes.slice(0, MOST_CAUSES);
    const chains = await asked.each((database) =>
      boundedRead(database, (read) => readCauses(read, next, { itself: true })),
    );
    const chain = placedIn(chains.filter(({ value }) => value.length > 0).slice(0, 1), (value) => value);
    if (chain.length === 0) return causes;
    for (const each of chain) seen.add(each.id);
    causes.push(...chain);
  }
}

function nowhere(id: string, asked: AskedDatabases): HoldfastError {
  const silent = asked.silent.map(({ database }) => database).join(', ');
  if (silent === '') return noSuchMessage(id);
  const where = asked.names.length === 0 ? '' : ` It is not in ${asked.names.join(', ')}.`;
  return new HoldfastError('HF_READ_TIMEOUT', `${silent} did not answer, and may have the message ${id}.${where}`, {
    advice: 'Ask again when all of them answer.',
    details: { id },
  });
}
