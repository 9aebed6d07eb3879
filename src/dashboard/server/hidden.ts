/**
 * Payloads that are hidden until somebody asks to see them, which the audit records. Where nothing is to be hidden, all passes as it is.
 */
import type { JobSummary } from '../../operations/jobs/job.ts';
import type { MessageDetails, ScheduledDetails } from '../../operations/reads/messages.ts';
import { audited } from '../../operations/parked/interventions.ts';
import type { ParkedDetails } from '../../operations/parked/parked.ts';
import type { RevisionPreview } from '../../operations/parked/revise.ts';
import type { Database } from '../../postgres/database.ts';
import type { Redactor } from '../../runtime/redact.ts';
import type { HiddenPayload, RunStory } from './contract.ts';

const HIDDEN: HiddenPayload = { hidden: true };

/** Null and nothing stay: that there is none is no secret. */
function hide(value: unknown): unknown {
  return value === null || value === undefined ? value : HIDDEN;
}

export function withoutPayload(found: MessageDetails | { readonly scheduled: ScheduledDetails }): unknown {
  if ('scheduled' in found) return { scheduled: { ...found.scheduled, payload: hide(found.scheduled.payload) } };
  return { ...found, envelope: { ...found.envelope, data: hide(found.envelope['data']) } };
}

export function withoutData(places: readonly ParkedDetails[]): unknown {
  return places.map((place) => ({ ...place, data: hide(place.data) }));
}

/** Of an edited message, what it is and what it would be. */
export function withoutBoth(preview: RevisionPreview): unknown {
  return { ...preview, before: hide(preview.before), after: hide(preview.after) };
}

/** A job as it may be shown: the output that one gives to runs is a value as any other. */
export function jobAsShown(
  job: JobSummary,
  { hidden, redact }: { readonly hidden: boolean; readonly redact: Redactor },
): JobSummary {
  const { act } = job;
  if (act.kind !== 'saga.resolve' || act.resolution.output === undefined) return job;
  const { output } = act.resolution;
  const resolution = { ...act.resolution, output: hidden ? hide(output) : redact(output) };
  return { ...job, act: { ...act, resolution } };
}

/** Errors stay: they say what went wrong, and are no payload, though they may quote one. */
export function withoutValues(page: RunStory): unknown {
  const { timeline } = page;
  return {
    ...page,
    result: hide(page.result),
    runMessages: page.runMessages.map((each) => ({ ...each, body: hide(each.body) })),
    timeline: {
      ...timeline,
      input: hide(timeline.input),
      result: hide(timeline.result),
      calls: timeline.calls.map((call) => ({ ...call, input: hide(call.input), output: hide(call.output) })),
      notes: timeline.notes.map((note) => ({ ...note, event: withoutOwn(note.event) })),
    },
  };
}

const VALUES = new Set(['payload', 'result', 'output', 'outputText', 'input', 'value']);

function withoutOwn(event: object): object {
  return Object.fromEntries(Object.entries(event).map(([name, each]) => [name, VALUES.has(name) ? hide(each) : each]));
}

export interface Reveal {
  readonly actor: string;
  readonly reason: string;
  /** What was shown: 'message', 'parked', 'run'. */
  readonly kind: string;
  readonly subject: string;
}

/** Before anything is shown, so that nothing is seen without its row. */
export async function recordReveal(database: Database, { actor, reason, kind, subject }: Reveal): Promise<void> {
  await audited(database, (_client, audit) =>
    audit({ actor, action: 'payload.reveal', subject, reason, details: { kind } }),
  );
}
