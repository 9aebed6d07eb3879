/** `holdfast/webhooks`: messages out as webhooks, and webhooks in verified. Apart from `holdfast`, because few need it. Named exports only. */
export {
  verifyWebhook,
  type VerifiedWebhook,
  type VerifyWebhookOptions,
  type WebhookHeaders,
} from '../message/webhook-signature.ts';
export type { WebhookEndpoint, WebhookTls } from '../transport/webhooks/endpoint.ts';
export type { FindEndpoint } from '../transport/webhooks/endpoint-book.ts';
export type { EndingAnswers } from '../transport/webhooks/judge.ts';
export type { WebhookMessage, WebhookTransportOptions } from '../transport/webhooks/options.ts';
export { createWebhookTransport } from '../transport/webhooks/webhook-transport.ts';
export type { WebhookBody } from '../transport/webhooks/webhook-request.ts';
