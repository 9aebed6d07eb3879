/**
 * The log of the services, as `holdfast dev` shows it: warnings and errors, unless more is asked for, in one line each. Pure.
 */
import type { LogLevel } from '../../runtime/json-logger.ts';
import { oneLine } from '../output/format.ts';
import type { LineTone } from './run-lines.ts';

/** Null: a line that is no log, as a program of the user's prints. */
export interface ServiceLogEntry {
  readonly level: string;
  readonly msg: string;
  /** What it is about, where that is told. */
  readonly about: string;
}

/** What the lines about runs tell of already, from the journal. */
const TOLD_OF = new Set(['a step gave up', 'a run was compensated', 'a run is stuck and needs a person']);
const LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] satisfies LogLevel[];

export function logEntry(line: string): ServiceLogEntry | null {
  if (!line.startsWith('{')) return null;
  try {
    const { level, msg, err, reason, ...more } = JSON.parse(line) as Record<string, unknown>;
    if (typeof level !== 'string' || typeof msg !== 'string' || !LEVELS.includes(level)) return null;
    const names = ['saga', 'step', 'call', 'consumer', 'subscription', 'topic', 'key'];
    const facts = names.flatMap((name) => (typeof more[name] === 'string' ? [`${name} ${more[name]}`] : []));
    const why = messageOf(err) ?? (typeof reason === 'string' ? reason : undefined);
    return { level, msg, about: [facts.join(', '), why ?? ''].filter((part) => part !== '').join(': ') };
  } catch {
    return null;
  }
}

function messageOf(err: unknown): string | undefined {
  const message = typeof err === 'object' && err !== null && 'message' in err ? err.message : undefined;
  return typeof message === 'string' ? message : undefined;
}

/** How it is told; null: it is not. */
export function toldOf(
  { level, msg, about }: ServiceLogEntry,
  from: LogLevel,
): { readonly what: string; readonly tone: LineTone } | null {
  if (LEVELS.indexOf(level) < LEVELS.indexOf(from) || TOLD_OF.has(msg)) return null;
  const tone = level === 'error' || level === 'fatal' ? 'bad' : level === 'warn' ? 'notable' : 'plain';
  return { tone, what: about === '' ? msg : `${msg} (${oneLine(about, 300)})` };
}
