/**
 * Redaction of what is known of a message: its payload. Topic, key, ids and headers are what it is found by and are shown; what is personal
 * does not belong there.
 */
import { REDACTED, showAll, type Redactor } from '../../runtime/redact.ts';
import type { ParkedDetails } from '../parked/parked.ts';
import type { MessageDetails, ScheduledDetails } from '../reads/messages.ts';

type ShownMessage = MessageDetails | { readonly scheduled: ScheduledDetails };

/** A message of the log, or one whose time has not come, as it may be shown. */
export function redactMessage(found: ShownMessage, redact: Redactor): ShownMessage {
  if (redact === showAll) return found;
  if ('scheduled' in found) return { scheduled: { ...found.scheduled, payload: redact(found.scheduled.payload) } };
  return { ...found, envelope: { ...found.envelope, data: redact(found.envelope['data']) } };
}

/** A parked message as it may be shown. One that nobody could read is a text, which may have anything in it. */
export function redactParked(parked: ParkedDetails, redact: Redactor): ParkedDetails {
  if (redact === showAll) return parked;
  return { ...parked, data: typeof parked.data === 'string' ? REDACTED : redact(parked.data) };
}
