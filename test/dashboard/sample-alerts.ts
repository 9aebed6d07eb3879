/**
 * Alerts as the API would answer them, for tests of the page.
 */
import type { WireAlerts } from '../../src/dashboard/page/app/wire.ts';

export const sampleAlerts: WireAlerts = {
  items: [
    {
      kind: 'stuck',
      subject: 'place-order',
      state: 'firing',
      count: 1,
      summary: '1 run of saga place-order needs a person.',
      advice: 'holdfast saga ls --stuck --saga place-order; holdfast saga show ID says what to do.',
      ageMs: 240_000,
      toldAgoMs: 225_000,
      quietForMs: 75_000,
      failedAttempts: 2,
    },
    {
      kind: 'relay-dies',
      subject: 'search',
      state: 'new',
      count: 2,
      summary: 'Relays of subscription search died 2 times in a row without progress.',
      advice: 'Look at why they died (memory?); the message that kills them will be parked: holdfast parked ls.',
      ageMs: null,
      toldAgoMs: null,
      quietForMs: null,
      failedAttempts: null,
    },
  ],
  watched: [
    { area: 'consumers', lookedAgoMs: null, watcher: null },
    { area: 'relay', lookedAgoMs: 4_000, watcher: 'relay-7f9c:1' },
    { area: 'sagas', lookedAgoMs: 4_000, watcher: 'relay-7f9c:1' },
  ],
  tells: ['log', 'webhook'],
};
