/**
 * Programs that tests start as processes; global-setup.ts has compiled them.
 */
import { inject } from 'vitest';

/** @param name of its source, such as 'relay-child.ts' */
export function programPath(name: string): string {
  const path = inject('programs')[name];
  if (path === undefined) throw new Error(`${name} is not among the programs of global-setup.ts.`);
  return path;
}
