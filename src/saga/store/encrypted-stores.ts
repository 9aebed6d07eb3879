/**
 * The stores of workers and clients, with the values of runs encrypted on their way in and opened on their way out. Without a codec nothing
 * is changed on the way in; what was encrypted by others is still recognised on the way out, since code must not be told what it cannot read.
 *
 * A run that cannot be opened here is nobody's fault: a worker with the key may be on its way, or beside this one. So it is let go, as it is,
 * and looked at again later; that is said in the log.
 */
import { isDeepStrictEqual } from 'node:util';
import { isHoldfastError } from '../../errors.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import type { Logger } from '../../runtime/log.ts';
import { skippedOf } from '../journal/end-error.ts';
import type { JournalRow } from '../journal/events.ts';
import {
  encryptBody,
  encryptError,
  encryptEvents,
  openBody,
  openEnd,
  openEvent,
  placeOfEnd,
  placeOfInput,
  type RunName,
} from './encrypted-values.ts';
import type {
  ClaimedRun,
  ClientStore,
  RunCommit,
  RunMessage,
  RunMessageBody,
  RunView,
  StartedRun,
  StartRequest,
  WorkerStore,
} from './store.ts';

/** When a run that cannot be opened is looked at again, in milliseconds. */
const LOOK_AGAIN_MS = 30_000;
/** Runs and messages that were named in the log. */
const MOST_NAMED = 1_000;

/** @param codec null: nothing is encrypted, and nothing can be opened */
export function encryptedWorkerStore<Store extends WorkerStore>(
  store: Store,
  { codec, log }: { readonly codec: PayloadCodec | null; readonly log: Logger },
): Store {
  const named = new Set<string>();
  const say = (id: string, error: unknown, fields: object, message: string): void => {
    if (!isHoldfastError(error, 'HF_PAYLOAD_ENCRYPTED')) throw error;
    if (named.has(id) || named.size >= MOST_NAMED) return;
    named.add(id);
    log.error({ ...fields, code: error.code, ...error.details }, message);
  };
  const openAll = async (workerId: string, claimed: readonly ClaimedRun[]): Promise<readonly ClaimedRun[]> => {
    const opened: ClaimedRun[] = [];
    const closed: string[] = [];
    for (const run of claimed) {
      try {
        opened.push(openRun(run, codec));
      } catch (error) {
        closed.push(run.id);
        const about = { run: run.id, saga: run.saga };
        say(run.id, error, about, 'a run cannot be read here, and is left for a worker that has the key');
      }
    }
    if (closed.length > 0) await store.letGo(workerId, closed, LOOK_AGAIN_MS);
    return opened;
  };
  const openMessages = (runMessages: readonly RunMessage[]) => {
    const closed = new Set<string>();
    const opened = runMessages.flatMap((each) => {
      try {
        return [openMessage(each, codec)];
      } catch (error) {
        closed.add(each.runId);
        say(each.id, error, { run: each.runId, kind: each.body.kind }, 'a run message cannot be read here, and waits');
        return [];
      }
    });
    return { opened, closed };
  };
  return {
    ...store,
    async claim(workerId, wanted, room) {
      return openAll(workerId, await store.claim(workerId, wanted, room));
    },
    async collect(workerId, options) {
      const { runMessages, claimed, unread } = await store.collect(workerId, options);
      const { opened, closed } = openMessages(runMessages);
      return {
        runMessages: opened,
        claimed: await openAll(workerId, claimed),
        // A timer must not be told before what came earlier.
        unread: closed.size === 0 ? unread : [...new Set([...unread, ...closed])],
      };
    },
    ...(codec === null ? {} : encryptedWrites(store, codec)),
  };
}

function encryptedWrites(store: WorkerStore, codec: PayloadCodec): Pick<WorkerStore, 'commit' | 'transaction'> {
  // A run has its name in its first commit only; later ones have no input of the whole run.
  const encrypted = (commit: RunCommit): RunCommit => encryptCommit(commit, codec);
  return {
    commit: (workerId, runs) => store.commit(workerId, runs.map(encrypted)),
    transaction: (workerId, body, runner) =>
      store.transaction(workerId, async (tx) => encrypted(await body(tx)), runner),
  };
}

function encryptCommit(commit: RunCommit, codec: PayloadCodec): RunCommit {
  const { runId, start, journal, update, runMessages, children } = commit;
  const run: RunName = { id: runId, saga: start?.saga ?? '' };
  return {
    ...commit,
    journal: journal === null ? null : { ...journal, events: encryptEvents(journal.events, codec, run) },
    update:
      update === null
        ? null
        : {
            ...update,
            result: update.result === null ? null : codec.encode(update.result, placeOfEnd(runId, 'result')),
            error: update.error === null ? null : encryptError(update.error, codec, placeOfEnd(runId, 'error')),
          },
    runMessages: runMessages.map((each) => ({
      ...each,
      body: JSON.parse(encryptBody(JSON.stringify(each.body), codec, each.runId)) as RunMessageBody,
    })),
    children: children.map((child) => ({ ...child, journal: encryptEvents(child.journal, codec, child) })),
  };
}

/** The same run where nothing of it is encrypted, and so below. */
function openRun(run: ClaimedRun, codec: PayloadCodec | null): ClaimedRun {
  const journal = openRows(run.journal, codec, run);
  const runMessages = changed(run.runMessages, (each) => openMessage(each, codec));
  return journal === run.journal && runMessages === run.runMessages ? run : { ...run, journal, runMessages };
}

function openRows(rows: readonly JournalRow[], codec: PayloadCodec | null, run: RunName): readonly JournalRow[] {
  return changed(rows, (row) => {
    const events = changed(row.events, (event) => openEvent(event, codec, run));
    return events === row.events ? row : { ...row, events };
  });
}

/** As `map`, but the same list where nothing in it has become another. */
function changed<T>(list: readonly T[], change: (each: T) => T): readonly T[] {
  let result: T[] | null = null;
  for (const [index, each] of list.entries()) {
    const next = change(each);
    if (next !== each) result ??= [...list];
    if (result !== null) result[index] = next;
  }
  return result ?? list;
}

function openMessage(runMessage: RunMessage, codec: PayloadCodec | null): RunMessage {
  const body = openBody(runMessage.body, codec, runMessage.runId);
  return body === runMessage.body ? runMessage : { ...runMessage, body };
}

/** @param codec null: the store as it is */
export function encryptedClientStore<Tx>(store: ClientStore<Tx>, codec: PayloadCodec | null): ClientStore<Tx> {
  if (codec === null) return store;
  const openView = (view: RunView): RunView => {
    const result = openIfPossible(view.result, (value) => openEnd(value, codec, view.id, 'result'));
    const error = openIfPossible(view.error, (value) => openEnd(value, codec, view.id, 'error'));
    return { ...view, result, error, skipped: skippedOf(error) };
  };
  /** Whether a run that was there was started with that input: the same one is another text under another key. */
  const hasInput = async (id: string, { saga, input }: StartRequest): Promise<boolean> => {
    const [first] = (await store.journal(id)).flatMap(({ events }) => events);
    if (first?.t !== 'started') return false;
    const { input: kept } = openEvent(first, codec, { id, saga }) as { readonly input?: unknown };
    return isDeepStrictEqual(kept, JSON.parse(input));
  };
  return {
    ...store,
    read: async (ids) => (await store.read(ids)).map(openView),
    async journal(id) {
      const [rows, [view]] = await Promise.all([store.journal(id), store.read([id])]);
      return openIfPossible(rows, () => openRows(rows, codec, { id, saga: view?.saga ?? '' }));
    },
    async start(tx, requests) {
      const encrypted = requests.map((each) => ({
        ...each,
        // The database compares what two starts under one key were given.
        input: codec.encode(each.input, placeOfInput(each.saga), each.key !== null),
      }));
      const started = await store.start(tx, encrypted);
      return Promise.all(
        started.map(async (each, index): Promise<StartedRun> => {
          const { otherInput = false, ...rest } = each;
          const request = requests[index];
          if (!otherInput || request === undefined || !(await hasInput(each.id, request))) return each;
          return rest;
        }),
      );
    },
    postRunMessage: (tx, runId, body, statuses) =>
      store.postRunMessage(
        tx,
        runId,
        JSON.parse(encryptBody(JSON.stringify(body), codec, runId)) as RunMessageBody,
        statuses,
      ),
  };
}

/** What is shown is shown as it is kept, where it cannot be opened. */
function openIfPossible<T>(kept: T, open: (value: T) => T): T {
  try {
    return open(kept);
  } catch (error) {
    if (isHoldfastError(error, 'HF_PAYLOAD_ENCRYPTED')) return kept;
    throw error;
  }
}
