/**
 * The records of a participant's calls in memory: what it has done for which call of which run. Held by test/conformance/participant.ts to
 * what the table does.
 */
import { HoldfastError } from '../../errors.ts';
import type { Statement, StatementResult } from '../../inbox/handlers/unit-of-work.ts';
import type {
  CallRow,
  ClosingCall,
  EnteredCall,
  EnteringCall,
  ParticipantStore,
} from '../../saga/participant/participant-store.ts';
import type { MemoryInbox } from './memory-inbox.ts';
import type { MemoryDatabase, MemoryWork } from './memory-work.ts';

interface StoredCall extends CallRow {
  readonly at: number;
}

export class MemoryCalls implements ParticipantStore {
  readonly #database: MemoryDatabase;
  readonly #participant: string;
  readonly #inbox: MemoryInbox;
  readonly #rows = new Map<string, StoredCall>();
  /** Those that an open transaction has written, which nobody else sees. */
  readonly #written = new WeakMap<MemoryWork, Map<string, CallRow | null>>();

  constructor(database: MemoryDatabase, participant: string, inbox: MemoryInbox) {
    this.#database = database;
    this.#participant = participant;
    this.#inbox = inbox;
    database.register(this.#name('enter'), (work, [calls, marked]) =>
      this.#enterAll(work, JSON.parse(String(calls)) as readonly EnteringCall[], marked === 'true'),
    );
    database.register(this.#name('end'), (work, [calls]) => {
      const given = JSON.parse(String(calls)) as readonly ClosingCall[];
      for (const each of given) this.#end(work, each);
      return { count: given.length, rows: [] };
    });
  }

  enter(calls: readonly EnteringCall[], marked: boolean): Statement {
    return { sql: this.#name('enter'), parameters: [JSON.stringify(calls), String(marked)] };
  }

  readEntered({ rows }: StatementResult): readonly (EnteredCall | null)[] {
    return rows.map(({ entered }) => entered as EnteredCall | null);
  }

  end(calls: readonly ClosingCall[]): Statement {
    return { sql: this.#name('end'), parameters: [JSON.stringify(calls)] };
  }

  async prune(
    execute: Parameters<ParticipantStore['prune']>[0],
    kind: 'effect' | 'no effect',
    olderThanMs: number,
    limit: number,
  ): Promise<number> {
    const before = this.#database.now() - olderThanMs;
    const hasEffect = ({ state }: CallRow): boolean => state === 'done' || state === 'compensated';
    const old = [...this.#rows]
      .filter(([, row]) => row.at < before && hasEffect(row) === (kind === 'effect'))
      .slice(0, limit);
    this.#database.workOf(execute).onCommit(() => old.forEach(([key]) => this.#rows.delete(key)));
    return old.length;
  }

  async #enterAll(work: MemoryWork, calls: readonly EnteringCall[], marked: boolean): Promise<StatementResult> {
    const rows: { readonly entered: EnteredCall | null }[] = [];
    for (const call of calls) {
      const isNew = marked || (await this.#inbox.markIn(work, call.messageId));
      rows.push({ entered: isNew ? await this.#enter(work, call) : null });
    }
    return { count: rows.length, rows };
  }

  /** Waits for who is writing the same record. */
  async #enter(work: MemoryWork, { runId, call, role, command, withoutRow }: EnteringCall): Promise<EnteredCall> {
    if (role === null || runId === null || call === null) return { finding: 'new', state: null };
    const key = `${runId}:${call}`;
    await work.lock(this.#name(key));
    const row = this.#rows.get(key);
    if (row !== undefined) return { finding: 'known', row };
    const state = role === 'command' ? 'done' : withoutRow;
    if (state === null) return { finding: 'none' };
    this.#write(work, key, { state, command, reply: null });
    return { finding: 'new', state };
  }

  #end(work: MemoryWork, { runId, call, change }: ClosingCall): void {
    if (change === null) return;
    const key = `${runId}:${call}`;
    const written = this.#written.get(work)?.get(key) ?? this.#rows.get(key);
    if (written === undefined)
      throw new HoldfastError('HF_TRANSACTION_ABORTED', `The record of the call ${call} is gone.`);
    if (change.state === 'withdrawn') this.#write(work, key, null);
    else
      this.#write(work, key, {
        command: written.command,
        reply: 'answer' in change ? change.answer : written.reply,
        state: change.state,
      });
  }

  #write(work: MemoryWork, key: string, row: CallRow | null): void {
    const mine = this.#written.get(work) ?? new Map<string, CallRow | null>();
    this.#written.set(work, mine);
    mine.set(key, row);
    work.onCommit(() => {
      if (row === null) this.#rows.delete(key);
      else this.#rows.set(key, { ...row, at: this.#database.now() });
    });
  }

  #name(of: string): string {
    return `calls of ${this.#participant}: ${of}`;
  }
}
