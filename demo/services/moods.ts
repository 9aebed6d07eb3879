/**
 * How a participant behaves while it is asked for something: well, clumsily, slowly, or not at all; and how it dies in the middle.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Rejection, type Database } from '../../src/index.ts';
import { patienceOf } from '../saga.ts';
import type { Task } from '../troubles.ts';
import { moodOf, type World } from '../world.ts';

export interface Moods {
  /** Refuses what was made to fail by hand. Throws a Rejection. */
  admit(task: Task): void;
  /** From now on the task is refused with these words; null: it is mended. */
  setTrouble(task: Task, says: string | null): void;
  /** Before anything is written: a slow one answers after the command was sent again, a silent one after it was given up. */
  first(task: string, orderId: string): Promise<void>;
  /** When all is written and everything must be compensated: a clumsy one fails at its first attempt, and one that is to die does it here. */
  last(task: string, orderId: string, attempt: number): Promise<void>;
  /** From now on the next piece of work is the last one. */
  dieAtWork(): void;
}

/** For so many times the patience of those who wait. */
const SLOW = 1.4;
const SILENT = 3.6;

/** What has had its pause. One that comes again, because it took so long, or after a kill, is answered at once. */
export const PAUSES = 'CREATE TABLE pause (what text PRIMARY KEY)';

export function createMoods(world: World, database: Database): Moods {
  let dying = false;
  const troubles = new Map<Task, string>();
  return {
    admit(task) {
      const says = troubles.get(task);
      if (says !== undefined) throw new Rejection(says);
    },
    setTrouble(task, says) {
      if (says === null) troubles.delete(task);
      else troubles.set(task, says);
    },
    async first(task, orderId) {
      const mood = moodOf(world, orderId, task);
      if (mood !== 'slow' && mood !== 'silent') return;
      // Not in the transaction of the work: a pause that was broken off by a kill has been, too.
      const { rowCount } = await database.query('INSERT INTO pause VALUES ($1) ON CONFLICT DO NOTHING', [
        `${task} ${orderId}`,
      ]);
      if (rowCount === 1) await sleep((mood === 'slow' ? SLOW : SILENT) * patienceOf(world));
    },
    async last(task, orderId, attempt) {
      if (dying) {
        process.kill(process.pid, 'SIGKILL');
        await new Promise(() => {});
      }
      if (attempt === 1 && moodOf(world, orderId, task) === 'clumsy') throw new Error(`${task}: it slipped.`);
    },
    dieAtWork() {
      dying = true;
    },
  };
}
