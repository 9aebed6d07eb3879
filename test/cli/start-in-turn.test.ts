/** A daemon whose parts do not start, or take long: which one it is has to be said. */
import { expect, it } from 'vitest';
import { startInTurn } from '../../src/cli/daemon/start-in-turn.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { rememberingLogger } from '../support/failing-observers.ts';

it('tells of a part that does not start, again and again until it has, and then of no other', async () => {
  const clock = createManualClock();
  const log = rememberingLogger();
  const begun: string[] = [];
  let goOn = (): void => {};
  const named = (name: string, started: () => Promise<void>) => ({
    name,
    service: {
      start() {
        begun.push(name);
        return started();
      },
      stop: async () => {},
    },
  });
  const starting = startInTurn(
    [
      named('relay', async () => {}),
      named('worker', () => new Promise((resolve) => (goOn = resolve))),
      named('dashboard', async () => {}),
    ],
    { clock, log },
  );
  await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(14_999);
  expect(log.lines).toEqual([]);
  await clock.advance(1);
  await clock.advance(15_000);
  expect(log.lines.map(({ level, message }) => [level, message])).toEqual([
    ['warn', 'the worker has not started yet, after 15 s'],
    ['warn', 'the worker has not started yet, after 30 s'],
  ]);
  expect(begun).toEqual(['relay', 'worker']);
  goOn();
  await starting;
  await clock.advance(60_000);
  expect(log.lines).toHaveLength(2);
  expect(begun).toEqual(['relay', 'worker', 'dashboard']);
});

it('says nothing more once a part has failed', async () => {
  const clock = createManualClock();
  const log = rememberingLogger();
  const failing = { name: 'relay', service: { start: () => Promise.reject(new Error('no')), stop: async () => {} } };
  await expect(startInTurn([failing], { clock, log })).rejects.toThrow('no');
  await clock.advance(60_000);
  expect(log.lines).toEqual([]);
});
