/**
 * How much processor time servers on this machine have taken, from /proc.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Database } from '../../src/postgres/database.ts';

/** A tick of /proc on every Linux that Node runs on, in ms. */
const TICK_MS = 10;

/** Of all its processes until now, those that have ended among them, in ms. Null where there is no /proc to see it in. */
export async function serverCpuMs(database: Database): Promise<number | null> {
  const { rows } = await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const postmaster = statOf(String(rows[0]?.pid))?.parent;
  if (postmaster === undefined) return null;
  let ticks = 0;
  for (const pid of processIds()) {
    const stat = statOf(pid);
    if (stat === null) continue;
    if (pid === postmaster) ticks += stat.own + stat.ofTheEnded;
    else if (stat.parent === postmaster) ticks += stat.own;
  }
  return ticks * TICK_MS;
}

/**
 * Of all processes that this one has started, and that these have started, until now, in ms. 0 where there is no /proc to see it in.
 */
export function childrenCpuMs(): number {
  const stats = new Map<string, Stat>();
  for (const pid of processIds()) {
    const stat = statOf(pid);
    if (stat !== null) stats.set(pid, stat);
  }
  let ticks = 0;
  for (const [pid, { own }] of stats) if (pid !== String(process.pid) && isBelowUs(pid, stats)) ticks += own;
  return ticks * TICK_MS;
}

function isBelowUs(pid: string, stats: ReadonlyMap<string, Stat>): boolean {
  for (let at: string | undefined = pid; at !== undefined; at = stats.get(at)?.parent)
    if (at === String(process.pid)) return true;
  return false;
}

function processIds(): readonly string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

interface Stat {
  readonly parent: string;
  /** User and system, in ticks. */
  readonly own: number;
  readonly ofTheEnded: number;
}

function statOf(pid: string): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before may contain anything, blanks and brackets too.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const sum = (...indices: readonly number[]): number =>
      indices.reduce((total, index) => total + Number(fields[index]), 0);
    return { parent: fields[1] ?? '', own: sum(11, 12), ofTheEnded: sum(13, 14) };
  } catch {
    // It has ended, or this is no Linux.
    return null;
  }
}
