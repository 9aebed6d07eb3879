/**
 * For how many jobs a worker asks at once. Pure.
 */

/**
 * One that found all it asked for asks for more: two, then four times as many each time, up to its free places. One that did not has seen
 * the end of the queue, and asks for as many as there were. A message that comes alone costs one look for a second one, and a burst of
 * thirty-two comes in four round trips.
 */
export function nextAsk(asked: number, found: number): number {
  if (found < asked) return Math.max(1, found);
  return asked === 1 ? 2 : asked * 4;
}
