/**
 * Participants on PostgreSQL and in memory pass one suite.
 */
import type { PoolClient } from 'pg';
import { inject } from 'vitest';
import { createTestDatabase } from '../../../src/testing/database/test-database.ts';
import { testMessagesOn } from '../../../src/testing/messages/database-test.ts';
import { testMessages } from '../../../src/testing/messages/memory-test.ts';
import { describeParticipant } from '../../conformance/participant.ts';

describeParticipant('on PostgreSQL', async () => {
  const { database, drop } = await createTestDatabase({ url: inject('postgresAdminUrl') });
  await database.query('CREATE TABLE note (what text, at bigserial)');
  return {
    async make(handlers) {
      const note = async (tx: PoolClient, what: string): Promise<void> => {
        await tx.query('INSERT INTO note (what) VALUES ($1)', [what]);
      };
      const test = await testMessagesOn(database, { participants: { stock: { handlers: handlers(note) } } });
      return {
        test,
        close: () => test.close(),
        effects: async () =>
          (await database.query<{ what: string }>('SELECT what FROM note ORDER BY at')).rows.map(({ what }) => what),
      };
    },
    dispose: drop,
  };
});

describeParticipant('in memory', async () => ({
  async make(handlers) {
    const effects: string[] = [];
    const note = async (tx: string[], what: string): Promise<void> => void tx.push(what);
    const test = testMessages<string[]>({
      transaction: () => [],
      endTransaction: (tx, outcome) => void (outcome === 'commit' && effects.push(...tx)),
      participants: { stock: { handlers: handlers(note) } },
    });
    return { test, effects: async () => effects, close: async () => {} };
  },
  dispose: async () => {},
}));
