/**
 * Which process a number means. Numbers are given anew when a process has ended, so a number that was written down goes with when its
 * process began.
 */
import { readFileSync } from 'node:fs';
import { output } from './machine.ts';

/** Not for what has ended and was not yet asked for by its parent. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // It is there, and another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return statOf(pid)?.[0] !== 'Z';
}

/** When it began, in the words of the system; null when that is not to be had, or it is gone. */
export function beganAt(pid: number): string | null {
  if (process.platform !== 'linux') return output('ps', ['-o', 'lstart=', '-p', String(pid)]) ?? null;
  return statOf(pid)?.[19] ?? null;
}

/** The fields behind the name of the program, which may hold anything: the first is the state. Linux alone has them. */
function statOf(pid: number): readonly string[] | null {
  if (process.platform !== 'linux') return null;
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}
