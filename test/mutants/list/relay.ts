/**
 * Mistakes in the relay: how it reads the log, what it takes for published, and what it keeps back.
 */
import type { Mutant } from '../mutant.ts';

export const RELAY: readonly Mutant[] = [
  {
    name: 'relay/log/catch-up-under-newer-snapshot',
    file: 'src/relay/log/cursor.ts',
    from: 'const underCatchup = cursor.catchup?.snapshot ?? page.snapshot;',
    to: 'const underCatchup = page.snapshot;',
    breaks: 'I1: a message that is committed while a long page is read is never delivered',
    tests: ['test/relay/cursor.test.ts'],
  },
  {
    name: 'relay/log/full-page-taken-for-the-last',
    file: 'src/relay/log/cursor.ts',
    from: 'if (page.lowFull && page.lowLast !== null) {',
    to: 'if (page.lowFull && page.lowLast === null) {',
    breaks: 'I1: the rest of a long page of late committers is never delivered',
    tests: ['test/relay/cursor.test.ts'],
  },
  {
    name: 'relay/log/merged-floor-too-high',
    file: 'src/relay/log/cursor.ts',
    from: 'floor: Math.min(...cursors.map((cursor) => cursor.floor)),',
    to: 'floor: Math.max(...cursors.map((cursor) => cursor.floor)),',
    breaks: 'I1: after a change of shards, a late committer of one of them is looked for by nobody',
    tests: ['test/relay/cursor.test.ts'],
  },
  {
    name: 'relay/log/merged-high-too-high',
    file: 'src/relay/log/cursor.ts',
    from: 'high: Math.min(...cursors.map((cursor) => cursor.high)),',
    to: 'high: Math.max(...cursors.map((cursor) => cursor.high)),',
    breaks: 'I1: after a change of shards, what the slower one had not delivered is passed over',
    tests: ['test/relay/cursor.test.ts'],
  },
];
