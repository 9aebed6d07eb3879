/**
 * Redaction of what is known of a run: the values in its journal and in the messages that it has not taken in, and the details of errors.
 * What an error says in words is not touched: what must not stand there is left out when it is recorded (`redactError` of a worker).
 */
import { REDACTED, showAll, type Redactor } from '../../runtime/redact.ts';
import type { JournalRow, RecordedError } from '../../saga/journal/events.ts';
import type { PendingRunMessage, RunDetails, RunSummary } from '../sagas/sagas.ts';

/** The fields of journal events and run messages that hold what users gave. */
const VALUES = ['input', 'output', 'payload', 'result'] as const;
const ERRORS = ['error', 'degraded', 'fallback'] as const;

/** A run as it may be shown. */
export function redactRun(found: RunDetails, redact: Redactor): RunDetails {
  if (redact === showAll) return found;
  return {
    ...found,
    run: redactSummary(found.run, redact),
    result: redact(found.result),
    journal: redactJournal(found.journal, redact),
    runMessages: found.runMessages.map((each): PendingRunMessage => ({
      ...each,
      body: redactRecorded(each.body, redact),
    })),
    children: found.children.map((child) => redactSummary(child, redact)),
  };
}

/** Rows of a journal as they may be shown. */
export function redactJournal(rows: readonly JournalRow[], redact: Redactor): readonly JournalRow[] {
  if (redact === showAll) return rows;
  return rows.map((row) => ({ ...row, events: row.events.map((event) => redactRecorded(event, redact)) }));
}

/** A run in a list as it may be shown. */
export function redactSummary(run: RunSummary, redact: Redactor): RunSummary {
  return run.error === null || redact === showAll ? run : { ...run, error: redactError(run.error, redact) };
}

/** An event, or the body of a run message: whatever has values and errors. */
function redactRecorded<Recorded>(recorded: Recorded, redact: Redactor): Recorded {
  if (typeof recorded !== 'object' || recorded === null) return recorded;
  const shown = { ...recorded } as Record<string, unknown>;
  for (const name of VALUES) if (Object.hasOwn(shown, name)) shown[name] = redact(shown[name]);
  // JSON whose numbers were not to be lost.
  if (typeof shown['outputText'] === 'string') shown['outputText'] = redactText(shown['outputText'], redact);
  for (const name of ERRORS)
    if (Object.hasOwn(shown, name)) shown[name] = redactError(shown[name] as RecordedError, redact);
  return shown as Recorded;
}

function redactError(error: RecordedError, redact: Redactor): RecordedError {
  if (typeof error !== 'object' || error === null) return error;
  const { details, cause, errors } = error;
  return {
    ...error,
    ...(details === undefined ? {} : { details: redact(details) as Readonly<Record<string, unknown>> }),
    ...(cause === undefined ? {} : { cause: redactError(cause, redact) }),
    ...(errors === undefined ? {} : { errors: errors.map((each) => redactError(each, redact)) }),
  };
}

function redactText(text: string, redact: Redactor): string {
  try {
    return JSON.stringify(redact(JSON.parse(text)));
  } catch {
    return JSON.stringify(REDACTED);
  }
}
