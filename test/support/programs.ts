/**
 * Programs that tests start as processes; global-setup.ts has compiled them.
 */
import { join } from 'node:path';
import { inject } from 'vitest';

/** @param name of its source, such as 'relay-child.ts' */
export function programPath(name: string): string {
  return join(inject('programs'), name.replace(/ts$/, 'mjs'));
}
