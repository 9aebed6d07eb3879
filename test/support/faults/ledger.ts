/**
 * What happened, told outside the databases under test: a file that processes append to before they acknowledge anything, so
 * that it survives their death and cannot be rolled back.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OutboundMessage } from '../../../src/transport/port.ts';
import type { Tick } from './domain.ts';

/** One message that the broker took. */
export interface PublishedEntry {
  /** Which process published it. */
  readonly by: string;
  readonly id: string;
  readonly key: string | null;
  readonly n: number;
  /** Set when it was published again on request. */
  readonly replayId: string | null;
  /** The id of the message that it names as its key's predecessor. */
  readonly after: string | null;
}

export interface Ledger {
  readonly path: string;
  /** On disk when it returns. */
  append(entries: readonly PublishedEntry[]): void;
  close(): void;
}

export function openLedger(path: string): Ledger {
  const file = openSync(path, 'a');
  return {
    path,
    append(entries) {
      if (entries.length === 0) return;
      // One write of whole lines: appends of several processes do not mix.
      writeSync(file, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
      fdatasyncSync(file);
    },
    close: () => closeSync(file),
  };
}

/** In the order of writing. A line cut short by a death was never acknowledged and does not count. */
export function readLedger(path: string): readonly PublishedEntry[] {
  const lines = readFileSync(path, { encoding: 'utf8', flag: 'a+' }).split('\n');
  lines.pop();
  return lines.map((line) => JSON.parse(line) as PublishedEntry);
}

export function entryOf(by: string, message: OutboundMessage): PublishedEntry {
  const { data, predecessorid } = JSON.parse(message.wire) as { data: Tick; predecessorid?: string };
  return { by, id: message.id, key: message.key, n: data.n, replayId: message.replayId, after: predecessorid ?? null };
}

/** A path for a ledger of one case, and its removal. */
export function temporaryLedger(): { readonly path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-faults-'));
  return { path: join(folder, 'ledger'), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
