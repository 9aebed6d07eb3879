/**
 * Replies as they come from the broker, read into what is stored for their runs.
 */
import type { PoolClient } from 'pg';
import { isReadable, readIncoming, type ReadableIncoming } from '../../inbox/delivery/incoming.ts';
import { on, type Handler, type HandlerContext } from '../../inbox/handlers/handler.ts';
import { exactText } from '../../message/decode.ts';
import { altersNumbers, memberText } from '../../message/exact-json.ts';
import type { RunMessageBody } from '../store/store.ts';
import { sagaReply, type SagaReply } from './wire.ts';

/** A reply with what JSON.parse would alter of its output as JSON text: the type of its step says how that is read. */
export type ReadReply = SagaReply & { readonly outputText?: string };

/** Handles replies that come on a topic. */
export function onReply(
  topic: string,
  handle: (reply: ReadReply, context: HandlerContext<PoolClient>) => Promise<void>,
): Handler<PoolClient> {
  const made = on(sagaReply(topic), handle);
  return {
    ...made,
    async decode(envelope, wire): Promise<ReadReply> {
      const reply = (await made.decode(envelope, wire)) as SagaReply;
      const outputText = memberText(exactText(wire) ?? '{}', 'output');
      return outputText === undefined || !altersNumbers(outputText) ? reply : { ...reply, outputText };
    },
  };
}

/** A reply on its way to its run. */
export interface ArrivedReply {
  readonly messageId: string;
  readonly runId: string;
  /** The body of the run message, as JSON. */
  readonly body: string;
  readonly incoming: ReadableIncoming;
}

/** Null: it is none, or cannot be read; whoever handles it by itself finds out why. */
export async function readArrived(handler: Handler<PoolClient>, wire: unknown): Promise<ArrivedReply | null> {
  const incoming = readIncoming(wire);
  if (!isReadable(incoming) || incoming.topic !== handler.topic) return null;
  try {
    const reply = (await handler.decode(incoming.envelope, wire)) as ReadReply;
    const body = JSON.stringify(runMessageOf(reply));
    return { messageId: incoming.id, runId: reply.runId.toLowerCase(), body, incoming };
  } catch {
    return null;
  }
}

/** What is told to the run. */
export function runMessageOf(reply: ReadReply): RunMessageBody {
  const { call, to, outcome, output, outputText, outputVersion, error } = reply;
  return {
    kind: 'reply',
    call,
    to,
    outcome,
    ...(outputText === undefined ? (output === undefined ? {} : { output }) : { outputText }),
    ...(outputVersion === undefined ? {} : { outputVersion }),
    ...(error === undefined
      ? {}
      : {
          error: {
            name: error.name,
            message: error.message,
            ...(error.code === undefined ? {} : { code: error.code }),
            ...(error.details === undefined ? {} : { details: error.details }),
          },
        }),
  };
}
