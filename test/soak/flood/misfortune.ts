/**
 * What handlers of the flood suffer, drawn from the number of the message, so that it is the same wherever the message is handled.
 */
import { chance, type World } from '../../../demo/world.ts';
import type { Drop } from './messages.ts';

/** once: the first attempt fails. good: every attempt fails, until an operator has mended it. hangs: the first attempt does not end. */
export type Misfortune = 'none' | 'once' | 'good' | 'hangs';

const ONCE = 0.002;
const GOOD = 0.000_1;
const HANGS = 0.000_04;

export function misfortuneOf(world: World, { stream, n }: Drop): Misfortune {
  const luck = chance(world, stream, n);
  if (luck < ONCE) return 'once';
  if (luck < ONCE + GOOD) return 'good';
  return luck < ONCE + GOOD + HANGS ? 'hangs' : 'none';
}
