/**
 * The world outside of sagas: a file that steps append to, which no rollback reaches and which survives the death of the process. It
 * is what a payment provider would know: who did what, under which key, in which attempt, with which fencing token, and when.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';

export interface OutsideEntry {
  /** The process that wrote it. */
  readonly by: string;
  readonly what: 'do' | 'compensate';
  readonly run: string;
  readonly call: string;
  /** The idempotency key. */
  readonly key: string;
  readonly amount: number;
  readonly attempt: number;
  /** The fencing token. */
  readonly token: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Written by a handler that went on although its signal had aborted. */
  readonly late?: true;
}

export interface Outside {
  append(entry: OutsideEntry): void;
  /** Whether anything was done under the key. */
  knows(key: string): boolean;
  close(): void;
}

export function openOutside(path: string): Outside {
  const file = openSync(path, 'a');
  return {
    // One write of a whole line: appends of several processes do not mix.
    append: (entry) => void writeSync(file, `${JSON.stringify(entry)}\n`),
    knows: (key) => readOutside(path).some((entry) => entry.key === key),
    close: () => closeSync(file),
  };
}

/** In the order of writing. */
export function readOutside(path: string): readonly OutsideEntry[] {
  const lines = readFileSync(path, { encoding: 'utf8', flag: 'a+' }).split('\n');
  lines.pop();
  return lines.map((line) => JSON.parse(line) as OutsideEntry);
}
