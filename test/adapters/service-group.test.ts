/** Several services as one: in which order they start and stop, and what one that fails means to the others. */
import { describe, expect, it } from 'vitest';
import { createServiceGroup } from '../../src/adapters/services/service-group.ts';
import { openDatabase } from '../../src/postgres/database.ts';

const database = openDatabase({ url: 'postgres://127.0.0.1:1/none' });

/** Services that note what they are asked for, of which some fail. */
function group(failing: readonly string[] = []) {
  const asked: string[] = [];
  const service = (name: string) => {
    const ask = async (what: string): Promise<void> => {
      asked.push(`${what} ${name}`);
      if (failing.includes(`${what} ${name}`)) throw new Error(`no ${what} of ${name}`);
    };
    return { start: () => ask('start'), stop: () => ask('stop') };
  };
  return { asked, services: createServiceGroup({ database, services: ['relay', 'consumer', 'worker'].map(service) }) };
}

describe('services', () => {
  it('are started in their order, and stopped the other way round', async () => {
    const { asked, services } = group();
    await services.start();
    await services.stop();
    expect(asked).toEqual([
      'start relay',
      'start consumer',
      'start worker',
      'stop worker',
      'stop consumer',
      'stop relay',
    ]);
  });

  it('that had started are stopped when another one does not start', async () => {
    const { asked, services } = group(['start consumer']);
    await expect(services.start()).rejects.toThrow('no start of consumer');
    expect(asked).toContain('stop relay');
    expect(asked).not.toContain('start worker');
  });

  it('are all stopped when one of them fails to, and that is told', async () => {
    const { asked, services } = group(['stop worker']);
    await services.start();
    await expect(services.stop()).rejects.toThrow('no stop of worker');
    expect(asked.slice(3)).toEqual(['stop worker', 'stop consumer', 'stop relay']);
  });
});
