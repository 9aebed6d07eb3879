/**
 * What travels between a saga and its participants: the headers of a command and of its compensation, and the reply. Documented in
 * docs/wire-format.md, so that participants can be written in any language.
 */
import { z } from 'zod';
import { message } from '../message/message-type.ts';

/** Headers of commands and compensations. */
export const SAGA_HEADERS = {
  /** The run, a UUID. */
  run: 'holdfast-saga',
  /** The call within the run. Run and call together name the piece of work, whatever the message's own id. */
  call: 'holdfast-call',
  /** `command` or `compensation`. */
  role: 'holdfast-role',
  /** The topic on which the reply is expected. */
  replyTo: 'holdfast-reply-to',
} as const;

export type Role = 'command' | 'compensation';

/** The topic of replies unless a worker is given another one: route it to where the workers listen. */
export const DEFAULT_REPLY_TOPIC = 'saga.reply';

const schema = z.object({
  runId: z.uuid(),
  call: z.string().min(1),
  to: z.enum(['command', 'compensation']),
  /** rejected: a definite no, and nothing has happened. */
  outcome: z.enum(['done', 'rejected']),
  /** Payload of the reply type, in this version of it. */
  output: z.unknown().optional(),
  outputVersion: z.int().min(1).optional(),
  error: z
    .object({
      name: z.string(),
      message: z.string(),
      code: z.string().optional(),
      details: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
});

/** The reply to a command or a compensation, on the given topic. Ordered by run. */
export const sagaReply = (topic: string = DEFAULT_REPLY_TOPIC) =>
  message(topic, { schema, key: (reply) => reply.runId });

export type SagaReply = z.infer<typeof schema>;
