/**
 * The texts in which a transaction opens and ends: several statements in one exchange. Only the simple protocol takes these, and it has no
 * parameters, so they stand in the text as literals.
 */
import pg from 'pg';
import { HoldfastError } from '../../errors.ts';
import type { Statement } from './unit-of-work.ts';

/** What a handler may still do after its time is up, and a slow machine, in milliseconds. */
const FROZEN_MARGIN_MS = 10_000;
/** PostgreSQL's largest timeout, in milliseconds. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;

/**
 * How long a handler's transaction may stand idle, in milliseconds. A process that is stopped or starved inside it keeps its mark and
 * its locks, and another that gets the message would wait for them without end. A living one never stands still for so long: the
 * handler's time is up before.
 */
export function frozenMsOf(timeoutMs: number): number {
  return Math.min(Math.ceil(timeoutMs) + FROZEN_MARGIN_MS, LONGEST_TIMEOUT_MS);
}

/** BEGIN and what goes with it, in one text. */
export function openingText(opening: readonly Statement[], timeoutMs: number): string {
  const frozenMs = frozenMsOf(timeoutMs);
  let text = 'BEGIN';
  if (!opening.some((statement) => statement.limitsIdle === true))
    text += `;SET LOCAL idle_in_transaction_session_timeout = ${frozenMs}`;
  for (const statement of opening) text += `;${withLiterals(statement, frozenMs)}`;
  return text;
}

const pieces = new Map<string, readonly string[]>();

/** The simple protocol, which alone takes several statements at once, has no parameters. */
export function withLiterals({ sql, parameters, limitsIdle }: Statement, frozenMs = 0): string {
  let parts = pieces.get(sql);
  if (parts === undefined) {
    // Odd places hold the numbers of parameters.
    parts = sql.split(/\$(\d+)/);
    pieces.set(sql, parts);
  }
  let text = '';
  for (let index = 0; index < parts.length; index += 1) {
    const part = parts[index] as string;
    if (index % 2 === 0) text += part;
    else if (limitsIdle === true && Number(part) === parameters.length) text += `'${frozenMs}'`;
    else text += literal(parameters[Number(part) - 1] ?? null);
  }
  return text;
}

function literal(value: string | null): string {
  if (value === null) return 'NULL';
  // NUL would end the text of the statement early. Ids and keys were checked when they were decoded.
  if (value.includes('\0'))
    throw new HoldfastError('HF_PAYLOAD_TEXT', 'A text holds NUL (U+0000), which PostgreSQL cannot store.');
  // Most are ids; the driver looks at each letter.
  return value.includes("'") || value.includes('\\') ? pg.escapeLiteral(value) : `'${value}'`;
}
