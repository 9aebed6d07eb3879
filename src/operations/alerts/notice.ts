/** Makes notices. */
import { messageId } from '../../message/id.ts';
import type { AlertNotice } from './alert.ts';
import type { Telling } from './decide.ts';

export function toNotice({ record, status, again }: Telling, nowMs: number): AlertNotice {
  const { kind, subject, count, sinceMs, summary, advice } = record;
  const [since, at] = [new Date(sinceMs).toISOString(), new Date(nowMs).toISOString()];
  return { id: messageId(), status, kind, subject, count, since, at, again, summary, advice };
}

/** To see whether notices arrive. */
export function testNotice(name: string, nowMs: number): AlertNotice {
  const at = new Date(nowMs).toISOString();
  return {
    id: messageId(),
    status: 'test',
    kind: 'test',
    subject: name,
    count: 1,
    since: at,
    at,
    again: false,
    summary: `A test of alerts by ${name}.`,
    advice: 'Nothing is wrong.',
  };
}
