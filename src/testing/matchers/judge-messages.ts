/**
 * What is asked of messages under test: were they sent, and handled? Pure.
 */
import type { MessageType } from '../../message/message-type.ts';
import type { Redactor } from '../../runtime/redact.ts';
import type { FailedMessage, ParkedMessage, ReceivedMessage } from '../messages/deliveries-log.ts';
import {
  countsText,
  shownError,
  nearestText,
  notFor,
  shownPayloads,
  shownPayload,
  timesText,
  verdict,
  withPayload,
  type MatcherVerdict,
} from './verdict.ts';

interface Sending {
  readonly messages: readonly { readonly topic: string; readonly payload: unknown }[];
  readonly redactor?: Redactor;
}

interface Handling {
  readonly handled: readonly ReceivedMessage[];
  readonly failed: readonly FailedMessage[];
  readonly parked: readonly ParkedMessage[];
  readonly redactor?: Redactor;
}

/** What is asked to have been sent. */
export interface AskedSent {
  readonly type: MessageType;
  readonly payload: unknown;
  /** null: at least once. */
  readonly times: number | null;
  /** Who asks. */
  readonly matcher: string;
}

export function judgeSent(given: unknown, { type, payload, times, matcher }: AskedSent): MatcherVerdict {
  const { messages, redactor } = given as Partial<Sending>;
  if (!Array.isArray(messages)) throw notFor(matcher, 'a test of messages or of sagas');
  const { topic } = checkType(type, matcher);
  const all = (messages as Sending['messages']).filter((message) => message.topic === topic);
  const found = withPayload(all, payload);
  const wanted = times === null ? 'to have been sent' : `to have been sent ${timesText(times)}`;
  const having = payload === undefined ? '' : ` with\n  ${shownPayload(payload, redactor)}\n`;
  return verdict(
    times === null ? found.length > 0 : found.length === times,
    () => {
      const expected = `Expected ${topic} ${wanted}${having === '' ? ', ' : having}`;
      if (all.length === 0) {
        const others = countsText((messages as Sending['messages']).map((message) => message.topic));
        return `${expected}but it was never sent. Sent were: ${others === '' ? 'no messages' : others}.`;
      }
      const payloads = all.map((message) => message.payload);
      if (payload === undefined || found.length > 0)
        return `${expected}but it was sent ${timesText(found.length)}:\n${shownPayloads(
          found.map((message) => message.payload),
          redactor,
        )}`;
      return `${expected}but it was sent ${timesText(all.length)} with another payload.\n${nearestText(payload, payloads, redactor)}`;
    },
    () =>
      `Expected ${topic} not ${wanted}${having === '' ? ', ' : having}but it was:\n${shownPayloads(
        found.map((message) => message.payload),
        redactor,
      )}`,
  );
}

/** @param by name of the consumer; undefined: any */
export function judgeHandled(
  given: unknown,
  type: MessageType,
  payload: unknown,
  by: string | undefined,
): MatcherVerdict {
  const { handled, failed = [], parked = [], redactor } = given as Partial<Handling>;
  if (!Array.isArray(handled)) throw notFor('toHaveHandled', 'a test of messages');
  const { topic } = checkType(type, 'toHaveHandled');
  const isMeant = (each: ReceivedMessage): boolean =>
    each.topic === topic && (by === undefined || each.consumer === by);
  const all = (handled as Handling['handled']).filter(isMeant);
  const found = withPayload(all, payload);
  const who = by ?? 'a consumer';
  const having = payload === undefined ? '' : ` with\n  ${shownPayload(payload, redactor)}\n`;
  return verdict(
    found.length > 0,
    () => {
      const expected = `Expected ${who} to have handled ${topic}${having === '' ? ', ' : having}`;
      if (all.length > 0)
        return `${expected}but it was handled ${timesText(all.length)} with another payload.\n${nearestText(
          payload,
          all.map((each) => each.payload),
          redactor,
        )}`;
      const kept = parked.filter(isMeant);
      if (kept.length > 0)
        return `${expected}but it is parked.\n${kept.map(({ consumer, reason, error }) => `  ${consumer}: ${reason}: ${shownError(error)}`).join('\n')}`;
      const attempts = failed.filter(isMeant);
      if (attempts.length > 0)
        return `${expected}but its ${attempts.length === 1 ? 'attempt' : 'attempts'} failed: ${shownError(attempts.at(-1)?.error)}`;
      const others = countsText((handled as Handling['handled']).map((each) => `${each.topic} by ${each.consumer}`));
      return `${expected}but it never came. Handled were: ${others === '' ? 'no messages' : others}.`;
    },
    () =>
      `Expected ${who} not to have handled ${topic}${having === '' ? ', ' : having}but it did:\n${shownPayloads(
        found.map((each) => each.payload),
        redactor,
      )}`,
  );
}

function checkType(type: MessageType, matcher: string): MessageType {
  if (typeof type?.keyOf !== 'function') throw notFor(matcher, 'a message type');
  return type;
}
