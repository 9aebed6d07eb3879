/**
 * `holdfast/hono`: idempotency keys as middleware of hono. The dashboard needs nothing of its own there: it speaks fetch.
 */
import { createHash } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { HoldfastError } from '../errors.ts';
import { badOption, refuseUnknownOptions } from '../runtime/options.ts';
import { refusalAnswer, type HttpAnswer } from './http/answer.ts';
import type { IdempotentContext } from './http/answer-once.ts';
import type { HttpIdempotency } from './http/http-idempotency.ts';
import { answerIsStream, answerTooLarge } from './http/stored-answer.ts';

/** Options of {@link idempotencyKeys}. */
export interface IdempotencyKeysOptions {
  /** Whose key it is, such as the id of the user who is logged in: see `IdempotentRequest`. */
  readonly scope: (context: Context) => string | Promise<string>;
  /**
   * Most bytes of the body of a request; 413 answers a longer one.
   *
   * @defaultValue 1 MiB
   */
  readonly maxRequestBytes?: number | undefined;
}

/** What handlers behind {@link idempotencyKeys} find in `context.var`. */
export interface IdempotencyVariables<Tx> {
  readonly idempotent: IdempotentContext<Tx>;
}

/**
 * Middleware: what comes after it runs once for each key, in the transaction `context.var.idempotent.tx`, which commits with the answer
 * before that is sent. What a handler throws rolls back, and goes to `app.onError` as ever. Put it behind what finds out who is asking,
 * and behind what compresses.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN; a request fails with HF_CONFIG when its answer is a stream
 * @example
 * import { Hono } from 'hono';
 * import { createHttpIdempotency } from 'holdfast/http';
 *
 * const idempotency = createHttpIdempotency({ database });
 * const app = new Hono().post('/orders', idempotencyKeys(idempotency, { scope: () => 'all' }), async (context) => {
 *   const { tx, handle } = context.var.idempotent;
 *   const { orderId } = await context.req.json<{ orderId: string }>();
 *   await tx.query('INSERT INTO orders (id) VALUES ($1)', [orderId]);
 *   await outbox.send(handle, OrderPlaced, { orderId, total: 42 });
 *   return context.json({ orderId }, 201);
 * });
 */
export function idempotencyKeys<Tx>(
  idempotency: HttpIdempotency<Tx>,
  options: IdempotencyKeysOptions,
): MiddlewareHandler<{ Variables: IdempotencyVariables<Tx> }> {
  refuseUnknownOptions(options, ['scope', 'maxRequestBytes'], 'idempotencyKeys');
  const { scope, maxRequestBytes = 1_048_576 } = options;
  if (typeof scope !== 'function')
    throw badOption(
      'idempotencyKeys',
      'has no scope',
      "Give scope: (context) => context.get('user').id, or () => 'all'.",
    );

  return async (context, next) => {
    const body = await readRequest(context, maxRequestBytes);
    if (body === null) return afresh(context, requestTooLarge(maxRequestBytes));
    const { method, url } = context.req;
    const request = { method, url, key: context.req.header('idempotency-key'), scope: await scope(context), body };
    let thrown = false;
    try {
      const answer = await idempotency.answer(request, async (opened) => {
        context.set('idempotent', opened);
        await next();
        // hono has answered what the handler threw; the transaction does not know yet.
        if (context.error !== undefined) {
          thrown = true;
          throw context.error;
        }
        return readResponse(context.res, idempotency.maxBytes);
      });
      if (!context.finalized) return afresh(context, answer);
      const response = responseOf(answer);
      if (answer.refusal !== null) keepForBrowsers(context.res.headers, response.headers);
      context.res = undefined;
      context.res = response;
    } catch (error) {
      if (thrown) return undefined;
      // What the handler answered is not to be sent, nor its headers with what is.
      context.res = undefined;
      throw error;
    }
    return undefined;
  };
}

/** The body, as it is to be compared; null: it is too large. What comes after finds it unread. */
async function readRequest(context: Context, maxBytes: number): Promise<Readonly<Record<string, unknown>> | null> {
  const { raw } = context.req;
  if (Number(context.req.header('content-length') ?? 0) > maxBytes) return null;
  if (raw.body === null) return {};
  // Read by what came before, which hono keeps.
  if (raw.bodyUsed) return contentOf(context, new Uint8Array(await context.req.arrayBuffer()));
  const bytes = await readWithin(raw.body, maxBytes);
  if (bytes === null) return null;
  context.req.raw = new Request(raw, { method: raw.method, body: bytes });
  return contentOf(context, bytes);
}

/** null: there is more. */
async function readWithin(
  stream: ReadableStream<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(Buffer.concat(chunks));
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel().catch(() => {});
      return null;
    }
    chunks.push(value);
  }
}

function contentOf(context: Context, bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const [type = ''] = (context.req.header('content-type') ?? '').split(';');
  if (!/[/+]json$/i.test(type.trim())) return { type, bytes: digestOf(bytes) };
  try {
    return { type, json: JSON.parse(Buffer.from(bytes).toString()) as unknown };
  } catch {
    return { type, bytes: digestOf(bytes) };
  }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function readResponse(response: Response, maxBytes: number): Promise<HttpAnswer> {
  const { status, headers, body } = response;
  if (headers.has('transfer-encoding') || headers.get('content-type')?.startsWith('text/event-stream') === true) {
    await body?.cancel().catch(() => {});
    throw answerIsStream();
  }
  const bytes = body === null ? null : await readWithin(body, maxBytes);
  if (body !== null && bytes === null) throw answerTooLarge(maxBytes);
  const cookies = headers.getSetCookie();
  const others = Object.fromEntries(headers);
  return { status, headers: cookies.length === 0 ? others : { ...others, 'set-cookie': cookies }, body: bytes };
}

/** Where nothing was answered yet. Headers that were set before stay: what is there is put over what is returned. */
function afresh(context: Context, answer: HttpAnswer): Response {
  // Read, it is there: with these headers.
  void context.res;
  return responseOf(answer);
}

/** Without these a page of another origin is not even told the status. */
function keepForBrowsers(from: Headers, to: Headers): void {
  for (const [name, value] of from) if (name === 'vary' || name.startsWith('access-control-')) to.set(name, value);
}

function responseOf({ status, headers, body }: HttpAnswer): Response {
  const all = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    for (const each of typeof value === 'string' ? [value] : value) all.append(name, each);
  }
  return new Response(typeof body === 'string' || body === null ? body : new Uint8Array(body), {
    status,
    headers: all,
  });
}

function requestTooLarge(maxBytes: number): HttpAnswer {
  const refusal = new HoldfastError('HF_PAYLOAD_TOO_LARGE', `The body of the request is over ${maxBytes} bytes.`, {
    details: { maxBytes },
  });
  return refusalAnswer(413, 'Content Too Large', refusal);
}
