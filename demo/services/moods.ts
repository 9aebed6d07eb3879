/**
 * How a participant behaves while it is asked for something: well, clumsily, slowly, or not at all; and how it dies in the middle.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PATIENCE_MS } from '../saga.ts';
import { moodOf, type World } from '../world.ts';

export interface Moods {
  /** Before anything is written: a slow one answers after the command was sent again, a silent one after it was given up. */
  first(task: string, orderId: string): Promise<void>;
  /** When all is written and everything must be undone: a clumsy one fails at its first attempt, and one that is to die does it here. */
  last(task: string, orderId: string, attempt: number): Promise<void>;
  /** From now on the next piece of work is the last one. */
  dieAtWork(): void;
}

const SLOW_MS = 1.4 * PATIENCE_MS;
const SILENT_MS = 3.6 * PATIENCE_MS;

export function createMoods(world: World): Moods {
  /** What has had its pause: one that comes again, because it took so long, is answered at once. */
  const paused = new Set<string>();
  let dying = false;
  return {
    async first(task, orderId) {
      const mood = moodOf(world, orderId, task);
      if (paused.has(`${task} ${orderId}`) || (mood !== 'slow' && mood !== 'silent')) return;
      paused.add(`${task} ${orderId}`);
      await sleep(mood === 'slow' ? SLOW_MS : SILENT_MS);
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
