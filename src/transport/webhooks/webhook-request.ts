/**
 * What is sent for a message: body, headers and signature. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import { memberTexts } from '../../message/exact-json.ts';
import { signWebhook } from '../../message/webhook-signature.ts';
import type { OutboundMessage } from '../port.ts';
import type { ResolvedEndpoint } from './endpoint.ts';
import type { WebhookRequest } from './exchange.ts';

/** How a message is written into the body. */
export type WebhookBody = 'standard' | 'cloudevents';

/** Text of JSON: no digit of a number is lost. Throws HF_MESSAGE_REFUSED for what is no envelope. */
export function bodyOf({ wire, topic }: OutboundMessage, form: WebhookBody): string {
  if (!wire.startsWith('{') || !wire.endsWith('}')) throw refusedMessage('The envelope is no JSON object.');
  if (form === 'cloudevents') return wire;
  const [data, time] = memberTexts(wire, ['data', 'time']);
  if (data === undefined) throw refusedMessage('The envelope has no data.');
  return `{"type":${JSON.stringify(topic)}${time === undefined ? '' : `,"timestamp":${time}`},"data":${data}}`;
}

/** @param timestamp whole seconds since the epoch */
export function webhookRequest(
  { id }: OutboundMessage,
  body: string,
  {
    endpoint,
    form,
    timestamp,
  }: { readonly endpoint: ResolvedEndpoint; readonly form: WebhookBody; readonly timestamp: number },
): WebhookRequest {
  const bytes = Buffer.from(body);
  return {
    body: bytes,
    headers: {
      'user-agent': 'holdfast',
      ...endpoint.headers,
      'content-type': form === 'cloudevents' ? 'application/cloudevents+json; charset=utf-8' : 'application/json',
      'content-length': bytes.length,
      'webhook-id': id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signWebhook({ id, timestamp, body: bytes }, endpoint.keys),
    },
  };
}

function refusedMessage(what: string): HoldfastError {
  return new HoldfastError('HF_MESSAGE_REFUSED', what, {
    advice: 'Only messages of an outbox can be sent as webhooks.',
  });
}
