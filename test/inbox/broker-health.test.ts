/**
 * What a consumer says of its broker and how often, on a clock that is moved. With real brokers: broker-monitor.test.ts.
 */
import { expect, it, onTestFinished } from 'vitest';
import { createBrokerMonitor } from '../../src/inbox/delivery/broker-monitor.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { noopMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import type { QueueState, Receiver } from '../../src/transport/port.ts';

const QUEUE: QueueState = {
  waiting: 1,
  active: 2,
  delayed: 3,
  failed: 4,
  paused: false,
  consumers: 1,
  foreign: null,
  remarks: [],
};
const PAUSED = { check: 'queue.paused', what: 'It is paused.', advice: 'Resume it.' } as const;

function watching() {
  const clock = createManualClock();
  const lines: string[] = [];
  const gauges = new Map<string, number>();
  const say =
    (level: string) =>
    (_fields: unknown, text: string): void =>
      void lines.push(`${level}: ${text}`);
  const log: Logger = {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    child: () => log,
  };
  const metrics: Metrics = {
    ...noopMetrics,
    gauge: (name) => ({
      set: (labels, value) => void gauges.set(`${name} ${Object.values(labels).join(' ')}`, value),
      remove: (labels) => void gauges.delete(`${name} ${Object.values(labels).join(' ')}`),
    }),
  };
  const monitor = createBrokerMonitor({ name: 'c', destination: 'd', clock, log, unheard: false, metrics });
  onTestFinished(() => monitor.stop());
  let looks = 0;
  let answer: () => QueueState = () => QUEUE;
  const receiver = {
    look: async () => {
      looks += 1;
      return answer();
    },
  } as unknown as Receiver;
  return {
    monitor,
    lines,
    gauges,
    start: () => monitor.start(receiver),
    answers: (next: () => QueueState): void => void (answer = next),
    /** Looks so many times more. */
    looks: async (count: number): Promise<void> => {
      for (const until = looks + count; looks < until;) {
        await clock.whenSleeping();
        await clock.advance('5s');
      }
      await clock.whenSleeping();
    },
  };
}

const away = (): never => {
  throw new Error('no answer');
};

it('trouble is said at once, then ever more rarely, and at once again when it is back', async () => {
  const { monitor, lines, answers, start, looks } = watching();
  answers(away);
  await start();
  expect(lines).toEqual(['error: nothing is received: the broker cannot be reached']);
  await looks(40);
  // After 5, 15, 35, 75 and 155 seconds; without the gaps it would be forty times.
  expect(lines.length).toBeGreaterThanOrEqual(5);
  expect(lines.length).toBeLessThanOrEqual(7);
  expect(monitor.health()).toMatchObject({ reachable: false, trouble: 'no answer' });
  answers(() => QUEUE);
  await looks(1);
  expect([lines.at(-1), monitor.health()]).toEqual([
    'info: the broker answers again',
    { reachable: true, trouble: null, queue: QUEUE },
  ]);
  const before = lines.length;
  answers(away);
  await looks(1);
  expect(lines.slice(before)).toEqual(['error: nothing is received: the broker cannot be reached']);
  expect(monitor.health()).toEqual({ reachable: false, trouble: 'no answer', queue: QUEUE });
});

it('a remark is said again when it comes back, and not for as long as it stays', async () => {
  const { lines, answers, start, looks } = watching();
  const paused = (): QueueState => ({ ...QUEUE, paused: true, remarks: [PAUSED] });
  answers(paused);
  await start();
  expect(lines).toEqual(['warn: It is paused. Resume it.']);
  answers(() => QUEUE);
  await looks(1);
  answers(paused);
  await looks(1);
  expect(lines).toHaveLength(2);
});

it('the figures are those of the last look, and gone when the consumer is stopped', async () => {
  const { monitor, gauges, answers, start, looks } = watching();
  await start();
  const figures = [
    ['holdfast_consumer_broker_up c', 1],
    ['holdfast_queue_messages c waiting', 1],
    ['holdfast_queue_messages c active', 2],
    ['holdfast_queue_messages c delayed', 3],
    ['holdfast_queue_messages c failed', 4],
    ['holdfast_queue_paused c', 0],
  ] as const;
  expect([...gauges]).toEqual(figures);
  answers(away);
  await looks(1);
  expect(gauges.get('holdfast_consumer_broker_up c')).toBe(0);
  answers(() => ({ ...QUEUE, paused: true, foreign: 2 }));
  await looks(1);
  expect([gauges.get('holdfast_queue_paused c'), gauges.get('holdfast_queue_foreign_consumers c')]).toEqual([1, 2]);
  await monitor.stop();
  expect([gauges.size, monitor.health()]).toEqual([0, { reachable: null, trouble: null, queue: null }]);
});
