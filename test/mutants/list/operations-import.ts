/**
 * Mistakes in imports: which jobs of another library are moved, each once, and as what.
 */
import type { Mutant } from '../mutant.ts';

const IMPORT = 'src/operations/import';
const DECIDE = `${IMPORT}/decide.ts`;
const ROWS = `${IMPORT}/source-rows.ts`;
const MOVES = `${IMPORT}/import-jobs.ts`;
const BOSS = `${IMPORT}/pg-boss.ts`;
const GRAPHILE = `${IMPORT}/graphile-worker.ts`;
const DECIDED = 'test/operations/import-decisions.test.ts';
const MOVED = 'test/operations/import.test.ts';
const OWN = 'test/operations/import-own-table.test.ts';

export const OPERATIONS_IMPORT: readonly Mutant[] = [
  {
    name: 'import/decide/new-id-each-time',
    file: DECIDE,
    from: 'return v5(`${kind}:${label}/${ref}`, NAMESPACE);',
    to: 'return v5(`${kind}:${label}/${ref}/${Date.now()}/${Math.random()}`, NAMESPACE);',
    breaks: 'a table that was restored is sent a second time',
    tests: [DECIDED],
  },
  {
    name: 'import/decide/one-id-for-two-tables',
    file: DECIDE,
    from: 'return v5(`${kind}:${label}/${ref}`, NAMESPACE);',
    to: 'return v5(`${kind}/${ref}`, NAMESPACE);',
    breaks: 'a job of another table is taken for one that was imported',
    tests: [DECIDED],
  },
  {
    name: 'import/decide/never-is-now',
    file: DECIDE,
    from: "  if (job.dueMs === 'never') return leave('its time is infinite');\n",
    to: '',
    breaks: 'a job that was put off for ever is sent at once',
    tests: [DECIDED],
  },
  {
    name: 'import/decide/at-once',
    file: DECIDE,
    from: "...(typeof job.dueMs === 'number' ? { deliverAt: new Date(job.dueMs) } : {}),",
    to: '',
    breaks: 'a reminder of next month is sent today',
    tests: [DECIDED],
  },
  {
    name: 'import/decide/numbers-altered',
    file: DECIDE,
    from: 'payload: mapped.payload === undefined ? text : encoded,',
    to: 'payload: encoded,',
    breaks: 'an amount beyond 2^53 is another one',
    tests: [DECIDED],
  },
  {
    name: 'import/decide/key-not-taken-away',
    file: DECIDE,
    from: 'mapped.key === undefined ? job.key : mapped.key',
    to: 'mapped.key ?? job.key',
    breaks: 'messages wait for each other that were said to be free',
    tests: [DECIDED],
  },
  {
    name: 'import/decide/any-name-is-a-topic',
    file: DECIDE,
    from: '(options.sameNames ? name : undefined)',
    to: 'name',
    breaks: 'a job that nobody named goes to a topic of its name',
    tests: [DECIDED],
  },
  {
    name: 'import/decide/typo-passed-over',
    file: DECIDE,
    from: "  refuseUnknownOptions(mapped, ['topic', 'key', 'payload', 'version', 'headers'], 'What the function of --map gave');\n",
    to: '',
    breaks: 'what the function says and is misspelled is lost',
    tests: [DECIDED],
  },
  {
    name: 'import/decide/function-alters-the-job',
    file: DECIDE,
    from: 'payload: structuredClone(payload)',
    to: 'payload',
    breaks: 'what the function does to its copy is checked in place of what is sent',
    tests: [DECIDED],
  },
  {
    name: 'import/rows/waits-for-others',
    file: ROWS,
    from: 'FOR UPDATE OF j SKIP LOCKED',
    to: 'FOR UPDATE OF j',
    breaks: 'an import waits for a worker of the library, and it for the import',
    tests: [OWN],
  },
  {
    name: 'import/rows/locks-nothing',
    file: ROWS,
    from: ' FOR UPDATE OF j SKIP LOCKED',
    to: '',
    breaks: 'two imports write each message twice',
    tests: [OWN],
  },
  {
    name: 'import/rows/written-not-looked-for',
    file: ROWS,
    from: 'if (ids.length === 0) return new Set();',
    to: 'if (ids.length >= 0) return new Set();',
    breaks: 'one row that was imported before keeps all others from being moved',
    tests: [OWN],
  },
  {
    name: 'import/moves/left-behind-taken',
    file: MOVES,
    from: 'return { moves: moves.filter(({ message }) => !written.has(message.id)), leaves };',
    to: 'return { moves, leaves };',
    breaks: 'one row that was imported before keeps all others from being moved',
    tests: [OWN],
  },
  {
    name: 'import/moves/beyond-the-limit',
    file: MOVES,
    from: 'Math.min(settings.batch, settings.limit - moved)',
    to: 'settings.batch',
    breaks: 'more are moved than the person said',
    tests: [OWN],
  },
  {
    name: 'import/moves/failed-as-well',
    file: MOVES,
    from: "states: failed ? ['waiting', 'failed'] : ['waiting'],",
    to: "states: ['waiting', 'failed'],",
    breaks: 'what was given up is sent',
    tests: [MOVED],
  },
  {
    name: 'import/pg-boss/in-hand',
    file: BOSS,
    from: "CASE WHEN j.state = 'active' THEN 'busy' WHEN",
    to: "CASE WHEN j.state = 'active' THEN 'waiting' WHEN",
    breaks: 'a job is done by its worker, and sent as well',
    tests: [MOVED],
  },
  {
    name: 'import/pg-boss/of-a-flow',
    file: BOSS,
    from: "WHEN j.blocked OR j.blocking THEN 'chained'",
    to: "WHEN j.blocking THEN 'chained'",
    breaks: 'a job is sent before what it waits for',
    tests: [MOVED],
  },
  {
    name: 'import/graphile/in-hand',
    file: GRAPHILE,
    from: "CASE WHEN j.locked_at IS NOT NULL THEN 'busy' WHEN",
    to: 'CASE WHEN',
    breaks: 'a job is done by its worker, and sent as well',
    tests: [MOVED],
  },
  {
    name: 'import/graphile/one-try-more',
    file: GRAPHILE,
    from: 'j.attempts >= j.max_attempts',
    to: 'j.attempts > j.max_attempts',
    breaks: 'what was given up is sent',
    tests: [MOVED],
  },
];
