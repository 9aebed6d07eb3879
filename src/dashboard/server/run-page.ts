/**
 * One run, as the page shows it: what is known of it, and its journal folded into a story. A journal that is too large to be read for a
 * look is refused before it is.
 */
import { adviseStuck } from '../../operations/sagas/saga-advice.ts';
import { foldTimeline } from '../../operations/sagas/saga-timeline.ts';
import { showRunUpTo } from '../../operations/sagas/sagas.ts';
import { redactRun } from '../../operations/redaction/redact-run.ts';
import type { Database } from '../../postgres/database.ts';
import type { Redactor } from '../../runtime/redact.ts';
import type { RunStory } from './contract.ts';
import { RequestRefusal } from './failure.ts';

/** UTF-8 bytes of a journal that is shown; few runs come near. */
const MOST_BYTES = 8 * 1_024 * 1_024;

/** Rejects with HF_NOT_FOUND, HF_CONFIG for what is no id, and RequestRefusal for a run that is too large. */
export async function readRun(database: Database, id: string, redact: Redactor): Promise<RunStory> {
  const shown = await showRunUpTo(database, id, MOST_BYTES);
  if (typeof shown === 'number') {
    throw new RequestRefusal(413, 'HF_REQUEST', `The journal of run ${id} has ${shown} bytes, too many for a page.`, {
      advice: `\`holdfast saga show ${id}\` and \`holdfast saga history ${id}\` show it.`,
    });
  }
  const { journal, ...found } = redactRun(shown, redact);
  const { run, now } = found;
  const { stuck, ...timeline } = foldTimeline({
    status: run.status,
    rows: journal,
    now,
    sent: found.sent.messages,
  });
  return {
    ...found,
    timeline: {
      ...timeline,
      stuck: stuck === null ? null : { ...stuck, advice: adviseStuck(id, stuck.why, stuck.call) },
    },
  };
}
