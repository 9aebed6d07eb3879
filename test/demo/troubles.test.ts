/** What is typed while the demo stays up. */
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { keepUp } from '../../demo/keep.ts';
import { readOptions } from '../../demo/options.ts';
import { readRequest, TROUBLE_NAMES } from '../../demo/troubles.ts';

describe('a line', () => {
  it.each([
    ['fail shipping', { verb: 'fail', names: ['shipping'] }],
    ['  MEND   refunds ', { verb: 'mend', names: ['refunds'] }],
    ['mend', { verb: 'mend', names: TROUBLE_NAMES }],
    ['mend all', { verb: 'mend', names: TROUBLE_NAMES }],
    ['fail', null],
    ['fail all', null],
    ['fail toString', null],
    ['fail stock now', null],
    ['help', null],
  ])('%j asks for %j', (line, asked) => {
    expect(readRequest(line)).toEqual(asked);
  });

  it('has a participant refuse its task, and do it again', async () => {
    const told: [string, unknown][] = [];
    const said: string[] = [];
    const input = new PassThrough();
    keepUp({
      fleet: { tell: (name, order) => told.push([name, order]) },
      screen: { say: (text) => said.push(text), story: () => undefined },
      dashboard: null,
      run: null,
      input,
    });
    input.end('fail refunds\n\nwhat?\nmend refunds\n');
    await expect.poll(() => told).toHaveLength(2);
    expect(told).toEqual([
      ['payment', { kind: 'trouble', task: 'refund', says: 'the bank gives no money back today' }],
      ['payment', { kind: 'trouble', task: 'refund', says: null }],
    ]);
    expect(said[0]).toContain('gets stuck');
    expect(said).toContain('Type a line:');
    expect(said.at(-1)).toContain('refunds: mended');
  });
});

it('the dashboard is there unless it is not wanted, and ends with the demo unless it is to stay', () => {
  expect(readOptions([])).toMatchObject({ dashboard: true, keep: false, port: 0 });
  expect(readOptions(['--no-dashboard', '--keep', '--port', '9465'])).toMatchObject({
    dashboard: false,
    keep: true,
    port: 9465,
  });
  expect(() => readOptions(['--port', '70000'])).toThrow('--port is "70000": give a whole number from 0 to 65535.');
});
